package queue

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
)

func info(t testing.TB, b *Broker, name string) Info {
	t.Helper()
	i, err := b.Info([]byte(name))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func isCode(err error, code string) bool { return errors.Is(err, &brokers.Error{Code: code}) }

func TestStaleHandlesCountNothing(t *testing.T) {
	b, j, clock := newTestBroker(t)
	create(t, b, "q", nil)
	pushBodies(t, b, j, "q", PushOptions{}, "x")
	old := handle(take(t, b, "q", 1)[0])
	clock.Advance(31 * time.Second)
	current := handle(take(t, b, "q", 1)[0])
	if old == current {
		t.Fatal("a handle was given twice")
	}
	each := make([]bool, 2)
	if n := must[int](t)(b.Extend([]byte("q"), 1000, []Handle{old, current}, each)); n != 1 || each[0] || !each[1] {
		t.Fatalf("extended %d %v", n, each)
	}
	if must[int](t)(b.Ack([]byte("q"), []Handle{old}, nil)) != 0 || must[int](t)(b.Nack([]byte("q"), &NackOptions{}, []Handle{old}, nil)) != 0 {
		t.Fatal("a stale handle counted")
	}
	b = open(t, j.Reopen(true), clock)
	if must[int](t)(b.Ack([]byte("q"), []Handle{old, current}, nil)) != 1 {
		t.Fatal("after a restart the current handle and only that counts")
	}
}

// TestLostLease: the record of a lease dies with the power. Its handle must never count again.
func TestLostLease(t *testing.T) {
	b, j, clock := newTestBroker(t)
	create(t, b, "q", nil)
	pushBodies(t, b, j, "q", PushOptions{}, "x")
	lost := []Handle{}
	for range 20 {
		h := handle(take(t, b, "q", 1)[0])
		lost = append(lost, h)
		must[int](t)(b.Nack([]byte("q"), &NackOptions{Release: true}, []Handle{h}, nil))
	}
	b = open(t, j.Reopen(false), clock)
	d := take(t, b, "q", 1)[0]
	if d.Attempt != 1 {
		t.Fatalf("%+v", d)
	}
	if n := must[int](t)(b.Ack([]byte("q"), lost, nil)); n != 0 {
		t.Fatalf("%d lost handles counted", n)
	}
	if must[int](t)(b.Ack([]byte("q"), []Handle{handle(d)}, nil)) != 1 {
		t.Fatal("the new handle does not count")
	}
}

func TestBackoffAndDeadLetters(t *testing.T) {
	b, j, clock := newTestBroker(t)
	create(t, b, "q", func(c *Config) { c.MaxAttempts = 4; c.BackoffBase, c.BackoffMax = 1000, 3000 })
	pushBodies(t, b, j, "q", PushOptions{Priority: 7}, "x", "y")
	for attempt, delay := range []int64{1000, 2000, 3000} {
		d := take(t, b, "q", 1)[0]
		if d.Attempt != int64(attempt)+1 || d.Body != "x" {
			t.Fatalf("attempt %d: %+v", attempt, d)
		}
		must[int](t)(b.Nack([]byte("q"), &NackOptions{Reason: "no"}, []Handle{handle(d)}, nil))
		clock.Advance(time.Duration(delay-1) * time.Millisecond)
		if info(t, b, "q").Delayed != 1 {
			t.Fatalf("attempt %d came back before %d ms", attempt, delay)
		}
		clock.Advance(time.Millisecond)
		if info(t, b, "q").Delayed != 0 {
			t.Fatalf("attempt %d is not back after %d ms", attempt, delay)
		}
	}
	d := take(t, b, "q", 1)[0]
	must[int](t)(b.Nack([]byte("q"), &NackOptions{Reason: "never"}, []Handle{handle(d)}, nil))
	views, total, next, err := b.Peek([]byte("q"), Dead, 0, 10, Match{}, 1<<20)
	if err != nil || total != 1 || next != -1 || views[0].Reason != "never" || views[0].Attempts != 4 || views[0].Priority != 7 ||
		views[0].FailedAt != clock.Now().UnixMilli() {
		t.Fatalf("%+v %d %d %v", views, total, next, err)
	}
	must[int](t)(b.ReplayDead([]byte("q"), []uint64{d.ID}, 0))
	if again := take(t, b, "q", 1)[0]; again.ID != d.ID || again.Attempt != 1 || again.Number <= d.Number {
		t.Fatalf("replayed as %+v", again)
	}
}

func TestPoisonJobEndsDeadWithItsReason(t *testing.T) {
	b, j, clock := newTestBroker(t)
	create(t, b, "q", func(c *Config) { c.MaxAttempts = 3 })
	pushBodies(t, b, j, "q", PushOptions{}, "poison")
	for range 3 {
		take(t, b, "q", 1)
		clock.Advance(30 * time.Second)
	}
	views, _, _, _ := b.Peek([]byte("q"), Dead, 0, 1, Match{}, 1)
	if len(views) != 1 || views[0].Reason != leaseExpired || views[0].Attempts != 3 {
		t.Fatalf("%+v", views)
	}
}

func TestNoDeadLetters(t *testing.T) {
	b, j, _ := newTestBroker(t)
	create(t, b, "q", func(c *Config) { c.DeadLetters = false })
	pushBodies(t, b, j, "q", PushOptions{MaxAttempts: 1}, "x")
	must[int](t)(b.Nack([]byte("q"), &NackOptions{}, []Handle{handle(take(t, b, "q", 1)[0])}, nil))
	if i := info(t, b, "q"); i.Dead != 0 || i.Counters.Dropped != 1 {
		t.Fatalf("%+v", i)
	}
}

func TestMaxLen(t *testing.T) {
	b, j, _ := newTestBroker(t)
	create(t, b, "reject", func(c *Config) { c.MaxLen = 3 })
	create(t, b, "drop", func(c *Config) { c.MaxLen, c.DropOldest = 3, true })
	pushBodies(t, b, j, "reject", PushOptions{}, "1", "2")
	_, _, err := b.Push([]byte("reject"), [][]byte{[]byte("3"), []byte("4")}, &PushOptions{}, nil)
	if err == nil || err.Error() != "QFULL 'reject' has 2 of MAXLEN 3" || info(t, b, "reject").Ready != 2 {
		t.Fatal(err)
	}
	pushBodies(t, b, j, "reject", PushOptions{}, "3")
	take(t, b, "reject", 1)
	if _, _, err = b.Push([]byte("reject"), [][]byte{[]byte("x")}, &PushOptions{}, nil); !isCode(err, "QFULL") {
		t.Fatal("a leased job does not count")
	}
	pushBodies(t, b, j, "drop", PushOptions{Priority: 5}, "1")
	pushBodies(t, b, j, "drop", PushOptions{}, "2", "3")
	pushBodies(t, b, j, "drop", PushOptions{}, "4")
	got := take(t, b, "drop", 9)
	if len(got) != 3 || got[0].Body != "2" || info(t, b, "drop").Counters.Dropped != 1 {
		t.Fatalf("%+v", got)
	}
	if _, _, err = b.Push([]byte("drop"), [][]byte{[]byte("x")}, &PushOptions{}, nil); !isCode(err, "QFULL") {
		t.Fatal("a leased job was dropped")
	}
}

func TestDedupWindow(t *testing.T) {
	b, j, clock := newTestBroker(t)
	create(t, b, "q", func(c *Config) { c.DedupWindow = 1000 })
	key := PushOptions{Dedup: [][]byte{[]byte("k")}}
	repeat := func(want bool, id uint64) {
		t.Helper()
		got := must[[]Pushed](t)(b.Push([]byte("q"), [][]byte{[]byte("x")}, &key, nil))
		j.syncAll()
		if got[0].New == want || want && got[0].ID != id {
			t.Fatalf("duplicate=%v expected, got %+v", want, got[0])
		}
	}
	id := pushBodies(t, b, j, "q", key, "x")[0]
	must[int](t)(b.Ack([]byte("q"), []Handle{handle(take(t, b, "q", 1)[0])}, nil))
	repeat(true, id)
	clock.Advance(999 * time.Millisecond)
	j.syncAll()
	j = newHandJournal(j.Reopen(false))
	var err error
	if b, err = Open(Options{Journal: j, Clock: clock, Durability: brokers.Always}); err != nil {
		t.Fatal(err)
	}
	j.syncAll()
	repeat(true, id)
	clock.Advance(time.Millisecond)
	repeat(false, 0)
	clock.Advance(time.Hour)
	if n := info(t, b, "q").DedupKeys; n != 0 {
		t.Fatalf("%d keys were not swept", n)
	}
}

func TestDedupKeysAreBounded(t *testing.T) {
	j := newHandJournal(brokertest.NewJournal())
	b, err := Open(Options{Journal: j, Clock: brokertest.NewClock(testStart), DedupKeys: 3})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		_, _, err = b.Push([]byte("q"), [][]byte{nil}, &PushOptions{Dedup: [][]byte{fmt.Append(nil, i)}}, nil)
		if (err != nil) != (i >= 3) {
			t.Fatalf("key %d: %v", i, err)
		}
	}
}

