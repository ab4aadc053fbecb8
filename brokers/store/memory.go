package store

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/nexobroker/nexo/brokers/store/slab"
)

// flushedLeast is how many bytes a flush must free for Options.Freed to be told: for less a collection takes more than it gives.
const flushedLeast = 64 << 20

const (
	tightenPerBatch = 4      // spans for each expiredPerLock keys
	tightenPerTick  = 10_000 // spans; each is some microseconds
)

// blocks is where the shards have their entries from.
type blocks struct {
	pool   *slab.Pool
	loose  loose
	behind sync.WaitGroup // frees what flushes have taken away
}

// group is the shards that share an arena. A flush gives them another one.
type group struct {
	arena  *slab.Arena
	shards *[shardCount]shard
	listed atomic.Bool // among the loose
}

// groupSize is how many shards that are, neighbours: see package slab for what more arenas would leave empty.
const groupSize = 16

// regroup gives all shards of a database new groups, and returns the arenas of the old ones. All the shards are locked, or nobody
// knows of them yet.
func (b *Broker) regroup(shards *[shardCount]shard) (old []*slab.Arena) {
	for first := 0; first < shardCount; first += groupSize {
		if was := shards[first].group; was != nil {
			old = append(old, was.arena)
		}
		g := &group{arena: slab.NewArena(b.blocks.pool), shards: shards}
		for i := range groupSize {
			shards[first+i].group = g
		}
	}
	return old
}

// loose are the groups whose arenas have too many free blocks. They are tightened one span at a time, by who adds, deletes and expires
// keys, and once a second for the rest.
type loose struct {
	count  atomic.Int32
	mu     sync.Mutex // a leaf
	groups []*group
}

func (l *loose) add(g *group) {
	if !g.listed.CompareAndSwap(false, true) {
		return
	}
	l.mu.Lock()
	l.groups = append(l.groups, g)
	l.mu.Unlock()
	l.count.Add(1)
}

func (l *loose) take() *group {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := len(l.groups) - 1
	if last < 0 {
		return nil
	}
	g := l.groups[last]
	l.groups[last] = nil
	l.groups = l.groups[:last]
	l.count.Add(-1)
	return g
}

// tighten moves the entries of one span, of a group that has too many free blocks; false when there is no such group. It locks the
// shards by itself, one at a time: nobody has an entry in hand when it moves.
func (b *Broker) tighten() bool {
	g := b.blocks.loose.take()
	if g == nil {
		return false
	}
	owners, found := g.arena.Begin()
	for i := range g.shards {
		if found && owners.Has(uint8(i)) && !g.move(&g.shards[i]) {
			return true // a flush has put the group aside, and what is left of it is freed behind that
		}
	}
	g.listed.Store(false) // from here on who frees a block lists it
	if found && g.arena.End() {
		b.blocks.loose.add(g)
	}
	return true
}

// move moves the entries of a shard that are in the span which is out of use; false when the shard is of the group no more.
func (g *group) move(sh *shard) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.group != g {
		return false
	}
	g.arena.Move(sh.index, func(from, to unsafe.Pointer, at slab.Place) {
		made := (*entry)(to)
		made.place = at
		sh.moved((*entry)(from), made)
	})
	return true
}

// tightenUpTo gives up as many spans as n, if there are so many too many.
func (b *Broker) tightenUpTo(n int) {
	for ; n > 0 && b.blocks.loose.count.Load() > 0 && b.tighten(); n-- {
	}
}

// Resident is how much of the machine's memory the store takes. All of it is outside of the collector's heap, but for ordered keys.
func (b *Broker) Resident() int64 { return b.blocks.pool.Resident() }

// HandBack gives the system what is free of that and kept for the next keys.
func (b *Broker) HandBack() { b.blocks.pool.HandBack() }

// remains are what shards held before a flush.
type remains struct {
	pool   *slab.Pool
	arenas []*slab.Arena
	runs   []slab.Run
	large  [][]*large
}

func (r *remains) add(runs ...slab.Run) {
	for _, run := range runs {
		if run.Base != nil {
			r.runs = append(r.runs, run)
		}
	}
}

// free gives all of it up, with no lock held.
func (r *remains) free() {
	for _, arena := range r.arenas {
		arena.Release()
	}
	for _, run := range r.runs {
		r.pool.Put(run)
	}
	for _, values := range r.large {
		for _, l := range values {
			if l != nil {
				l.release()
			}
		}
	}
}

// flushed frees behind a flush what it has taken away. before is the account before it.
func (b *Broker) flushed(r *remains, before int64) {
	b.blocks.behind.Go(r.free)
	if b.freed != nil && before-b.memory.Load() >= flushedLeast {
		b.freed()
	}
}

// array makes a slice of n without pointers that is outside of the heap, unless it is short. What it holds is undefined, it may have
// room for more, and the run is what to give back.
func array[T link | deadline](pool *slab.Pool, n int) ([]T, slab.Run) {
	var zero T
	bytes := n * int(unsafe.Sizeof(zero))
	if bytes < slab.PageSize {
		return make([]T, n), slab.Run{}
	}
	run := pool.Get((bytes + slab.PageSize - 1) / slab.PageSize)
	return unsafe.Slice((*T)(run.Base), run.Size()/int(unsafe.Sizeof(zero)))[:n], run
}
