package queue

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
)

// onDisk is a broker with a backlog of two priorities in turn, most of it in runs, and a snapshot that lists them.
func onDisk(t *testing.T, jobs int) (*Broker, *handJournal, *brokertest.Clock) {
	t.Helper()
	b, j, clock := spilling(t, nil)
	create(t, b, "q", nil)
	for i := range jobs {
		pushBodies(t, b, j, "q", PushOptions{Priority: uint8(i % 2)}, fmt.Sprintf("body %d", i))
	}
	stored(t, b)
	compacted(t, b, j)
	return b, j, clock
}

func compacted(t *testing.T, b *Broker, j *handJournal) {
	t.Helper()
	j.syncAll()
	if err := b.Compact(); err != nil {
		t.Fatal(err)
	}
}

// deliveries takes and acknowledges everything, and returns the bodies in order.
func deliveries(t *testing.T, b *Broker, j *handJournal) (bodies []string) {
	t.Helper()
	for {
		got := take(t, b, "q", 13)
		if len(got) == 0 {
			return bodies
		}
		for i := range got {
			bodies = append(bodies, got[i].Body)
		}
		must[int](t)(b.Ack([]byte("q"), Handles(got), nil))
		j.syncAll()
	}
}

// inTurn is the bodies of onDisk as they should be delivered, without the first ones.
func inTurn(jobs, without int) (bodies []string) {
	for _, priority := range []int{1, 0} {
		for i := priority; i < jobs; i += 2 {
			bodies = append(bodies, fmt.Sprintf("body %d", i))
		}
	}
	return bodies[without:]
}

func TestStartReadsNoRun(t *testing.T) {
	const jobs = 600
	b, j, clock := onDisk(t, jobs)
	was, cut := info(t, b, "q"), b.spill.last.Load()
	for round := range 3 {
		b, j = startedAgain(t, b, j, clock)
		now := info(t, b, "q")
		if now.Ready != jobs || now.Cold != was.Cold || now.Bytes != was.Bytes || now.ColdBytes != was.ColdBytes || b.spill.last.Load() != cut {
			t.Fatalf("round %d: %+v with %d runs, was %+v with %d", round, now, b.spill.last.Load(), was, cut)
		}
		if now.Cold < jobs*3/4 {
			t.Fatalf("%d jobs are on disk", now.Cold)
		}
		checkInvariants(t, b, "q")
		if round == 1 {
			compacted(t, b, j) // a snapshot of what was read from one
		}
	}
	if got := deliveries(t, b, j); !slices.Equal(got, inTurn(jobs, 0)) {
		t.Fatalf("%d deliveries: %v", len(got), got)
	}
	// The runs are read, and their jobs gone, but the snapshot of the journal still begins with them.
	b, j = startedAgain(t, b, j, clock)
	if now := info(t, b, "q"); now.Ready+now.Inflight != 0 || now.Counters.Acked != jobs {
		t.Fatalf("%+v", now)
	}
	compacted(t, b, j)
	if m := b.Memory(); m.OnDisk != 0 || b.deadRuns.Load() != 0 {
		t.Fatalf("%+v, %d bytes of dead runs", m, b.deadRuns.Load())
	}
}

// TestChangesAfterTheSnapshot crashes when half of what is listed has been worked on, in every way.
func TestChangesAfterTheSnapshot(t *testing.T) {
	const jobs = 600
	b, j, clock := onDisk(t, jobs)
	got := take(t, b, "q", 200)
	must[int](t)(b.Ack([]byte("q"), Handles(got[:100]), nil))
	must[int](t)(b.Nack([]byte("q"), &NackOptions{Dead: true, Reason: "r"}, Handles(got[100:150]), nil))
	must[int](t)(b.Nack([]byte("q"), &NackOptions{Release: true}, Handles(got[150:]), nil))
	must[int](t)(b.Delete([]byte("q"), []uint64{jobs - 1, jobs - 3})) // of priority 0, the last ones
	backlog(t, b, j, jobs, 50, PushOptions{Priority: 9})
	for range 2 {
		b, j = startedAgain(t, b, j, clock)
		checkInvariants(t, b, "q")
		if now := info(t, b, "q"); now.Ready != jobs-100-50-2+50 || now.Dead != 50 || now.Counters.Acked != 100 || now.Counters.Pushed != jobs+50 {
			t.Fatalf("%+v", now)
		}
		compacted(t, b, j)
	}
	bodies := deliveries(t, b, j)
	want := slices.DeleteFunc(inTurn(jobs, 150), func(body string) bool {
		return body == fmt.Sprint("body ", jobs-2) || body == fmt.Sprint("body ", jobs-4)
	})
	if !slices.Equal(bodies[50:], want) {
		t.Fatalf("%d deliveries, want %d: %v", len(bodies)-50, len(want), bodies)
	}
}