func TestOneOfManyConcurrentDuplicatesWins(t *testing.T) {
	b := open(t, brokertest.NewJournal(), brokertest.NewClock(testStart))
	var group sync.WaitGroup
	var mu sync.Mutex
	winners, ids := 0, map[uint64]bool{}
	for range 64 {
		group.Go(func() {
			got, receipt, err := b.Push([]byte("q"), [][]byte{[]byte("x")}, &PushOptions{Dedup: [][]byte{[]byte("k")}}, nil)
			if err == nil {
				err = receipt.Wait()
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			ids[got[0].ID] = true
			if got[0].New {
				winners++
			}
		})
	}
	group.Wait()
	if winners != 1 || len(ids) != 1 {
		t.Fatalf("%d winners, ids %v", winners, ids)
	}
}

func TestTTLAndDeadTTL(t *testing.T) {
	b, j, clock := newTestBroker(t)
	create(t, b, "q", func(c *Config) { c.TTL, c.DeadTTL = 1000, 5000 })
	pushBodies(t, b, j, "q", PushOptions{}, "1", "2")
	d := take(t, b, "q", 1)[0]
	clock.Advance(time.Second)
	if i := info(t, b, "q"); i.Ready != 0 || i.Inflight != 1 || i.Counters.Expired != 1 {
		t.Fatalf("%+v", i)
	}
	must[int](t)(b.Nack([]byte("q"), &NackOptions{Dead: true}, []Handle{handle(d)}, nil))
	clock.Advance(4999 * time.Millisecond)
	if info(t, b, "q").Dead != 1 {
		t.Fatal("a dead letter went early")
	}
	clock.Advance(time.Millisecond)
	if info(t, b, "q").Dead != 0 {
		t.Fatal("a dead letter outlived DLQTTL")
	}
}

func TestDueTimesSurviveASlowRestart(t *testing.T) {
	b, j, clock := newTestBroker(t)
	create(t, b, "q", nil)
	const days25 = 25 * 24 * time.Hour // more milliseconds than an int32 holds
	pushBodies(t, b, j, "q", PushOptions{Delay: days25.Milliseconds(), HasDelay: true}, "x")
	due := clock.Now().Add(days25).Round(0) // another clock has a monotonic time of its own
	clock = brokertest.NewClock(clock.Now().Add(24 * 24 * time.Hour))
	b = open(t, j.Reopen(false), clock)
	if v, _, _, _ := b.Peek([]byte("q"), Delayed, 0, 1, Match{}, 1); v[0].DueAt != due.UnixMilli() {
		t.Fatalf("due %d, want %d", v[0].DueAt, due.UnixMilli())
	}
	clock.Advance(due.Sub(clock.Now()) - time.Millisecond)
	if len(take(t, b, "q", 1)) != 0 {
		t.Fatal("early")
	}
	clock.Advance(time.Millisecond)
	if len(take(t, b, "q", 1)) != 1 {
		t.Fatal("late")
	}
}

func TestPause(t *testing.T) {
	b, j, clock := newTestBroker(t)
	create(t, b, "q", nil)
	pushBodies(t, b, j, "q", PushOptions{}, "x")
	if _, err := b.Pause([]byte("q"), true, true, 0); err != nil {
		t.Fatal(err)
	}
	j.syncAll()
	j = newHandJournal(j.Reopen(false))
	b, _ = Open(Options{Journal: j, Clock: clock, Durability: brokers.Always})
	j.syncAll()
	if _, _, err := b.Push([]byte("q"), [][]byte{nil}, &PushOptions{}, nil); !isCode(err, "QPAUSED") || len(take(t, b, "q", 1)) != 0 {
		t.Fatal("the pause did not survive a restart", err)
	}
	w := wait(t, b, PopOptions{Count: 1}, "q")
	if _, err := b.Resume([]byte("q")); err != nil || !fired(w) {
		t.Fatal("resume did not wake the waiter", err)
	}
	b.Return(w)
	if _, err := b.Pause([]byte("q"), false, true, 5000); err != nil {
		t.Fatal(err)
	}
	w = wait(t, b, PopOptions{Count: 1}, "q")
	clock.Advance(4999 * time.Millisecond)
	if fired(w) {
		t.Fatal("woken while paused")
	}
	clock.Advance(time.Millisecond)
	if !fired(w) {
		t.Fatal("the end of a pause did not wake the waiter")
	}
}

func TestMoveAllDeadSurvivesInOnePlace(t *testing.T) {
	b, j, clock := newTestBroker(t)
	create(t, b, "a", nil)
	create(t, b, "b", func(c *Config) { c.MaxLen = 1500 })
	bodies := make([]string, 1000)
	for i := range bodies {
		bodies[i] = fmt.Sprint(i)
	}
	for range 2 {
		pushBodies(t, b, j, "a", PushOptions{}, bodies...)
		handles := Handles(take(t, b, "a", 1000))
		must[int](t)(b.Nack([]byte("a"), &NackOptions{Dead: true}, handles, nil))
	}
	n, _, err := b.ReplayAllDead([]byte("a"), []byte("b"))
	if n != 1500 || err != nil {
		t.Fatal(n, err)
	}
	if n, _, err = b.ReplayAllDead([]byte("a"), []byte("b")); n != 0 || !isCode(err, "QFULL") {
		t.Fatal(n, err)
	}
	j.syncAll()
	records := j.Records()
	for cut := len(records) - 4; cut <= len(records); cut++ {
		partial := brokertest.NewJournal()
		for _, record := range records[:cut] {
			partial.Append(record, true)
		}
		b := open(t, partial.Reopen(true), clock)
		if a, other := info(t, b, "a"), info(t, b, "b"); a.Ready+a.Inflight+a.Dead+other.Ready != 2000 {
			t.Fatalf("cut at %d: %+v %+v", cut, a, other)
		}
		checkInvariants(t, b, "a")
		checkInvariants(t, b, "b")
	}
}

func TestPeekAndPurge(t *testing.T) {
	b, j, _ := newTestBroker(t)
	create(t, b, "q", nil)
	for i := range 30 {
		bodies := make([]string, 1000)
		for k := range bodies {
			bodies[k] = fmt.Sprintf("job %d of %d", k, i)
		}
		pushBodies(t, b, j, "q", PushOptions{Priority: uint8(i % 3)}, bodies...)
	}
	// Some come back into the middle of their priority.
	handles := Handles(take(t, b, "q", 1000))
	must[int](t)(b.Nack([]byte("q"), &NackOptions{Release: true}, []Handle{handles[10]}, nil))
	must[int](t)(b.Nack([]byte("q"), &NackOptions{Release: true}, []Handle{handles[500], handles[5]}, nil))
	var all []View
	for offset := 0; offset >= 0; {
		views, total, next, err := b.Peek([]byte("q"), Ready, offset, 700, Match{}, 1<<30)
		if err != nil || total != 29_003 {
			t.Fatal(total, err)
		}
		all = append(all, views...)
		offset = next
	}
	if len(all) != 29_003 {
		t.Fatalf("peeked %d", len(all))
	}
	for i := 1; i < len(all); i++ {
		if a, b := all[i-1], all[i]; a.Priority < b.Priority || a.Priority == b.Priority && a.ID >= b.ID {
			t.Fatalf("order: %d/%d before %d/%d", a.Priority, a.ID, b.Priority, b.ID)
		}
	}
	found, calls := 0, 0
	for offset := 0; offset >= 0; calls++ {
		views, _, next, _ := b.Peek([]byte("q"), Ready, offset, 100, Match{Text: "job 999 of"}, 1<<30)
		if next >= 0 && next-offset > searchJobs {
			t.Fatalf("looked at %d jobs", next-offset)
		}
		found += len(views)
		offset = next
	}
	if found != 29 || calls < 3 {
		t.Fatalf("found %d in %d calls", found, calls)
	}
	if n := must[int](t)(b.Purge([]byte("q"), Ready|Inflight)); n != 30_000 {
		t.Fatalf("purged %d", n)
	}
	checkInvariants(t, b, "q")
}

// TestManyDueAtOnceComeInSlices: a crowd due in the same millisecond must not hold the lock for long, nor lose its order.
func TestManyDueAtOnceComeInSlices(t *testing.T) {
	jobs := 1_000_000
	if testing.Short() {
		jobs = 20_000
	}
	b, journal := benchBroker(t)
	at := time.Now().UnixMilli() + 3_600_000
	payloads := make([][]byte, 1000)
	for range jobs / 1000 {
		must[[]Pushed](t)(b.Push([]byte("q"), payloads, &PushOptions{At: at, HasAt: true}, nil))
		journal.sync()
	}
	q := b.directory.byName["q"]
	q.mu.Lock()
	now := at
	slices, longest := 0, time.Duration(0)
	for ready := 0; ready < jobs; slices++ {
		start := time.Now()
		q.dueLocked(now, sliceJobs)
		longest = max(longest, time.Since(start))
		if q.ready.count-ready > sliceJobs {
			t.Fatalf("a slice of %d jobs", q.ready.count-ready)
		}
		ready = q.ready.count
	}
	q.mu.Unlock()
	t.Logf("%d slices, the longest held the lock for %v", slices, longest)
	last := uint64(0)
	for range jobs / 1000 {
		for _, d := range take(t, b, "q", 1000) {
			if d.ID <= last {
				t.Fatalf("%d after %d", d.ID, last)
			}
			last = d.ID
		}
	}
}

// TestCompactionUnderLoad compacts while jobs come and go, and replays what the journal then holds.
func TestCompactionUnderLoad(t *testing.T) {
	journal, clock := &countingJournal{Journal: brokertest.NewJournal()}, brokertest.NewClock(testStart)
	b, err := Open(Options{Journal: journal, Clock: clock, Durability: brokers.Always, CompactBytes: 20_000})
	if err != nil {
		t.Fatal(err)
	}
	create(t, b, "q", nil)
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(worker), 7))
			// The load goes on until the compactions have come that it is for: they run when the machine gives them time.
			for round := 0; round < 1500 || journal.compactions.Load() < 3; round++ {
				_, receipt, err := b.Push([]byte("q"), [][]byte{[]byte("x"), []byte("y")}, &PushOptions{Priority: uint8(worker)}, nil)
				if err == nil {
					err = receipt.Wait()
				}
				if err != nil {
					t.Error(err)
					return
				}
				jobs, _, _ := b.Pop([]byte("q"), &PopOptions{Count: 3}, nil)
				for _, d := range jobs {
					if random.IntN(3) == 0 {
						b.Nack([]byte("q"), &NackOptions{Reason: "r", Dead: random.IntN(2) == 0}, []Handle{handle(d)}, nil)
						continue
					}
					b.Ack([]byte("q"), []Handle{handle(d)}, nil)
				}
			}
		})
	}
	group.Wait()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	before := info2(b, "q")
	b = open(t, journal.Reopen(true), clock)
	after := info2(b, "q")
	if fmt.Sprint(before) != fmt.Sprint(after) {
		t.Fatalf("before %v, after %v", before, after)
	}
	checkInvariants(t, b, "q")
}

