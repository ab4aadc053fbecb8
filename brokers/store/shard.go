package store

import (
	"math"
	"sync"
	"sync/atomic"

	"github.com/tidwall/btree"
)

const shardCount = 256

// shard is 1/256 of a database.
type shard struct {
	mu       sync.Mutex // everything below but the atomics, and the entries
	table    table
	group    *group // has the blocks of the entries
	apart    apart
	ordered  *btree.Map[string, struct{}] // nil until the first prefix scan
	elapsing deadlines
	dated    deadlines
	record   []byte // scratch for the journal
	counts   shardCounts
	memory   int64 // its part of Broker.memory

	// The earliest deadline of each heap, for the timer to read without the lock; noDeadline when there is none.
	nextElapsing atomic.Int64
	nextDated    atomic.Int64
	// How many keys there are, and how many of them expire, for random picks to read without the lock.
	keys, expires atomic.Int32

	tally    *tally // of the database
	blocks   *blocks
	index    uint8
	database uint8
	_        [32]byte // keeps the locks of neighbours off one cache line
}

type shardCounts struct {
	hits, misses, expired, evicted uint64
}

const noDeadline = math.MaxInt64

// lookup finds a live key; one past its deadline is removed and counts as missing.
func (b *Broker) lookup(sh *shard, hash uint32, key []byte) *entry {
	e := sh.table.find(hash, key)
	if e == nil {
		return nil
	}
	if e.deadline != 0 && b.overdue(sh, e) {
		b.expire(sh, e)
		return nil
	}
	return e
}

// Touch tells whether a read counts as a use of its keys, which is what eviction and idle times go by.
type Touch bool

const (
	Touches Touch = true
	Leaves  Touch = false
)

// read is lookup for a command that reads the value: it counts a hit or a miss, and the use.
func (b *Broker) read(sh *shard, hash uint32, key []byte, touch Touch) *entry {
	e := b.lookup(sh, hash, key)
	if e == nil {
		sh.counts.misses++
		return nil
	}
	sh.counts.hits++
	if touch {
		b.used(e)
	}
	return e
}

// used notes that the key was used, for the policy in force.
func (b *Broker) used(e *entry) {
	if b.frequency.Load() {
		e.access = b.moreFrequent(e.access)
		return
	}
	e.access = b.coarse.Load()
}

// create adds a key that is not there.
func (b *Broker) create(sh *shard, hash uint32, key, value []byte, kind Kind) *entry {
	e := sh.make(hash, key, value, kind)
	b.attach(sh, e)
	return e
}

// attach puts a new entry into its shard.
func (b *Broker) attach(sh *shard, e *entry) {
	if b.frequency.Load() {
		e.access = b.coarse.Load()/60<<8 | frequencyInitial
	} else {
		e.access = b.coarse.Load()
	}
	sh.table.insert(e)
	sh.counted(1)
	if sh.ordered != nil {
		sh.ordered.Set(string(e.key()), struct{}{})
	}
	b.account(sh, sh.size(e)+sh.orderedSize(e))
}

// remove takes a key out of its shard. The entry is no more.
func (b *Broker) remove(sh *shard, e *entry) {
	b.clearDeadline(sh, e)
	sh.table.remove(e)
	sh.counted(-1)
	if sh.ordered != nil {
		sh.ordered.Delete(string(e.key()))
	}
	b.account(sh, -sh.size(e)-sh.orderedSize(e))
	sh.freeBlock(e)
}

// assign replaces the value of a key, and returns where its entry is now.
func (b *Broker) assign(sh *shard, e *entry, value []byte) *entry {
	before := sh.size(e)
	e = sh.put(e, value)
	e.flags &^= flagRaw | flagText
	b.changed(sh, e, before)
	return e
}

// changed notes that the value of the entry was changed, and that the entry had the size before.
func (b *Broker) changed(sh *shard, e *entry, before int64) {
	if after := sh.size(e); after != before {
		b.account(sh, after-before)
	}
	b.used(e)
}

// account adds to the account of the shard and the broker.
func (b *Broker) account(sh *shard, bytes int64) {
	sh.memory += bytes
	b.memory.Add(bytes)
}

// clear empties the shard and leaves what it held to whoever frees it. It takes the same time however many keys there are: nobody
// can be served while all shards are locked for a flush.
func (b *Broker) clear(sh *shard, left *remains) {
	b.account(sh, -sh.memory)
	sh.counted(-sh.table.count)
	left.large = append(left.large, sh.apart.values)
	left.add(sh.table.run, sh.elapsing.run, sh.dated.run)
	b.prepare(sh)
	sh.ordered = nil
	sh.publish()
}

// prepare makes the shard empty, but for the blocks of its entries.
func (b *Broker) prepare(sh *shard) {
	sh.table = table{pool: b.blocks.pool}
	sh.apart = apart{}
	sh.elapsing, sh.dated = deadlines{pool: b.blocks.pool}, deadlines{pool: b.blocks.pool}
}

// counted shows to others that keys have come or gone.
func (sh *shard) counted(n int) {
	sh.keys.Add(int32(n))
	sh.tally.keys.Add(int64(n))
}

// order builds the ordered keys of the shard if they are not there.
func (b *Broker) order(sh *shard) *btree.Map[string, struct{}] {
	if sh.ordered == nil {
		sh.ordered = new(btree.Map[string, struct{}])
		bytes := int64(0)
		sh.table.each(func(e *entry) {
			sh.ordered.Set(string(e.key()), struct{}{})
			bytes += sh.orderedSize(e)
		})
		b.account(sh, bytes)
	}
	return sh.ordered
}
