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
		n := sh.elapsing.len() + sh.dated.len()
		if n == 0 {
			return nil
		}
		if at := rand.IntN(n); at < sh.elapsing.len() {
			return sh.elapsing.items[at].e.entry()
		} else {
			return sh.dated.items[at-sh.elapsing.len()].e.entry()
		}
	}
	return sh.table.random()
}

// run visits up to n of the shard's keys that lie together, from a random one on.
func (sh *shard) run(c census, n int, visit func(e *entry)) {
	if c == everyKey && n > 1 {
		sh.table.visitTogether(n, visit)
		return
	}
	first := sh.random(c)
	if first == nil {
		return
	}
	if n == 1 {
		visit(first)
		return
	}
	heap := sh.heap(first).items
	for i := range min(n, len(heap)) {
		visit(heap[(int(first.deadline-1)+i)%len(heap)].e.entry())
	}
}

// visitTogether visits up to n entries, from a random bucket on. Entries are anywhere in memory, and one that nobody has used lately takes
// as long to fetch as all the rest of its eviction. So the first of each bucket are looked at before any of them is visited: the
// processor fetches them side by side.
func (t *table) visitTogether(n int, visit func(e *entry)) {
	mask := uint32(len(t.buckets) - 1)
	at := rand.Uint32() & mask
	for left := len(t.buckets); left > 0 && n > 0; {
		var heads [8]*entry
		found := 0
		for ; left > 0 && found < min(n, len(heads)); left-- {
			if e := t.buckets[at].entry(); e != nil {
				heads[found] = e
				found++
			}
			at = (at + 1) & mask
		}
		fetched := uint32(0)
		for _, e := range heads[:found] {
			fetched += e.access
		}
		t.fetched = fetched
		for _, e := range heads[:found] {
			for ; e != nil && n > 0; e = e.next.entry() {
				visit(e)
				n--
			}
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
		for _, l := range t.buckets {
			for e := l.entry(); e != nil; e = e.next.entry() {
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
		e = t.buckets[rand.Uint32()&uint32(len(t.buckets)-1)].entry()
	}
	length := 0
	for other := e; other != nil; other = other.next.entry() {
		length++
	}
	for range rand.IntN(length) {
		e = e.next.entry()
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
	b.Keys(db, func(one []byte) {
		// The n-th key replaces the choice with probability 1/n, so all are equally likely.
		if seen++; rand.IntN(seen) == 0 {
			key, found = string(one), true
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
	return string(e.key()), true
}
