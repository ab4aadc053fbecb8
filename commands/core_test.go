package commands_test

import (
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nexobroker/nexo/commands"
	"github.com/nexobroker/nexo/commands/commandstest"
)

// coreTable goes to a real redis-server and to us; the raw replies must be equal.
const coreTable = `
FOO
FOO a b c
foo "" x
FOO aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b
FOO a aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b
FOO aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b c
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b
CONFIG
CONFIG GET
CONFIG FOO
CONFIG FOO BAR
CONFIG SET a
CONFIG SET maxmemory 1 x
CONFIG SET nothing-like-it 1
CONFIG SET databases 3
CONFIG SET maxmemory abc
CONFIG SET maxmemory 1gb
CONFIG GET maxmemory
CONFIG SET maxmemory 0 maxclients foo
CONFIG GET maxmemory
CONFIG SET maxmemory 0 maxmemory 1
CONFIG SET maxmemory 0 maxmemory-policy ALLKEYS-LRU
CONFIG GET maxmemory*policy
CONFIG SET maxmemory-policy noeviction
CONFIG SET timeout x
CONFIG SET timeout -1
CONFIG SET timeout 300
CONFIG GET timeout
CONFIG SET timeout 0
CONFIG SET slowlog-log-slower-than x
CONFIG SET slowlog-log-slower-than 10000
CONFIG SET slowlog-max-len 64
CONFIG SET protected-mode x
CONFIG SET activedefrag x
CONFIG SET stream-node-max-entries 4 hash-max-listpack-entries 512
CONFIG GET stream-node-max-entries
CONFIG SET lua-time-limit x
CONFIG GET nothing-like-it
CONFIG SET loglevel banana
CONFIG SET maxmemory-policy banana
CONFIG SET appendfsync banana
CONFIG SET appendonly banana
CONFIG SET appendonly no
CONFIG SET save ""
CONFIG SET hz x
CONFIG SET lazyfree-lazy-expire x
CONFIG SET latency-monitor-threshold x
CONFIG SET lfu-log-factor -1
CONFIG SET lfu-decay-time x
CONFIG SET lfu-log-factor 20 lfu-decay-time 2
CONFIG GET lfu-log*
CONFIG SET lfu-log-factor 10 lfu-decay-time 1
CONFIG SET maxmemory-samples 10
CONFIG GET maxmemory-samples
CONFIG SET maxmemory-samples 5
CONFIG SET slowlog-log-slower-than -2
CONFIG SET timeout 99999999999
CONFIG SET cluster-enabled yes
CONFIG SET hash-max-listpack-entries -1
CONFIG SET hash-max-listpack-entries x
CONFIG SET hash-max-ziplist-entries 100
CONFIG GET hash-max-listpack-entries
CONFIG SET hash-max-ziplist-entries 1 hash-max-listpack-entries 2
CONFIG SET set-max-intset-entries 1mb
CONFIG SET stream-node-max-bytes 8kb
CONFIG GET stream-node-max-bytes
CONFIG SET list-compress-depth -1
CONFIG SET list-max-ziplist-size -3
CONFIG GET list-max-ziplist-size
CONFIG GET list-max-listpack-size
CONFIG GET notify-keyspace-events
CONFIG GET appendonly
CONFIG GET masterauth
CONFIG GET DATABASES
CONFIG GET save
CONFIG GET databases databases
CONFIG RESETSTAT x
CONFIG RESETSTAT
CONFIG REWRITE
HELLO 9
HELLO 1
HELLO x
HELLO 2 FOO
HELLO 2 AUTH x
HELLO 2 AUTH nobody x
HELLO 2 SETNAME
HELLO 3 SETNAME a\nb
AUTH x
AUTH
AUTH a b c
AUTH nobody x
AUTH default x
SELECT
SELECT x
SELECT -1
SELECT 16
SELECT 15
SELECT 0 1
SELECT 0
PING
PING hello
PING a b
ping ""
ECHO
ECHO a
ECHO a b
CLIENT
CLIENT FOO
CLIENT GETNAME
CLIENT SETNAME
CLIENT SETNAME me
CLIENT GETNAME
CLIENT SETNAME "a\x20b"
CLIENT SETNAME a\nb
CLIENT GETNAME
CLIENT SETNAME ""
CLIENT GETNAME
CLIENT GETNAME x
CLIENT ID x
CLIENT KILL
CLIENT KILL 1.2.3.4:5
CLIENT KILL ID
CLIENT KILL ID x
CLIENT KILL ID 0
CLIENT KILL ID 999999
CLIENT KILL ADDR 1.2.3.4:5
CLIENT KILL LADDR 1.2.3.4:5
CLIENT KILL ID 999999 FOO bar
CLIENT KILL ID 999999 SKIPME x
CLIENT KILL TYPE foo
CLIENT KILL TYPE foo SKIPME no
CLIENT KILL TYPE master
CLIENT KILL TYPE replica
CLIENT KILL USER nobody
CLIENT UNBLOCK
CLIENT UNBLOCK x
CLIENT UNBLOCK 999999
CLIENT UNBLOCK 999999 TIMEOUT
CLIENT UNBLOCK 999999 ERROR
CLIENT UNBLOCK 999999 FOO
CLIENT REPLY
CLIENT REPLY FOO
CLIENT REPLY ON
CLIENT NO-EVICT
CLIENT NO-EVICT ON
CLIENT NO-EVICT off
CLIENT NO-EVICT x
CLIENT PAUSE
CLIENT PAUSE x
CLIENT PAUSE -1
CLIENT PAUSE 0 FOO
CLIENT UNPAUSE
CLIENT UNPAUSE x
CLIENT LIST FOO
CLIENT LIST TYPE foo
CLIENT LIST TYPE pubsub
CLIENT LIST TYPE replica
CLIENT KILL TYPE pubsub
SLOWLOG
SLOWLOG FOO
SLOWLOG RESET
SLOWLOG LEN
SLOWLOG GET
SLOWLOG GET x
SLOWLOG GET -2
SLOWLOG GET -1
LATENCY LATEST
LATENCY RESET
LATENCY HISTORY command
LATENCY GRAPH command
LATENCY FOO
MEMORY PURGE
CLIENT LIST ID x
CLIENT GETREDIR
CLIENT TRACKINGINFO
COMMAND COUNT x
COMMAND FOO
COMMAND INFO nothing
COMMAND INFO nothing nothing
COMMAND GETKEYS
COMMAND GETKEYS GET a
COMMAND GETKEYS MSET a 1 b 2
COMMAND GETKEYS MGET a b c
COMMAND GETKEYS nothing a
COMMAND DOCS nothing
COMMAND LIST FILTERBY
COMMAND LIST FOO
COMMAND LIST FILTERBY PATTERN nothing
COMMAND LIST FILTERBY PATTERN getr*
WAIT
WAIT 0 0
WAIT 0
WAIT x 0
WAIT 0 x
WAIT 0 -1
TIME x
ROLE
LASTSAVE x
MEMORY
MEMORY FOO
MEMORY USAGE
MEMORY USAGE none
MEMORY USAGE none FOO
MEMORY USAGE none SAMPLES
MEMORY USAGE none SAMPLES x
MEMORY USAGE none SAMPLES -1
MODULE LIST
READONLY
SHUTDOWN FOO
SUBSCRIBE c
RESET
PING
CLIENT GETNAME
`