// doubtfulJournal fails the end of every compaction: before the snapshot is written, or when it may be what a start finds.
type doubtfulJournal struct {
	*handJournal
	unclear bool
}

func (j *doubtfulJournal) Cut() (brokers.Finish, error) {
	finish, err := j.handJournal.Cut()
	return func(dump brokers.Dump) error {
		doubt := errors.New("the disk has failed")
		if !j.unclear {
			return errors.Join(doubt, finish(func(brokers.Emit) error { return doubt }))
		}
		return errors.Join(doubt, finish(dump))
	}, err
}

func TestFailedSnapshotKeepsTheFilesOfTheLast(t *testing.T) {
	for _, unclear := range []bool{false, true} {
		t.Run(fmt.Sprint("unclear ", unclear), func(t *testing.T) {
			const jobs = 600
			b, j, clock := onDisk(t, jobs)
			b.journal = &doubtfulJournal{j, unclear}
			var acked int
			for range 4 {
				got := take(t, b, "q", 60)
				acked += must[int](t)(b.Ack([]byte("q"), Handles(got), nil))
				j.syncAll()
				stored(t, b)
				if err := b.Compact(); err == nil {
					t.Fatal("the compaction has not failed")
				}
			}
			b, j = startedAgain(t, b, j, clock)
			if got := deliveries(t, b, j); acked != 240 || !slices.Equal(got, inTurn(jobs, acked)) {
				t.Fatalf("%d acknowledged, then %d deliveries: %v", acked, len(got), got)
			}
			compacted(t, b, j)
			if m := b.Memory(); m.OnDisk != 0 || b.deadRuns.Load() != 0 {
				t.Fatalf("%+v, %d bytes of dead runs", m, b.deadRuns.Load())
			}
		})
	}
}

func TestListedRunThatIsNotThere(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"missing": os.Remove,
		"short":   func(path string) error { return os.Truncate(path, 10) },
		"long":    func(path string) error { return os.WriteFile(path, make([]byte, 1<<20), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			const jobs = 600
			b, j, clock := onDisk(t, jobs)
			b.spill.close()
			files := runFiles(t, b)
			path := files[len(files)/2]
			if err := damage(path); err != nil {
				t.Fatal(err)
			}
			left := len(runFiles(t, b))
			again := newHandJournal(j.Reopen(true))
			options := b.options
			options.Journal = again
			_, err := Open(options)
			if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), filepath.Base(path)+lostSuffix) {
				t.Fatalf("a start without %s: %v", path, err)
			}
			if len(runFiles(t, b)) != left {
				t.Fatal("a start that was refused has removed files")
			}
			if err := os.WriteFile(path+lostSuffix, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			b, j = startedAgain(t, b, j, clock)
			checkInvariants(t, b, "q")
			lost := int(b.PassedOver())
			got := deliveries(t, b, j)
			if lost == 0 || len(got) != jobs-lost {
				t.Fatalf("%d lost, %d delivered", lost, len(got))
			}
		})
	}
	t.Run("flipped", func(t *testing.T) {
		b, j, clock := onDisk(t, 600)
		for _, path := range runFiles(t, b) {
			if err := flipBit(path); err != nil {
				t.Fatal(err)
			}
		}
		b, _ = startedAgain(t, b, j, clock)
		_, _, err := b.Pop([]byte("q"), &PopOptions{Count: 600}, nil)
		for range 40 {
			if err == nil {
				_, _, err = b.Pop([]byte("q"), &PopOptions{Count: 600}, nil)
			}
		}
		if !isCode(err, "IOERR") {
			t.Fatal(err)
		}
	})
}

