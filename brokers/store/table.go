package store

import (
	"math/bits"

	"github.com/nexobroker/nexo/brokers/store/slab"
)

// table is a chained hash table with a power of two of buckets. It is resized in one step: a shard holds 1/256 of the
// keys, so this is short. One table at a time is what keeps the SCAN cursor simple.
type table struct {
	pool    *slab.Pool
	buckets []link
	run     slab.Run // where the buckets are, if they are many
	count   int
	fetched uint32 // what visitTogether has read ahead, kept so that it must read
}

const bucketsMin = 4

func (t *table) find(hash uint32, key []byte) *entry {
	if len(t.buckets) == 0 {
		return nil
	}
	for e := t.buckets[hash&uint32(len(t.buckets)-1)].entry(); e != nil; e = e.next.entry() {
		if e.hash == hash && string(e.key()) == string(key) {
			return e
		}
	}
	return nil
}

// findHash is an entry with this hash. Two keys of a shard that have the same are rare.
func (t *table) findHash(hash uint32) *entry {
	if len(t.buckets) == 0 {
		return nil
	}
	e := t.buckets[hash&uint32(len(t.buckets)-1)].entry()
	for e != nil && e.hash != hash {
		e = e.next.entry()
	}
	return e
}

// insert adds an entry whose key is not there.
func (t *table) insert(e *entry) {
	if t.count >= len(t.buckets) {
		t.resize(max(bucketsMin, 2*len(t.buckets)))
	}
	slot := &t.buckets[e.hash&uint32(len(t.buckets)-1)]
	e.next = *slot
	*slot = linkTo(e)
	t.count++
}

// slot is where the address of an entry is kept that is there.
func (t *table) slot(e *entry) *link {
	slot := &t.buckets[e.hash&uint32(len(t.buckets)-1)]
	for *slot != linkTo(e) {
		if *slot == 0 {
			panic("BUG: store: an entry that is not in its bucket")
		}
		slot = &slot.entry().next
	}
	return slot
}

// replace puts the entry to, a copy of from, into its place.
func (t *table) replace(from, to *entry) { *t.slot(from) = linkTo(to) }

// remove takes out an entry that is there.
func (t *table) remove(e *entry) {
	*t.slot(e) = e.next
	e.next = 0
	t.count--
	if len(t.buckets) > bucketsMin && t.count < len(t.buckets)/8 {
		t.resize(len(t.buckets) / 4)
	}
}

func (t *table) resize(n int) {
	n = max(n, bucketsMin)
	old, run := t.buckets, t.run
	t.buckets, t.run = array[link](t.pool, n)
	clear(t.buckets)
	mask := uint32(n - 1)
	for _, l := range old {
		for e := l.entry(); e != nil; {
			next := e.next.entry()
			slot := &t.buckets[e.hash&mask]
			e.next = *slot
			*slot = linkTo(e)
			e = next
		}
	}
	if run.Base != nil {
		t.pool.Put(run)
	}
}

// each visits all entries. visit must not change the table.
func (t *table) each(visit func(e *entry)) {
	for _, l := range t.buckets {
		for e := l.entry(); e != nil; e = e.next.entry() {
			visit(e)
		}
	}
}

// scan visits one bucket and returns the cursor of the next, 0 at the end. The cursor counts with its bits reversed:
// when the table grows, the buckets that a visited bucket splits into all lie behind the cursor; when it shrinks, the
// merged bucket is visited if any part of it has not been.
func (t *table) scan(cursor uint64, visit func(e *entry)) uint64 {
	if len(t.buckets) == 0 {
		return 0
	}
	mask := uint64(len(t.buckets) - 1)
	for e := t.buckets[cursor&mask].entry(); e != nil; e = e.next.entry() {
		visit(e)
	}
	cursor |= ^mask
	return bits.Reverse64(bits.Reverse64(cursor) + 1)
}
