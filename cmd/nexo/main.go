// Command nexo is the server with its four brokers, and the tools that look after its data.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/nexobroker/nexo/commands"
)

const (
	exitError     = 1
	exitUsage     = 2 // a command, flag, argument or parameter is wrong: nothing was begun
	exitPanic     = 2 // a broker panicked; Go's own exit code for a panic
	exitCorrupted = 3 // the data directory is damaged: nothing was repaired or given up, see the command that was printed
)

func main() { os.Exit(run(os.Args, os.Stdout, os.Stderr)) }

// run runs a command line and returns the exit code. What goes wrong is one line of problems.
func run(args []string, output, problems io.Writer) int {
	app := application()
	app.Writer, app.ErrWriter = output, problems
	args = withDefaultCommand(args)
	err := checkCommandName(app, args)
	if err == nil {
		err = app.Run(args)
	}
	if err == nil {
		return 0
	}
	fmt.Fprintln(problems, "nexo:", err)
	var exit cli.ExitCoder
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return exitError
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

// checkCommandName refuses a command that there is not, also behind help; the library would answer it with exit code 3, which
// means damage here.
func checkCommandName(app *cli.App, args []string) error {
	word, known := args[1], []string{"help"}
	for _, command := range app.Commands {
		known = append(known, command.Name)
	}
	if word == "help" || word == "h" {
		if len(args) < 3 {
			return nil
		}
		word = args[2]
	}
	if strings.HasPrefix(word, "-") || slices.Contains(known, word) {
		return nil
	}
	return usageError("%q is not a command; did you mean %q? nexo help lists them", word, nearest(word, known))
}

// usageError is a mistake in how the program was called.
func usageError(format string, values ...any) error {
	return cli.Exit(fmt.Sprintf(format, values...), exitUsage)
}

// onUsageError makes one line of what the flag parser says, and names the flag that was meant.
func onUsageError(c *cli.Context, err error, _ bool) error {
	text := err.Error()
	dashed := func(name string) string { return "--" + strings.TrimLeft(name, "-") }
	if name, ok := strings.CutPrefix(text, "flag provided but not defined: "); ok {
		var known []string
		for _, flag := range c.Command.VisibleFlags() {
			known = append(known, flag.Names()[0])
		}
		if len(known) == 0 {
			return usageError("%s is not a flag of nexo %s", dashed(name), c.Command.Name)
		}
		meant := nearest(strings.TrimLeft(name, "-"), known)
		return usageError("%s is not a flag of nexo %s; did you mean --%s?", dashed(name), c.Command.Name, meant)
	}
	if name, ok := strings.CutPrefix(text, "flag needs an argument: "); ok {
		return usageError("%s needs a value", dashed(name))
	}
	for _, form := range []struct{ before, between string }{{"invalid value ", " for flag -"}, {"invalid boolean value ", " for -"}} {
		rest, ok := strings.CutPrefix(text, form.before)
		value, rest, found := strings.Cut(rest, form.between)
		name, _, _ := strings.Cut(rest, ": ")
		if flag := flagNamed(c.Command.Flags, name); ok && found && flag != nil {
			return usageError("--%s: %s is not %s", name, value, kindOf(flag))
		}
	}
	return usageError("%s", text)
}

// takes lets a command have so many arguments beside its flags and no more; the usage says which.
func takes(command *cli.Command, arguments int) *cli.Command {
	action := command.Action
	command.OnUsageError = onUsageError
	command.Flags = onCommandLine(command.Flags)
	command.Action = func(c *cli.Context) error {
		switch extra := c.Args().Get(arguments); {
		case c.NArg() < arguments:
			return usageError("nexo %s needs %s: see nexo %s --help", command.Name, command.ArgsUsage, command.Name)
		case c.NArg() > arguments && slices.Contains([]string{"true", "false", "yes", "no"}, strings.ToLower(extra)):
			return usageError("%q stands alone: a flag that is true or false has its value behind =, as in --dashboard=false", extra)
		case c.NArg() > arguments && arguments == 0:
			return usageError("%q is not a flag: nexo %s takes flags only, see nexo %s --help", extra, command.Name, command.Name)
		case c.NArg() > arguments:
			return usageError("%q is too much: nexo %s takes %s and flags", extra, command.Name, command.ArgsUsage)
		}
		return action(c)
	}
	return command
}

func application() *cli.App {
	server := &cli.Command{Name: "server", Usage: "run the server (default)", Flags: serverFlags(), Action: runServer}
	version := &cli.Command{Name: "version", Usage: "print the version", Action: func(c *cli.Context) error {
		_, err := fmt.Fprintln(c.App.Writer, commands.Version)
		return err
	}}
	return &cli.App{
		Name:    "nexo",
		Usage:   "store, pub/sub, queue and stream in one server that speaks RESP",
		Version: commands.Version,
		// Errors are printed and turned into an exit code by run alone.
		ExitErrHandler: func(*cli.Context, error) {},
		OnUsageError:   onUsageError,
		Commands: []*cli.Command{
			takes(server, 0), takes(checkCommand(), 1), takes(repairCommand(), 1), takes(healthCommand(), 0), takes(demoCommand(), 0),
			takes(docsCommand(), 1), takes(completionCommand(), 1), takes(version, 0),
		},
	}
}
