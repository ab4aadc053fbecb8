// Command nexo is the server with its four brokers, and the tools that look after its data.
package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/nexobroker/nexo/commands"
)

const (
	exitError     = 1
	exitPanic     = 2 // a broker panicked; Go's own exit code for a panic
	exitCorrupted = 3 // the data directory is damaged: nothing was changed, see the repair command that was printed
)

func main() {
	if err := application().Run(withDefaultCommand(os.Args)); err != nil {
		fmt.Fprintln(os.Stderr, "nexo:", err)
		var exit cli.ExitCoder
		if errors.As(err, &exit) {
			os.Exit(exit.ExitCode())
		}
		os.Exit(exitError)
	}
}

// withDefaultCommand lets flags stand without a command: nexo --port 1 is nexo server --port 1.
func withDefaultCommand(args []string) []string {
	if len(args) > 1 {
		switch first := args[1]; {
		case !strings.HasPrefix(first, "-"), first == "-h", first == "--help", first == "-v", first == "--version":
			return flagsFirst(args)
		}
	}
	return slices.Insert(slices.Clone(args), 1, "server")
}

// flagsFirst lets the flags of repair stand behind its directory, which the flag parser would not see there.
func flagsFirst(args []string) []string {
	if args[1] != "repair" {
		return args
	}
	ordered := slices.Clone(args)
	slices.SortStableFunc(ordered[2:], func(a, b string) int {
		switch flagA, flagB := strings.HasPrefix(a, "-"), strings.HasPrefix(b, "-"); {
		case flagA && !flagB:
			return -1
		case flagB && !flagA:
			return 1
		}
		return 0
	})
	return ordered
}

func application() *cli.App {
	return &cli.App{
		Name:    "nexo",
		Usage:   "store, pub/sub, queue and stream in one server that speaks RESP",
		Version: commands.Version,
		// Errors are printed and turned into an exit code by main alone.
		ExitErrHandler: func(*cli.Context, error) {},
		Commands: []*cli.Command{
			{Name: "server", Usage: "run the server (default)", Flags: serverFlags(), Action: runServer},
			checkCommand(), repairCommand(), healthCommand(), demoCommand(), docsCommand(), completionCommand(),
			{Name: "version", Usage: "print the version", Action: func(c *cli.Context) error {
				_, err := fmt.Fprintln(c.App.Writer, commands.Version)
				return err
			}},
		},
	}
}