// countingJournal counts the compactions that have ended well.
type countingJournal struct {
	*brokertest.Journal
	compactions atomic.Int64
}

func (j *countingJournal) Cut() (brokers.Finish, error) {
	finish, err := j.Journal.Cut()
	if err != nil {
		return nil, err
	}
	return func(dump brokers.Dump) error {
		err := finish(dump)
		if err == nil {
			j.compactions.Add(1)
		}
		return err
	}, nil
}

// failingJournal grows with every record, and its compactions fail.
type failingJournal struct {
	instantJournal
	cuts atomic.Int64
}

func (j *failingJournal) LogBytes() int64 { return j.bytes.Load() }

func (j *failingJournal) Cut() (brokers.Finish, error) {
	j.cuts.Add(1)
	return nil, errors.New("no space left")
}

func TestFailedCompactionIsNotTriedAllTheTime(t *testing.T) {
	j := &failingJournal{}
	failed := make(chan error, 1000)
	b, err := Open(Options{Journal: j, CompactBytes: 100_000, Failed: func(err error) { failed <- err }})
	if err != nil {
		t.Fatal(err)
	}
	payload := make([]byte, 100)
	for {
		if _, _, err := b.Push([]byte("q"), [][]byte{payload}, &PushOptions{}, nil); err != nil {
			t.Fatal(err)
		}
		j.sync()
		// Acknowledged at once: the log grows and the live bytes do not.
		must[int](t)(b.Ack([]byte("q"), Handles(take(t, b, "q", 1)), nil))
		if j.bytes.Load() > 1_000_000 {
			break
		}
	}
	select {
	case <-failed:
	case <-time.After(10 * time.Second):
		t.Fatal("no compaction was tried")
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if n := j.cuts.Load(); n < 1 || n > 10 {
		t.Fatalf("%d tries for ten times the threshold", n)
	}
}

// info2 is what a restart must not change.
func info2(b *Broker, name string) []any {
	q := b.directory.byName[name]
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.counters.all()
	c.Blocked, c.Deduped, c.Woken = 0, 0, 0 // these have no records of their own
	return []any{q.ready.count, q.delayed.count(), q.inflight.count(), q.dead.count(), len(q.pending) - q.pendingAt, q.bytes, c}
}

func TestDiskFullRefusesPushesOnly(t *testing.T) {
	b, j, _ := newTestBroker(t)
	create(t, b, "q", nil)
	pushBodies(t, b, j, "q", PushOptions{}, "x", "y")
	j.SetReady(&brokers.Error{Code: "DISKFULL"})
	if _, _, err := b.Push([]byte("q"), [][]byte{nil}, &PushOptions{}, nil); !isCode(err, "DISKFULL") {
		t.Fatal(err)
	}
	got := take(t, b, "q", 2)
	if must[int](t)(b.Ack([]byte("q"), []Handle{handle(got[0])}, nil)) != 1 {
		t.Fatal("an ack was refused")
	}
	if must[int](t)(b.Nack([]byte("q"), &NackOptions{}, []Handle{handle(got[1])}, nil)) != 1 {
		t.Fatal("a nack was refused")
	}
	j.SetReady(nil)
	pushBodies(t, b, j, "q", PushOptions{}, "z")
}

func TestCreateConflict(t *testing.T) {
	b, _, _ := newTestBroker(t)
	create(t, b, "q", nil)
	create(t, b, "q", nil)
	other := DefaultConfig(brokers.Always)
	other.Jitter, other.Lease = 0, 10_000
	_, err := b.Create([]byte("q"), other, false)
	if err == nil || err.Error() != "QEXISTS 'q' exists with LEASE 30000, asked 10000" {
		t.Fatal(err)
	}
	if _, err := b.Create([]byte("q"), other, true); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "a\nb", string(make([]byte, 201)), "\x7f"} {
		if _, err := b.Create([]byte(name), other, false); !isCode(err, "BADNAME") {
			t.Fatalf("%q: %v", name, err)
		}
	}
}

// steppingClock is a wall clock that can be set while its monotonic reading goes on.
type steppingClock struct {
	mu   sync.Mutex
	base time.Time
	step time.Duration
}

func (c *steppingClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.base.Add(c.step)
}

func (c *steppingClock) AfterFunc(d time.Duration, f func()) brokers.Timer {
	return time.AfterFunc(d, f)
}

// TestClockStepBackwards: the wall goes back an hour. Nothing panics, nothing is delivered early.
func TestClockStepBackwards(t *testing.T) {
	clock := &steppingClock{base: testStart}
	j := newHandJournal(brokertest.NewJournal())
	b, err := Open(Options{Journal: j, Clock: clock, Durability: brokers.Always})
	if err != nil {
		t.Fatal(err)
	}
	j.syncAll()
	create(t, b, "q", nil)
	pushBodies(t, b, j, "q", PushOptions{Delay: 10, HasDelay: true}, "later")
	clock.mu.Lock()
	clock.step = -time.Hour
	clock.mu.Unlock()
	b.directory.byName["q"].tick()
	if len(take(t, b, "q", 1)) != 0 {
		t.Fatal("delivered before its time")
	}
}
