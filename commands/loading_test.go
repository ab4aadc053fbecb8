package commands_test

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
	"github.com/nexobroker/nexo/brokers/pubsub"
	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/brokers/store"
	"github.com/nexobroker/nexo/brokers/stream"
	"github.com/nexobroker/nexo/commands"
	"github.com/nexobroker/nexo/commands/commandstest"
	"github.com/nexobroker/nexo/resp"
)

// openLoadingDoor serves commands that have no brokers yet; loaded gives them some.
func openLoadingDoor(t *testing.T, config commandstest.Process) (addr string, server *commandstest.Whole, loaded func()) {
	t.Helper()
	config.Loading = func() commands.Progress {
		return commands.Progress{Log: "queue", Loaded: 300 << 20, Total: 1200 << 20, Began: time.Now().Add(-10 * time.Second)}
	}
	server = commandstest.NewServer(commandstest.Brokers{Clock: brokers.SystemClock{}, Shutdown: func() {}}, config)
	panics := make(chan any, 1000)
	door, err := resp.Listen(resp.Options{Addr: "127.0.0.1:0", Panicked: func(reason any) { panics <- reason }}, server)
	if err != nil {
		t.Fatal(err)
	}
	server.Attach(door)
	served := make(chan error, 1)
	go func() { served <- door.Serve() }()
	var closers []func() error
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := door.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		<-served
		for _, closer := range closers {
			if err := closer(); err != nil {
				t.Error(err)
			}
		}
		if len(panics) > 0 {
			t.Errorf("a command panicked while loading: %v", <-panics)
		}
	})
	return door.Addr().String(), server, func() {
		var deps commandstest.Brokers
		var problems [4]error
		deps.Store, problems[0] = store.Open(store.Options{})
		deps.PubSub, problems[1] = pubsub.Open(pubsub.Options{Journal: brokertest.NewJournal()})
		deps.Queue, problems[2] = queue.Open(queue.Options{Journal: brokertest.NewJournal()})
		deps.Stream, problems[3] = stream.Open(stream.Options{Journal: brokertest.NewJournal(), Directory: t.TempDir()})
		for _, err := range problems {
			if err != nil {
				t.Fatal(err)
			}
		}
		closers = []func() error{deps.Stream.Close, deps.Queue.Close, deps.PubSub.Close, deps.Store.Close}
		server.Serve(deps)
		server.Loaded()
	}
}

const loadingReply = "-LOADING Nexo is loading its logs: 25% of 1200 MiB, about 30 s left\r\n"

func TestCommandsWhileLoading(t *testing.T) {
	addr, _, loaded := openLoadingDoor(t, commandstest.Process{Password: "secret"})
	client := commandstest.Dial(t, addr, 2)
	for _, step := range []struct{ command, want string }{
		{"PING", "-NOAUTH Authentication required.\r\n"},
		{"AUTH wrong", "-WRONGPASS invalid username-password pair or user is disabled.\r\n"},
		{"AUTH secret", "+OK\r\n"},
		{"PING", loadingReply},
		{"NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with: \r\n"},
		{"GET", "-ERR wrong number of arguments for 'get' command\r\n"},
		{"GET k", loadingReply},
		{"SET k v", loadingReply},
		{"QPUSH q x", loadingReply},
		{"XAPPEND s x", loadingReply},
		{"SUBSCRIBE c", loadingReply},
		{"PUBLISH c m", loadingReply},
		{"CONFIG SET maxmemory 1gb", loadingReply},
		{"MEMORY DOCTOR", loadingReply},
		{"CLIENT SETNAME me", "+OK\r\n"},
		{"CLIENT GETNAME", "$2\r\nme\r\n"},
		{"SELECT 3", "+OK\r\n"},
		{"ECHO hi", "$2\r\nhi\r\n"},
		{"COMMAND COUNT", ""},
		{"CONFIG GET maxclients", ""},
	} {
		got := client.Do(strings.Fields(step.command)...)
		if step.want != "" && got != step.want || step.want == "" && strings.HasPrefix(got, "-") {
			t.Errorf("%s: %q, want %q", step.command, got, step.want)
		}
	}
	info := client.Do("INFO")
	for _, line := range []string{"loading:1", "async_loading:0", `loading_start_time:\d+`, "loading_total_bytes:1258291200",
		"loading_loaded_bytes:314572800",
		"loading_loaded_perc:25.00", "loading_eta_seconds:30", "loading_log:queue", "redis_version:7.*", "connected_clients:1"} {
		if !regexp.MustCompile("(?m)^" + line + "\r$").MatchString(info) {
			t.Errorf("INFO lacks %s:\n%s", line, info)
		}
	}
	loaded()
	for _, step := range []struct{ command, want string }{
		{"PING", "+PONG\r\n"}, {"SET k v", "+OK\r\n"}, {"CLIENT GETNAME", "$2\r\nme\r\n"}, {"CONFIG SET maxmemory 1gb", "+OK\r\n"},
	} {
		if got := client.Do(strings.Fields(step.command)...); got != step.want {
			t.Errorf("loaded, %s: %q, want %q", step.command, got, step.want)
		}
	}
	if info := client.Do("INFO"); !strings.Contains(info, "\nloading:0\r\n") || strings.Contains(info, "loading_") &&
		!strings.Contains(info, "async_loading:0\r\n") ||
		!strings.Contains(info, "\ndb3:keys=1,") {
		t.Errorf("INFO once loaded:\n%s", info)
	}
}

// TestNoCommandNeedsABrokerWhileLoading runs everything that is let through, in several shapes; a panic fails the test.
func TestNoCommandNeedsABrokerWhileLoading(t *testing.T) {
	addr, server, _ := openLoadingDoor(t, commandstest.Process{EnableDebug: true})
	run := func(spec *commands.Spec, words []string) {
		if spec.Handler == nil {
			return
		}
		for _, filler := range []string{"1", "ON", "*"} {
			for given := range 5 {
				if n := len(words) + given; spec.Arity > 0 && n != spec.Arity || n < -spec.Arity {
					continue
				}
				all := append([]string(nil), words...)
				for range given {
					all = append(all, filler)
				}
				client := commandstest.Dial(t, addr, 2)
				got := client.Do(all...)
				refused := strings.HasPrefix(got, "-LOADING ")
				if refused != (spec.Flags&commands.Loading == 0 || spec.NeedsBrokers) {
					t.Errorf("%q: %q", all, got)
				}
				client.Conn.Close()
			}
		}
	}
	for _, spec := range server.Sorted() {
		if spec.Name == "shutdown" || spec.Name == "monitor" || spec.Name == "client" {
			continue // SHUTDOWN and MONITOR answer nothing; CLIENT is run below
		}
		run(spec, []string{spec.Name})
		for i := range spec.Subcommands {
			run(&spec.Subcommands[i], []string{spec.Name, spec.Subcommands[i].Name})
		}
	}
	client := commandstest.Dial(t, addr, 3)
	for _, words := range []string{"ID", "LIST", "INFO", "GETNAME", "SETINFO LIB-NAME x", "KILL TYPE pubsub", "KILL ID 99999",
		"UNBLOCK 99999", "LIST TYPE pubsub",
		"NO-EVICT ON", "TRACKINGINFO", "PAUSE 1", "UNPAUSE", "GETREDIR"} {
		if got := client.Do(append([]string{"CLIENT"}, strings.Fields(words)...)...); strings.HasPrefix(got, "-LOADING") || got == "" {
			t.Errorf("CLIENT %s: %q", words, got)
		}
	}
}
