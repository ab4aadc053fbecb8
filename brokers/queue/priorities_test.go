package queue

import (
	"fmt"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
)

// TestStartWithManyPriorities starts with a backlog of every priority, pushed in turn, most of it on disk: the spans of all runs
// overlap, in the log and in the snapshot.
func TestStartWithManyPriorities(t *testing.T) {
	jobs := 60_000
	if testing.Short() {
		jobs = 20_000
	}
	clock, journal, directory := brokertest.NewClock(testStart), brokertest.NewJournal(), t.TempDir()
	start := func() *Broker {
		t.Helper()
		began := time.Now()
		b, err := Open(Options{
			Journal: journal, Clock: clock, Durability: brokers.Never, SpillDirectory: directory, JobMemory: 4 << 20,
			runBytes: 64 << 10, runLeast: 8 << 10,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.spill.close)
		runs := b.spill.last.Load()
		t.Logf("started in %v with %d runs", time.Since(began), runs)
		// Every run holds 8 KiB of jobs at least, and is cut once or twice: what a start writes follows the data.
		if most := uint64(2 * b.bytes.Load() / (8 << 10)); runs > most {
			t.Fatalf("a start with %d jobs cut %d runs, expected %d at most", jobs, runs, most)
		}
		checkInvariants(t, b, "q")
		return b
	}
	b := start()
	body := func(i int) string { return fmt.Sprintf("body %-200d", i) }
	for i := range jobs {
		_, _, err := b.Push([]byte("q"), [][]byte{[]byte(body(i))}, &PushOptions{Priority: uint8(i)}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, source := range []string{"log", "snapshot"} {
		if info := info(t, b, "q"); info.Ready != jobs || info.Cold < jobs/4 {
			t.Fatalf("%d jobs are ready, %d of them on disk", info.Ready, info.Cold)
		}
		if source == "snapshot" {
			if err := b.Compact(); err != nil {
				t.Fatal(err)
			}
		}
		b.spill.close()
		journal = journal.Reopen(true)
		b = start()
	}
	// One run has a job, however many have it in their span.
	runs := func() []*run {
		settleFetches(b)
		q := b.directory.byName["q"]
		q.mu.Lock()
		defer q.mu.Unlock()
		return q.runsLocked()
	}
	before := runs()
	gone := before[len(before)/2].first
	if n := must[int](t)(b.Delete([]byte("q"), []uint64{gone, 1 << 40})); n != 1 {
		t.Fatal(n)
	}
	if n := must[int](t)(b.Delete([]byte("q"), []uint64{gone})); n != 0 {
		t.Fatal("a job was deleted twice")
	}
	if after := runs(); len(after) != len(before)-1 {
		t.Fatalf("of %d runs %d are left after one job was deleted", len(before), len(after))
	}
	for priority := 255; priority >= 0; priority-- {
		for next := priority; next < jobs; next += 256 {
			if uint64(next+1) == gone {
				continue
			}
			got := take(t, b, "q", 1)
			if len(got) != 1 || int(got[0].Priority) != priority || got[0].Body != body(next) {
				t.Fatalf("priority %d, job %d: %+v", priority, next, got)
			}
		}
	}
}
