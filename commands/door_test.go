package commands_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers/brokertest"
	"github.com/nexobroker/nexo/brokers/pubsub"
	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/commands/commandstest"
	"github.com/nexobroker/nexo/resp"
)

const clientNameMax = 512

// openDoor serves the commands of queues and the bus, with the limits that a test wants.
func openDoor(t testing.TB, options resp.Options) (addr string, door *resp.Server) {
	t.Helper()
	jobs, err := queue.Open(queue.Options{Journal: brokertest.NewJournal(), MaxPayload: 10 << 20})
	if err != nil {
		t.Fatal(err)
	}
	bus, err := pubsub.Open(pubsub.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := commandstest.NewServer(commandstest.Brokers{Queue: jobs, PubSub: bus}, commandstest.Process{})
	door = commandstest.ServeDoor(t, options, server, jobs.Close, bus.Close)
	return door.Addr().String(), door
}

func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never came: " + what)
		}
	}
}

// TestIdleClientsHoldNothing: who holds a bound lease, waits for a job, listens or has left a will is not idle; who did once is.
func TestIdleClientsHoldNothing(t *testing.T) {
	addr, door := openDoor(t, resp.Options{IdleTimeout: 300 * time.Millisecond})
	lease, wait, listen, filter, will, idle := commandstest.Dial(t, addr, 2), commandstest.Dial(t, addr, 2), commandstest.Dial(t, addr, 2),
		commandstest.Dial(t, addr, 2), commandstest.Dial(t, addr, 2), commandstest.Dial(t, addr, 2)
	lease.Do("QCREATE", "other")
	lease.Do("QPUSH", "q", "x")
	lease.Do("QPOP", "q", "BIND", "LEASE", "1h")
	listen.Do("SUBSCRIBE", "news")
	filter.Do("NSUB", "news/#")
	will.Do("NWILL", "last", "words")
	answer := make(chan string, 1)
	go func() { answer <- wait.Do("QPOP", "other", "BLOCK", "10s") }()
	idle.Do("PING")
	began := time.Now()
	eventually(t, "the idle one is closed", func() bool { return door.Counters().Connected == 5 })
	if took := time.Since(began); took < 200*time.Millisecond { // the door's clock ticks each 75 ms
		t.Errorf("after %v", took)
	}
	time.Sleep(time.Second)
	if n := door.Counters(); n.Connected != 5 || n.CutForTime != 1 {
		t.Fatalf("%+v", n)
	}
	if got := lease.Do("QACK", "q", "1-1"); got != ":1\r\n" {
		t.Error(got)
	}
	lease.Do("QPUSH", "other", "y")
	if got := <-answer; got != "*1\r\n*3\r\n$3\r\n2-1\r\n$1\r\ny\r\n:1\r\n" {
		t.Errorf("%q", got)
	}
	will.Do("NWILL", "CLEAR")
	eventually(t, "these are idle now", func() bool { return door.Counters().Connected == 2 })
}

// TestNamesAreBounded: what a client calls itself and its library is kept for each connection and told to whoever asks.
func TestNamesAreBounded(t *testing.T) {
	addr, door := openDoor(t, resp.Options{})
	c := commandstest.Dial(t, addr, 2)
	name, long := strings.Repeat("n", clientNameMax), strings.Repeat("n", 30<<20)
	for _, words := range [][]string{{"CLIENT", "SETNAME", name}, {"CLIENT", "SETINFO", "LIB-NAME", name},
		{"CLIENT", "SETINFO", "LIB-VER", name}} {
		if got := c.Do(words...); got != "+OK\r\n" {
			t.Errorf("%q: %q", words[:2], got)
		}
	}
	for want, words := range map[string][]string{
		"-ERR Client names cannot be longer than 512 bytes.\r\n": {"CLIENT", "SETNAME", long},
		"-ERR lib-name cannot be longer than 512 bytes.\r\n":     {"CLIENT", "SETINFO", "LIB-NAME", long},
		"-ERR lib-ver cannot be longer than 512 bytes.\r\n":      {"CLIENT", "SETINFO", "lib-ver", name + "n"},
	} {
		if got := c.Do(words...); got != want {
			t.Errorf("%q: %q", words[:2], got)
		}
	}
	if got := c.Do("HELLO", "3", "SETNAME", long); got != "-ERR Client names cannot be longer than 512 bytes.\r\n" {
		t.Errorf("%q", got)
	}
	if got := c.Do("CLIENT", "GETNAME"); got != "$512\r\n"+name+"\r\n" {
		t.Errorf("the name changed: %.20q", got)
	}
	if got := c.Do("CLIENT", "LIST"); len(got) > 4*clientNameMax {
		t.Errorf("CLIENT LIST of %d bytes", len(got))
	}
	eventually(t, "nothing is held", func() bool { return door.Counters().Memory <= 64<<10 })
}

