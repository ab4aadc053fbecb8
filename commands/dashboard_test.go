package commands_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/nexobroker/nexo/commands"
	"github.com/nexobroker/nexo/commands/commandstest"
)

func TestSecret(t *testing.T) {
	s := commandstest.NewServer(commandstest.Brokers{}, commandstest.Process{})
	for line, want := range map[string]bool{
		"AUTH x": true, "auth default x": true, "HELLO 3": false, "hello 3 auth default x": true, "CONFIG SET requirepass x": true,
		"config set timeout 1 RequirePass x": true, "CONFIG GET timeout": false, "GET auth": false,
	} {
		var args [][]byte
		for _, word := range strings.Fields(line) {
			args = append(args, []byte(word))
		}
		if got := s.Secret(args); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
}

func TestHelpKnowsEveryCommand(t *testing.T) {
	s := commandstest.NewServer(commandstest.Brokers{}, commandstest.Process{})
	for _, help := range s.Help() {
		found, ok := s.HelpFor(append(strings.Fields(help.Name), "x"))
		if !ok || found.Name != help.Name || !strings.HasPrefix(help.Syntax, strings.ToUpper(help.Name)) {
			t.Errorf("%s is found as %s (%v), syntax %s", help.Name, found.Name, ok, help.Syntax)
		}
	}
	for _, words := range [][]string{nil, {"nothing"}, {""}} {
		if _, ok := s.HelpFor(words); ok {
			t.Errorf("%q was found", words)
		}
	}
}

func TestTapAndActivity(t *testing.T) {
	addr, server := commandstest.Open(t, commandstest.Process{}, nil)
	seen := make(chan string, 100)
	server.SetTap(func(c commands.Tapped) { seen <- string(c.Args[0]) })
	c := commandstest.Dial(t, addr, 2)
	c.Do("SET", "a", "b")
	c.Do("GET", "a")
	c.Do("GET", "c")
	c.Do("PING")
	for _, want := range []string{"SET", "GET", "GET", "PING"} {
		if got := <-seen; got != want {
			t.Errorf("the tap saw %s, want %s", got, want)
		}
	}
	server.SetTap(nil)
	c.Do("PING")
	if len(seen) != 0 {
		t.Error("a tap that was taken away still sees")
	}
	activity := server.Activity()
	samples := uint64(0)
	for _, n := range activity.Latency {
		samples += n
	}
	if activity.Measured != 3 || samples != 1 || activity.Commands < 4 {
		t.Errorf("%+v", activity)
	}
}

// What follows the name of a command is a name too, or the command is known to begin with a payload. A new kind of first argument has
// to be looked at.
func TestNamingWords(t *testing.T) {
	s := commandstest.NewServer(commandstest.Brokers{}, commandstest.Process{})
	names := strings.Fields("section will index n cursor save-selector key arguments channel queue glob flush-type pattern shardchannel " +
		"numreplicas stream topic filter username source")
	for _, spec := range s.Sorted() {
		got := s.NamingWords([]byte(spec.Name))
		first := ""
		if len(spec.Arguments) > 0 {
			first = spec.Arguments[0].Name
			if inner := spec.Arguments[0].Arguments; len(inner) > 0 && spec.Arguments[0].Type == "block" && spec.Name != "hello" {
				first = inner[0].Name
			}
		}
		switch {
		case first == "" || slices.Contains(names, first):
			if got != 2 {
				t.Errorf("%s: %d", spec.Name, got)
			}
		case got != 1:
			t.Errorf("%s begins with %s: is that a name?", spec.Name, first)
		}
	}
	if got := s.NamingWords([]byte("4111 1111")); got != 1 {
		t.Errorf("an unknown command: %d", got)
	}
}
