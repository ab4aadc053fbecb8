package queue

import (
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
)

// TestExpiredJobsInFrontGoInSlices starts with many expired jobs in front of one that lasts.
func TestExpiredJobsInFrontGoInSlices(t *testing.T) {
	for _, waiting := range []bool{false, true} {
		journal, clock := brokertest.NewJournal(), brokertest.NewClock(testStart)
		open := func() *Broker {
			b, err := Open(Options{Journal: journal, Clock: clock, Durability: brokers.Never})
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		b := open()
		for range 7 {
			must[[]Pushed](t)(b.Push([]byte("q"), make([][]byte, sliceJobs/2), &PushOptions{TTL: 1000, HasTTL: true}, nil))
		}
		must[[]Pushed](t)(b.Push([]byte("q"), [][]byte{[]byte("lasts")}, &PushOptions{}, nil))
		b.Close()
		clock.Advance(2 * time.Second)
		journal = journal.Reopen(true)
		b = open()
		var jobs []Delivery
		if waiting {
			w := wait(t, b, PopOptions{}, "q")
			clock.Advance(0)
			jobs, _, _, _ = w.Finish()
		} else {
			jobs = take(t, b, "q", 1)
		}
		if len(jobs) != 1 || jobs[0].Body != "lasts" {
			t.Fatalf("waiting %v: %+v", waiting, jobs)
		}
		for _, record := range journal.Records() {
			if record[1] != opChange {
				continue
			}
			r, changes := &reader{body: record[2:]}, 0
			_, now, _ := r.uint(), r.time(), r.text()
			for len(r.body) > 0 {
				decodeChange(r, now)
				changes++
			}
			if r.err != nil || changes > 2*sliceJobs {
				t.Fatalf("waiting %v: %d jobs change at once (%v)", waiting, changes, r.err)
			}
		}
		b.Close()
	}
}

// TestALowerMaxLenTakesHoldInSlices lowers MAXLEN far below the length of a queue that drops its oldest jobs.
func TestALowerMaxLenTakesHoldInSlices(t *testing.T) {
	b, j, _ := newTestBroker(t)
	create(t, b, "q", func(c *Config) { c.MaxLen, c.DropOldest = 10_000, true })
	for range 7 {
		must[[]Pushed](t)(b.Push([]byte("q"), make([][]byte, sliceJobs/2), &PushOptions{}, nil))
	}
	j.syncAll()
	if _, err := b.Configure([]byte("q"), func(c *Config) error { c.MaxLen = 10; return nil }); err != nil {
		t.Fatal(err)
	}
	left := 7 * sliceJobs / 2
	for left > 10 {
		pushBodies(t, b, j, "q", PushOptions{}, "x")
		left = max(left+1-(sliceJobs+1), 10)
		if now := info(t, b, "q"); now.Ready != left {
			t.Fatalf("%d are left, want %d", now.Ready, left)
		}
	}
}
