package store

import (
	"math"
	"math/rand/v2"
	"sync/atomic"
)

// tally counts the keys of a database. It is written under the locks of the shards and read without.
type tally struct {
	keys, expires atomic.Int64
	_             [48]byte // databases do not share a cache line
}

// census says which keys a random pick is about: all, or only those that expire.
type census bool

const (
	everyKey    census = false
	expiringKey census = true
)

func (c census) of(sh *shard) int64 {
	if c == expiringKey {
		return int64(sh.expires.Load())
	}
	return int64(sh.keys.Load())
}

func (c census) total(t *tally) int64 {
	if c == expiringKey {
		return t.expires.Load()
	}
	return t.keys.Load()
}

// A shard holds 1/256 of the keys only when there are many: with two keys 254 shards are empty, and a shard with three is as
// likely to be met as one with one. So a shard is picked with a probability in proportion to its keys.
const (
	// pickWalk is up to how many keys in a database the shards' counts are added up for a pick.
	pickWalk = 4 * shardCount
	// pickTries is how many shards are tried above that before the counts are added up all the same.
	pickTries = 64
	// walkMax is up to how many keys of a shard one is counted off; above, a random bucket is near enough.
	walkMax = 64
)

// pickDatabase is a database at random, in proportion to its keys; false when there is none.
func (b *Broker) pickDatabase(c census) (db int, found bool) {
	var totals [Databases]int64
	sum := int64(0)
	for db := range totals {
		totals[db] = max(0, c.total(&b.tallies[db]))
		sum += totals[db]
	}
	if sum == 0 {
		return 0, false
	}
	at := rand.Int64N(sum)
	for db, n := range totals {
		if at -= n; at < 0 {
			return db, true
		}
	}
	panic("BUG: store: a number below the sum lies in none of its parts")
}

// pickShard is a shard of a database at random, in proportion to its keys; nil when there is none. Others add and remove keys
// meanwhile: the shard may be empty when it is locked.
func (b *Broker) pickShard(db int, c census) *shard {
	shards := b.databases[db].Load()
	if shards == nil {
		return nil
	}
	if n := c.total(&b.tallies[db]); n > pickWalk {
		// Hashes spread evenly: next to no shard has more than six standard deviations over the mean. One that is tried is
		// taken with the probability of its share of that.
		mean := float64(n) / shardCount
		most := int64(mean+6*math.Sqrt(mean)) + 1
		for range pickTries {
			sh := &shards[rand.IntN(shardCount)]
			if rand.Int64N(most) < c.of(sh) {
				return sh
			}
		}
	}
	var counts [shardCount]int64
	sum := int64(0)
	for i := range shards {
		counts[i] = c.of(&shards[i])
		sum += counts[i]
	}
	if sum == 0 {
		return nil
	}
	at := rand.Int64N(sum)
	for i, n := range counts {
		if at -= n; at < 0 {
			return &shards[i]
		}
	}
	panic("BUG: store: a number below the sum lies in none of its parts")
}

// random is one of the shard's keys at random; nil when there is none.
func (sh *shard) random(c census) *entry {
	if c == expiringKey {
		n := len(sh.elapsing) + len(sh.dated)
		if n == 0 {
			return nil
		}
		if at := rand.IntN(n); at < len(sh.elapsing) {
			return sh.elapsing[at].e
		} else {
			return sh.dated[at-len(sh.elapsing)].e
		}
	}
	return sh.table.random()
}

// run visits up to n of the shard's keys that lie together, from a random one on.
func (sh *shard) run(c census, n int, visit func(e *entry)) {
	first := sh.random(c)
	if first == nil {
		return
	}
	if c == expiringKey {
		heap := *sh.heap(first)
		for i := range min(n, len(heap)) {
			visit(heap[(int(first.deadline-1)+i)%len(heap)].e)
		}
		return
	}
	mask := uint32(len(sh.table.buckets) - 1)
	at, e := first.hash&mask, first
	for ; n > 0; n-- {
		visit(e)
		for e = e.next; e == nil && n > 1; { // there are more: the table holds an eighth of its buckets at least
			at = (at + 1) & mask
			e = sh.table.buckets[at]
		}
	}
}

// random is an entry of the table at random; nil when it is empty.
func (t *table) random() *entry {
	if t.count == 0 {
		return nil
	}
	if t.count <= walkMax {
		at := rand.IntN(t.count)
		for _, e := range t.buckets {
			for ; e != nil; e = e.next {
				if at == 0 {
					return e
				}
				at--
			}
		}
		panic("BUG: store: a table holds fewer entries than it counts")
	}
	var e *entry
	for e == nil { // a bucket in eight has an entry at least
		e = t.buckets[rand.Uint32()&uint32(len(t.buckets)-1)]
	}
	length := 0
	for other := e; other != nil; other = other.next {
		length++
	}
	for range rand.IntN(length) {
		e = e.next
	}
	return e
}

// randomKeyTries is how many keys past their deadline RandomKey takes away before it looks at all of them.
const randomKeyTries = 100

// RandomKey is a key chosen at random, each as likely as another; found is false when the database is empty.
func (b *Broker) RandomKey(db int) (key string, found bool) {
	for range randomKeyTries {
		sh := b.pickShard(db, everyKey)
		if sh == nil {
			return "", false
		}
		if key, found = b.randomKey(sh); found {
			return key, true
		}
	}
	seen := 0
	b.Keys(db, func(one string) {
		// The n-th key replaces the choice with probability 1/n, so all are equally likely.
		if seen++; rand.IntN(seen) == 0 {
			key, found = one, true
		}
	})
	return key, found
}

func (b *Broker) randomKey(sh *shard) (key string, found bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := sh.random(everyKey)
	if e == nil {
		return "", false
	}
	if e.deadline != 0 && b.overdue(sh, e) {
		b.expire(sh, e)
		return "", false
	}
	return e.key, true
}
