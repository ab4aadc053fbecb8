package queue

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
)

// dueBack lets the runs whose time has come return, and what is due in them happen. It returns the most that jobs took in RAM.
func dueBack(b *Broker, clock *brokertest.Clock) (most int64) {
	for m := (&model{broker: b, clock: clock}); settleFetches(b) || m.overdue(); clock.Advance(0) {
		most = max(most, b.hot())
	}
	return most
}

// shelfOrder is the jobs of a state by id, in the order of their times, as Search finds them in small pages.
func shelfOrder(t *testing.T, b *Broker, state States, page int) (ids []uint64) {
	t.Helper()
	for cursor := (Cursor{}); ; {
		found, err := b.Search([]byte("q"), state, cursor, page, Match{}, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, view := range found.Jobs {
			ids = append(ids, view.ID)
		}
		if !found.More {
			return ids
		}
		cursor = found.Next
	}
}

// delayedOnDisk is a broker with jobs of random delays of 1 to 100 s, nearly all on disk, and the ids in order of due time.
func delayedOnDisk(t *testing.T, jobs int, o PushOptions) (*Broker, *handJournal, *brokertest.Clock, []uint64, map[uint64]int64) {
	t.Helper()
	b, j, clock := spilling(t, nil)
	create(t, b, "q", nil)
	random := rand.New(rand.NewPCG(5, 5))
	due := map[uint64]int64{}
	var ids []uint64
	for i := range jobs {
		o.Delay, o.HasDelay = 1000*(1+random.Int64N(100)), true
		id := pushBodies(t, b, j, "q", o, fmt.Sprintf("body %d", i))[0]
		due[id], ids = clock.Now().UnixMilli()+o.Delay, append(ids, id)
	}
	stored(t, b)
	slices.SortFunc(ids, func(a, b uint64) int { return cmp.Or(cmp.Compare(due[a], due[b]), cmp.Compare(a, b)) })
	if got := info(t, b, "q"); got.Delayed != jobs || got.ColdTimed < jobs*3/4 {
		t.Fatalf("%+v", got)
	}
	return b, j, clock, ids, due
}

func TestDelayedJobsGoToDiskAndComeBackInTime(t *testing.T) {
	const jobs = 500
	b, j, clock, ids, due := delayedOnDisk(t, jobs, PushOptions{Priority: 3})
	look := func() {
		t.Helper()
		checkInvariants(t, b, "q")
		for i, id := range ids {
			view, found, err := b.Get([]byte("q"), id)
			if err != nil || !found || view.State != "delayed" || view.DueAt != due[id] || view.Priority != 3 || !strings.HasPrefix(view.Body, "body ") {
				t.Fatalf("job %d: %+v %v %v", i, view, found, err)
			}
		}
		if got := shelfOrder(t, b, Delayed, 37); !slices.Equal(got, ids) {
			t.Fatalf("searched: %v\nwant: %v", got, ids)
		}
		for offset := 0; offset < jobs; offset += 23 {
			views, total, _, err := b.Peek([]byte("q"), Delayed, offset, 5, Match{}, 1<<20)
			if err != nil || total != jobs || len(views) != min(5, jobs-offset) || views[0].ID != ids[offset] || views[0].DueAt != due[ids[offset]] {
				t.Fatalf("peek at %d: %+v %v", offset, views, err)
			}
		}
	}
	look()
	found, err := b.Search([]byte("q"), Delayed, Cursor{}, jobs, Match{Text: "body 49"}, 1<<20)
	if err != nil || len(found.Jobs) != 11 {
		t.Fatalf("%d found, %v", len(found.Jobs), err)
	}
	was := info(t, b, "q")
	compacted(t, b, j)
	for range 2 {
		b, j = startedAgain(t, b, j, clock)
		if now := info(t, b, "q"); now.Delayed != jobs || now.ColdTimed != was.ColdTimed || now.Bytes != was.Bytes {
			t.Fatalf("after a start: %+v, was %+v", now, was)
		}
		look()
	}
	for len(ids) > 0 {
		clock.Advance(900 * time.Millisecond)
		dueBack(b, clock)
		now := clock.Now().UnixMilli()
		i := slices.IndexFunc(ids, func(id uint64) bool { return due[id] > now })
		if i < 0 {
			i = len(ids)
		}
		want := slices.Sorted(slices.Values(ids[:i]))
		got := take(t, b, "q", jobs)
		var have []uint64
		for _, d := range got {
			have = append(have, d.ID)
		}
		if !slices.Equal(have, want) {
			t.Fatalf("due at %d: %v, want %v", now, have, want)
		}
		must[int](t)(b.Ack([]byte("q"), Handles(got), nil))
		ids = ids[i:]
		j.syncAll()
		checkInvariants(t, b, "q")
	}
	compacted(t, b, j)
	if m := b.Memory(); m.Bytes != 0 || m.OnDisk != 0 {
		t.Fatalf("left: %+v", m)
	}
}

// TestAPopWaitsForARunThatIsDue pops at the moment at which the jobs of a run are due, before the timer has.
func TestAPopWaitsForARunThatIsDue(t *testing.T) {
	b, j, clock := spilling(t, nil)
	create(t, b, "q", nil)
	backlog(t, b, j, 0, 200, PushOptions{Delay: 60_000, HasDelay: true})
	stored(t, b)
	q := b.directory.byName["q"]
	q.mu.Lock()
	q.timer.Stop()
	q.mu.Unlock()
	clock.Advance(time.Minute)
	if got := take(t, b, "q", 1); len(got) != 1 {
		t.Fatal("a due job was not waited for")
	}
}

// TestJobsThatComeDueTogether go back to disk as ready ones; they do not all come to RAM.
func TestJobsThatComeDueTogether(t *testing.T) {
	b, j, clock := spilling(t, nil)
	create(t, b, "q", nil)
	ids := backlog(t, b, j, 0, 1000, PushOptions{Delay: 60_000, HasDelay: true})
	stored(t, b)
	clock.Advance(time.Minute)
	most := dueBack(b, clock)
	if got := info(t, b, "q"); got.Ready != 1000 || got.Cold < 800 || most > 30_000 {
		t.Fatalf("%d bytes in RAM at most, %+v", most, got)
	}
	for i := 0; i < 1000; {
		for _, d := range take(t, b, "q", 50) {
			if d.ID != ids[i] {
				t.Fatalf("job %d came as number %d", d.ID, i)
			}
			i++
		}
	}
}

// TestJobsThatComeDueInAnotherOrder than that of their ids return into the span of runs: they go to disk all the same, and come in order.
func TestJobsThatComeDueInAnotherOrder(t *testing.T) {
	const jobs, budget = 2000, 30_000
	b, j, clock := spilling(t, func(o *Options) { o.JobMemory = budget })
	create(t, b, "q", nil)
	random := rand.New(rand.NewPCG(3, 3))
	for range jobs / 10 {
		for range 10 {
			must[[]Pushed](t)(b.Push([]byte("q"), [][]byte{[]byte("x")}, &PushOptions{Delay: 1000 + random.Int64N(100_000), HasDelay: true}, nil))
		}
		j.syncAll()
	}
	most := int64(0)
	for range 110 {
		clock.Advance(time.Second)
		dueBack(b, clock)
		most = max(most, b.hot())
	}
	checkInvariants(t, b, "q")
	if got := info(t, b, "q"); got.Ready != jobs || most > 2*budget || got.Cold < jobs/2 {
		t.Fatalf("%d bytes in RAM at most, %+v", most, got)
	}
	compacted(t, b, j)
	b, j = startedAgain(t, b, j, clock)
	for next := uint64(1); next <= jobs; {
		got := take(t, b, "q", 100)
		for _, d := range got {
			if d.ID != next {
				t.Fatalf("job %d came, want %d", d.ID, next)
			}
			next++
		}
		must[int](t)(b.Ack([]byte("q"), Handles(got), nil))
		j.syncAll()
	}
}

// deadOnDisk is a broker with dead letters on disk, oldest first.
func deadOnDisk(t *testing.T, jobs int, alter func(*Config)) (*Broker, *handJournal, *brokertest.Clock, []uint64) {
	t.Helper()
	b, j, clock := spilling(t, nil)
	create(t, b, "q", alter)
	ids := backlog(t, b, j, 0, jobs, PushOptions{Priority: 7})
	rand.New(rand.NewPCG(9, 9)).Shuffle(jobs, func(i, k int) { ids[i], ids[k] = ids[k], ids[i] })
	handles := map[uint64]Handle{}
	for len(handles) < jobs {
		for _, d := range take(t, b, "q", jobs) {
			handles[d.ID] = handle(d)
		}
	}
	for _, id := range ids {
		clock.Advance(time.Millisecond)
		if n := must[int](t)(b.Nack([]byte("q"), &NackOptions{Reason: fmt.Sprint("reason ", id), Dead: true}, []Handle{handles[id]}, nil)); n != 1 {
			t.Fatalf("job %d is not in flight", id)
		}
		j.syncAll()
	}
	stored(t, b)
	if got := info(t, b, "q"); got.Dead != jobs || got.ColdTimed < jobs*3/4 {
		t.Fatalf("%+v", got)
	}
	return b, j, clock, ids
}

func TestDeadLettersOnDisk(t *testing.T) {
	const jobs = 300
	b, j, clock, ids := deadOnDisk(t, jobs, nil)
	newest := slices.Clone(ids)
	slices.Reverse(newest)
	compacted(t, b, j)
	for range 2 {
		if got := shelfOrder(t, b, Dead, 41); !slices.Equal(got, newest) {
			t.Fatalf("listed %v, want %v", got, newest)
		}
		views, total, _, err := b.Peek([]byte("q"), Dead, 100, 3, Match{}, 1<<20)
		if err != nil || total != jobs || views[0].ID != newest[100] || views[0].Reason != fmt.Sprint("reason ", newest[100]) || views[0].FailedAt == 0 {
			t.Fatalf("%+v %v", views, err)
		}
		b, j = startedAgain(t, b, j, clock)
	}
	named := []uint64{ids[150], ids[3], 1 << 60, ids[290]}
	if n := must[int](t)(b.ReplayDead([]byte("q"), named, 0)); n != 3 {
		t.Fatalf("%d replayed", n)
	}
	j.syncAll()
	got := take(t, b, "q", 10)
	want := []uint64{ids[150], ids[3], ids[290]}
	slices.Sort(want)
	if len(got) != 3 || got[0].ID != want[0] || got[2].ID != want[2] || got[0].Attempt != 1 || got[0].Priority != 7 {
		t.Fatalf("%+v", got)
	}
	if n := must[int](t)(b.DeleteDead([]byte("q"), []uint64{ids[20], ids[21], ids[3]})); n != 2 {
		t.Fatalf("%d deleted", n)
	}
	create(t, b, "other", nil)
	if n := must[int](t)(b.ReplayAllDead([]byte("q"), []byte("other"))); n != jobs-5 {
		t.Fatalf("%d moved", n)
	}
	j.syncAll()
	settleFetches(b)
	checkInvariants(t, b, "q")
	checkInvariants(t, b, "other")
	if now := info(t, b, "other"); now.Ready != jobs-5 || info(t, b, "q").Dead != 0 {
		t.Fatalf("%+v", now)
	}
	before := info2(b, "other")
	b, _ = startedAgain(t, b, j, clock)
	if after := info2(b, "other"); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Fatalf("before %v, after %v", before, after)
	}
}

