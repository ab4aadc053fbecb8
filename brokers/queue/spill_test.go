package queue

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
)

// spilling opens a broker that keeps as little as it can in RAM: runs of about ten jobs.
func spilling(t testing.TB, alter func(*Options)) (*Broker, *handJournal, *brokertest.Clock) {
	t.Helper()
	j, clock := newHandJournal(brokertest.NewJournal()), brokertest.NewClock(testStart)
	return spillingOn(t, j, clock, alter), j, clock
}

func spillingOn(t testing.TB, j *handJournal, clock brokers.Clock, alter func(*Options)) *Broker {
	t.Helper()
	o := Options{Journal: j, Clock: clock, Durability: brokers.Always, SpillDirectory: t.TempDir(), JobMemory: 1,
		runBytes: 2000, runLeast: 1000, fetchAhead: 1}
	if alter != nil {
		alter(&o)
	}
	b, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.spill.close)
	j.syncAll()
	return b
}

// backlog pushes jobs whose bodies are their numbers, from first on.
func backlog(t testing.TB, b *Broker, j *handJournal, first, count int, o PushOptions) []uint64 {
	t.Helper()
	var ids []uint64
	for i := first; i < first+count; i++ {
		ids = append(ids, pushBodies(t, b, j, "q", o, fmt.Sprintf("body %d", i))...)
	}
	return ids
}

// stored waits until every run is in its file and more can be cut.
func stored(t testing.TB, b *Broker) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); b.spill.unwritten.Load() != 0 || b.spill.blocked.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("runs stay unwritten")
		}
	}
}

func runFiles(t testing.TB, b *Broker) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(b.options.SpillDirectory, "jobs-*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// flipBit flips a bit in a file, or back.
func flipBit(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	content[len(content)/2] ^= 1
	return os.WriteFile(path, content, 0o600)
}

func TestBacklogGoesToDiskAndComesBackInOrder(t *testing.T) {
	b, j, clock := spilling(t, nil)
	create(t, b, "q", nil)
	ids := backlog(t, b, j, 0, 300, PushOptions{})
	stored(t, b)
	was := info(t, b, "q")
	if was.Ready != 300 || was.Cold < 250 || was.ColdBytes == 0 || b.hot() > 3000 {
		t.Fatalf("%+v with %d bytes in RAM", was, b.hot())
	}
	for i, id := range ids {
		if view, found, err := b.Get([]byte("q"), id); err != nil || !found || view.Body != fmt.Sprintf("body %d", i) || view.State != "ready" {
			t.Fatalf("job %d: %+v %v %v", id, view, found, err)
		}
	}
	for offset := 0; offset < 300; {
		views, total, next, err := b.Peek([]byte("q"), Ready, offset, 37, Match{}, 1<<20)
		if err != nil || total != 300 || len(views) != min(37, 300-offset) || views[0].ID != ids[offset] || views[len(views)-1].ID != ids[offset+len(views)-1] {
			t.Fatalf("peek at %d: %d views of %d, %v", offset, len(views), total, err)
		}
		if offset += len(views); next != offset && offset < 300 {
			t.Fatalf("next is %d, want %d", next, offset)
		}
	}
	if views, _, _, err := b.Peek([]byte("q"), Ready, 0, 10, Match{Text: "body 29"}, 1<<20); err != nil || len(views) != 10 {
		t.Fatalf("%d found, %v", len(views), err)
	}
	if err := b.Compact(); err != nil {
		t.Fatal(err)
	}
	b, _ = startedAgain(t, b, j, clock)
	if now := info(t, b, "q"); now.Ready != 300 || now.Cold < 250 || now.Bytes != was.Bytes {
		t.Fatalf("after the restart %+v", now)
	}
	for i := 0; i < 300; {
		for _, d := range take(t, b, "q", 7) {
			if d.ID != ids[i] || d.Body != fmt.Sprintf("body %d", i) {
				t.Fatalf("delivery %d is %+v", i, d)
			}
			must[int](t)(b.Ack([]byte("q"), []Handle{handle(d)}, nil))
			i++
		}
	}
	if m := b.Memory(); m.Cold != 0 || m.OnDisk == 0 {
		t.Fatalf("left: %+v", m) // the files stay while a start would read the snapshot that lists them
	}
	if err := b.Compact(); err != nil {
		t.Fatal(err)
	}
	if m := b.Memory(); m.OnDisk != 0 {
		t.Fatalf("left: %+v", m)
	}
}

// startedAgain is what follows on a broker that is killed, in the same directory.
func startedAgain(t testing.TB, b *Broker, j *handJournal, clock brokers.Clock) (*Broker, *handJournal) {
	t.Helper()
	b.spill.close() // the goroutine would die with the process
	j = newHandJournal(j.Reopen(true))
	directory := b.options.SpillDirectory
	return spillingOn(t, j, clock, func(o *Options) { o.SpillDirectory = directory }), j
}

func TestRunFilesGoWithTheirJobs(t *testing.T) {
	gone := func(t *testing.T, b *Broker) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); len(runFiles(t, b)) > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d files are left", len(runFiles(t, b)))
			}
		}
		if m := b.Memory(); m.Bytes != 0 || m.Cold != 0 || m.OnDisk != 0 {
			t.Fatalf("left: %+v", m)
		}
	}
	for name, end := range map[string]func(b *Broker, ids []uint64) int{
		"purge": func(b *Broker, _ []uint64) int { n, _, _ := b.Purge([]byte("q"), Ready); return n },
		"drop": func(b *Broker, ids []uint64) int {
			_, _, _ = b.Drop([][]byte{[]byte("q")})
			return len(ids)
		},
		"delete": func(b *Broker, ids []uint64) int {
			slices.Reverse(ids)
			n, _, _ := b.Delete([]byte("q"), append(ids, 1<<60))
			return n
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, j, _ := spilling(t, nil)
			create(t, b, "q", nil)
			ids := backlog(t, b, j, 0, 100, PushOptions{Priority: 3})
			ids = append(ids, backlog(t, b, j, 0, 100, PushOptions{Priority: 200})...)
			stored(t, b)
			if len(runFiles(t, b)) == 0 {
				t.Fatal("nothing is on disk")
			}
			if n := end(b, ids); n != 200 {
				t.Fatalf("%d jobs went", n)
			}
			gone(t, b)
		})
	}
}

