package store

import "math/bits"

// table is a chained hash table with a power of two of buckets. It is resized in one step: a shard holds 1/256 of the
// keys, so this is short. One table at a time is what keeps the SCAN cursor simple.
type table struct {
	buckets []*entry
	count   int
}

const bucketsMin = 4

func (t *table) find(hash uint32, key []byte) *entry {
	if len(t.buckets) == 0 {
		return nil
	}
	for e := t.buckets[hash&uint32(len(t.buckets)-1)]; e != nil; e = e.next {
		if e.hash == hash && e.key == string(key) {
			return e
		}
	}
	return nil
}

// insert adds an entry whose key is not there.
func (t *table) insert(e *entry) {
	if t.count >= len(t.buckets) {
		t.resize(max(bucketsMin, 2*len(t.buckets)))
	}
	slot := &t.buckets[e.hash&uint32(len(t.buckets)-1)]
	e.next = *slot
	*slot = e
	t.count++
}

// remove takes out an entry that is there.
func (t *table) remove(e *entry) {
	slot := &t.buckets[e.hash&uint32(len(t.buckets)-1)]
	for *slot != e {
		if *slot == nil {
			panic("BUG: store: removing an entry that is not in its bucket")
		}
		slot = &(*slot).next
	}
	*slot = e.next
	e.next = nil
	t.count--
	if len(t.buckets) > bucketsMin && t.count < len(t.buckets)/8 {
		t.resize(len(t.buckets) / 4)
	}
}

func (t *table) resize(n int) {
	n = max(n, bucketsMin)
	old := t.buckets
	t.buckets = make([]*entry, n)
	mask := uint32(n - 1)
	for _, e := range old {
		for e != nil {
			next := e.next
			slot := &t.buckets[e.hash&mask]
			e.next = *slot
			*slot = e
			e = next
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
	for e := t.buckets[cursor&mask]; e != nil; e = e.next {
		visit(e)
	}
	cursor |= ^mask
	return bits.Reverse64(bits.Reverse64(cursor) + 1)
}