func TestReplayAndPurgeOfDeadLettersOnDisk(t *testing.T) {
	for name, end := range map[string]func(b *Broker) (int, brokers.Receipt, error){
		"replay":     func(b *Broker) (int, brokers.Receipt, error) { return b.ReplayAllDead([]byte("q"), nil) },
		"purge dead": func(b *Broker) (int, brokers.Receipt, error) { return b.PurgeDead([]byte("q")) },
		"purge":      func(b *Broker) (int, brokers.Receipt, error) { return b.Purge([]byte("q"), Dead) },
	} {
		t.Run(name, func(t *testing.T) {
			b, j, clock, _ := deadOnDisk(t, 300, nil)
			if n := must[int](t)(end(b)); n != 300 {
				t.Fatalf("%d jobs", n)
			}
			j.syncAll()
			settleFetches(b)
			checkInvariants(t, b, "q")
			b, _ = startedAgain(t, b, j, clock)
			ready := 0
			if name == "replay" {
				ready = 300
			}
			if now := info(t, b, "q"); now.Dead != 0 || now.Ready != ready {
				t.Fatalf("%+v", now)
			}
		})
	}
}

// TestPurgeOfJobsOnDisk purges what was there when it began, of the states that are named.
func TestPurgeOfJobsOnDisk(t *testing.T) {
	b, j, clock, ids, _ := delayedOnDisk(t, 400, PushOptions{})
	backlog(t, b, j, 0, 100, PushOptions{})
	if n := must[int](t)(b.Purge([]byte("q"), Delayed)); n != len(ids) {
		t.Fatalf("%d of %d purged", n, len(ids))
	}
	j.syncAll()
	settleFetches(b)
	checkInvariants(t, b, "q")
	b, _ = startedAgain(t, b, j, clock)
	if now := info(t, b, "q"); now.Delayed != 0 || now.Ready != 100 || now.Counters.Deleted != 400 {
		t.Fatalf("%+v", now)
	}
}

