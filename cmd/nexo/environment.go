package main

import (
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

const variablePrefix = "NEXO_"

// alias is a variable under the name that an earlier Nexo server gave it. It sets a flag when the flag's own variable does not.
type alias struct {
	name, flag string
	// convert makes the flag's value of the variable's; nil leaves it as it is.
	convert func(value string) (string, error)
	// lenient: a value that the flag does not take is passed over, since other programs use the name too.
	lenient bool
}

func aliases() []alias {
	return []alias{
		{name: "SERVER_HOST", flag: "host"},
		{name: "SERVER_SOCKET_TCP_PORT", flag: "port"},
		{name: "SERVER_DASHBOARD_HTTP_PORT", flag: "dashboard-port"},
		{name: "NEXO_LOG", flag: "log-level", convert: logLevelWord, lenient: true},
		{name: "MAX_PAYLOAD_SIZE", flag: "max-payload"},
		{name: "STORE_TTL_SECS", flag: "store-default-ttl", convert: unit("s")},
		{name: "PUBSUB_DEFAULT_RETAINED_TTL_SECS", flag: "retained-default-ttl", convert: unit("s")},
		{name: "QUEUE_VISIBILITY_MS", flag: "queue-lease", convert: unit("ms")},
		{name: "QUEUE_MAX_RETRIES", flag: "queue-max-attempts", convert: deliveries},
		{name: "STREAM_DEFAULT_RETENTION_AGE_MS", flag: "stream-max-age", convert: unit("ms")},
		{name: "STREAM_DEFAULT_RETENTION_BYTES", flag: "stream-max-bytes"},
		{name: "STREAM_ACK_WAIT_MS", flag: "group-ack-wait", convert: unit("ms")},
		{name: "STREAM_MAX_DELIVERIES", flag: "group-max-deliver"},
		{name: "STREAM_MAX_ACK_PENDING", flag: "group-max-pending"},
	}
}

// notRead are variables that somebody may set in good faith and that set nothing here; the log says what does.
func notRead() map[string]string {
	return map[string]string{
		"NEXO_ENV":                     "--dashboard=false turns the dashboard off",
		"QUEUE_ROOT_PERSISTENCE_PATH":  "--data is the one data directory",
		"STREAM_ROOT_PERSISTENCE_PATH": "--data is the one data directory",
		"PUBSUB_ROOT_PERSISTENCE_PATH": "--data is the one data directory",
	}
}

// unit makes a duration of a whole number.
func unit(suffix string) func(string) (string, error) {
	return func(value string) (string, error) {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return "", fmt.Errorf("%q is not a whole number of %s", value, map[string]string{"s": "seconds", "ms": "milliseconds"}[suffix])
		}
		if _, err := time.ParseDuration(value + suffix); err != nil {
			return "", fmt.Errorf("%q is too much", value)
		}
		return strconv.FormatInt(n, 10) + suffix, nil
	}
}

// deliveries is what the earlier server counted under the name of retries; none was one there.
func deliveries(value string) (string, error) {
	if value == "0" {
		return "1", nil
	}
	return value, nil
}

func logLevelWord(value string) (string, error) {
	word := strings.ToLower(value)
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, word) {
		return "", fmt.Errorf("%q is not debug, info, warn or error", value)
	}
	return word, nil
}

// passedOver are the variables that set nothing, with the reason, for the log.
type passedOver struct{ name, reason string }

// tellPassedOver writes a line for each reason.
func tellPassedOver(variables []passedOver, logger *slog.Logger) {
	byReason := map[string][]string{}
	for _, v := range variables {
		byReason[v.reason] = append(byReason[v.reason], v.name)
	}
	for _, reason := range slices.Sorted(maps.Keys(byReason)) {
		logger.Warn("environment variables are not read", "names", strings.Join(byReason[reason], " "), "reason", reason)
	}
}

// applyEnvironment gives the flags that the command line has not set the values of their variables, then those of the aliases.
// A variable without a value is as one that is not there.
func applyEnvironment(c *cli.Context, flags []cli.Flag, environment []string) (ignored []passedOver, err error) {
	values := map[string]string{}
	for _, pair := range environment {
		name, value, _ := strings.Cut(pair, "=")
		if isServiceLink(name, value) {
			ignored = append(ignored, passedOver{name, "links to a service, set by Kubernetes or Docker"})
		} else if value != "" {
			values[name] = value
		}
	}
	for _, flag := range flags {
		for _, name := range variablesOf(flag) {
			if value := values[name]; value != "" && !c.IsSet(flag.Names()[0]) {
				if err := setFlag(c, flag, value); err != nil {
					return nil, fmt.Errorf("environment variable %s: %w", name, err)
				}
			}
		}
	}
	for _, a := range aliases() {
		flag := flagNamed(flags, a.flag)
		value := values[a.name]
		if flag == nil || value == "" || c.IsSet(a.flag) {
			continue
		}
		if a.convert != nil {
			value, err = a.convert(value)
		}
		if err == nil {
			err = setFlag(c, flag, value)
		}
		if err != nil && !a.lenient {
			return nil, fmt.Errorf("environment variable %s: %w", a.name, err)
		}
		if err != nil {
			ignored = append(ignored, passedOver{a.name, err.Error()})
		}
	}
	for name, reason := range notRead() {
		if values[name] != "" {
			ignored = append(ignored, passedOver{name, reason})
		}
	}
	slices.SortFunc(ignored, func(a, b passedOver) int { return strings.Compare(a.name, b.name) })
	return ignored, nil
}

