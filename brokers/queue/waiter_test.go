package queue

import (
	"errors"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
)

func newTestBroker(t testing.TB) (*Broker, *handJournal, *brokertest.Clock) {
	t.Helper()
	j, clock := newHandJournal(brokertest.NewJournal()), brokertest.NewClock(testStart)
	b, err := Open(Options{Journal: j, Clock: clock, Durability: brokers.Always})
	if err != nil {
		t.Fatal(err)
	}
	j.syncAll()
	return b, j, clock
}

// must fails the test when a change of the broker was refused.
func must[T any](t testing.TB) func(T, brokers.Receipt, error) T {
	return func(value T, _ brokers.Receipt, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func pushBodies(t testing.TB, b *Broker, j *handJournal, name string, o PushOptions, bodies ...string) []uint64 {
	t.Helper()
	payloads := make([][]byte, len(bodies))
	for i, body := range bodies {
		payloads[i] = []byte(body)
	}
	pushed := must[[]Pushed](t)(b.Push([]byte(name), payloads, &o, nil))
	j.syncAll()
	ids := make([]uint64, len(pushed))
	for i, p := range pushed {
		ids[i] = p.ID
	}
	return ids
}

func take(t testing.TB, b *Broker, name string, count int) []Delivery {
	t.Helper()
	return must[[]Delivery](t)(b.Pop([]byte(name), &PopOptions{Count: count}, nil))
}

func create(t testing.TB, b *Broker, name string, alter func(*Config)) {
	t.Helper()
	config := DefaultConfig(brokers.Always)
	config.Jitter = 0
	if alter != nil {
		alter(&config)
	}
	if _, err := b.Create([]byte(name), config, false); err != nil {
		t.Fatal(err)
	}
}

func wait(t testing.TB, b *Broker, o PopOptions, names ...string) *Waiter {
	t.Helper()
	list := make([][]byte, len(names))
	for i, name := range names {
		list[i] = []byte(name)
	}
	w, err := b.Wait(list, &o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func fired(w *Waiter) bool {
	select {
	case <-w.C():
		return true
	default:
		return false
	}
}

func TestOnePushWakesOneOfTenThousand(t *testing.T) {
	b, j, _ := newTestBroker(t)
	create(t, b, "q", nil)
	const n = 10_000
	waiters := make([]*Waiter, n)
	for i := range waiters {
		waiters[i] = wait(t, b, PopOptions{Count: 1}, "q")
	}
	for round := range 3 {
		pushBodies(t, b, j, "q", PushOptions{}, "x")
		for i, w := range waiters {
			if got := fired(w); got != (i == round) {
				t.Fatalf("push %d: waiter %d fired=%v", round, i, got)
			}
		}
	}
	for i, w := range waiters {
		jobs, _, _, _ := w.Finish()
		if (len(jobs) == 1) != (i < 3) {
			t.Fatalf("waiter %d has %d jobs", i, len(jobs))
		}
	}
	if info, _ := b.Info([]byte("q")); info.Waiters != 0 || info.Inflight != 3 {
		t.Fatalf("%+v", info)
	}
}

func TestWaiterIsNotWokenBeforeThePushIsDurable(t *testing.T) {
	b, j, _ := newTestBroker(t)
	create(t, b, "q", nil)
	j.syncAll()
	w := wait(t, b, PopOptions{Count: 1}, "q")
	must[[]Pushed](t)(b.Push([]byte("q"), [][]byte{[]byte("x")}, &PushOptions{}, nil))
	j.Advance(j.last.Load(), j.last.Load()-1)
	if fired(w) || len(take(t, b, "q", 1)) != 0 {
		t.Fatal("a job was shown before its push was synced")
	}
	j.syncAll()
	if !fired(w) {
		t.Fatal("the sync did not wake the waiter")
	}
}

func TestVisibleOnceWrittenWithInterval(t *testing.T) {
	b, j, _ := newTestBroker(t)
	create(t, b, "q", func(c *Config) { c.Sync = brokers.Interval })
	j.syncAll()
	must[[]Pushed](t)(b.Push([]byte("q"), [][]byte{[]byte("x")}, &PushOptions{}, nil))
	if len(take(t, b, "q", 1)) != 0 {
		t.Fatal("shown before it was written")
	}
	j.Advance(j.last.Load(), 0)
	if len(take(t, b, "q", 1)) != 1 {
		t.Fatal("not shown once written")
	}
}

func TestFirstNumbersOfALifeWaitForTheirReservation(t *testing.T) {
	j, clock := newHandJournal(brokertest.NewJournal()), brokertest.NewClock(testStart)
	b, err := Open(Options{Journal: j, Clock: clock, Durability: brokers.Never})
	if err != nil {
		t.Fatal(err)
	}
	_, receipt, err := b.Push([]byte("q"), [][]byte{[]byte("x")}, &PushOptions{}, nil)
	if err != nil || receipt.Durability != brokers.Always || receipt.Seq != j.last.Load() {
		t.Fatalf("an id above the synced reservation was given for %+v %v", receipt, err)
	}
	j.syncAll()
	if _, receipt, _ = b.Push([]byte("q"), [][]byte{[]byte("x")}, &PushOptions{}, nil); receipt.Durability != brokers.Never {
		t.Fatalf("a reserved id waits for %+v", receipt)
	}
	if len(take(t, b, "q", 2)) != 2 {
		t.Fatal("jobs of a NEVER queue are not visible at once")
	}
}

func TestWaiterOnSeveralQueues(t *testing.T) {
	b, j, _ := newTestBroker(t)
	create(t, b, "a", nil)
	create(t, b, "b", nil)
	first, second := wait(t, b, PopOptions{Count: 5}, "a", "b"), wait(t, b, PopOptions{Count: 1}, "b", "a")
	pushBodies(t, b, j, "b", PushOptions{}, "1", "2", "3")
	if !fired(first) || fired(second) {
		t.Fatal("the wrong waiter was woken")
	}
	jobs, index, _, err := first.Finish()
	if len(jobs) != 3 || index != 1 || err != nil {
		t.Fatalf("%d jobs of queue %d: %v", len(jobs), index, err)
	}
	pushBodies(t, b, j, "a", PushOptions{}, "4")
	if jobs, index, _, _ := second.Finish(); len(jobs) != 1 || index != 1 {
		t.Fatalf("%d jobs of queue %d", len(jobs), index)
	}
}

func TestReturnedWaiterPassesItsJobOn(t *testing.T) {
	b, j, _ := newTestBroker(t)
	create(t, b, "q", nil)
	gone, next := wait(t, b, PopOptions{Count: 1}, "q"), wait(t, b, PopOptions{Count: 1}, "q")
	pushBodies(t, b, j, "q", PushOptions{}, "x")
	b.Return(gone)
	if !fired(next) {
		t.Fatal("the job of a waiter that left was not passed on")
	}
	jobs, _, _, _ := next.Finish()
	if jobs[0].Attempt != 1 || jobs[0].Number != 2 {
		t.Fatalf("the attempt of the one who left was counted: %+v", jobs[0])
	}
	late := wait(t, b, PopOptions{Count: 1}, "q")
	b.Return(late)
	if info, _ := b.Info([]byte("q")); info.Waiters != 0 {
		t.Fatalf("%d waiters are left", info.Waiters)
	}
}

func TestDropWakesWaiters(t *testing.T) {
	b, _, _ := newTestBroker(t)
	create(t, b, "q", nil)
	w := wait(t, b, PopOptions{Count: 1}, "q")
	if n, _, err := b.Drop([][]byte{[]byte("q"), []byte("none")}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if !fired(w) {
		t.Fatal("still waiting")
	}
	if _, _, _, err := w.Finish(); !errors.Is(err, &brokers.Error{Code: "NOQUEUE"}) {
		t.Fatal(err)
	}
}

func TestBoundLeasesEndWithTheirOwner(t *testing.T) {
	b, j, clock := newTestBroker(t)
	create(t, b, "q", nil)
	pushBodies(t, b, j, "q", PushOptions{}, "1", "2", "3")
	owner := NewOwner()
	jobs := must[[]Delivery](t)(b.Pop([]byte("q"), &PopOptions{Count: 3, Owner: owner}, nil))
	must[int](t)(b.Ack([]byte("q"), []Handle{handle(jobs[0])}, nil))
	must[int](t)(b.Extend([]byte("q"), 60_000, []Handle{handle(jobs[1])}, nil))
	w := wait(t, b, PopOptions{Count: 5}, "q")
	b.CloseOwner(owner)
	if !fired(w) {
		t.Fatal("the jobs of a closed connection did not go to who waits")
	}
	got, _, _, _ := w.Finish()
	if len(owner.leases) != 0 {
		t.Fatalf("%d leases are left with the owner", len(owner.leases))
	}
	b.Return(w)
	got = append(got, take(t, b, "q", 5)...)
	for _, d := range got {
		if d.Attempt != 1 {
			t.Fatalf("the attempt was counted: %+v", d)
		}
	}
	// A crash ends them too.
	must[[]Delivery](t)(b.Pop([]byte("q"), &PopOptions{Count: 3, Owner: owner}, nil))
	for _, d := range take(t, b, "q", 5) {
		t.Fatalf("%+v is not leased", d)
	}
	b2 := open(t, j.Reopen(true), clock)
	if info, _ := b2.Info([]byte("q")); info.Ready+info.Inflight != 2 {
		t.Fatalf("after the crash %+v", info)
	}
}

func TestBoundLeaseIsReadyAfterACrash(t *testing.T) {
	b, j, clock := newTestBroker(t)
	create(t, b, "q", nil)
	pushBodies(t, b, j, "q", PushOptions{}, "1", "2")
	must[[]Delivery](t)(b.Pop([]byte("q"), &PopOptions{Count: 1, Owner: NewOwner()}, nil))
	must[[]Delivery](t)(b.Pop([]byte("q"), &PopOptions{Count: 1}, nil))
	b = open(t, j.Reopen(true), clock)
	if info, _ := b.Info([]byte("q")); info.Ready != 1 || info.Inflight != 1 {
		t.Fatalf("after the crash %+v", info)
	}
	if got := take(t, b, "q", 1); got[0].Attempt != 1 || got[0].Body != "1" {
		t.Fatalf("%+v", got)
	}
}

// TestWakesOnTime uses the real clock: only a blocked consumer, no other traffic.
func TestWakesOnTime(t *testing.T) {
	b, err := Open(Options{Journal: brokertest.NewJournal(), Durability: brokers.Always})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	create(t, b, "q", func(c *Config) { c.Lease = 80 })
	for _, delay := range []int64{1, 30, 120} {
		w := wait(t, b, PopOptions{Count: 1}, "q")
		start := time.Now()
		must[[]Pushed](t)(b.Push([]byte("q"), [][]byte{[]byte("x")}, &PushOptions{Delay: delay, HasDelay: true}, nil))
		<-w.C()
		late := time.Since(start) - time.Duration(delay)*time.Millisecond
		// 20 ms are promised; a busy test machine gets ten times that before it is called a lost wake-up.
		if late < -2*time.Millisecond || late > 200*time.Millisecond {
			t.Fatalf("a delay of %d ms was %v late", delay, late)
		}
		t.Logf("delay %d ms: %v late", delay, late)
		w.Finish()
		again := wait(t, b, PopOptions{Count: 1}, "q")
		start = time.Now()
		<-again.C()
		t.Logf("lease end seen after %v", time.Since(start))
		jobs, _, _, _ := again.Finish()
		if jobs[0].Attempt != 2 || jobs[0].Reason != leaseExpired {
			t.Fatalf("%+v", jobs[0])
		}
		must[int](t)(b.Ack([]byte("q"), []Handle{handle(jobs[0])}, nil))
	}
}