func TestDeadLettersOnDiskGoAtTheirTTL(t *testing.T) {
	b, _, clock, ids := deadOnDisk(t, 300, func(c *Config) { c.DeadTTL = 60_000 })
	first, _, _ := b.Get([]byte("q"), ids[0])
	clock.Advance(time.Duration(first.FailedAt+60_000-clock.Now().UnixMilli()+99) * time.Millisecond)
	for range 20 {
		settleFetches(b)
		clock.Advance(0)
	}
	if now := info(t, b, "q"); now.Dead != 200 || now.Counters.Expired != 100 {
		t.Fatalf("%+v", now)
	}
	if _, found, _ := b.Get([]byte("q"), ids[99]); found {
		t.Fatal("a dead letter outlived its time")
	}
	if _, found, _ := b.Get([]byte("q"), ids[100]); !found {
		t.Fatal("a dead letter is gone too early")
	}
	checkInvariants(t, b, "q")
}

// TestLeasesOnDisk settles jobs in flight that are on disk in each way, by handles that are good and stale.
func TestLeasesOnDisk(t *testing.T) {
	const jobs = 400
	b, j, clock := spilling(t, nil)
	create(t, b, "q", nil)
	backlog(t, b, j, 0, jobs, PushOptions{})
	owner := NewOwner()
	bound := must[[]Delivery](t)(b.Pop([]byte("q"), &PopOptions{Count: 50, Owner: owner, Lease: 600_000}, nil))
	got := take(t, b, "q", jobs)
	for len(got) < jobs-50 {
		got = append(got, take(t, b, "q", jobs)...)
	}
	j.syncAll()
	stored(t, b)
	if now := info(t, b, "q"); now.Inflight != jobs || now.ColdTimed < 250 || now.ColdTimed > jobs-50 {
		t.Fatalf("%+v", now)
	}
	compacted(t, b, j)
	var byID []uint64
	for _, d := range append(slices.Clone(bound), got...) {
		byID = append(byID, d.ID)
	}
	if found := shelfOrder(t, b, Inflight, 33); !slices.Equal(found, byID) {
		t.Fatalf("found %v", found)
	}
	stale := handle(got[7])
	stale.Delivery += 5
	each := make([]bool, 3)
	if n := must[int](t)(b.Ack([]byte("q"), []Handle{handle(got[300]), stale, handle(got[5])}, each)); n != 2 || !each[0] || each[1] || !each[2] {
		t.Fatalf("%d acknowledged: %v", n, each)
	}
	if n := must[int](t)(b.Extend([]byte("q"), 90_000, Handles(got[100:120]), nil)); n != 20 {
		t.Fatalf("%d extended", n)
	}
	if n := must[int](t)(b.Nack([]byte("q"), &NackOptions{Reason: "r", Dead: true}, Handles(got[200:210]), nil)); n != 10 {
		t.Fatalf("%d dead", n)
	}
	if n := must[int](t)(b.Nack([]byte("q"), &NackOptions{Release: true}, Handles(got[220:221]), nil)); n != 1 {
		t.Fatalf("%d released", n)
	}
	b.CloseOwner(owner)
	b.GiveBack([]byte("q"), Handles(got[230:240]))
	j.syncAll()
	checkInvariants(t, b, "q")
	if now := info(t, b, "q"); now.Ready != 50+1+10 || now.Dead != 10 || now.Inflight != jobs-2-10-1-60 {
		t.Fatalf("%+v", now)
	}
	b, _ = startedAgain(t, b, j, clock)
	clock.Advance(31 * time.Second)
	dueBack(b, clock)
	if now := info(t, b, "q"); now.Inflight != 20 || now.Ready != jobs-2-10-20 || now.Counters.LeaseExpired != uint64(jobs-2-10-1-60-20) {
		t.Fatalf("after the leases: %+v", now)
	}
	if n := must[int](t)(b.Ack([]byte("q"), []Handle{handle(got[50]), handle(got[101])}, nil)); n != 1 {
		t.Fatalf("%d acknowledged after the leases", n)
	}
	checkInvariants(t, b, "q")
}