// checkEnvironment refuses a NEXO_ variable that looks like another one mistyped, and passes over those that do not: they are
// somebody else's.
func checkEnvironment(environment []string) (ignored []passedOver, err error) {
	known := []string{"NEXO_BIN", "NEXO_CRASH_ROUNDS", "NEXO_CRASH_SEED"} // of the project's scripts and tests, which pass theirs on
	for _, flag := range serverFlags() {
		known = append(known, variablesOf(flag)...)
	}
	for _, a := range aliases() {
		known = append(known, a.name)
	}
	for _, pair := range environment {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, variablePrefix) || slices.Contains(known, name) || notRead()[name] != "" || isServiceLink(name, value) {
			continue
		}
		if meant := mistyped(strings.TrimPrefix(name, variablePrefix), known); meant != "" {
			return nil, fmt.Errorf("environment variable %s is unknown; did you mean %s?", name, meant)
		}
		ignored = append(ignored, passedOver{name, "no flag has them"})
	}
	return ignored, nil
}

// mistyped finds the variable that a word without the prefix was meant to be; "" when it is like none.
func mistyped(word string, known []string) string {
	best, fewest := "", 2+min(len(word)/6, 2)
	for _, name := range known {
		rest, ours := strings.CutPrefix(name, variablePrefix)
		if !ours {
			continue
		}
		distance := editDistance(word, rest)
		if strings.HasPrefix(rest, word) && len(rest) <= 2*len(word) { // cut short
			distance = min(distance, fewest-1)
		}
		if distance < fewest {
			best, fewest = name, distance
		}
	}
	return best
}

// serviceLink is the form of what Kubernetes sets for each Service of a namespace, and Docker for --link: for a Service named
// nexo, or nexo-something, it begins as our own variables do.
var serviceLink = regexp.MustCompile(`^NEXO(_[A-Z0-9_]+)?_` +
	`(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

func isServiceLink(name, value string) bool {
	isAddress := strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://")
	return serviceLink.MatchString(name) || strings.HasPrefix(name, variablePrefix) && isAddress
}

func variablesOf(flag cli.Flag) []string {
	if described, ok := flag.(cli.DocGenerationFlag); ok {
		return described.GetEnvVars()
	}
	return nil
}

func flagNamed(flags []cli.Flag, name string) cli.Flag {
	for _, flag := range flags {
		if flag.Names()[0] == name {
			return flag
		}
	}
	return nil
}

// setFlag gives a flag a value that is not from the command line.
func setFlag(c *cli.Context, flag cli.Flag, value string) error {
	if err := c.Set(flag.Names()[0], value); err != nil {
		return fmt.Errorf("%q is not %s", value, kindOf(flag))
	}
	return nil
}

// kindOf says what values a flag takes.
func kindOf(flag cli.Flag) string {
	switch flag.(type) {
	case *cli.IntFlag, *cli.Int64Flag, *cli.Uint64Flag:
		return "an integer"
	case *cli.BoolFlag:
		return "true or false"
	case *cli.GenericFlag:
		return "a duration, such as 50ms, 2s, 1h or 7d"
	default:
		return "a value"
	}
}

// onCommandLine are the flags as the command line takes them. Their variables are read by applyEnvironment, which knows service
// links and aliases, and stand in the help.
func onCommandLine(flags []cli.Flag) []cli.Flag {
	for _, flag := range flags {
		hint := ""
		for _, name := range variablesOf(flag) {
			hint += " [$" + name + "]"
		}
		switch f := flag.(type) {
		case *cli.StringFlag:
			f.EnvVars, f.Usage = nil, f.Usage+hint
		case *cli.IntFlag:
			f.EnvVars, f.Usage = nil, f.Usage+hint
		case *cli.BoolFlag:
			f.EnvVars, f.Usage = nil, f.Usage+hint
		case *cli.GenericFlag:
			f.EnvVars, f.Usage = nil, f.Usage+hint
		case *cli.Int64Flag:
			f.EnvVars, f.Usage = nil, f.Usage+hint
		case *cli.Uint64Flag:
			f.EnvVars, f.Usage = nil, f.Usage+hint
		default:
			panic(fmt.Sprintf("BUG: flag %s has a type of which the variable would be read twice", flag.Names()[0]))
		}
	}
	return flags
}