func TestFilesOfAnEarlierLifeAreWiped(t *testing.T) {
	b, j, clock := spilling(t, nil)
	create(t, b, "q", nil)
	backlog(t, b, j, 0, 100, PushOptions{})
	stored(t, b)
	dir := t.TempDir()
	for name, content := range map[string]string{"run-1": "from another life", "run-7": "", "notes": "not ours"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b = spillingOn(t, newHandJournal(j.Reopen(true)), clock, func(o *Options) { o.SpillDirectory = dir })
	if got := take(t, b, "q", 100); len(got) != 100 || got[99].Body != "body 99" {
		t.Fatalf("%d jobs", len(got))
	}
	if _, err := os.Stat(filepath.Join(dir, "notes")); err != nil {
		t.Fatal(err)
	}
}

func TestUnreadableRunIsAnErrorAndLosesNothing(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"missing": os.Remove,
		"short":   func(path string) error { return os.Truncate(path, 10) },
		"flipped": flipBit,
	} {
		t.Run(name, func(t *testing.T) {
			b, j, clock := spilling(t, nil)
			create(t, b, "q", nil)
			backlog(t, b, j, 0, 100, PushOptions{})
			stored(t, b)
			saved := map[string][]byte{}
			for _, path := range runFiles(t, b) {
				saved[path], _ = os.ReadFile(path)
				if err := damage(path); err != nil {
					t.Fatal(err)
				}
			}
			popped := 0
			for {
				got, _, err := b.Pop([]byte("q"), &PopOptions{Count: 1}, nil)
				if err != nil {
					if !isCode(err, "IOERR") {
						t.Fatal(err)
					}
					break
				}
				popped += len(got)
			}
			if now := info(t, b, "q"); now.Ready != 100-popped || now.Inflight != popped {
				t.Fatalf("%+v after %d pops", now, popped)
			}
			// Fetching ahead for the last pop may have failed too: a waiter joins once that is over.
			settleFetches(b)
			w := wait(t, b, PopOptions{Count: 1}, "q")
			<-w.C()
			if jobs, _, _, err := w.Finish(); !isCode(err, "IOERR") || len(jobs) != 0 {
				t.Fatalf("a waiter got %d jobs, %v", len(jobs), err)
			}
			if _, _, _, err := b.Peek([]byte("q"), Ready, 0, 100, Match{}, 1<<20); !isCode(err, "IOERR") {
				t.Fatalf("peek: %v", err)
			}
			if err := b.Compact(); !isCode(err, "IOERR") {
				t.Fatalf("a snapshot without the jobs on disk: %v", err)
			}
			// The journal is the truth, and the disk may come back.
			again := spillingOn(t, newHandJournal(j.Reopen(true)), clock, nil)
			if now := info(t, again, "q"); now.Ready != 100-popped {
				t.Fatalf("after a restart %+v", now)
			}
			for path, content := range saved {
				if err := os.WriteFile(path, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for popped < 100 {
				popped += len(take(t, b, "q", 10))
			}
		})
	}
}

func TestFullDiskKeepsJobsInMemory(t *testing.T) {
	var full atomic.Bool
	full.Store(true)
	failures := make(chan error, 100)
	b, j, _ := spilling(t, func(o *Options) {
		o.MaxMemory = 30_000
		o.Failed = func(err error) { failures <- err }
	})
	write := b.spill.writes
	b.spill.writes = func(path string, bytes []byte) (*os.File, error) {
		if full.Load() {
			return nil, &os.PathError{Op: "write", Path: path, Err: syscall.ENOSPC}
		}
		return write(path, bytes)
	}
	create(t, b, "q", nil)
	pushed := 0
	var failure error
	for {
		_, _, err := b.Push([]byte("q"), [][]byte{bytes.Repeat([]byte("x"), 100)}, &PushOptions{}, nil)
		j.syncAll()
		if failure == nil && b.spill.last.Load() > 0 {
			failure = <-failures // until the first write has failed, what waits for it does not count
		}
		if err != nil {
			if !isCode(err, "OOM") {
				t.Fatal(err)
			}
			break
		}
		if pushed++; pushed > 1000 {
			t.Fatal("the limit is not kept")
		}
	}
	if !errors.Is(failure, syscall.ENOSPC) {
		t.Fatal(failure)
	}
	if m := b.Memory(); !m.Blocked || m.RAM <= m.Limit {
		t.Fatalf("%+v", m)
	}
	half := pushed / 2
	for popped := 0; popped < half; {
		got := take(t, b, "q", 10)
		must[int](t)(b.Ack([]byte("q"), Handles(got), nil))
		popped += len(got)
		pushed -= len(got)
	}
	full.Store(false)
	b.spill.signal()
	stored(t, b)
	for more := range 500 {
		if _, _, err := b.Push([]byte("q"), [][]byte{bytes.Repeat([]byte("x"), 100)}, &PushOptions{}, nil); err != nil {
			t.Fatalf("push %d after the disk has room: %v", more, err)
		}
		j.syncAll()
		stored(t, b)
		pushed++
	}
	for pushed > 0 {
		pushed -= len(take(t, b, "q", 100))
	}
}

func TestExpiredJobsOnDisk(t *testing.T) {
	b, j, clock := spilling(t, nil)
	create(t, b, "q", nil)
	backlog(t, b, j, 0, 50, PushOptions{TTL: 5000, HasTTL: true})
	clock.Advance(time.Second)
	lasting := backlog(t, b, j, 50, 1, PushOptions{})
	backlog(t, b, j, 51, 49, PushOptions{TTL: 5000, HasTTL: true})
	if info(t, b, "q").Cold < 80 {
		t.Fatal("not on disk")
	}
	clock.Advance(10 * time.Second)
	calm(t, b, clock)
	// Whole runs of expired jobs go by themselves; what shares a run with a lasting job goes when it comes back.
	if now := info(t, b, "q"); now.Ready > 25 || now.Counters.Expired < 75 {
		t.Fatalf("%+v", now)
	}
	if got := take(t, b, "q", 100); len(got) != 1 || got[0].ID != lasting[0] {
		t.Fatalf("%+v", got)
	}
	calm(t, b, clock)
	if got := take(t, b, "q", 100); len(got) != 0 {
		t.Fatalf("%+v", got)
	}
	if now := info(t, b, "q"); now.Ready != 0 || now.Counters.Expired != 99 {
		t.Fatalf("%+v", now)
	}
}

func TestDropOldestFromDisk(t *testing.T) {
	b, j, _ := spilling(t, nil)
	create(t, b, "q", func(c *Config) { c.MaxLen, c.DropOldest = 100, true })
	ids := backlog(t, b, j, 0, 100, PushOptions{})
	for i := range 150 {
		ids = append(ids, backlog(t, b, j, 100+i, 1, PushOptions{})...)
	}
	if got := info(t, b, "q"); got.Ready != 100 || got.Counters.Dropped != 150 {
		t.Fatalf("%+v", got)
	}
	if got := take(t, b, "q", 100); len(got) != 100 || got[0].ID != ids[150] || got[99].ID != ids[249] {
		t.Fatalf("%d jobs", len(got))
	}
}

func TestWaiterGetsAJobFromDisk(t *testing.T) {
	b, j, _ := spilling(t, nil)
	create(t, b, "q", nil)
	if _, err := b.Pause([]byte("q"), false, true, 0); err != nil {
		t.Fatal(err)
	}
	var waiters []*Waiter
	for range 20 {
		waiters = append(waiters, wait(t, b, PopOptions{Count: 5}, "q"))
	}
	ids := backlog(t, b, j, 0, 100, PushOptions{})
	if _, err := b.Resume([]byte("q")); err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, w := range waiters {
		<-w.C()
		jobs, _, _, err := w.Finish()
		if err != nil || len(jobs) == 0 || len(jobs) > 5 {
			t.Fatalf("%d jobs, %v", len(jobs), err)
		}
		for _, d := range jobs {
			if d.ID != ids[at] {
				t.Fatalf("got %d, want %d", d.ID, ids[at])
			}
			at++
		}
	}
}

// TestSpillUnderLoad pushes, pops, deletes, purges, peeks and compacts at once while everything goes through the disk; then each
// job has been in exactly one place.
func TestSpillUnderLoad(t *testing.T) {
	journal, clock := brokertest.NewJournal(), brokertest.NewClock(testStart)
	dir := t.TempDir()
	b, err := Open(Options{Journal: journal, Clock: clock, Durability: brokers.Always, CompactBytes: 50_000,
		SpillDirectory: dir, JobMemory: 1, runBytes: 10_000, runLeast: 1000, fetchAhead: 1})
	if err != nil {
		t.Fatal(err)
	}
	create(t, b, "q", nil)
	var group sync.WaitGroup
	var seen sync.Map
	for worker := range 4 {
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(worker), 3))
			name := []byte("q")
			for range 800 {
				pushed, receipt, err := b.Push(name, [][]byte{[]byte("x"), []byte("y"), []byte("z")}, &PushOptions{Priority: uint8(worker / 2)}, nil)
				if err == nil {
					err = receipt.Wait()
				}
				if err != nil {
					t.Error(err)
					return
				}
				if _, found, err := b.Get(name, pushed[0].ID); err != nil {
					t.Errorf("get: %v %v", found, err)
				}
				switch random.IntN(20) {
				case 0:
					if _, _, err := b.Delete(name, []uint64{pushed[1].ID, pushed[2].ID}); err != nil {
						t.Error(err)
					}
				case 1:
					if _, _, _, err := b.Peek(name, Ready, random.IntN(100), 10, Match{}, 1<<20); err != nil {
						t.Error(err)
					}
				}
				jobs, _, err := b.Pop(name, &PopOptions{Count: 1 + random.IntN(4)}, nil)
				if err != nil {
					t.Error(err)
				}
				for _, d := range jobs {
					if _, twice := seen.LoadOrStore(handle(d), true); twice {
						t.Errorf("%v was given twice", handle(d))
					}
					switch random.IntN(4) {
					case 0:
						must[int](t)(b.Nack(name, &NackOptions{Release: true}, []Handle{handle(d)}, nil))
					case 1:
					default:
						must[int](t)(b.Ack(name, []Handle{handle(d)}, nil))
					}
				}
			}
		})
	}
	group.Wait()
	settleFetches(b)
	checkInvariants(t, b, "q")
	if b.spill.last.Load() < 100 {
		t.Fatalf("only %d runs were cut", b.spill.last.Load())
	}
	before := info2(b, "q")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if files := runFiles(t, b); len(files) != len(b.listed) {
		t.Fatalf("%d files are left, the snapshot lists %d", len(files), len(b.listed))
	}
	options := b.options
	options.Journal = journal.Reopen(true)
	if b, err = Open(options); err != nil {
		t.Fatal(err)
	}
	defer b.spill.close()
	if after := info2(b, "q"); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Fatalf("before %v, after %v", before, after)
	}
	checkInvariants(t, b, "q")
}

