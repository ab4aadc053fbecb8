package slab

import (
	"math/rand/v2"
	"sync"
	"testing"
)

// checkPool compares the counts of a pool with its chunks; nothing may be going on.
func checkPool(t testing.TB, p *Pool, wantHeld int64) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	var held, kept int64
	for _, c := range p.chunks {
		free, dirty := 0, 0
		for at := range c.runs {
			if c.free[at/64]&(1<<(at%64)) != 0 {
				free++
			}
			if c.dirty[at/64]&(1<<(at%64)) != 0 {
				dirty++
			}
		}
		if c.pages == 0 {
			free = c.runs
		}
		if free != c.freeCount || dirty != c.dirtyCount {
			t.Fatalf("a chunk of %d pages a run counts %d free and %d dirty runs, has %d and %d",
				c.pages, c.freeCount, c.dirtyCount, free, dirty)
		}
		held += int64(c.runs-free) * int64(c.pages) * PageSize
		kept += int64(dirty) * int64(c.pages) * PageSize
		if c.pages > 0 && (c.freeCount > 0) != (c.openAt >= 0 && (*p.list(c.pages))[c.openAt] == c) {
			t.Fatal("a chunk is in the wrong list")
		}
	}
	if held != p.held || kept != p.kept || held != wantHeld {
		t.Fatalf("the pool counts %d held, %d kept; it has %d, %d, and should hold %d", p.held, p.kept, held, kept, wantHeld)
	}
}

// TestManyArenas gives and takes runs from several goroutines while free ones are handed back.
func TestManyArenas(t *testing.T) {
	p := NewPool()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var wg sync.WaitGroup
	for g := range uint64(4) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, g))
			for range 5 {
				m := newModel(t, p)
				for range 3000 {
					m.alloc(1 + r.IntN(1+r.IntN(40_000)))
				}
				for range 2000 {
					m.free(r.IntN(len(m.blocks)))
				}
				m.tighten(still)
				m.check()
				m.arena.Release()
			}
		})
	}
	wg.Wait()
	p.behind.Wait()
	checkPool(t, p, 0)
	if p.kept > keptLeast {
		t.Errorf("%d bytes are kept though nobody holds anything", p.kept)
	}
	p.Close()
}

// TestLongRuns holds that runs that have a chunk of their own are used again.
func TestLongRuns(t *testing.T) {
	p := NewPool()
	defer p.Close()
	for range 50 {
		a, b := p.Get(runMax+1), p.Get(4*chunkPages)
		a.Clear()
		b.Clear()
		p.Put(a, b)
		p.behind.Wait() // what is being handed back cannot be had
	}
	checkPool(t, p, 0)
	if len(p.chunks) > 2 {
		t.Errorf("%d chunks for 2 runs", len(p.chunks))
	}
}

// TestHandBackLeavesNothing hands back what is too little to be handed back by itself, while others give and take runs.
func TestHandBackLeavesNothing(t *testing.T) {
	p := NewPool()
	runs := []Run{p.Get(1), p.Get(3), p.Get(3), p.Get(runMax + 1)}
	for _, r := range runs {
		r.Clear()
	}
	p.Put(runs[0], runs[2], runs[3])
	held := int64(runs[1].Size())
	if p.Resident() == held {
		t.Fatal("nothing is kept")
	}
	p.HandBack()
	if got := p.Resident(); got != held {
		t.Errorf("%d bytes are resident, %d are held", got, held)
	}
	checkPool(t, p, held)
	p.Put(runs[1])
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for i := range 3000 {
				a, b := p.Get(1+i%70), p.Get(200)
				p.Put(a)
				p.Put(b)
				if i%50 == 0 {
					p.HandBack()
				}
			}
		})
	}
	wg.Wait()
	p.behind.Wait()
	p.HandBack()
	if checkPool(t, p, 0); p.kept != 0 {
		t.Errorf("%d bytes are kept", p.kept)
	}
	p.Close()
	p.HandBack() // does nothing any more
}
