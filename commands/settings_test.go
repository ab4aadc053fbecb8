package commands_test

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/nexobroker/nexo/commands"
	"github.com/nexobroker/nexo/commands/commandstest"
)

// TestConfigSetActsOrRefuses: what would not act is refused and changes nothing, whatever else the command sets.
func TestConfigSetActsOrRefuses(t *testing.T) {
	addr, server := commandstest.Open(t, commandstest.Process{MaxClients: 100, Fsync: "always"}, nil)
	client := commandstest.Dial(t, addr, 2)
	for setting, why := range map[string]string{
		"notify-keyspace-events Ex":     "no events of keys are published",
		"appendonly yes":                "it is set when the server starts, by --store-durability",
		"appendfsync everysec":          "--fsync",
		"save 60":                       "there are no snapshots",
		"proto-max-bulk-len 2147483648": "",
		"lazyfree-lazy-expire yes":      "behind the scenes",
		"latency-monitor-threshold 100": "SLOWLOG",
		"busy-reply-threshold 1":        "no scripts",
		"lua-time-limit 1":              "no scripts",
		"tcp-keepalive 1":               "",
		"masterauth secret":             "no replicas",
		"client-output-buffer-limit x":  "",
		"hz 100":                        "nothing is polled",
		"dir /tmp":                      "can't set immutable config",
	} {
		words := strings.Fields(setting)
		before := client.Do("CONFIG", "GET", words[0])
		got := client.Do("CONFIG", "SET", "maxclients", "50", words[0], words[1])
		want := "-ERR CONFIG SET failed (possibly related to argument '" + words[0] + "') - "
		if !strings.HasPrefix(got, want) || !strings.Contains(got, why) {
			t.Errorf("%s: %q", setting, got)
		}
		if after := client.Do("CONFIG", "GET", words[0]); after != before {
			t.Errorf("%s: %q, before %q", setting, after, before)
		}
		if got := client.Do("CONFIG", "GET", "maxclients"); !strings.Contains(got, "100") {
			t.Errorf("%s: a part of what was refused took effect: %q", setting, got)
		}
	}
	// What is so already may be said again.
	for _, setting := range server.Settings.List() {
		if strings.Contains(setting.Note, "always") || setting.Note == "" && !setting.Mutable {
			continue
		}
		if got := client.Do("CONFIG", "SET", setting.Name, setting.Value); got != "+OK\r\n" {
			t.Errorf("%s as it is: %q", setting.Name, got)
		}
	}
	client.Do("CONFIG", "SET", "maxmemory", "1mb", "maxmemory-policy", "allkeys-lru")
	if limit, policy := server.Store.MaxMemory(); limit != 1<<20 || policy.String() != "allkeys-lru" {
		t.Errorf("the store has %d, %s", limit, policy)
	}
}

// TestMutableSettingsAct: what the dashboard offers to change has something that makes it act.
func TestMutableSettingsAct(t *testing.T) {
	s := commandstest.NewServer(commandstest.Brokers{}, commandstest.Process{LogLevel: new(slog.LevelVar)})
	mutable := map[string]bool{}
	for _, shown := range s.Settings.List() {
		mutable[shown.Name] = shown.Mutable
		one := s.Settings.Named(shown.Name)
		if shown.Mutable != (one.Apply != nil) || !shown.Mutable && shown.Note == "" && one.Effect != commands.Fixed {
			t.Errorf("%+v", shown)
		}
	}
	for name, want := range map[string]bool{"maxmemory": true, "loglevel": true, "requirepass": true, "slowlog-log-slower-than": true,
		"appendonly": false, "notify-keyspace-events": false, "hash-max-listpack-entries": false, "port": false} {
		if got, known := mutable[name]; got != want || !known {
			t.Errorf("%s: mutable %v, known %v", name, got, known)
		}
	}
}

func TestLogLevelActs(t *testing.T) {
	level := new(slog.LevelVar)
	addr, _ := commandstest.Open(t, commandstest.Process{LogLevel: level}, nil)
	client := commandstest.Dial(t, addr, 2)
	for _, step := range []struct {
		word string
		want slog.Level
	}{{"notice", slog.LevelInfo}, {"debug", slog.LevelDebug}, {"WARNING", slog.LevelWarn}, {"verbose", slog.LevelDebug + 2}} {
		if got := client.Do("CONFIG", "SET", "loglevel", step.word); got != "+OK\r\n" || level.Level() != step.want {
			t.Errorf("%s: %q, level %d", step.word, got, level.Level())
		}
		word := strings.ToLower(step.word)
		if got, want := client.Do("CONFIG", "GET", "loglevel"), fmt.Sprintf("*2\r\n$8\r\nloglevel\r\n$%d\r\n%s\r\n", len(word),
			word); got != want {
			t.Errorf("%s: told as %q", step.word, got)
		}
	}
}

func TestAppendonlyTellsTheTruth(t *testing.T) {
	for durability, want := range map[string][2]string{"none": {"no", "no"}, "interval": {"yes", "everysec"}, "always": {"yes", "always"}} {
		s := commandstest.NewServer(commandstest.Brokers{}, commandstest.Process{Fsync: "never", StoreDurability: durability})
		if got := [2]string{s.Settings.Value("appendonly"), s.Settings.Value("appendfsync")}; got != want {
			t.Errorf("%s: %q", durability, got)
		}
	}
}

// TestConfigGetKnowsWhatToolsAskFor holds the names that exporters, frameworks and consoles read.
func TestConfigGetKnowsWhatToolsAskFor(t *testing.T) {
	addr, _ := commandstest.Open(t, commandstest.Process{DataDirectory: os.TempDir()}, nil)
	client := commandstest.Dial(t, addr, 2)
	for _, name := range strings.Fields("maxmemory maxmemory-policy maxclients timeout databases save appendonly appendfsync dir " +
		"dbfilename port bind " +
		"requirepass tcp-keepalive notify-keyspace-events slowlog-log-slower-than slowlog-max-len loglevel hz proto-max-bulk-len " +
		"cluster-enabled " +
		"client-output-buffer-limit list-max-listpack-size list-max-ziplist-size replicaof slaveof unixsocket lua-time-limit " +
		"latency-monitor-threshold " +
		"min-replicas-to-write maxmemory-samples lfu-log-factor stop-writes-on-bgsave-error daemonize enable-debug-command") {
		if got := client.Do("CONFIG", "GET", name); !strings.HasPrefix(got, "*2\r\n") {
			t.Errorf("%s: %q", name, got)
		}
	}
}