// TestDroppedQueueIsNotCut: what is left of a dropped queue when its pushes become durable must not be counted again.
func TestDroppedQueueIsNotCut(t *testing.T) {
	b, j, _ := spilling(t, func(o *Options) { o.JobMemory = 1 << 20 })
	create(t, b, "q", nil)
	backlog(t, b, j, 0, 50, PushOptions{})
	must[[]Pushed](t)(b.Push([]byte("q"), [][]byte{[]byte("pending")}, &PushOptions{}, nil))
	if _, _, err := b.Drop([][]byte{[]byte("q")}); err != nil {
		t.Fatal(err)
	}
	b.options.JobMemory = -1
	j.syncAll()
	if m := b.Memory(); m.Bytes != 0 || m.RAM != 0 || m.Cold != 0 {
		t.Fatalf("%+v", m)
	}
}

func TestMaxMemoryIsAClearError(t *testing.T) {
	b, j, _ := newTestBroker(t)
	b.options.MaxMemory = 500
	for range 4 {
		if _, _, err := b.Push([]byte("q"), [][]byte{[]byte("x")}, &PushOptions{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	j.syncAll()
	_, _, err := b.Push([]byte("q"), [][]byte{[]byte("x")}, &PushOptions{}, nil)
	if !isCode(err, "OOM") || !strings.Contains(err.Error(), "jobs take 644 bytes of memory, the limit is 500") {
		t.Fatal(err)
	}
	if got := take(t, b, "q", 4); len(got) != 4 || must[int](t)(b.Ack([]byte("q"), Handles(got), nil)) != 4 {
		t.Fatal("jobs cannot leave")
	}
	pushBodies(t, b, j, "q", PushOptions{}, "x")
}

func TestABacklogWhoseTimeIsOverComesBackPieceByPiece(t *testing.T) {
	b, j, clock := spilling(t, nil)
	create(t, b, "q", nil)
	backlog(t, b, j, 0, 1000, PushOptions{TTL: 1000, HasTTL: true})
	stored(t, b)
	q := b.directory.byName["q"]
	b.world.Lock() // what is fetched cannot come back yet
	q.mu.Lock()
	runs := q.runsLocked()
	q.expireRunsLocked(b.steady() + 2000)
	fetched := 0
	for _, r := range runs {
		if r.fetch != nil {
			fetched++
		}
	}
	q.mu.Unlock()
	b.world.Unlock()
	if len(runs) < 20 || fetched == 0 || fetched > runExpiryFetches {
		t.Fatalf("%d of %d runs are fetched at once", fetched, len(runs))
	}
	clock.Advance(2 * time.Second)
	for end := time.Now().Add(10 * time.Second); info(t, b, "q").Counters.Expired != 1000; time.Sleep(time.Millisecond) {
		clock.Advance(time.Millisecond)
		if time.Now().After(end) {
			t.Fatalf("%+v", info(t, b, "q"))
		}
	}
}
