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
			dir := c.Args().First()
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
	table := newFamilies(options{}, nil).table(commands.Config{})
	return map[string]string{
		"commands.md": table.Reference(), "configuration.md": configurationReference(), "errors.md": commands.ErrorReference(),
	}, nil
}

// configurationReference renders docs/configuration.md from the table of flags.
func configurationReference() string {
	var text strings.Builder
	text.WriteString("# Configuration\n\n" +
		"Generated from the table of flags by `go run ./cmd/nexo docs docs`; do not edit.\n\n" +
		"`nexo server` takes each parameter as a flag, as an environment variable, or from the TOML file of `--config`, where the key is the " +
		"name of the flag without `--` (`maxclients = 500`). A flag wins over the environment, the environment over the file. " +
		"Durations are written like `50ms`, `2s`, `1h30m`, `7d` or `2w`; bytes like `1048576`, `512mb` or `4gb`. An unknown flag or key, a " +
		"`NEXO_` variable that looks " +
		"like one of these mistyped, and a value out of range stop the start before anything is opened. A variable without a value is as " +
		"one that is not " +
		"there. No `.env` file is read: where one is wanted, the shell (`set -a; . ./.env`), Docker (`--env-file`) or systemd " +
		"(`EnvironmentFile=`) reads it.\n\n" +
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
		fmt.Fprintf(&text, "| %s | %s | %s | %s |\n", name, strings.Join(variables, ", "), value,
			strings.ReplaceAll(described.GetUsage(), "|", `\|`))
	}
	text.WriteString(clientLimits)
	text.WriteString(variablesReference())
	return text.String()
}

// variablesReference tells of the variables that are not of a flag, and of exit codes.
func variablesReference() string {
	var text strings.Builder
	text.WriteString("\nThe defaults of queues, streams, groups and retained messages hold for what is made from then on; what is there " +
		"keeps what it was made with.\n\n" +
		"## Other variables\n\n" +
		"These names of an earlier Nexo server set the flags too, when neither the flag nor its own variable does:\n\n" +
		"| Variable | Flag | Value |\n|---|---|---|\n")
	for _, a := range aliases() {
		kind := "as the flag's"
		switch {
		case strings.HasSuffix(a.name, "_SECS"):
			kind = "seconds"
		case strings.HasSuffix(a.name, "_MS"):
			kind = "milliseconds"
		case a.name == "QUEUE_MAX_RETRIES":
			kind = "as the flag's: deliveries in all; 0 is taken as 1"
		case a.lenient:
			kind = "as the flag's; any other is passed over"
		}
		fmt.Fprintf(&text, "| `%s` | `--%s` | %s |\n", a.name, a.flag, kind)
	}
	text.WriteString("\nPassed over, with a line in the log: what Kubernetes sets for a Service named `nexo` or `nexo-...` " +
		"(`NEXO_PORT=tcp://10.96.12.7:7654`, " +
		"`NEXO_SERVICE_HOST`, `NEXO_SERVICE_PORT`, `NEXO_PORT_7654_TCP_ADDR`, and so on) and Docker for a link; `NEXO_ENV` and the " +
		"`*_ROOT_PERSISTENCE_PATH` of an " +
		"earlier server; and any `NEXO_` variable that is not like one of ours.\n\n" +
		"## Tools\n\n" +
		"`nexo health` and `nexo demo` find the server by `--host` and `--port` or by `--address`, else by `NEXO_HOST`, `NEXO_PORT`, " +
		"`NEXO_PASSWORD`, " +
		"`NEXO_PASSWORD_FILE`, `NEXO_TLS_CERT` and `NEXO_CONFIG`, which beside a server are its own. With `--tls` they trust the " +
		"authorities of the machine, with " +
		"`--tls-ca` those of a file, with `--tls-cert` (or `NEXO_TLS_CERT`) the server's own certificate and nothing else. `nexo health` is " +
		"content with a server that " +
		"asks for a password or a certificate, and with `--live` also with one that still loads its logs.\n\n" +
		"## Exit codes\n\n" +
		"| Code | Meaning |\n|---|---|\n" +
		"| 0 | done, or stopped as asked |\n" +
		"| 1 | it could not be done: a port that is taken, a data directory in use, a server that is not there |\n" +
		"| 2 | a command, flag, argument, variable or configuration file is wrong, and nothing was begun; or a broker panicked |\n" +
		"| 3 | the data directory is damaged, and nothing in it was repaired or given up |\n")
	return text.String()
}

// clientLimits is the chapter on what a client can make the server hold.
const clientLimits = `
## Limits of clients

What clients make grow beyond small working buffers (64 KiB to read, up to 256 KiB of replies) is taken from one budget, ` + "`--maxmemory-clients`" + `:
input that is not run, output that is not read (a message that many subscribers have not read counts once), wills and subscriptions. When it is used
up, new wills and subscriptions are refused with ` + "`-OOM`" + `, a command that is still coming is refused if its client holds the most, and otherwise those
who hold most are closed; a byte of one that moves nothing counts eightfold. ` + "`INFO`" + ` tells ` + "`used_memory_clients`, `evicted_clients` and `timed_out_clients`" + `.

| What | Limit | Beyond it |
|---|---|---|
| argument of a command | ` + "`--proto-max-bulk-len`" + ` | read past and answered with an error, up to 4 GiB; then closed |
| arguments of a command | ` + "`--max-arguments`" + ` | read past and answered with an error, up to 2,147,483,647; then closed |
| command, and what is sent ahead of it | ` + "`--client-query-buffer-limit`" + ` | the command: read past and answered with an error; what is ahead: not read any further |
| inline command | 64 KiB | closed |
| before ` + "`AUTH`" + ` | 10 arguments, 16 KiB, 30 s for a command | closed |
| command that has begun | 30 s without a byte of it | closed |
| replies that are not read | 64 KiB, or 256 KiB beside pushes, and one reply; no further command is run | closed after ` + "`--client-write-timeout`" + ` without a byte either way, 1 s while the server stops |
| pushes that are not read | 32 MiB, or 8 MiB for 60 s | closed |
| payload of a job, an entry or a message | ` + "`--max-payload`" + ` | ` + "`-TOOBIG`" + ` |
| will (` + "`NWILL`" + `) | 1 MiB | ` + "`-TOOBIG`" + ` |
| subscriptions of a connection | 10,000, and 64 MiB of memory | error |
| channel, pattern or filter | 65,535 bytes, 128 levels; glob 1,024 bytes | error |
| names of ` + "`CLIENT SETNAME` and `SETINFO`" + ` | 512 bytes each | error |
| slow log | 10,000 entries of 32 arguments of 128 bytes | the oldest goes, arguments are cut |
`
