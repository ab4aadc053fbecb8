package commands

import (
	"context"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers/brokertest"
	"github.com/nexobroker/nexo/brokers/pubsub"
	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/resp"
)

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
	server, err := New(Deps{Queue: jobs, PubSub: bus}, Config{})
	if err != nil {
		t.Fatal(err)
	}
	options.Addr = "127.0.0.1:0"
	if door, err = resp.Listen(options, server); err != nil {
		t.Fatal(err)
	}
	server.Attach(door)
	served := make(chan error, 1)
	go func() { served <- door.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := door.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		<-served
		if err := jobs.Close(); err != nil {
			t.Error(err)
		}
		if err := bus.Close(); err != nil {
			t.Error(err)
		}
	})
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
	lease, wait, listen, filter, will, idle := dialRaw(t, addr, 2), dialRaw(t, addr, 2), dialRaw(t, addr, 2), dialRaw(t, addr, 2), dialRaw(t, addr, 2), dialRaw(t, addr, 2)
	lease.do("QCREATE", "other")
	lease.do("QPUSH", "q", "x")
	lease.do("QPOP", "q", "BIND", "LEASE", "1h")
	listen.do("SUBSCRIBE", "news")
	filter.do("NSUB", "news/#")
	will.do("NWILL", "last", "words")
	answer := make(chan string, 1)
	go func() { answer <- wait.do("QPOP", "other", "BLOCK", "10s") }()
	idle.do("PING")
	began := time.Now()
	eventually(t, "the idle one is closed", func() bool { return door.Counters().Connected == 5 })
	if took := time.Since(began); took < 250*time.Millisecond {
		t.Errorf("after %v", took)
	}
	time.Sleep(time.Second)
	if n := door.Counters(); n.Connected != 5 || n.CutForTime != 1 {
		t.Fatalf("%+v", n)
	}
	if got := lease.do("QACK", "q", "1-1"); got != ":1\r\n" {
		t.Error(got)
	}
	lease.do("QPUSH", "other", "y")
	if got := <-answer; got != "*1\r\n*3\r\n$3\r\n2-1\r\n$1\r\ny\r\n:1\r\n" {
		t.Errorf("%q", got)
	}
	will.do("NWILL", "CLEAR")
	eventually(t, "these are idle now", func() bool { return door.Counters().Connected == 2 })
}
