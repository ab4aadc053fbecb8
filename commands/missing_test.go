package commands_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nexobroker/nexo/commands/commandstest"
)

// TestMissingRedisCommandsAreListed holds docs/redis.md to the table of commands and to a real redis-server: each command of
// Redis is either in our table or in that list, and none is in both.
func TestMissingRedisCommandsAreListed(t *testing.T) {
	page, err := os.ReadFile("../docs/redis.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## What is missing\n")
	if !found {
		t.Fatal("docs/redis.md has no section \"What is missing\"")
	}
	server := commandstest.NewServer(commandstest.Brokers{}, commandstest.Process{})
	var listed []string
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 {
			continue
		}
		for _, word := range regexp.MustCompile("`([A-Z_-]+)`").FindAllStringSubmatch(cells[2], -1) {
			listed = append(listed, strings.ToLower(word[1]))
		}
	}
	if len(listed) < 100 {
		t.Fatalf("docs/redis.md lists only %d commands", len(listed))
	}
	for _, name := range listed {
		if server.Table()[name] != nil {
			t.Errorf("docs/redis.md says that %s is missing, and it is there", strings.ToUpper(name))
		}
	}
	redis := strings.Fields(commandstest.Dial(t, commandstest.OpenRedis(t), 2).Do("COMMAND", "LIST"))
	known := 0
	for _, name := range redis {
		if strings.ContainsAny(name, "*$|") {
			continue // the frames of the reply, and subcommands
		}
		known++
		if server.Table()[name] == nil && !slices.Contains(listed, name) {
			t.Errorf("Redis has %s, we do not, and docs/redis.md does not say so", strings.ToUpper(name))
		}
	}
	for _, name := range listed {
		if !slices.Contains(redis, name) {
			t.Errorf("docs/redis.md lists %s, which Redis does not have", strings.ToUpper(name))
		}
	}
	if known < 200 {
		t.Errorf("redis-server told only of %d commands", known)
	}
}

// TestMissingCommandsOfTheREADME: what it says is not there, by name, is not there.
func TestMissingCommandsOfTheREADME(t *testing.T) {
	page, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "- Not all of Redis:")
	text, _, ended := strings.Cut(text, "\n- ")
	if !found || !ended {
		t.Fatal("the README does not say what of Redis is missing")
	}
	_, missing, found := strings.Cut(text, "Missing are")
	names := regexp.MustCompile("`([A-Z]+)`").FindAllStringSubmatch(missing, -1)
	if !found || len(names) < 10 {
		t.Fatalf("the README names only %d commands that are missing", len(names))
	}
	server := commandstest.NewServer(commandstest.Brokers{}, commandstest.Process{})
	for _, name := range names {
		if server.Table()[strings.ToLower(name[1])] != nil {
			t.Errorf("the README says that %s is missing, and it is there", name[1])
		}
	}
}
