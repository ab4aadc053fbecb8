package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/nexobroker/nexo/commands"
)

// docsCommand writes the documents that are generated from the program's own tables.
func docsCommand() *cli.Command {
	return &cli.Command{Name: "docs", Hidden: true, Usage: "write the generated documents into DIR", ArgsUsage: "DIR",
		Action: func(c *cli.Context) error {
			dir, err := directoryOf(c)
			if err != nil {
				return err
			}
			documents, err := generatedDocuments()
			if err != nil {
				return err
			}
			for name, content := range documents {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
					return err
				}
			}
			return nil
		}}
}

// generatedDocuments are the contents by file name.
func generatedDocuments() (map[string]string, error) {
	table, err := commands.New(commands.Deps{}, commands.Config{})
	if err != nil {
		return nil, err
	}
	return map[string]string{"commands.md": table.Reference(), "configuration.md": configurationReference()}, nil
}

// configurationReference renders docs/configuration.md from the table of flags.
func configurationReference() string {
	var text strings.Builder
	text.WriteString("# Configuration\n\n" +
		"Generated from the table of flags by `go run ./cmd/nexo docs docs`; do not edit.\n\n" +
		"`nexo server` takes each parameter as a flag, as an environment variable, or from the TOML file of `--config`, where the key is the " +
		"name of the flag without `--` (`maxclients = 500`). A flag wins over the environment, the environment over the file. " +
		"Durations are written like `50ms`, `2s` or `1h`; bytes like `1048576`, `512mb` or `4gb`. An unknown flag, `NEXO_` variable or key " +
		"and a value out of range stop the start.\n\n" +
		"| Flag | Environment | Default | Meaning |\n|---|---|---|---|\n")
	for _, flag := range serverFlags() {
		described := flag.(cli.DocGenerationFlag)
		name := "`--" + flag.Names()[0] + "`"
		if visible, ok := flag.(cli.VisibleFlag); ok && !visible.IsVisible() {
			name = "(none)"
		}
		var variables []string
		for _, variable := range described.GetEnvVars() {
			variables = append(variables, "`"+variable+"`")
		}
		value := strings.Trim(described.GetDefaultText(), `"`)
		if value == "" {
			value = described.GetValue()
		}
		if value == "" {
			value = "(none)"
		} else {
			value = "`" + value + "`"
		}
		fmt.Fprintf(&text, "| %s | %s | %s | %s |\n", name, strings.Join(variables, ", "), value, strings.ReplaceAll(described.GetUsage(), "|", `\|`))
	}
	return text.String()
}
