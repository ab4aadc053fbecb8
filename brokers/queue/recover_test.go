package queue

import (
	"math/rand/v2"
	"testing"

	"github.com/nexobroker/nexo/brokers/brokertest"
)

// TestAnyRecordMayBeLost takes each record out of a log, as a repair does with a damaged one, and some together.
func TestAnyRecordMayBeLost(t *testing.T) {
	b, j, clock := newTestBroker(t)
	for _, name := range []string{"q", "other", "q"} {
		b.Drop([][]byte{[]byte(name)})
		create(t, b, name, nil)
		pushBodies(t, b, j, name, PushOptions{TTL: 60_000, HasTTL: true}, "a", "b", "c", "d", "e", "f")
		jobs := take(t, b, name, 5)
		must[int](t)(b.Ack([]byte(name), Handles(jobs[:1]), nil))
		must[int](t)(b.Nack([]byte(name), &NackOptions{Dead: true, Reason: "r"}, Handles(jobs[1:3]), nil))
		must[int](t)(b.Nack([]byte(name), &NackOptions{Delay: 1000, HasDelay: true}, Handles(jobs[3:4]), nil))
		must[int](t)(b.Extend([]byte(name), 60_000, Handles(jobs[4:]), nil))
		must[int](t)(b.Nack([]byte(name), &NackOptions{Release: true}, Handles(jobs[4:]), nil))
	}
	must[int](t)(b.ReplayAllDead([]byte("q"), []byte("other")))
	must[int](t)(b.ReplayAllDead([]byte("other"), nil))
	take(t, b, "other", 3)
	j.syncAll()
	records := j.Records()
	without := func(lost func(i int) bool) {
		t.Helper()
		journal := brokertest.NewJournal()
		var kinds []byte
		for i, record := range records {
			if !lost(i) {
				journal.Append(record, true)
			} else {
				kinds = append(kinds, record[1])
			}
		}
		b, err := Open(Options{Journal: journal.Reopen(true), Clock: clock})
		if err != nil {
			t.Fatalf("without records of the kinds %d: %v", kinds, err)
		}
		checkInvariants(t, b, "q")
		checkInvariants(t, b, "other")
		if len(kinds) == 0 && b.PassedOver() != 0 {
			t.Fatal("a whole log is passed over")
		}
		b.Close()
	}
	without(func(int) bool { return false })
	for lost := range records {
		without(func(i int) bool { return i == lost })
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	for range 300 {
		share := 1 + random.IntN(5)
		without(func(int) bool { return random.IntN(share+1) == 0 })
	}
}

func FuzzReplay(f *testing.F) {
	b, j, _ := newTestBroker(f)
	create(f, b, "q", nil)
	pushBodies(f, b, j, "q", PushOptions{Dedup: [][]byte{[]byte("k"), []byte("l")}}, "x", "y")
	d := take(f, b, "q", 2)
	must[int](f)(b.Nack([]byte("q"), &NackOptions{Reason: "r", Dead: true}, []Handle{handle(d[0])}, nil))
	if err := b.Compact(); err != nil {
		f.Fatal(err)
	}
	must[int](f)(b.Nack([]byte("q"), &NackOptions{Reason: "r"}, []Handle{handle(d[1])}, nil))
	if _, err := b.Pause([]byte("q"), true, true, 5); err != nil {
		f.Fatal(err)
	}
	base := j.Records()
	for _, record := range base {
		f.Add(record)
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		journal := brokertest.NewJournal()
		for _, r := range base {
			journal.Append(r, true)
		}
		journal.Append(record, true)
		b, err := Open(Options{Journal: journal.Reopen(true), Clock: brokertest.NewClock(testStart)})
		if err != nil {
			return // refused: a damaged record must not be served, nor crash
		}
		// The counters may be anything: a record of them is taken at its word.
		for _, q := range b.queues() {
			q.mu.Lock()
			checkContainers(t, q)
			q.mu.Unlock()
		}
	})
}