// TestDatesOnDisk sets the wall clock while jobs that are due at dates are on disk, beside others that are not.
func TestDatesOnDisk(t *testing.T) {
	const jobs = 200
	b, j, clock := spilling(t, nil)
	create(t, b, "q", nil)
	start := clock.Now().UnixMilli()
	for i := range jobs {
		pushBodies(t, b, j, "q", PushOptions{At: start + 3600_000 + int64(i), HasAt: true}, "dated")
		pushBodies(t, b, j, "q", PushOptions{Delay: 3600_000 + int64(i), HasDelay: true}, "delayed")
	}
	stored(t, b)
	if now := info(t, b, "q"); now.ColdTimed < jobs {
		t.Fatalf("%+v", now)
	}
	look := func(what string, delayedDue int64) {
		t.Helper()
		checkInvariants(t, b, "q")
		views, _, _, err := b.Peek([]byte("q"), Delayed, 0, 2*jobs, Match{}, 1<<20)
		for cursor := len(views); err == nil && cursor < 2*jobs; cursor = len(views) {
			var more []View
			more, _, _, err = b.Peek([]byte("q"), Delayed, cursor, 2*jobs, Match{}, 1<<20)
			views = append(views, more...)
		}
		if err != nil || len(views) != 2*jobs {
			t.Fatalf("%s: %d views, %v", what, len(views), err)
		}
		for _, v := range views {
			want := start + 3600_000 + int64(v.ID-1)/2
			if v.Body == "delayed" {
				want = delayedDue + int64(v.ID-2)/2
			}
			one, found, err := b.Get([]byte("q"), v.ID)
			if v.DueAt != want || err != nil || !found || one.DueAt != want {
				t.Fatalf("%s: job %d %s is due at %d, by itself %d, want %d", what, v.ID, v.Body, v.DueAt, one.DueAt, want)
			}
		}
	}
	due := start + 3600_000
	look("at first", due)
	clock.Step(20 * time.Minute)
	clock.Advance(longestWait * time.Millisecond)
	due += 20 * 60_000
	look("set forward", due)
	compacted(t, b, j)
	b, j = startedAgain(t, b, j, clock)
	look("second life", due)
	clock.Step(-40 * time.Minute)
	clock.Advance(longestWait * time.Millisecond)
	due -= 40 * 60_000
	look("set back", due)
	compacted(t, b, j)
	b, _ = startedAgain(t, b, j, clock)
	look("third life", due)
	clock.Step(time.Duration(start+3600_000-clock.Now().UnixMilli()) * time.Millisecond)
	for range 3 { // the timer finds the wall set, then what is due comes back
		clock.Advance(longestWait * time.Millisecond)
		dueBack(b, clock)
	}
	if now := info(t, b, "q"); now.Ready != jobs {
		t.Fatalf("%+v", now)
	}
}

