package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// completionCommand prints a script that completes commands and flags in a shell; it is made from the commands themselves.
func completionCommand() *cli.Command {
	return &cli.Command{Name: "completion", Usage: "print a script that completes commands and flags: source <(nexo completion bash)",
		ArgsUsage: "bash|zsh|fish",
		Action: func(c *cli.Context) error {
			var script string
			switch shell := c.Args().First(); shell {
			case "bash":
				script = bashCompletion(c.App)
			case "zsh":
				script = "autoload -U +X bashcompinit && bashcompinit\n" + bashCompletion(c.App)
			case "fish":
				script = fishCompletion(c.App)
			default:
				return usageError("%q is not bash, zsh or fish", shell)
			}
			_, err := fmt.Fprint(c.App.Writer, script)
			return err
		}}
}

// visibleCommands are the commands that help lists.
func visibleCommands(app *cli.App) []*cli.Command {
	return slices.DeleteFunc(slices.Clone(app.Commands), func(command *cli.Command) bool { return command.Hidden })
}

func bashCompletion(app *cli.App) string {
	var script, names strings.Builder
	script.WriteString("_nexo() {\n\tlocal words\n\tcase ${COMP_WORDS[1]} in\n")
	for _, command := range visibleCommands(app) {
		fmt.Fprintf(&names, " %s", command.Name)
		fmt.Fprintf(&script, "\t%s) words='", command.Name)
		for _, flag := range command.VisibleFlags() {
			fmt.Fprintf(&script, " --%s", flag.Names()[0])
		}
		script.WriteString("' ;;\n")
	}
	script.WriteString("\tesac\n\t[ \"$COMP_CWORD\" -gt 1 ] || words='" + names.String() + "'\n" +
		"\tCOMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\ncomplete -o default -F _nexo nexo\n")
	return script.String()
}

func fishCompletion(app *cli.App) string {
	var script strings.Builder
	quoted := func(text string) string {
		return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
	}
	for _, command := range visibleCommands(app) {
		fmt.Fprintf(&script, "complete -c nexo -n __fish_use_subcommand -a %s -d %s\n", command.Name, quoted(command.Usage))
		for _, flag := range command.VisibleFlags() {
			usage := ""
			if described, ok := flag.(cli.DocGenerationFlag); ok {
				usage = described.GetUsage()
			}
			fmt.Fprintf(&script, "complete -c nexo -n '__fish_seen_subcommand_from %s' -l %s -d %s\n", command.Name, flag.Names()[0], quoted(usage))
		}
	}
	return script.String()
}
