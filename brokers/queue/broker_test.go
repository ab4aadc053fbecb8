package queue

import (
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
)

var testStart = time.UnixMilli(1_700_000_000_000)

func open(t testing.TB, j *brokertest.Journal, c brokers.Clock) *Broker {
	t.Helper()
	b, err := Open(Options{Journal: j, Clock: c, Durability: brokers.Always})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// pushJob pushes one job and waits until it is durable.
func pushJob(t testing.TB, b *Broker, name, body string, o PushOptions) uint64 {
	t.Helper()
	out, receipt, err := b.Push([]byte(name), [][]byte{[]byte(body)}, &o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := receipt.Wait(); err != nil {
		t.Fatal(err)
	}
	return out[0].ID
}

func popJobs(t testing.TB, b *Broker, name string, count int) []Delivery {
	t.Helper()
	out, receipt, err := b.Pop([]byte(name), &PopOptions{Count: count}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := receipt.Wait(); err != nil {
		t.Fatal(err)
	}
	return out
}

func ackJobs(t testing.TB, b *Broker, name string, handles ...Handle) int {
	t.Helper()
	n, receipt, err := b.Ack([]byte(name), handles, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := receipt.Wait(); err != nil {
		t.Fatal(err)
	}
	return n
}

func handle(d Delivery) Handle { return Handle{d.ID, d.Number} }

func TestPushPopAck(t *testing.T) {
	j, clock := brokertest.NewJournal(), brokertest.NewClock(testStart)
	b := open(t, j, clock)
	low := pushJob(t, b, "q", "low", PushOptions{})
	high := pushJob(t, b, "q", "high", PushOptions{Priority: 9})
	got := popJobs(t, b, "q", 10)
	if len(got) != 2 || got[0].ID != high || got[1].ID != low || got[0].Body != "high" || got[0].Attempt != 1 || got[0].Number != 1 {
		t.Fatalf("popped %+v", got)
	}
	if n := ackJobs(t, b, "q", handle(got[0]), handle(got[0])); n != 1 {
		t.Fatalf("acked %d", n)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, j.Reopen(false), clock)
	if info, _ := b.Info([]byte("q")); info.Inflight != 1 || info.Ready != 0 {
		t.Fatalf("after restart %+v", info)
	}
	if n := ackJobs(t, b, "q", handle(got[1])); n != 1 {
		t.Fatalf("a lease did not survive the restart")
	}
	if id := pushJob(t, b, "q", "next", PushOptions{}); id != high+1 {
		t.Fatalf("a clean restart lost ids: %d after %d", id, high)
	}
}