func TestDropOldestOfDelayedJobsOnDisk(t *testing.T) {
	b, j, _ := spilling(t, nil)
	create(t, b, "q", func(c *Config) { c.MaxLen, c.DropOldest = 200, true })
	for i := range 300 {
		pushBodies(t, b, j, "q", PushOptions{Delay: 100_000 + int64(i), HasDelay: true}, "x")
	}
	settleFetches(b)
	if got := shelfOrder(t, b, Delayed, 100); len(got) != 200 || got[0] != 101 || got[199] != 300 {
		t.Fatalf("%v", got)
	}
	checkInvariants(t, b, "q")
}

// TestKeysOfJobsOnDisk: a key protects a job that waits on disk, and none whose time is over there.
func TestKeysOfJobsOnDisk(t *testing.T) {
	b, j, clock := spilling(t, nil)
	create(t, b, "q", func(c *Config) { c.DedupWindow = 3600_000 })
	push := func(i int, o PushOptions) Pushed {
		o.Dedup = [][]byte{fmt.Appendf(nil, "key %d", i)}
		got := must[[]Pushed](t)(b.Push([]byte("q"), [][]byte{[]byte("x")}, &o, nil))
		j.syncAll()
		return got[0]
	}
	for i := range 200 {
		push(i, PushOptions{Delay: 600_000, HasDelay: true, TTL: 60_000, HasTTL: i%2 == 0})
	}
	stored(t, b)
	for i := range 200 {
		if p := push(i, PushOptions{}); p.New || p.ID != uint64(i+1) {
			t.Fatalf("key %d: %+v", i, p)
		}
	}
	clock.Advance(time.Minute)
	for i := range 200 {
		if p := push(i, PushOptions{Delay: 600_000, HasDelay: true}); p.New != (i%2 == 0) {
			t.Fatalf("key %d after the TTL: %+v", i, p)
		}
	}
	settleFetches(b)
	checkInvariants(t, b, "q")
}

