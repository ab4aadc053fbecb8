package store

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers/brokertest"
)

// TestConcurrentChangesKeepTheBooks changes, scans, evicts and expires from many goroutines at once; the account, the
// heaps and the ordered keys must agree with the tables afterwards (checkConsistent), and the journal must replay to the
// same state.
func TestConcurrentChangesKeepTheBooks(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	clock := brokertest.NewClock(testStart)
	j := brokertest.NewJournal()
	b := reopen(t, j, clock)
	if err := b.SetMaxMemoryPolicy("allkeys-lru"); err != nil {
		t.Fatal(err)
	}
	b.SetMaxMemory(8000)
	var wg sync.WaitGroup
	work := func(rounds int, step func(r *rand.Rand)) {
		wg.Add(1)
		r := rand.New(rand.NewPCG(seed, rand.Uint64()))
		go func() {
			defer wg.Done()
			for range rounds {
				step(r)
			}
		}()
	}
	for range 4 {
		work(1500, func(r *rand.Rand) { randomChange(b, r) })
	}
	work(300, func(r *rand.Rand) {
		b.ScanPrefix(r.IntN(3), "k", PrefixCursor{}, 20, func(Item) Verdict { return Taken })
		b.Scan(r.IntN(3), 0, 20, func(Item) Verdict { return Taken })
	})
	work(300, func(r *rand.Rand) { clock.Advance(time.Duration(r.IntN(50)) * time.Millisecond) })
	work(10, func(*rand.Rand) {
		if err := b.Compact(); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	compareContents(t, contents(b), contents(reopen(t, j.Reopen(true), clock)))
}
