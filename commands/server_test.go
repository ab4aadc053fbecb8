package commands_test

import (
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nexobroker/nexo/commands"
	"github.com/nexobroker/nexo/commands/commandstest"
)

func TestSlowLogKeepsWhatTookLong(t *testing.T) {
	addr, _ := commandstest.Open(t, commandstest.Process{EnableDebug: true}, nil)
	client := commandstest.Dial(t, addr, 2)
	client.Do("CLIENT", "SETNAME", "me")
	client.Do("CONFIG", "SET", "requirepass", "secret", "slowlog-log-slower-than", "0", "slowlog-max-len", "4")
	client.Do("CONFIG", "SET", "requirepass", "")
	client.Do("SLOWLOG", "RESET")
	client.Do("KEYS", strings.Repeat("x", 200))
	client.Do("KEYS", "*")
	client.Do("CONFIG", "SET", "requirepass", "")
	reply := client.Do("SLOWLOG", "GET", "-1")
	for _, want := range []string{"xxx... (72 more bytes)\r\n", "$4\r\nKEYS\r\n$1\r\n*\r\n", "(redacted)", "$2\r\nme\r\n",
		client.Conn.LocalAddr().String()} {
		if !strings.Contains(reply, want) {
			t.Errorf("SLOWLOG GET lacks %q:\n%s", want, reply)
		}
	}
	if strings.Contains(reply, "secret") {
		t.Errorf("SLOWLOG GET tells the password:\n%s", reply)
	}
	for range 10 {
		client.Do("KEYS", "*")
	}
	if got := client.Do("SLOWLOG", "LEN"); got != ":4\r\n" {
		t.Errorf("SLOWLOG LEN over its limit: %q", got)
	}
	client.Do("CONFIG", "SET", "slowlog-log-slower-than", "20000")
	client.Do("SLOWLOG", "RESET")
	client.Do("DEBUG", "SLEEP", "0.05")
	client.Do("KEYS", "*")
	reply = client.Do("SLOWLOG", "GET")
	if !strings.HasPrefix(reply, "*1\r\n*6\r\n") || !strings.Contains(reply, "SLEEP") {
		t.Errorf("only DEBUG SLEEP was slow:\n%s", reply)
	}
	client.Do("CONFIG", "SET", "slowlog-log-slower-than", "-1")
	client.Do("DEBUG", "SLEEP", "0.05")
	if got := client.Do("SLOWLOG", "LEN"); got != ":1\r\n" {
		t.Errorf("the slow log is off: %q", got)
	}
}

func TestSlowLogCutsLongCommands(t *testing.T) {
	addr, _ := commandstest.Open(t, commandstest.Process{}, nil)
	client := commandstest.Dial(t, addr, 2)
	client.Do("CONFIG", "SET", "slowlog-log-slower-than", "0")
	words := []string{"COMMAND", "DOCS"}
	for i := range 48 {
		words = append(words, fmt.Sprint("c", i))
	}
	client.Do(words...)
	reply := client.Do("SLOWLOG", "GET", "1")
	if !strings.Contains(reply, "*32\r\n") || !strings.Contains(reply, "... (19 more arguments)") {
		t.Errorf("SLOWLOG GET: %q", reply)
	}
}

func TestClientTypes(t *testing.T) {
	addr, _ := commandstest.Open(t, commandstest.Process{}, nil)
	admin, subscriber := commandstest.Dial(t, addr, 2), commandstest.Dial(t, addr, 2)
	subscriber.Do("CLIENT", "SETNAME", "subscriber")
	subscriber.Do("SUBSCRIBE", "c")
	for kind, shown := range map[string]bool{"normal": false, "pubsub": true} {
		if got := admin.Do("CLIENT", "LIST", "TYPE", kind); strings.Contains(got, "name=subscriber") != shown {
			t.Errorf("CLIENT LIST TYPE %s: %q", kind, got)
		}
	}
	if got := admin.Do("CLIENT", "KILL", "TYPE", "normal"); got != ":0\r\n" {
		t.Errorf("CLIENT KILL TYPE normal: %q", got)
	}
	if got := admin.Do("CLIENT", "KILL", "TYPE", "pubsub"); got != ":1\r\n" {
		t.Errorf("CLIENT KILL TYPE pubsub: %q", got)
	}
	subscriber.Conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := subscriber.In.ReadByte(); err == nil {
		t.Error("the subscriber is still connected")
	}
}

func TestTimeoutClosesIdleClients(t *testing.T) {
	addr, _ := commandstest.Open(t, commandstest.Process{}, nil)
	admin, idle := commandstest.Dial(t, addr, 2), commandstest.Dial(t, addr, 2)
	idle.Do("PING")
	if got := admin.Do("CONFIG", "SET", "timeout", "1"); got != "+OK\r\n" {
		t.Fatal(got)
	}
	idle.Conn.SetDeadline(time.Now().Add(15 * time.Second))
	if _, err := idle.In.ReadByte(); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("an idle client stays: %v", err)
	}
}

// ownAddress is an address of this machine that is not on the loopback; protected mode sees its clients as strangers.
func ownAddress(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		if network, ok := address.(*net.IPNet); ok && network.IP.To4() != nil && !network.IP.IsLoopback() {
			return network.IP.String()
		}
	}
	return ""
}

