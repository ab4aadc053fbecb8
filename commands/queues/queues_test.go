package queues_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/commands/commandstest"
	"github.com/nexobroker/nexo/resp"
)

const replyBytes = 16 << 20

// openQueueDoor serves the commands over a queue broker on a port of the loopback. Its clock stands still.
func openQueueDoor(t testing.TB) (addr string, broker *queue.Broker, clock *brokertest.Clock) {
	t.Helper()
	clock = brokertest.NewClock(time.UnixMilli(1_700_000_000_000))
	broker, err := queue.Open(queue.Options{Journal: brokertest.NewJournal(), Clock: clock, Durability: brokers.Always, MaxPayload: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	server := commandstest.NewServer(commandstest.Brokers{Queue: broker, Clock: clock}, commandstest.Process{})
	door := commandstest.ServeDoor(t, resp.Options{}, server, broker.Close)
	return door.Addr().String(), broker, clock
}

// queueSteps are commands and their replies, line by line with | between the lines; a step that begins with "advance" moves the clock.
var queueSteps = []string{
	"QPUSH q hello", "$1|1",
	"QPUSH q urgent PRIORITY 9", "$1|2",
	"QLEN q", ":2",
	"QPOP q COUNT 5", "*2|*3|$3|2-1|$6|urgent|:1|*3|$3|1-1|$5|hello|:1",
	"QPOP q", "*-1",
	"QACK q 2-1 2-1 1-9 EACH", "*3|:1|:0|:0",
	"QNACK q 1-1 REASON oops DELAY 5s", ":1",
	"QLEN q DELAYED", ":1",
	"advance 5000", "",
	"QPOP q META LEASE 1m", "*1|*4|$3|1-2|$5|hello|:2|*14|$8|priority|:0|$9|pushed-at|:1700000000000|$11|lease-until|:1700000065000|" +
		"$10|expires-at|:0|$10|deliveries|:2|$12|max-attempts|:5|$11|last-reason|$4|oops",
	"QEXTEND q 2m 1-2", ":1",
	"QNACK q 1-2 DEAD REASON broken", ":1",
	"QDLQ LEN q", ":1",
	"QDLQ LIST q", "*2|:1|*1|*6|$1|1|$5|hello|:2|$6|broken|:1700000005000|:0",
	"QDLQ REPLAY q 1 77", ":1",
	"QPOP q BIND", "*1|*3|$3|1-3|$5|hello|:1",
	"QNACK q 1-3 RELEASE", ":1",
	"QDEL q 1 1", ":1",
	"QMPUSH q 3 a b c PRIORITY 1", "*3|$1|3|$1|4|$1|5",
	"QMPUSH q 2 DEDUP DEDUP DEDUP k1 k2", "*2|$1|6|$1|7",
	"QPUSH q x DEDUP k1", "*2|$1|6|:0",
	"QPUSH q x DEDUP k3", "*2|$1|8|:1",
	"QPEEK q COUNT 1 OFFSET 1", "*3|:6|:2|*1|*28|$2|id|$1|4|$5|state|$5|ready|$7|payload|$1|b|$8|priority|:1|$8|attempts|:0|$12|" +
		"max-attempts|:5|$10|deliveries|:0|$9|pushed-at|:1700000005000|$6|due-at|:0|$11|lease-until|:0|$10|expires-at|:0|$9|" +
		"failed-at|:0|$11|last-reason|$0||$5|dedup|$0|",
	"QGET q 99", "*-1",
	"QMPOP 2 q q COUNT 1", "*2|$1|q|*1|*3|$3|3-1|$1|a|:1",
	"QPURGE q", ":5",
	"QPURGE q INFLIGHT", ":1",
	"QCREATE work LEASE 10s MAXATTEMPTS 2 BACKOFF FIXED 1s JITTER 0 MAXLEN 2 SYNC interval", "+OK",
	"QCREATE work LEASE 11s MAXATTEMPTS 2 BACKOFF FIXED 1s JITTER 0 MAXLEN 2 SYNC interval",
	"-QEXISTS 'work' exists with LEASE 10000, asked 11000",
	"QCREATE work IFNX", "+OK",
	"QMPUSH work 3 a b c", "-QFULL 'work' has 0 of MAXLEN 2",
	"QCONFIG GET work maxlen BACKOFF", "*4|$6|maxlen|$1|2|$7|backoff|$10|fixed 1000",
	"QCONFIG SET work MAXLEN 3 LEASE 1s", "+OK",
	"QCONFIG SET work MAXLEN 4 LEASE x", "-ERR invalid duration 'x': use milliseconds, or a number with ms, s, m, h, d or w",
	"QCONFIG GET work maxlen", "*2|$6|maxlen|$1|3",
	"QPAUSE work IN", "+OK",
	"QPUSH work x", "-QPAUSED 'work' input paused",
	"QRESUME work", "+OK",
	"QEXISTS q work none", ":2",
	"QLIST MATCH w*", "*2|$1|0|*1|$4|work",
	"QLIST COUNT 1", "*2|$1|1|*1|$1|q",
	"QLIST COUNT 1 CURSOR 1", "*2|$1|0|*1|$4|work",
	"QDROP work none", ":1",
	"QPOP work", "-NOQUEUE no such queue 'work'",
	"QPUSH none x NOMKQ", "-NOQUEUE no such queue 'none'",
	"QACK q 1042", "-BADHANDLE '1042' is not <id>-<delivery>",
	"QPUSH q x PRIORITY 256", "-ERR PRIORITY is not an integer between 0 and 255",
	"QPUSH q x DELAY 1s DELAY 2s", "-ERR syntax error near 'DELAY'",
	"QPUSH q x DELAY 1s AT 5", "-ERR syntax error near 'AT'",
	"QPUSH q x FOO", "-ERR syntax error near 'FOO'",
	"QPUSH q x TTL", "-ERR syntax error near 'TTL'",
	"QPUSH q x DELAY -1", "-ERR invalid duration '-1': use milliseconds, or a number with ms, s, m, h, d or w",
	"QPUSH q", "-ERR wrong number of arguments for 'qpush' command",
	"QMPUSH q 2 a", "-ERR n is 2: at least 2 arguments must follow, not 1",
	"QMPUSH q 1 a b", "-ERR syntax error near 'b': n is 1",
	"QMPUSH q 1 a TTL 1s b", "-ERR syntax error near 'b'",
	"QMPUSH q x a", "-ERR n is not an integer between 1 and 1000",
	"QMPUSH q 1001 a", "-ERR n is not an integer between 1 and 1000",
	"QMPUSH q 2 a b DEDUP k", "-ERR DEDUP takes 2 keys, one for each payload: at least 2 arguments must follow, not 1",
	"QMPUSH q 2 a b DEDUP", "-ERR DEDUP takes 2 keys, one for each payload: at least 2 arguments must follow, not 0",
	"QMPUSH q 2 a b DEDUP k k2 k3", "-ERR syntax error near 'k3'",
	"QMPUSH q 1 a DEDUP", "-ERR syntax error near 'DEDUP'",
	"QPUSH q a DEDUP", "-ERR syntax error near 'DEDUP'",
	"QMPOP 2 q", "-ERR n is 2: at least 2 arguments must follow, not 1",
	"QMPOP 1 q r", "-ERR syntax error near 'r': n is 1",
	"QPOP q COUNT 1001", "-ERR COUNT is not an integer between 1 and 1000",
	"QLEN q", ":0",
	"QDLQ REPLAY q ALL TO none", "-NOQUEUE no such queue 'none'",
	"QDLQ PURGE q", ":0",
	"QPOP q BLOCK 1", "*-1",
	"QMPUSH r 3 disk cpu net TTL 1s MAXATTEMPTS 1", "*3|$1|9|$2|10|$2|11",
	"QPOP r COUNT 3", "*3|*3|$3|9-1|$4|disk|:1|*3|$4|10-1|$3|cpu|:1|*3|$4|11-1|$3|net|:1",
	"QNACK r 9-1 10-1 REASON disk_full", ":2",
	"QNACK r 11-1 REASON timeout", ":1",
	"QDLQ LIST r MATCH disk", "*2|:3|*2" +
		"|*6|$2|10|$3|cpu|:1|$9|disk_full|:1700000005000|:0|*6|$1|9|$4|disk|:1|$9|disk_full|:1700000005000|:0",
	"QDLQ LIST r REASON disk MATCH cpu", "*2|:3|*1|*6|$2|10|$3|cpu|:1|$9|disk_full|:1700000005000|:0",
	"QDLQ LIST r REASON net", "*2|:3|*0",
	"QDLQ LIST r REASON a REASON b", "-ERR syntax error near 'REASON'",
	"QPEEK r STATE DEAD REASON net", "*3|:3|:-1|*0",
	"advance 1500", "",
	"QDLQ REPLAY r ALL", ":3",
	"QPEEK r REASON meou COUNT 1", "*3|:3|:-1|*1|*28|$2|id|$2|11|$5|state|$5|ready|$7|payload|$3|net|$8|priority|:0|$8|attempts|:0|" +
		"$12|max-attempts|:1|$10|deliveries|:1|$9|pushed-at|:1700000005000|$6|due-at|:0|$11|lease-until|:0|$10|expires-at|:0|" +
		"$9|failed-at|:0|$11|last-reason|$7|timeout|$5|dedup|$0|",
	"QPOP r COUNT 3", "*3|*3|$3|9-2|$4|disk|:1|*3|$4|10-2|$3|cpu|:1|*3|$4|11-2|$3|net|:1",
	"QPUSH r x DEDUP k", "*2|$2|12|:1",
	"QDEL r 12", ":1",
	"QPUSH r x DEDUP k", "*2|$2|13|:1",
	"QPUSH r x DEDUP k", "*2|$2|13|:0",
}

func TestQueueScript(t *testing.T) {
	addr, _, clock := openQueueDoor(t)
	client := commandstest.Dial(t, addr, 2)
	for i := 0; i < len(queueSteps); i += 2 {
		words := strings.Fields(queueSteps[i])
		if words[0] == "advance" {
			var ms int
			fmt.Sscan(words[1], &ms)
			clock.Advance(time.Duration(ms) * time.Millisecond)
			continue
		}
		want := strings.ReplaceAll(queueSteps[i+1], "|", "\r\n") + "\r\n"
		if got := client.Do(words...); got != want {
			t.Fatalf("%s\n got %q\nwant %q", queueSteps[i], got, want)
		}
	}
}

func TestQueueNamesAndSizes(t *testing.T) {
	addr, _, _ := openQueueDoor(t)
	client := commandstest.Dial(t, addr, 2)
	for _, name := range []string{"", "a\x00b", "line\nbreak", strings.Repeat("x", 201)} {
		for _, words := range [][]string{{"QPUSH", name, "x"}, {"QPOP", name}, {"QCREATE", name}, {"QINFO", name}, {"QEXISTS", name}} {
			if got := client.Do(words...); !strings.HasPrefix(got, "-BADNAME ") {
				t.Fatalf("%q: %q", words, got)
			}
		}
	}
	if got := client.Do("QPUSH", "../../x", strings.Repeat("x", 1<<20+1)); got != "-TOOBIG payload 1048577 > 1048576\r\n" {
		t.Fatal(got)
	}
	if got := client.Do("QPUSH", "../../x", "p"); got != "$1\r\n1\r\n" {
		t.Fatal(got)
	}
}

func TestQueueReplyIsCapped(t *testing.T) {
	addr, _, _ := openQueueDoor(t)
	client := commandstest.Dial(t, addr, 2)
	payload := strings.Repeat("x", 1<<20)
	for range 20 {
		client.Do("QPUSH", "q", payload)
	}
	if got := client.Do("QPOP", "q", "COUNT", "20"); len(got) > replyBytes || !strings.HasPrefix(got, "*15\r\n") {
		t.Fatalf("%d bytes, %q", len(got), got[:10])
	}
	if got := client.Do("QPOP", "q", "COUNT", "20"); !strings.HasPrefix(got, "*5\r\n") {
		t.Fatal(got[:10])
	}
}

func TestQueueInfoShapes(t *testing.T) {
	addr, _, _ := openQueueDoor(t)
	client, modern := commandstest.Dial(t, addr, 2), commandstest.Dial(t, addr, 3)
	client.Do("QPUSH", "q", "x")
	if got := client.Do("QINFO", "q"); !strings.HasPrefix(got, "*84\r\n$4\r\nname\r\n$1\r\nq\r\n$5\r\nready\r\n:1\r\n") {
		t.Fatalf("%q", got)
	}
	if got := modern.Do("QINFO", "q"); !strings.HasPrefix(got, "%42\r\n") ||
		!strings.Contains(got, "$10\r\npriorities\r\n%1\r\n$1\r\n0\r\n:1\r\n") {
		t.Fatalf("%q", got)
	}
	if got := modern.Do("QPOP", "none2"); !strings.HasPrefix(got, "-NOQUEUE") {
		t.Fatal(got)
	}
	modern.Do("QPOP", "q")
	if got := modern.Do("QPOP", "q"); got != "_\r\n" {
		t.Fatalf("%q", got)
	}
}

// waitFor polls the broker, for what happens in other goroutines.
func waitFor(t *testing.T, what string, done func(queue.Info) bool, broker *queue.Broker) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		info, err := broker.Info([]byte("q"))
		if err == nil && done(info) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %+v %v", what, info, err)
		}
	}
}