// TestDirectoryOfAnEarlierVersion opens a journal whose snapshot has every job, beside files that mean nothing.
func TestDirectoryOfAnEarlierVersion(t *testing.T) {
	j, clock := newHandJournal(brokertest.NewJournal()), brokertest.NewClock(testStart)
	b, err := Open(Options{Journal: j, Clock: clock, Durability: brokers.Always}) // without a directory nothing is ever in a run
	if err != nil {
		t.Fatal(err)
	}
	create(t, b, "q", nil)
	for i := range 300 {
		pushBodies(t, b, j, "q", PushOptions{Priority: uint8(i % 2)}, fmt.Sprintf("body %d", i))
	}
	compacted(t, b, j)
	directory := t.TempDir()
	for _, name := range []string{"run-1", "run-700", "jobs-3", "notes"} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	j = newHandJournal(j.Reopen(true))
	b = spillingOn(t, j, clock, func(o *Options) { o.SpillDirectory = directory })
	for name, kept := range map[string]bool{"run-1": false, "run-700": false, "jobs-3": false, "notes": true} {
		if _, err := os.Stat(filepath.Join(directory, name)); (err == nil) != kept {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if b.spill.last.Load() < 4 {
		t.Fatal("a number was given again")
	}
	if got := deliveries(t, b, j); !slices.Equal(got, inTurn(300, 0)) {
		t.Fatalf("%d deliveries", len(got))
	}
}

// TestRunRecord reads descriptors back, and refuses those that are cut short.
func TestRunRecord(t *testing.T) {
	for _, gap := range []uint64{1, 3, 70_000} {
		var jobs []*job
		for i := range uint64(50) {
			jobs = append(jobs, &job{id: 7 + i*gap, body: fmt.Sprint(i), pushedAt: 5, expiresAt: int64(i), priority: 200})
		}
		r := encodeRun(jobs, stateReady, 4, "q", 0)
		r.number = 9
		record := r.record(nil, 4, 0, 0)
		read := func(body []byte) (*run, error) {
			d := &reader{body: body[2:]}
			if number := d.uint(); d.err == nil && number != 4 {
				t.Fatal(number)
			}
			got := decodeRun(d)
			return got, d.err
		}
		got, err := read(record)
		if err != nil || !slices.Equal(got.record(nil, 4, 0, 0), record) {
			t.Fatalf("%+v %v", got, err)
		}
		for i := range jobs {
			if !got.holds(jobs[i].id) || gap > 1 && got.holds(jobs[i].id+1) {
				t.Fatalf("gap %d: job %d", gap, i)
			}
		}
		for cut := 2; cut < len(record); cut++ {
			if _, err := read(record[:cut]); err == nil {
				t.Fatalf("gap %d: a record cut at %d of %d is taken", gap, cut, len(record))
			}
		}
	}
}

// TestTimesOnDiskOverLives has jobs with a TTL on disk over several lives, in which the wall clock is set: what is left of the TTL
// follows the time that passes, and a wait at most begins again where a snapshot was made.
func TestTimesOnDiskOverLives(t *testing.T) {
	b, j, clock := spilling(t, nil)
	create(t, b, "q", nil)
	const jobs = 300
	pushed := clock.Now().UnixMilli()
	backlog(t, b, j, 0, jobs, PushOptions{TTL: 60_000, HasTTL: true})
	stored(t, b)
	wall := int64(0) // how far the wall has been set forward
	left := int64(60_000)
	check := func(what string) {
		t.Helper()
		now := info(t, b, "q")
		if now.Ready != jobs || now.Cold < jobs/2 {
			t.Fatalf("%s: %+v", what, now)
		}
		for _, id := range []uint64{1, jobs / 2, jobs} {
			view, found, err := b.Get([]byte("q"), id)
			if err != nil || !found || view.ExpiresAt != clock.Now().UnixMilli()+left || view.PushedAt != pushed+wall {
				t.Fatalf("%s: %+v %v, expected to expire in %d ms, pushed at %d", what, view, err, left, pushed+wall)
			}
		}
	}
	pass := func(d int64) {
		clock.Advance(time.Duration(d) * time.Millisecond)
		left -= d
	}
	check("at first")
	pass(5000)
	clock.Step(24 * time.Hour)
	wall += 24 * 3600_000
	check("set forward")
	compacted(t, b, j)
	pass(5000)
	b, j = startedAgain(t, b, j, clock)
	check("second life")
	clock.Step(-48 * time.Hour)
	wall -= 48 * 3600_000
	check("set back")
	compacted(t, b, j)
	pass(5000)
	b, j = startedAgain(t, b, j, clock)
	check("third life")
	compacted(t, b, j)
	clock.Step(-time.Hour) // while nothing runs
	b, j = startedAgain(t, b, j, clock)
	wall -= 3600_000
	check("set back between two lives")
	b, _ = startedAgain(t, b, j, clock)
	pass(left - 1)
	calm(t, b, clock)
	if now := info(t, b, "q"); now.Ready != jobs {
		t.Fatalf("before the end: %+v", now)
	}
	clock.Advance(time.Millisecond)
	if got := take(t, b, "q", jobs); len(got) != 0 {
		t.Fatalf("%d jobs outlived their TTL", len(got))
	}
}