func TestProtectedMode(t *testing.T) {
	for _, test := range []struct {
		remote string
		config commandstest.Process
		wanted string
	}{
		{"10.1.2.3:5", commandstest.Process{ProtectedMode: true}, "denied"},
		{"[2001:db8::1]:5", commandstest.Process{ProtectedMode: true}, "denied"},
		{"[fe80::1%eth0]:5", commandstest.Process{ProtectedMode: true}, "denied"},
		{"[::ffff:10.1.2.3]:5", commandstest.Process{ProtectedMode: true}, "denied"},
		{"[::ffff:127.0.0.1]:5", commandstest.Process{ProtectedMode: true}, "admitted"},
		{"127.0.0.1:5", commandstest.Process{ProtectedMode: true}, "admitted"},
		{"127.8.9.1:5", commandstest.Process{ProtectedMode: true}, "admitted"},
		{"[::1]:5", commandstest.Process{ProtectedMode: true}, "admitted"},
		{"@", commandstest.Process{ProtectedMode: true}, "admitted"}, // a Unix socket
		{"10.1.2.3:5", commandstest.Process{ProtectedMode: true, Password: "secret"}, "admitted"},
		{"10.1.2.3:5", commandstest.Process{}, "admitted"},
	} {
		server := commandstest.NewServer(commandstest.Brokers{}, test.config)
		got := "admitted"
		if server.Denies(address(test.remote)) {
			got = "denied"
		}
		if got != test.wanted {
			t.Errorf("%s with %+v is %s", test.remote, test.config, got)
		}
	}
	host := ownAddress(t)
	if host == "" {
		t.Skip("this machine has the loopback interface alone: the refusal is not tried over a socket")
	}
	addr, _ := commandstest.OpenAt(t, net.JoinHostPort(host, "0"), commandstest.Process{ProtectedMode: true}, nil)
	client := commandstest.Dial(t, addr, 2)
	if got := client.Do("PING"); !strings.HasPrefix(got, "-DENIED ") {
		t.Errorf("a stranger's PING: %q", got)
	}
	if _, err := client.In.ReadByte(); err == nil {
		t.Error("a stranger stays connected")
	}
}

// address is a client's address in a test.
type address string

func (a address) Network() string {
	if a == "@" {
		return "unix"
	}
	return "tcp"
}

func (a address) String() string { return string(a) }

func TestInfoHasWhatClientsRead(t *testing.T) {
	addr, _ := commandstest.Open(t, commandstest.Process{MaxClients: 77}, nil)
	for _, proto := range []int{2, 3} {
		client := commandstest.Dial(t, addr, proto)
		client.Do("SET", "k", "v", "EX", "100")
		client.Do("SELECT", "3")
		client.Do("SET", "k", "v")
		reply := client.Do("INFO")
		if proto == 3 && !strings.HasPrefix(reply, "=") {
			t.Errorf("INFO in RESP3 is not a verbatim string: %q", reply[:20])
		}
		for _, line := range []string{
			"redis_version:7\\.2\\.\\d+", "nexo_version:" + regexp.QuoteMeta(commands.Version), "redis_mode:standalone", "role:master", "loading:0",
			"connected_clients:[1-9]\\d*", "blocked_clients:0", "used_memory:\\d+", "used_memory_heap:[1-9]\\d*", "maxmemory:0",
			"maxmemory_policy:noeviction",
			"total_commands_processed:\\d+", "total_connections_received:[1-9]\\d*", "connected_slaves:0", "maxclients:77", "tcp_port:[1-9]\\d*",
			"db0:keys=1,expires=1,avg_ttl=\\d+", "db3:keys=1,expires=0,avg_ttl=0", "uptime_in_seconds:\\d+",
		} {
			if !regexp.MustCompile(`(?m)^` + line + `\r$`).MatchString(reply) {
				t.Errorf("INFO lacks %s:\n%s", line, reply)
			}
		}
		section := client.Do("INFO", "replication", "KEYSPACE")
		if !strings.Contains(section, "# Replication\r\n") || !strings.Contains(section, "# Keyspace\r\n") ||
			strings.Contains(section, "# Server\r\n") {
			t.Errorf("INFO of two sections: %q", section)
		}
	}
}

func TestSilencedBlockingCommandStaysSilent(t *testing.T) {
	addr, _ := commandstest.Open(t, commandstest.Process{}, nil)
	client := commandstest.Dial(t, addr, 2)
	client.Do("QCREATE", "q")
	fmt.Fprint(client.Conn, "ECHO "+strings.Repeat("x", 100)+"\r\nCLIENT REPLY SKIP\r\nQPOP q BLOCK 1ms\r\nECHO next\r\n")
	for _, want := range []string{"$100\r\n" + strings.Repeat("x", 100) + "\r\n", "$4\r\nnext\r\n"} {
		got := make([]byte, len(want))
		client.Conn.SetDeadline(time.Now().Add(10 * time.Second))
		for i := range got {
			b, err := client.In.ReadByte()
			if err != nil {
				t.Fatal(err)
			}
			got[i] = b
		}
		if string(got) != want {
			t.Fatalf("%q, want %q", got, want)
		}
	}
}