func TestBlockedPop(t *testing.T) {
	addr, broker, _ := openQueueDoor(t)
	producer := commandstest.Dial(t, addr, 2)
	producer.Do("QCREATE", "q")
	replies := make(chan string, 3)
	for i := range 2 {
		client := commandstest.Dial(t, addr, 2)
		go func() { replies <- client.Do("QMPOP", "1", "q", "BLOCK", "0") }()
		waitFor(t, "in line", func(info queue.Info) bool { return info.Waiters == i+1 }, broker)
	}
	producer.Do("QPUSH", "q", "first")
	if got := <-replies; got != "*2\r\n$1\r\nq\r\n*1\r\n*3\r\n$3\r\n1-1\r\n$5\r\nfirst\r\n:1\r\n" {
		t.Fatalf("%q", got)
	}
	waitFor(t, "one was woken", func(info queue.Info) bool { return info.Waiters == 1 }, broker)
	producer.Do("QPUSH", "q", "second")
	<-replies
	if got := producer.Do("QPOP", "q", "BLOCK", "20"); got != "*-1\r\n" {
		t.Fatalf("%q", got)
	}
}

// TestBlockedPopOfAClientThatLeaves: the job goes elsewhere, uncounted.
func TestBlockedPopOfAClientThatLeaves(t *testing.T) {
	addr, broker, _ := openQueueDoor(t)
	producer, leaver := commandstest.Dial(t, addr, 2), commandstest.Dial(t, addr, 2)
	producer.Do("QCREATE", "q")
	if _, err := leaver.Conn.Write([]byte("*4\r\n$4\r\nQPOP\r\n$1\r\nq\r\n$5\r\nBLOCK\r\n$1\r\n0\r\n")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "in line", func(info queue.Info) bool { return info.Waiters == 1 }, broker)
	leaver.Conn.Close()
	waitFor(t, "left the line", func(info queue.Info) bool { return info.Waiters == 0 }, broker)
	producer.Do("QPUSH", "q", "x")
	if got := producer.Do("QPOP", "q"); got != "*1\r\n*3\r\n$3\r\n1-1\r\n$1\r\nx\r\n:1\r\n" {
		t.Fatalf("%q", got)
	}
}

