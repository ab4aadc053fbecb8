package store

import (
	"bytes"
	"math/bits"
	"sync/atomic"
	"unsafe"

	"github.com/nexobroker/nexo/brokers/store/slab"
)

// large is a value that is too long for a block, in pages of its own. The shard that has it holds it, and so does each reader that uses
// it without the lock; who lets go of it last gives the pages back. Bytes that a reader may see do not change: a value that somebody
// else holds is replaced, and only appended to where it is.
type large struct {
	pool    *slab.Pool
	run     slab.Run
	bytes   []byte // written under the lock of the shard
	holders atomic.Int32
}

// newLarge makes a value of n bytes with room for at least as many as room. What it holds is undefined.
func newLarge(pool *slab.Pool, n, room int) *large {
	run := pool.Get(largePages(room))
	l := &large{pool: pool, run: run, bytes: unsafe.Slice((*byte)(run.Base), run.Size())[:n]}
	l.holders.Store(1)
	return l
}

// largePages is how many pages n bytes get: there are eight sizes between a power of two and the next, so that pages which one value
// leaves fit another.
func largePages(n int) int {
	pages := (n + slab.PageSize - 1) / slab.PageSize
	if shift := bits.Len(uint(pages-1)) - 4; shift > 0 {
		pages = (pages + 1<<shift - 1) >> shift << shift
	}
	return pages
}

// hold is for who has the lock of the shard.
func (l *large) hold() { l.holders.Add(1) }

func (l *large) release() {
	if l.holders.Add(-1) == 0 {
		l.pool.Put(l.run)
	}
}

// writable tells whether n bytes can be written over the value, and would not waste much. Under the lock nobody else begins to hold it.
func (l *large) writable(n int) bool {
	return l.holders.Load() == 1 && n <= cap(l.bytes) && cap(l.bytes) <= largePages(n)*slab.PageSize*5/4
}

// apart are the large values of a shard, by the numbers that their entries have.
type apart struct {
	values []*large
	free   []uint32 // numbers that are not in use
}

func (a *apart) add(l *large) uint32 {
	if last := len(a.free) - 1; last >= 0 {
		n := a.free[last]
		a.free = a.free[:last]
		a.values[n] = l
		return n
	}
	a.values = append(a.values, l)
	return uint32(len(a.values) - 1)
}

func (a *apart) remove(n uint32) {
	a.values[n].release()
	a.values[n] = nil
	a.free = append(a.free, n)
}

// loan is a large value that a reader holds until it has been unlocked.
type loan struct{ held *large }

// settle copies what was lent, with no lock held.
func (l *loan) settle(value []byte) []byte {
	if l.held == nil {
		return value
	}
	defer l.held.release()
	return bytes.Clone(value)
}
