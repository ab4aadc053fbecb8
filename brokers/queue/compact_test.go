package queue

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
)

// TestGrowingBacklogIsNotCompacted: a log that is all alive has nothing to give back.
func TestGrowingBacklogIsNotCompacted(t *testing.T) {
	j := &failingJournal{}
	b, err := Open(Options{Journal: j, CompactBytes: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	for j.bytes.Load() < 2_000_000 {
		if _, _, err := b.Push([]byte("q"), [][]byte{make([]byte, 100)}, &PushOptions{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if n := j.cuts.Load(); n != 0 {
		t.Fatalf("%d compactions of a log without garbage", n)
	}
}

// TestDiskStaysUnderThreeTimesTheLiveBytes lets a backlog grow and drain again and again, beside a job that is due in a
// year and dead letters, and looks at the disk as it would be with the next snapshot beside the files it replaces.
func TestDiskStaysUnderThreeTimesTheLiveBytes(t *testing.T) {
	const compactBytes = 50_000
	journal, clock := brokertest.NewJournal(), brokertest.NewClock(testStart)
	b, err := Open(Options{Journal: journal, Clock: clock, Durability: brokers.Never, CompactBytes: compactBytes})
	if err != nil {
		t.Fatal(err)
	}
	create(t, b, "q", func(c *Config) { c.Sync = brokers.Never })
	push := func(o PushOptions) {
		if _, _, err := b.Push([]byte("q"), [][]byte{bytes.Repeat([]byte("x"), 300)}, &o, nil); err != nil {
			t.Fatal(err)
		}
	}
	push(PushOptions{Delay: 365 * 24 * 3600 * 1000, HasDelay: true})
	random := rand.New(rand.NewPCG(1, 1))
	worst := 0.0
	for step := range 12_000 {
		if grows := step/2000%2 == 0; grows || random.IntN(4) == 0 {
			push(PushOptions{})
		}
		if random.IntN(3) > 0 {
			for _, d := range take(t, b, "q", 1) {
				if random.IntN(10) == 0 {
					must[int](t)(b.Nack([]byte("q"), &NackOptions{Release: true}, []Handle{handle(d)}, nil))
					continue
				}
				must[int](t)(b.Ack([]byte("q"), []Handle{handle(d)}, nil))
			}
		}
		if step%50 != 0 {
			continue
		}
		journal.AdvanceAll() // tells the broker how far the log has come
		for b.compacting.Load() {
			runtime.Gosched()
		}
		disk, live := int64(0), b.liveBytes()
		for _, record := range journal.Records() {
			disk += int64(len(record))
		}
		// Less what no log is compacted for.
		disk += live - compactBytes
		worst = max(worst, float64(disk)/float64(live))
		if disk > 3*live {
			t.Fatalf("step %d: %d bytes on disk while a snapshot is written, %d live", step, disk, live)
		}
	}
	t.Logf("at most %.2f times the live bytes", worst)
	if journal.Records()[0][1] != opMark || len(journal.Records()) > 12_000 {
		t.Fatal("nothing was compacted")
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFewBigRecordsAreCompacted acknowledges a few big jobs in one record.
func TestFewBigRecordsAreCompacted(t *testing.T) {
	journal := brokertest.NewJournal()
	b, err := Open(Options{Journal: journal, Clock: brokertest.NewClock(testStart), Durability: brokers.Never, CompactBytes: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for range 5 {
		if _, _, err := b.Push([]byte("q"), [][]byte{make([]byte, 10_000)}, &PushOptions{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	journal.AdvanceAll() // shows them
	if n := must[int](t)(b.Ack([]byte("q"), Handles(take(t, b, "q", 5)), nil)); n != 5 {
		t.Fatal(n, "acknowledged")
	}
	for end := time.Now().Add(10 * time.Second); journal.LogBytes() > 10_000; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d bytes of log, %d live", journal.LogBytes(), b.liveBytes())
		}
	}
}