// subscribedTable is for a RESP2 connection that has subscribed.
const subscribedTable = `
SUBSCRIBE c
PING
PING hello
PING a b
GET a
CONFIG GET save
CLIENT ID
FOO
ECHO a
ECHO
RESET
PING
ECHO a
`

func TestCoreRepliesAreThoseOfRedis(t *testing.T) {
	redisAddr := commandstest.OpenRedis(t)
	for _, proto := range []int{2, 3} {
		t.Run(fmt.Sprintf("RESP%d", proto), func(t *testing.T) {
			addr, _ := commandstest.Open(t, commandstest.Process{}, nil)
			redis, nexo := commandstest.Dial(t, redisAddr, proto), commandstest.Dial(t, addr, proto)
			for _, line := range strings.Split(strings.TrimSpace(coreTable), "\n") {
				commandstest.CompareReplies(t, redis, nexo, commandstest.Fields(t, line))
			}
		})
	}
	t.Run("subscribed", func(t *testing.T) {
		addr, _ := commandstest.Open(t, commandstest.Process{}, nil)
		redis, nexo := commandstest.Dial(t, redisAddr, 2), commandstest.Dial(t, addr, 2)
		for _, line := range strings.Split(strings.TrimSpace(subscribedTable), "\n") {
			commandstest.CompareReplies(t, redis, nexo, commandstest.Fields(t, line))
		}
	})
}

