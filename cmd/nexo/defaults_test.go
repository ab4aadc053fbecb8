package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/brokers/stream"
	"github.com/nexobroker/nexo/ui"
)

// TestDefaultsOfFlagsAreThoseOfBrokers holds the texts of the flags to what the brokers do by themselves.
func TestDefaultsOfFlagsAreThoseOfBrokers(t *testing.T) {
	o, err := configured(t, "", "--fsync", "interval")
	if err != nil {
		t.Fatal(err)
	}
	if o.queueDefaults != queue.DefaultConfig(brokers.Interval) || o.streamDefaults != stream.DefaultConfig(brokers.Interval) ||
		o.groupDefaults != stream.DefaultGroupConfig() ||
		o.retainedDefaultTTL != 0 {
		t.Errorf("without flags: %+v %+v %+v %v", o.queueDefaults, o.streamDefaults, o.groupDefaults, o.retainedDefaultTTL)
	}
}

// TestDefaultsReachWhatIsMade makes things in every way, with an option and without, and asks what they got.
func TestDefaultsReachWhatIsMade(t *testing.T) {
	port := serveFor(t, true, "--queue-lease", "45s", "--queue-max-attempts", "7", "--queue-backoff", "fixed 3s", "--queue-ttl", "1h",
		"--queue-dlq-ttl", "24h",
		"--queue-max-len", "1000", "--queue-dedup-window", "1m", "--stream-max-age", "48h", "--stream-max-bytes", "5mb", "--stream-max-len",
		"500", "--stream-dedup-window", "10s",
		"--group-ack-wait", "2500ms", "--group-max-deliver", "3", "--group-max-pending", "50", "--retained-default-ttl", "90s")
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	replies := replyReader{in: bufio.NewReader(conn)}
	do := func(line string) string {
		t.Helper()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := conn.Write(appendCommand(nil, strings.Fields(line)...)); err != nil {
			t.Fatal(err)
		}
		replies.room = repliesMax
		reply, err := replies.read(0)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return flat(reply)
	}
	do("HELLO 3")
	for _, line := range []string{"QCREATE said LEASE 1m", "QPUSH pushed x", "XCREATE said MAXLEN 9", "XAPPEND appended x",
		"XGCREATE said g MAXDELIVER 9", "XGCREATE said plain",
		"XCONSUME appended made me COUNT 1 MK", "NPUB t v RETAIN", "NPUB given v RETAIN EX 1000"} {
		do(line)
	}
	for _, test := range []struct{ line, want string }{
		{"QCONFIG GET pushed", "lease 45000 maxattempts 7 backoff fixed 3000 jitter 20 delay 0 ttl 3600000 dlq on dlqttl 86400000 maxlen " +
			"1000 overflow reject dedupwindow 60000 sync always"},
		{"QCONFIG GET said", "lease 60000 maxattempts 7 backoff fixed 3000 jitter 20 delay 0 ttl 3600000 dlq on dlqttl 86400000 maxlen 1000 " +
			"overflow reject dedupwindow 60000 sync always"},
		{"XCONF appended GET", "maxage 172800000 maxbytes 5242880 maxlen 500 sync ALWAYS integrity NONE dedupwindow 10000"},
		{"XCONF said GET", "maxage 172800000 maxbytes 5242880 maxlen 9 sync ALWAYS integrity NONE dedupwindow 10000"},
		{"XSTAT said plain", "ackwait 2500 maxdeliver 3 maxpending 50"},
		{"XSTAT said g", "ackwait 2500 maxdeliver 9 maxpending 50"},
		{"XSTAT appended made", "ackwait 2500 maxdeliver 3 maxpending 50"},
	} {
		if got := do(test.line); !strings.Contains(got, test.want) {
			t.Errorf("%s: %s, want %s", test.line, got, test.want)
		}
	}
	for topic, want := range map[string]int64{"t": 90_000, "given": 1_000_000} {
		var ttl int64
		reply := strings.Fields(do("NRETAINED " + topic))
		if _, err := fmt.Sscan(reply[len(reply)-1], &ttl); err != nil || ttl > want || ttl < want-60_000 {
			t.Errorf("NRETAINED %s: %q, want a time to live of about %d", topic, reply, want)
		}
	}
}

func TestDefaultsAreChecked(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{"--queue-lease 0s", "--queue-lease: 0s is less than a millisecond"},
		{"--queue-max-attempts 0", "--queue-max-attempts: 0 is not between 1 and 1000000"},
		{"--queue-backoff=", `--queue-backoff: "" is not none, fixed DURATION or exp BASE MAX`},
		{"--queue-backoff=fixed", "is not none, fixed DURATION or exp BASE MAX"},
		{"--queue-backoff=exp_1s", "is not none, fixed DURATION or exp BASE MAX"},
		{"--queue-ttl -1s", "--queue-ttl: -1s is not 0, and not a millisecond or more"},
		{"--queue-dlq-ttl 1us", "--queue-dlq-ttl: 1µs is not 0"},
		{"--queue-ttl 1000000h", "the defaults of queues: ERR a duration is out of range"},
		{"--queue-max-len -1", "--queue-max-len: -1 is negative"},
		{"--stream-max-bytes lots", `--stream-max-bytes: "lots" is not a number of bytes`},
		{"--stream-max-len -1", "--stream-max-len: -1 is negative"},
		{"--stream-max-age -1h", "--stream-max-age: -1h0m0s is not 0"},
		{"--group-max-deliver -1", "--group-max-deliver: -1 is not between 0"},
		{"--group-max-pending 0", "--group-max-pending: 0 is not between 1 and 1000000"},
		{"--retained-default-ttl -1s", "--retained-default-ttl: -1s is not 0"},
	} {
		if _, err := configured(t, "", strings.Fields(test.line)...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.line, err, test.want)
		}
	}
	for _, text := range []string{"none", "fixed 250ms", "EXP 1s 1m", "fixed 0s"} {
		if _, err := configured(t, "", "--queue-backoff", text); err != nil {
			t.Errorf("--queue-backoff %q: %v", text, err)
		}
	}
}

// TestNoEnvFileIsRead has one in the working directory that would change much.
func TestNoEnvFileIsRead(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile(".env", []byte("NEXO_PORT=1\nNEXO_PASSWORD=x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if o, err := configured(t, ""); err != nil || o.port != 7654 || o.password != "" {
		t.Errorf("%v %+v", err, o)
	}
}

// flat writes a reply's values one behind the other.
func flat(reply ui.Reply) string {
	switch reply.Kind {
	case ui.Array, ui.Map:
		var words []string
		for _, one := range reply.List() {
			words = append(words, flat(one))
		}
		return strings.Join(words, " ")
	case ui.Null:
		return "null"
	case ui.Integer:
		return fmt.Sprint(reply.Value)
	}
	return reply.Text()
}
