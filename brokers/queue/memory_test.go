package queue

import (
	"strings"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
)

// TestFreed tells of memory that jobs have left for good, once for each fall, whatever made them leave.
func TestFreed(t *testing.T) {
	told := 0
	j, clock := newHandJournal(brokertest.NewJournal()), brokertest.NewClock(testStart)
	b, err := Open(Options{Journal: j, Clock: clock, Durability: brokers.Always, JobMemory: 1 << 40, CompactBytes: 1 << 40, Freed: func() { told++ }})
	if err != nil {
		t.Fatal(err)
	}
	j.syncAll()
	create(t, b, "q", nil)
	body := strings.Repeat("x", 1<<20)
	fill := func(jobs int, o PushOptions) {
		t.Helper()
		for range jobs {
			pushBodies(t, b, j, "q", o, body)
		}
	}
	want := func(n int, what string) {
		t.Helper()
		j.syncAll()
		clock.Advance(freedAfter - time.Millisecond)
		if told == n && n > 0 {
			t.Fatalf("%s: told before the memory stayed away", what)
		}
		clock.Advance(time.Millisecond)
		if told != n {
			t.Fatalf("%s: told %d times", what, told)
		}
		told = 0
	}
	fill(100, PushOptions{})
	want(0, "jobs that wait")
	must[int](t)(b.Purge([]byte("q"), Ready))
	want(1, "purge")
	want(0, "nothing more")
	fill(100, PushOptions{})
	for range 100 {
		ackNow(t, b, j, take(t, b, "q", 1))
	}
	want(1, "drained")
	fill(100, PushOptions{TTL: 1000, HasTTL: true})
	clock.Advance(time.Second)
	want(1, "expired")
	fill(40, PushOptions{})
	must[int](t)(b.Purge([]byte("q"), Ready))
	want(0, "too little")
	fill(100, PushOptions{})
	must[int](t)(b.Purge([]byte("q"), Ready))
	j.syncAll()
	fill(100, PushOptions{})
	want(0, "full again")
	b.compacting.Store(true) // it holds what has gone
	must[int](t)(b.Purge([]byte("q"), Ready))
	want(0, "while a compaction runs")
	b.compacting.Store(false)
	want(1, "when it has ended")
	fill(100, PushOptions{})
	if _, _, err := b.Drop([][]byte{[]byte("q")}); err != nil {
		t.Fatal(err)
	}
	want(1, "dropped")
}

func ackNow(t testing.TB, b *Broker, j *handJournal, jobs []Delivery) {
	t.Helper()
	must[int](t)(b.Ack([]byte("q"), Handles(jobs), nil))
	j.syncAll()
}
