package queue

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
)

// searchAll goes through a state page by page and returns how often each job was found, and the order of the ids.
func searchAll(t testing.TB, b *Broker, state States, count int, text string) (found map[uint64]int, order []uint64, scanned int) {
	t.Helper()
	found = map[uint64]int{}
	for cursor := ""; ; {
		from, ok := ParseCursor(cursor, state)
		if !ok {
			t.Fatalf("%q is no cursor of %v", cursor, state)
		}
		page, err := b.Search([]byte("q"), state, from, count, Match{Text: text}, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Jobs) > count || page.Scanned > searchJobs || page.Scanned < len(page.Jobs) {
			t.Fatalf("a page of %d jobs of %d, wanted %d", len(page.Jobs), page.Scanned, count)
		}
		for i := range page.Jobs {
			found[page.Jobs[i].ID]++
			order = append(order, page.Jobs[i].ID)
		}
		scanned += page.Scanned
		if !page.More {
			return found, order, scanned
		}
		cursor = page.Next.String()
	}
}

// TestSearchFindsWhatStaysOnce searches 200,000 ready jobs, most of them on disk, while jobs are pushed, popped, given back and
// deleted from among them, for which runs come back to memory and are cut again.
func TestSearchFindsWhatStaysOnce(t *testing.T) {
	const jobs, leaving = 200_000, 10 // one in ten may leave
	j := &instantJournal{}
	b, err := Open(Options{Journal: j, Durability: brokers.Never, SpillDirectory: t.TempDir(), JobMemory: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var staying, leavers []uint64
	for batch := range jobs / 1000 {
		payloads := make([][]byte, 1000)
		for i := range payloads {
			payloads[i] = fmt.Appendf(nil, "job %d: stays", i)
			if i%leaving == 0 {
				payloads[i] = fmt.Appendf(nil, "job %d: leaves", i)
			}
		}
		pushed, _, err := b.Push([]byte("q"), payloads, &PushOptions{Priority: uint8(batch % 3)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		j.sync()
		b.spill.awaitRoom()
		for i := range pushed {
			if i%leaving == 0 {
				leavers = append(leavers, pushed[i].ID)
			} else {
				staying = append(staying, pushed[i].ID)
			}
		}
	}
	if cold := info(t, b, "q").Cold; cold < jobs/2 {
		t.Fatalf("only %d jobs are on disk", cold)
	}

	cut := b.spill.last.Load()
	stop := make(chan struct{})
	var others sync.WaitGroup
	during := func(work func(random *rand.Rand)) {
		others.Go(func() {
			random := rand.New(rand.NewPCG(1, 2))
			for {
				select {
				case <-stop:
					return
				default:
					work(random)
					runtime.Gosched()
				}
			}
		})
	}
	name := []byte("q")
	during(func(random *rand.Rand) {
		must[[]Pushed](t)(b.Push(name, [][]byte{[]byte("new")}, &PushOptions{Priority: uint8(random.IntN(3))}, nil))
		must[[]Pushed](t)(b.Push(name, [][]byte{[]byte("urgent"), []byte("urgent")}, &PushOptions{Priority: 9}, nil))
		j.sync()
		if got := take(t, b, "q", 1); len(got) == 1 {
			must[int](t)(b.Nack(name, &NackOptions{Release: random.IntN(2) == 0}, Handles(got), nil))
		}
	})
	during(func(random *rand.Rand) {
		if _, _, err := b.Delete(name, []uint64{leavers[random.IntN(len(leavers))]}); err != nil {
			t.Error(err)
		}
	})
	found, _, scanned := searchAll(t, b, Ready, 500, "stays")
	close(stop)
	others.Wait()
	if b.spill.last.Load() == cut {
		t.Error("no run came back and was cut again meanwhile")
	}
	if scanned < len(staying) {
		t.Errorf("%d jobs were looked at, there are %d", scanned, len(staying))
	}
	for _, id := range staying {
		if found[id] != 1 {
			t.Fatalf("job %d was found %d times", id, found[id])
		}
	}
	if len(found) != len(staying) {
		t.Errorf("%d jobs were found, want %d", len(found), len(staying))
	}
	settleFetches(b)
	checkInvariants(t, b, "q")
}

// TestSearchTakesAChunkPerHold: whatever a queue holds and wherever a page begins, one hold of the lock takes a chunk at most.
func TestSearchTakesAChunkPerHold(t *testing.T) {
	b, journal := benchBroker(t)
	const jobs = 200_000
	payloads := make([][]byte, 1000)
	for batch := range jobs / 1000 {
		must[[]Pushed](t)(b.Push([]byte("q"), payloads, &PushOptions{Priority: uint8(batch / 50)}, nil))
		journal.sync()
	}
	q := b.directory.byName["q"]
	longest := time.Duration(0)
	for _, offset := range []int{0, 1, 777, jobs / 2, jobs - 1} {
		s := newSearch(Ready, jobs, Match{Text: "x"}, 1<<20)
		s.numeric, s.offset = true, offset
		left := jobs - offset
		for more := true; more; {
			began := time.Now()
			q.mu.Lock()
			var chunk []candidate
			chunk, more = s.chunkLocked(q, make([]candidate, 0, searchChunk))
			q.mu.Unlock()
			longest = max(longest, time.Since(began))
			if len(chunk) > searchChunk || s.skip > blockJobs {
				t.Fatalf("a chunk of %d jobs, %d of them in front of the offset", len(chunk), s.skip)
			}
			passed := min(s.skip, len(chunk))
			s.skip -= passed
			left -= len(chunk) - passed
		}
		if left != 0 {
			t.Fatalf("%d jobs behind %d were not taken", left, offset)
		}
	}
	t.Logf("the longest hold of the lock took %v", longest)
}

// TestSearchInEveryState compares the pages of a search, and those of a peek, with the order that each state has.
func TestSearchInEveryState(t *testing.T) {
	b, j, clock := spilling(t, func(o *Options) { o.JobMemory = 20_000 })
	create(t, b, "q", nil)
	random := rand.New(rand.NewPCG(3, 4))
	for i := range 600 {
		pushBodies(t, b, j, "q", PushOptions{Priority: uint8(i % 3), Delay: int64(i % 2 * (1000 + random.IntN(5)*1000)), HasDelay: true}, fmt.Sprint(i))
	}
	name := []byte("q")
	for i := range 30 { // some are in flight, some dead, some have come back, also into the span of a run
		got := take(t, b, "q", 5)
		must[int](t)(b.Nack(name, &NackOptions{Dead: true}, Handles(got[:1]), nil))
		must[int](t)(b.Nack(name, &NackOptions{Release: true}, Handles(got[1:2]), nil))
		if i%2 == 0 {
			must[int](t)(b.Nack(name, &NackOptions{Delay: 1, HasDelay: true}, Handles(got[2:3]), nil))
		}
		clock.Advance(time.Millisecond)
		must[int](t)(b.Extend(name, int64(20_000+random.IntN(3)), Handles(got[4:]), nil))
	}
	for settleFetches(b) {
	}
	for _, state := range []States{Ready, Delayed, Inflight, Dead} {
		views, total, next, err := b.Peek(name, state, 0, 1000, Match{}, 1<<20)
		if err != nil || next != -1 || len(views) != total || total < 25 {
			t.Fatalf("state %v: %d of %d, next %d, %v", state, len(views), total, next, err)
		}
		if !slices.IsSortedFunc(views, func(x, y View) int { return inOrder(state, &x, &y) }) {
			t.Fatalf("state %v is out of order", state)
		}
		var want []uint64
		for i := range views {
			want = append(want, views[i].ID)
		}
		for offset := range total {
			some, _, _, err := b.Peek(name, state, offset, 3, Match{}, 1<<20)
			if err != nil || len(some) != min(3, total-offset) || some[0].ID != want[offset] || some[len(some)-1].ID != want[min(offset+2, total-1)] {
				t.Fatalf("state %v at %d: %+v %v", state, offset, some, err)
			}
		}
		if state == Inflight {
			slices.Sort(want)
		}
		for _, count := range []int{1, 7, 1000} {
			if _, order, scanned := searchAll(t, b, state, count, ""); !slices.Equal(order, want) || scanned != total {
				t.Fatalf("state %v in pages of %d: %d of %d jobs\n%v\n%v", state, count, scanned, total, order, want)
			}
		}
	}
}

// inOrder is how two jobs of a state stand to each other.
func inOrder(state States, x, y *View) int {
	switch state {
	case Ready:
		return slices.Compare([]int64{-int64(x.Priority), int64(x.ID)}, []int64{-int64(y.Priority), int64(y.ID)})
	case Delayed:
		return slices.Compare([]int64{x.DueAt, int64(x.ID)}, []int64{y.DueAt, int64(y.ID)})
	case Inflight:
		return slices.Compare([]int64{x.LeaseUntil, int64(x.ID)}, []int64{y.LeaseUntil, int64(y.ID)})
	}
	return slices.Compare([]int64{y.FailedAt, int64(y.ID)}, []int64{x.FailedAt, int64(x.ID)})
}

// TestSearchOfLeasesThatMove: a lease that is extended between two pages is found once, and so is one that is cut short.
func TestSearchOfLeasesThatMove(t *testing.T) {
	b, j, _ := newTestBroker(t)
	create(t, b, "q", nil)
	for range 20 {
		pushBodies(t, b, j, "q", PushOptions{}, "x")
	}
	got := take(t, b, "q", 20)
	found := map[uint64]int{}
	for cursor, more := (Cursor{}), true; more; {
		page, err := b.Search([]byte("q"), Inflight, cursor, 4, Match{}, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for i := range page.Jobs {
			found[page.Jobs[i].ID]++
		}
		cursor, more = page.Next, page.More
		must[int](t)(b.Extend([]byte("q"), 90_000, Handles(got[:10]), nil))
		must[int](t)(b.Extend([]byte("q"), 1_000, Handles(got[10:]), nil))
	}
	for _, d := range got {
		if found[d.ID] != 1 {
			t.Fatalf("job %d was found %d times", d.ID, found[d.ID])
		}
	}
}

// TestSearchOfFewLeasesAmongManyJobs: in-flight jobs are picked from among all, a bounded number per hold of the lock.
func TestSearchOfFewLeasesAmongManyJobs(t *testing.T) {
	b, j, _ := newTestBroker(t)
	create(t, b, "q", nil)
	urgent := func() { pushBodies(t, b, j, "q", PushOptions{Priority: 1}, "a", "b", "c") }
	urgent()
	for range 5 {
		pushBodies(t, b, j, "q", PushOptions{}, make([]string, 1000)...)
	}
	urgent()
	var want []uint64
	for _, d := range take(t, b, "q", 6) {
		want = append(want, d.ID)
	}
	if _, order, scanned := searchAll(t, b, Inflight, 2, ""); !slices.Equal(order, want) || scanned != 6 {
		t.Fatalf("%v of %d, want %v", order, scanned, want)
	}
}

func TestCursorsOfOthersAreRefused(t *testing.T) {
	for _, text := range []string{"1", "1.2", "1.2.3.4", "2.0.1", "1.256.1", "1.-1.1", "1.0.-1", "1.0.x", "1.0.18446744073709551615", "x.0.1"} {
		if _, ok := ParseCursor(text, Ready); ok {
			t.Errorf("%q was taken", text)
		}
	}
	for _, state := range []States{Ready, Delayed, Inflight, Dead} {
		cursor := Cursor{state, 200, 17}
		if got, ok := ParseCursor(cursor.String(), state); !ok || got != cursor {
			t.Errorf("%q was read as %+v", cursor, got)
		}
	}
	if got, ok := ParseCursor("", Dead); !ok || got != (Cursor{}) {
		t.Error("the beginning was refused")
	}
}

// TestSearchOfReasons looks for texts in payloads and reasons, in every state: a failed job has its reason wherever it is, on disk too.
func TestSearchOfReasons(t *testing.T) {
	b, j, _ := spilling(t, nil)
	create(t, b, "q", func(c *Config) { c.MaxAttempts = 2 })
	const jobs = 90
	backlog(t, b, j, 0, jobs, PushOptions{})
	nack := func(o NackOptions, handles ...Handle) { must[int](t)(b.Nack([]byte("q"), &o, handles, nil)) }
	for i := range jobs {
		d := take(t, b, "q", 1)[0]
		o := NackOptions{Reason: fmt.Sprintf("cause %d of body", i%3), HasDelay: true}
		if o.Dead = i%5 == 0; !o.Dead {
			o.Delay = 3600_000
		}
		nack(o, handle(d))
	}
	dead, delayed := 0, 0
	for i := range jobs {
		if i%3 != 1 {
			continue
		}
		if i%5 == 0 {
			dead++
		} else {
			delayed++
		}
	}
	look := func(state States, match Match) (n int) {
		t.Helper()
		page, err := b.Search([]byte("q"), state, Cursor{}, 1000, match, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		views, _, _, err := b.Peek([]byte("q"), state, 0, 1000, match, 1<<30)
		if err != nil || len(views) != len(page.Jobs) {
			t.Fatalf("%+v by position: %d jobs, by cursor %d: %v", match, len(views), len(page.Jobs), err)
		}
		return len(views)
	}
	check := func(state States, want int) {
		t.Helper()
		for match, n := range map[Match]int{
			{Text: "cause 1"}: want, {Reason: "cause 1"}: want, {Text: "body", Reason: "cause 1"}: want, {Reason: "cause 1 of body 7"}: 0,
			{Text: "cause 2", Reason: "cause 1"}: 0, {Text: "cause 9"}: 0, {Reason: "body 4"}: 0,
		} {
			if got := look(state, match); got != n {
				t.Fatalf("%+v finds %d jobs, want %d", match, got, n)
			}
		}
	}
	check(Dead, dead)
	check(Delayed, delayed)
	must[int](t)(b.ReplayAllDead([]byte("q"), nil))
	backlog(t, b, j, jobs, 200, PushOptions{Priority: 1}) // what is less urgent goes to disk
	stored(t, b)
	if info(t, b, "q").Cold < 100 {
		t.Fatal("the jobs are not on disk")
	}
	check(Ready, dead)
	for len(take(t, b, "q", 1000)) > 0 {
		continue
	}
	check(Inflight, dead)
}
