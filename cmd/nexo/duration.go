package main

import (
	"time"

	"github.com/urfave/cli/v2"

	"github.com/nexobroker/nexo/commands"
)

// duration is the value of a flag: what commands take with a unit, such as 7d, and what Go writes, such as 1h30m. A number alone is
// milliseconds to a command and could be anything to a reader of a configuration.
type duration time.Duration

func (d *duration) Set(text string) error {
	parsed, err := time.ParseDuration(text)
	if err != nil && text != "" && (text[len(text)-1] < '0' || text[len(text)-1] > '9') {
		parsed, err = commands.ParseDuration([]byte(text))
	}
	*d = duration(parsed)
	return err
}

// String is read by cli.Context.Duration.
func (d *duration) String() string { return time.Duration(*d).String() }

// durationFlag is a flag for a duration; variable may be "".
func durationFlag(name, variable string, value time.Duration, usage string) *cli.GenericFlag {
	flag := &cli.GenericFlag{Name: name, Value: (*duration)(&value), Usage: usage}
	if variable != "" {
		flag.EnvVars = []string{variablePrefix + variable}
	}
	return flag
}