func TestEveryCommandRefusesAWrongNumberOfArguments(t *testing.T) {
	addr, server := commandstest.Open(t, commandstest.Process{}, nil)
	client := commandstest.Dial(t, addr, 2)
	check := func(spec *commands.Spec, words []string, name string) {
		given := max(spec.Arity, -spec.Arity) - 1 // one less than the least
		if spec.Handler == nil {
			given = 1 // a second word would be an unknown subcommand
		}
		if given < len(words) {
			if spec.Arity < 0 {
				return // any number is right
			}
			given = spec.Arity + 1
		}
		for len(words) < given {
			words = append(words, "1")
		}
		want := "-ERR wrong number of arguments for '" + name + "' command\r\n"
		if got := client.Do(words...); got != want {
			t.Errorf("%q: %q, want %q", words, got, want)
		}
	}
	for _, spec := range server.Sorted() {
		check(spec, []string{spec.Name}, spec.Name)
		for i := range spec.Subcommands {
			sub := &spec.Subcommands[i]
			check(sub, []string{spec.Name, sub.Name}, spec.Name+"|"+sub.Name)
		}
	}
}

func TestPasswordGuardsEverything(t *testing.T) {
	addr, server := commandstest.Open(t, commandstest.Process{Password: "secret"}, nil)
	client := commandstest.Dial(t, addr, 2)
	const noauth = "-NOAUTH Authentication required.\r\n"
	for _, spec := range server.Sorted() {
		if spec.Flags&commands.NoAuth != 0 || spec.Handler == nil {
			continue
		}
		words := []string{spec.Name}
		for len(words) < max(spec.Arity, -spec.Arity) {
			words = append(words, "1")
		}
		if got := client.Do(words...); got != noauth {
			t.Errorf("%q: %q", words, got)
		}
	}
	for _, step := range []struct{ command, want string }{
		{"HELLO 3", "-NOAUTH HELLO must be called"},
		{"AUTH wrong", "-WRONGPASS "},
		{"AUTH nobody secret", "-WRONGPASS "},
		{"HELLO 3 AUTH default wrong", "-WRONGPASS "},
		{"PING", noauth},
		{"CONFIG GET requirepass", noauth},
		{"AUTH secret", "+OK"},
		{"PING", "+PONG"},
		{"RESET", "+RESET"},
		{"PING", noauth},
		{"HELLO 3 AUTH default secret SETNAME me", "%7\r\n"},
		{"CLIENT GETNAME", "$2\r\nme"},
		{"CONFIG GET requirepass", "%1\r\n$11\r\nrequirepass\r\n$0\r\n"},
	} {
		if got := client.Do(strings.Fields(step.command)...); !strings.HasPrefix(got, step.want) {
			t.Errorf("%s: %q, want %q", step.command, got, step.want)
		}
	}
}

func TestCommandDocsParse(t *testing.T) {
	addr, server := commandstest.Open(t, commandstest.Process{}, nil)
	for proto, head := range map[int]string{2: fmt.Sprintf("*%d\r\n", 2*len(server.Table())),
		3: fmt.Sprintf("%%%d\r\n", len(server.Table()))} {
		client := commandstest.Dial(t, addr, proto)
		for _, command := range []string{"COMMAND", "COMMAND INFO", "COMMAND DOCS", "COMMAND LIST"} {
			reply := client.Do(strings.Fields(command)...)
			if command == "COMMAND DOCS" && !strings.HasPrefix(reply, head) {
				t.Errorf("%s in RESP%d begins with %q", command, proto, reply[:10])
			}
			// What follows must be the next reply, not a rest of this one.
			if next := client.Do("ECHO", "mark"); next != "$4\r\nmark\r\n" {
				t.Fatalf("%s in RESP%d is out of step: %q follows", command, proto, next)
			}
		}
	}
}