func TestBoundLeasesEndWithTheConnection(t *testing.T) {
	addr, broker, _ := openQueueDoor(t)
	producer, consumer := commandstest.Dial(t, addr, 2), commandstest.Dial(t, addr, 2)
	producer.Do("QMPUSH", "q", "3", "a", "b", "c")
	consumer.Do("QPOP", "q", "COUNT", "2", "BIND")
	consumer.Do("QPOP", "q")
	consumer.Do("QACK", "q", "1-1")
	consumer.Conn.Close()
	waitFor(t, "the bound job is back", func(info queue.Info) bool { return info.Ready == 1 && info.Inflight == 1 }, broker)
	if got := producer.Do("QPOP", "q"); got != "*1\r\n*3\r\n$3\r\n2-2\r\n$1\r\nb\r\n:1\r\n" {
		t.Fatalf("%q", got)
	}
}

func TestUnblock(t *testing.T) {
	addr, broker, _ := openQueueDoor(t)
	admin := commandstest.Dial(t, addr, 2)
	admin.Do("QCREATE", "q")
	for _, mode := range []struct{ word, want string }{
		{"TIMEOUT", "*-1\r\n"}, {"ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"},
	} {
		client := commandstest.Dial(t, addr, 2)
		id := strings.Trim(client.Do("CLIENT", "ID"), ":\r\n")
		reply := make(chan string, 1)
		go func() { reply <- client.Do("QPOP", "q", "BLOCK", "0") }()
		waitFor(t, "in line", func(info queue.Info) bool { return info.Waiters == 1 }, broker)
		for admin.Do("CLIENT", "UNBLOCK", id, mode.word) != ":1\r\n" {
			time.Sleep(time.Millisecond) // it is in line a moment before it blocks
		}
		if got := <-reply; got != mode.want {
			t.Fatalf("%s: %q", mode.word, got)
		}
		waitFor(t, "left the line", func(info queue.Info) bool { return info.Waiters == 0 }, broker)
	}
}

func FuzzQueueArguments(f *testing.F) {
	seeds := []string{
		"QMPUSH q 2 a b PRIORITY 3\nQPOP q COUNT 2 META\nQNACK q 1-1 REASON no DEAD\nQDLQ LIST q\nQDLQ REPLAY q ALL\nQINFO q",
		"QPOP q BLOCK 0\nQPUSH q x DEDUP k DELAY 5s\nQPEEK q STATE DELAYED MATCH x",
	}
	for i := 0; i < len(queueSteps); i += 2 {
		seeds = append(seeds, queueSteps[i])
	}
	commandstest.RunFuzz(f, seeds, func(group string) bool { return group == "queue" })
}