// TestUnreadableRunOfAShelf flips a bit in every file: what is asked for says so, the rest goes on, and all is there when the bits are back.
func TestUnreadableRunOfAShelf(t *testing.T) {
	var failures []error
	b, j, clock := spilling(t, func(o *Options) { o.Failed = func(err error) { failures = append(failures, err) } })
	create(t, b, "q", nil)
	ids := backlog(t, b, j, 0, 100, PushOptions{Delay: 60_000, HasDelay: true})
	stored(t, b)
	flip := func() {
		for _, path := range runFiles(t, b) {
			if err := flipBit(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	flip()
	runs := len(runFiles(t, b))
	if _, _, err := b.Delete([]byte("q"), []uint64{ids[0], ids[99]}); !isCode(err, "IOERR") {
		t.Fatal(err)
	}
	if _, err := b.Search([]byte("q"), Delayed, Cursor{}, 100, Match{}, 1<<20); !isCode(err, "IOERR") {
		t.Fatal(err)
	}
	clock.Advance(time.Minute)
	settleFetches(b)
	for popped := 0; ; {
		got, _, err := b.Pop([]byte("q"), &PopOptions{Count: 100}, nil)
		if popped += len(got); isCode(err, "IOERR") {
			break
		}
		if err != nil || len(got) == 0 {
			t.Fatalf("%d popped, %v", popped, err)
		}
	}
	pushBodies(t, b, j, "q", PushOptions{}, "another")
	if got := take(t, b, "q", 1); len(got) != 1 || got[0].Body != "another" {
		t.Fatalf("%+v", got)
	}
	flip()
	for range 2 * runs {
		clock.Advance(runExpiryRetry * time.Millisecond)
		settleFetches(b)
	}
	if now := info(t, b, "q"); now.Ready+now.Inflight+int(now.Counters.Deleted) != 101 || now.Delayed != 0 {
		t.Fatalf("%+v", now)
	}
	if len(failures) == 0 || len(failures) > runs || !strings.Contains(failures[0].Error(), "delayed jobs of queue 'q'") {
		t.Fatalf("%d runs, told %v", runs, failures)
	}
}

// TestTimedRunRecord reads descriptors back, and refuses those that are cut short.
func TestTimedRunRecord(t *testing.T) {
	for _, state := range []state{stateDelayed, stateInflight, stateDead} {
		var jobs []*job
		for i := range uint64(50) {
			jobs = append(jobs, &job{
				id: 7 + i*3331%50*1000, body: fmt.Sprint(i), pushedAt: 5, expiresAt: int64(i), at: 1000 + int64(i/2)*70_000_000, state: state,
				dated: state == stateDelayed,
			})
		}
		slices.SortFunc(jobs, func(a, b *job) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.id, b.id)) })
		r := encodeRun(jobs, state, 4, "q", 0)
		r.number = 9
		record := r.record(nil, 4, 0, 0)
		read := func(body []byte) (*run, error) {
			d := &reader{body: body[2:]}
			d.uint()
			got := decodeRunOf(body[1], d)
			return got, d.err
		}
		got, err := read(record)
		if err != nil || !slices.Equal(got.record(nil, 4, 0, 0), record) {
			t.Fatalf("%+v %v", got, err)
		}
		for i, j := range jobs {
			if key := got.key(i); key.id != j.id || key.at != j.at || got.rank(key) != i {
				t.Fatalf("job %d is at %+v", j.id, key)
			}
		}
		for cut := 2; cut < len(record); cut++ {
			if _, err := read(record[:cut]); err == nil {
				t.Fatalf("a record cut at %d of %d is taken", cut, len(record))
			}
		}
		o, err := readOrphan(9, r.bytes)
		if err != nil || o.name != "q" || !bytes.Equal(o.run.record(nil, 4, 0, 0), record) {
			t.Fatalf("from the file: %+v %v", o, err)
		}
	}
}

// TestRepairFindsTheRunsOfShelves loses the log: the files say what they hold.
func TestRepairFindsTheRunsOfShelves(t *testing.T) {
	b, j, clock, _, due := delayedOnDisk(t, 300, PushOptions{})
	compacted(t, b, j)
	b.spill.close()
	on := int(b.coldJobs.Load())
	j, found := salvagedFrom(t, b.options.SpillDirectory, nil, true, nil)
	b, _ = startedAgain(t, b, j, clock)
	if now := info(t, b, "q"); now.Delayed != on {
		t.Fatalf("%+v of %d on disk: %v", now, on, found.Kept)
	}
	for _, id := range shelfOrder(t, b, Delayed, 50) {
		if view, _, err := b.Get([]byte("q"), id); err != nil || view.DueAt != due[id] {
			t.Fatalf("%+v %v, was due at %d", view, err, due[id])
		}
	}
}