func TestRedisCLIWorks(t *testing.T) {
	path, err := exec.LookPath("redis-cli")
	if err != nil {
		t.Fatal("this test needs redis-cli: install it with `apt-get install redis-tools` or `brew install redis`")
	}
	addr, _ := commandstest.Open(t, commandstest.Process{}, nil)
	_, port, _ := net.SplitHostPort(addr)
	output, err := exec.Command(path, "-p", port, "command", "docs", "qpush").CombinedOutput()
	if err != nil || !strings.Contains(string(output), "qpush") || !strings.Contains(string(output), "summary") {
		t.Errorf("command docs: %v\n%s", err, output)
	}
	for _, flag := range []string{"-2", "-3"} {
		command := exec.Command(path, flag, "-p", port)
		command.Stdin = strings.NewReader("help qpush\nset k v\nget k\nfoo\ncommand docs get\ncommand\ninfo\nqcreate q\nqpush q job\necho " +
			"end-of-it\n")
		output, err := command.CombinedOutput()
		if err != nil || !strings.Contains(string(output), "end-of-it") {
			t.Errorf("redis-cli %s: %v\n%s", flag, err, output)
		}
	}
}

func TestClientPause(t *testing.T) {
	addr, _ := commandstest.Open(t, commandstest.Process{}, nil)
	admin, reader, writer := commandstest.Dial(t, addr, 2), commandstest.Dial(t, addr, 2), commandstest.Dial(t, addr, 2)
	id := strings.Trim(writer.Do("CLIENT", "ID"), ":\r\n")
	if got := admin.Do("CLIENT", "PAUSE", "60000", "WRITE"); got != "+OK\r\n" {
		t.Fatal(got)
	}
	if got := reader.Do("GET", "k"); got != "$-1\r\n" {
		t.Errorf("a read waits or sees something: %q", got)
	}
	replies := make(chan string, 1)
	go func() { replies <- writer.Do("SET", "k", "v") }()
	blocked := regexp.MustCompile(`(?m)^id=` + id + ` .*flags=b`)
	commandstest.Until(t, "the write waits", func() bool { return blocked.MatchString(admin.Do("CLIENT", "LIST")) })
	if got := reader.Do("GET", "k"); got != "$-1\r\n" {
		t.Errorf("the write came through a pause: %q", got)
	}
	if got := admin.Do("CLIENT", "UNPAUSE"); got != "+OK\r\n" {
		t.Fatal(got)
	}
	if got := <-replies; got != "+OK\r\n" {
		t.Errorf("after the pause: %q", got)
	}
	admin.Do("CLIENT", "PAUSE", "30")
	began := time.Now()
	if got := reader.Do("GET", "k"); got != "$1\r\nv\r\n" || time.Since(began) > 5*time.Second {
		t.Errorf("a pause does not end by itself: %q after %v", got, time.Since(began))
	}
}

func TestClientKillAndUnblock(t *testing.T) {
	addr, _ := commandstest.Open(t, commandstest.Process{}, nil)
	admin, victim := commandstest.Dial(t, addr, 2), commandstest.Dial(t, addr, 2)
	id := strings.Trim(victim.Do("CLIENT", "ID"), ":\r\n")
	admin.Do("QCREATE", "q")
	for _, step := range []struct{ how, want string }{{"TIMEOUT", "$-1\r\n"},
		{"ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"}} {
		replies := make(chan string, 1)
		go func() { replies <- victim.Do("QPOP", "q", "BLOCK", "60s") }()
		commandstest.Until(t, "the client is unblocked", func() bool { return admin.Do("CLIENT", "UNBLOCK", id, step.how) == ":1\r\n" })
		if got := <-replies; got != step.want && !(step.how == "TIMEOUT" && got == "*-1\r\n") {
			t.Errorf("UNBLOCK %s: %q", step.how, got)
		}
	}
	if got := admin.Do("CLIENT", "KILL", "ID", id); got != ":1\r\n" {
		t.Errorf("KILL: %q", got)
	}
	victim.Conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := victim.In.ReadByte(); err == nil {
		t.Error("the killed connection is open")
	}
}