// TestWillsCount: a will is bounded, and all wills together are by the memory of all clients.
func TestWillsCount(t *testing.T) {
	addr, door := openDoor(t, resp.Options{MemoryMax: 7 << 20}) // of which seven eighths are for wills
	payload := strings.Repeat("w", 1_000_000)
	if got := commandstest.Dial(t, addr, 2).Do("NWILL", "last", payload+payload); got != "-TOOBIG a will has at most 1048576 bytes\r\n" {
		t.Errorf("%q", got)
	}
	// A command is answered before the memory in which it came is given back, and that counts, too.
	holds := func(wills int) {
		eventually(t, fmt.Sprint(wills, " wills are held and nothing else"), func() bool {
			return door.Counters().Memory < int64(wills*len(payload)+len(payload)/2)
		})
	}
	holds(0)
	var clients []*commandstest.Client
	for range 5 {
		c := commandstest.Dial(t, addr, 2)
		if got := c.Do("NWILL", "last", payload); got != "+OK\r\n" {
			t.Errorf("%q", got)
		}
		clients = append(clients, c)
		holds(len(clients))
	}
	over := commandstest.Dial(t, addr, 2)
	if got := over.Do("NWILL", "last", payload); got != "-OOM the memory for all clients (--maxmemory-clients) is used up\r\n" {
		t.Errorf("%q", got)
	}
	for _, c := range clients {
		if got := c.Do("NWILL", "CLEAR"); got != "+OK\r\n" {
			t.Errorf("%q", got)
		}
	}
	holds(0)
	if got := over.Do("NWILL", "last", payload); got != "+OK\r\n" {
		t.Errorf("%q", got)
	}
	over.Do("RESET")
	eventually(t, "nothing is held", func() bool { return door.Counters().Memory == 0 })
}

// TestSubscriptionsCount: what they take of the memory is about what is counted, and there is an end to it.
func TestSubscriptionsCount(t *testing.T) {
	addr, door := openDoor(t, resp.Options{MemoryMax: 240 << 20})
	const count = 2000
	for _, shape := range []struct{ name, word, pattern string }{
		{"channels", "SUBSCRIBE", "channel-%d"},
		{"long channels", "SUBSCRIBE", "%d" + strings.Repeat("c", 2000)},
		{"globs", "PSUBSCRIBE", "news-%d-*"},
		{"filters", "NSUB", "device/%d/+"},
		{"deep filters", "NSUB", "%d" + strings.Repeat("/x", 100) + "/#"},
		{"deep filters that share most levels", "NSUB", strings.Repeat("x/", 100) + "%d/#"},
	} {
		c := commandstest.Dial(t, addr, 3)
		before := heap()
		for i := 0; i < count; i += 50 {
			words := []string{shape.word}
			for k := range 50 {
				words = append(words, fmt.Sprintf(shape.pattern, i+k))
			}
			if got := c.Do(words...); strings.HasPrefix(got, "-") {
				t.Fatalf("%s: %q", shape.name, got)
			}
			if shape.word != "NSUB" { // a confirmation each
				for range 49 {
					if _, err := commandstest.ReadReply(c.In); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		takes, counted := int64(heap())-int64(before), door.Counters().Memory
		t.Logf("%s: a subscription takes %d bytes, %d are counted", shape.name, takes/count, counted/count)
		if takes > 2*counted {
			t.Errorf("%s: a subscription takes %d bytes, %d are counted", shape.name, takes/count, counted/count)
		}
		c.Do("RESET")
		eventually(t, "all is given back but for read buffers", func() bool { return door.Counters().Memory <= 1<<20 })
	}

	fill := func() (got string) { // with deep filters, until one is refused
		c := commandstest.Dial(t, addr, 3)
		for i := 0; !strings.HasPrefix(got, "-"); i++ {
			words := []string{"NSUB"}
			for k := range 20 {
				words = append(words, fmt.Sprint(i, "/", k, strings.Repeat("/x", 120), "/#"))
			}
			got = c.Do(words...)
		}
		return got
	}
	for i := range 4 {
		want := "-ERR the subscriptions of a connection may take at most 67108864 bytes of memory\r\n"
		if i == 3 {
			want = "-OOM the memory for all clients (--maxmemory-clients) is used up\r\n"
		}
		if got := fill(); got != want {
			t.Errorf("connection %d: %q", i, got)
		}
	}
	if n := door.Counters(); n.CutForMemory != 0 || n.Memory > 240<<20 {
		t.Errorf("%+v", n)
	}
}

func heap() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// TestNoEvict: a client that asks for it is not closed for the memory of all; the next largest is.
func TestNoEvict(t *testing.T) {
	addr, door := openDoor(t, resp.Options{MemoryMax: 8 << 20})
	spared, other := commandstest.Dial(t, addr, 2), commandstest.Dial(t, addr, 2)
	if got := spared.Do("CLIENT", "NO-EVICT", "ON"); got != "+OK\r\n" {
		t.Error(got)
	}
	other.Do("PING")
	left := 6
	door.Each(func(c *resp.Conn) bool {
		c.Hold(left << 20)
		left--
		return true
	})
	eventually(t, "one has gone", func() bool { n := door.Counters(); return n.CutForMemory == 1 && n.Connected == 1 })
	if got := spared.Do("PING"); got != "+PONG\r\n" {
		t.Error(got)
	}
}