func TestClientReplyLeavesOutReplies(t *testing.T) {
	addr, _ := commandstest.Open(t, commandstest.Process{}, nil)
	client := commandstest.Dial(t, addr, 2)
	for _, silent := range []string{"CLIENT REPLY OFF", "SET k v", "FOO", "GET", "PING"} {
		fmt.Fprintf(client.Conn, "%s\r\n", silent)
	}
	if got := client.Do("CLIENT", "REPLY", "ON"); got != "+OK\r\n" {
		t.Errorf("after OFF: %q", got)
	}
	fmt.Fprint(client.Conn, "CLIENT REPLY OFF\r\nPING\r\n")
	if got := client.Do("RESET"); got != "+RESET\r\n" {
		t.Errorf("RESET after OFF: %q", got)
	}
	fmt.Fprint(client.Conn, "HELLO 3\r\nCLIENT REPLY OFF\r\n")
	_, _ = commandstest.ReadReply(client.In) // of HELLO
	for _, word := range []string{"subscribe", "unsubscribe", "psubscribe", "punsubscribe", "ssubscribe", "sunsubscribe"} {
		if got := client.Do(word, "c"); !strings.HasPrefix(got, fmt.Sprintf(">3\r\n$%d\r\n%s\r\n", len(word), word)) {
			t.Errorf("%s after OFF: %q", word, got)
		}
	}
	client.Do("RESET")
	fmt.Fprint(client.Conn, "CLIENT REPLY OFF\r\n")
	for _, word := range []string{"nsubscribe", "nunsubscribe"} {
		command := strings.ToUpper(strings.TrimSuffix(word, "scribe"))
		if got := client.Do(command, "c"); !strings.Contains(got, word) {
			t.Errorf("%s after OFF: %q", command, got)
		}
	}
	client.Do("RESET")
	fmt.Fprint(client.Conn, "CLIENT REPLY SKIP\r\nCLIENT REPLY SKIP\r\nCLIENT REPLY OFF\r\nCLIENT REPLY SKIP\r\nPING\r\n")
	if got := client.Do("CLIENT", "REPLY", "ON"); got != "+OK\r\n" {
		t.Errorf("ON after SKIP and OFF: %q", got)
	}
	for _, silent := range []string{"PING", "FOO", "GET", "RESET", "CLIENT REPLY FOO", "CLIENT REPLY"} {
		fmt.Fprintf(client.Conn, "CLIENT REPLY SKIP\r\n%s\r\n", silent)
		if got := client.Do("ECHO", "next"); got != "$4\r\nnext\r\n" {
			t.Errorf("SKIP before %s: %q", silent, got)
		}
	}
}

func TestShutdownAsksTheProcess(t *testing.T) {
	asked := make(chan struct{}, 1)
	addr, _ := commandstest.Open(t, commandstest.Process{}, func() { asked <- struct{}{} })
	client := commandstest.Dial(t, addr, 2)
	fmt.Fprint(client.Conn, "SHUTDOWN NOSAVE\r\n")
	select {
	case <-asked:
	case <-time.After(10 * time.Second):
		t.Fatal("nobody was asked")
	}
	client.Conn.SetDeadline(time.Now().Add(10 * time.Second))
	if line, err := client.In.ReadString('\n'); err == nil {
		t.Errorf("SHUTDOWN answers %q", line)
	}
	refused, _ := commandstest.Open(t, commandstest.Process{}, nil)
	if got := commandstest.Dial(t, refused, 2).Do("SHUTDOWN"); !strings.HasPrefix(got, "-ERR ") {
		t.Errorf("a server that nobody can stop: %q", got)
	}
}

func TestMemoryUsageIsTheAccount(t *testing.T) {
	addr, _ := commandstest.Open(t, commandstest.Process{}, nil)
	client := commandstest.Dial(t, addr, 2)
	client.Do("SET", "small", "v")
	client.Do("SET", "large", strings.Repeat("x", 100_000))
	var small, large int
	fmt.Sscanf(client.Do("MEMORY", "USAGE", "small"), ":%d", &small)
	fmt.Sscanf(client.Do("MEMORY", "USAGE", "large", "SAMPLES", "5"), ":%d", &large)
	if small < 10 || small > 1000 || large < 100_000 || large > 200_000 {
		t.Errorf("MEMORY USAGE: small %d, large %d", small, large)
	}
}
