package store

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
)

// Policy says what is evicted when the account is over the limit.
type Policy uint32

const (
	NoEviction Policy = iota
	AllKeysLRU
	AllKeysLFU
	AllKeysRandom
	VolatileLRU
	VolatileLFU
	VolatileRandom
	VolatileTTL
)

var policyNames = [...]string{"noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random",
	"volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"}

func (p Policy) String() string { return policyNames[p] }

// census says which keys the policy evicts.
func (p Policy) census() census { return p >= VolatileLRU }

// ParsePolicy reads the name of a policy, in any case.
func ParsePolicy(name string) (Policy, error) {
	for p, known := range policyNames {
		if strings.EqualFold(name, known) {
			return Policy(p), nil
		}
	}
	return 0, fmt.Errorf("maxmemory policy %q is none of %s", name, strings.Join(policyNames[:], ", "))
}

// SetMaxMemory changes the limit of the account; 0 is none.
func (b *Broker) SetMaxMemory(bytes int64) { b.maxMemory.Store(max(0, bytes)) }

// MaxMemory is the limit of the account, 0 when there is none, and the policy.
func (b *Broker) MaxMemory() (bytes int64, policy Policy) {
	return b.maxMemory.Load(), Policy(b.policy.Load())
}

// SetMaxMemoryPolicy changes the policy. Use times and use counters share a field: after a change between LRU and LFU
// the data takes a while to adjust.
func (b *Broker) SetMaxMemoryPolicy(name string) error {
	p, err := ParsePolicy(name)
	if err != nil {
		return err
	}
	b.policy.Store(uint32(p))
	b.frequency.Store(p == AllKeysLFU || p == VolatileLFU)
	b.eviction.mu.Lock()
	b.eviction.pool = nil // what is cold under the one policy need not be under the other
	b.eviction.mu.Unlock()
	return nil
}

const (
	// SamplesDefault is how many keys are looked at for one victim, Redis' maxmemory-samples.
	SamplesDefault = 5
	// SamplesMax is the most SetSampling takes.
	SamplesMax = 64
	// evictionsMax bounds the work of one call; a burst of big values is worked off by the calls that follow.
	evictionsMax = 10_000
	// poolSize is how many candidates are remembered from one victim to the next.
	poolSize = 16
	// victimsPerSampling is for how many victims keys are sampled at once: what lies together in the table is fetched from memory
	// together.
	victimsPerSampling = 4
	// victimTries is how often a victim that was gone when its shard was locked is sought anew.
	victimTries = 100
)

// SetSampling changes how many keys are looked at for one victim of the LRU and LFU policies.
func (b *Broker) SetSampling(n int) { b.samples.Store(uint32(min(max(n, 1), SamplesMax))) }

// eviction is the pool of the best candidates that the LRU and LFU policies have met, over all shards. What was sampled for one
// victim and was nearly as good serves the next, so the choice comes close to that of a list in order of use.
type eviction struct {
	mu   sync.Mutex  // taken with no shard locked; shards are locked under it, one at a time
	pool []candidate // the best is last
	due  int         // how many victims are left until keys are sampled again
}

// candidate is a key that was sampled, by its hash: a copy of the key would be an allocation for each, and two keys of a shard with
// one hash are rare, and as good a victim the one as the other. The key may be gone, or have been used, when its turn comes.
type candidate struct {
	sh   *shard
	hash uint32
	cold uint32 // seconds without use, or 255 less the use counter
}

// makeRoom evicts until the account is within the limit; false when the policy finds no more victims.
func (b *Broker) makeRoom(limit int64) bool {
	policy := Policy(b.policy.Load())
	if policy == NoEviction {
		return false
	}
	for i := 0; b.memory.Load() > limit; i++ {
		if i == evictionsMax || !b.evictOne(policy) {
			return b.memory.Load() <= limit
		}
	}
	return true
}

// evictOne removes the best victim by the policy; false when there is none.
func (b *Broker) evictOne(policy Policy) bool {
	for range victimTries {
		var evicted, more bool
		switch policy {
		case VolatileTTL:
			evicted, more = b.evictSoonest()
		case AllKeysRandom, VolatileRandom:
			evicted, more = b.evictRandom(policy.census())
		default:
			evicted, more = b.evictColdest(policy.census())
		}
		if evicted || !more {
			return evicted
		}
	}
	return false
}

// evict removes a key, under the lock of its shard.
func (b *Broker) evict(sh *shard, e *entry) {
	b.appendRecord(sh, func(rec []byte) []byte { return recordDelete(rec, sh.database, e.key()) })
	b.remove(sh, e)
	sh.counts.evicted++
}

// evictSoonest removes the key that expires first of all; more is false when none expires.
func (b *Broker) evictSoonest() (evicted, more bool) {
	drift := b.now().drift()
	var first *shard
	soonest := int64(noDeadline)
	for db := range b.databases {
		shards := b.databases[db].Load()
		if shards == nil || b.tallies[db].expires.Load() == 0 {
			continue
		}
		for i := range shards {
			if at := shards[i].soonest(drift); at < soonest {
				first, soonest = &shards[i], at
			}
		}
	}
	if first == nil {
		return false, false
	}
	first.mu.Lock()
	defer first.mu.Unlock()
	heap := &first.elapsing
	if heap.len() == 0 || (first.dated.len() > 0 && first.dated.next() < heap.next()+drift) {
		heap = &first.dated
	}
	if heap.len() == 0 {
		return false, true
	}
	b.evict(first, heap.items[0].e.entry())
	return true, true
}

// soonest is the earliest deadline of the shard as a wall clock time, read without its lock.
func (sh *shard) soonest(drift int64) int64 {
	at := sh.nextDated.Load()
	if elapsing := sh.nextElapsing.Load(); elapsing != noDeadline {
		at = min(at, elapsing+drift)
	}
	return at
}

// evictRandom removes a key at random; more is false when none qualifies.
func (b *Broker) evictRandom(c census) (evicted, more bool) {
	db, found := b.pickDatabase(c)
	if !found {
		return false, false
	}
	sh := b.pickShard(db, c)
	if sh == nil {
		return false, true
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := sh.random(c)
	if e == nil {
		return false, true
	}
	b.evict(sh, e)
	return true, true
}

// evictColdest samples some keys into the pool and removes the best candidate there; more is false when no key qualifies.
func (b *Broker) evictColdest(c census) (evicted, more bool) {
	b.eviction.mu.Lock()
	defer b.eviction.mu.Unlock()
	if b.eviction.due--; b.eviction.due < 0 || len(b.eviction.pool) == 0 {
		b.eviction.due = victimsPerSampling - 1
		if !b.refill(c) {
			b.eviction.pool = b.eviction.pool[:0]
			return false, false
		}
	}
	for len(b.eviction.pool) > 0 {
		last := len(b.eviction.pool) - 1
		best := b.eviction.pool[last]
		b.eviction.pool[last] = candidate{}
		b.eviction.pool = b.eviction.pool[:last]
		if b.evictCandidate(best, c) {
			return true, true
		}
	}
	return false, true
}

// refill samples keys into the pool; false when no key qualifies.
func (b *Broker) refill(c census) bool {
	for left := int(b.samples.Load()) * victimsPerSampling; left > 0; {
		db, found := b.pickDatabase(c)
		if !found {
			return false
		}
		taken := 0
		if sh := b.pickShard(db, c); sh != nil {
			taken = b.sample(sh, c, left)
		}
		left -= max(1, taken)
	}
	return true
}

// sample puts a key of the shard into the pool if it is a good enough victim. Of a shard with many keys it looks at up to n that
// lie together: there any few are as good as another.
func (b *Broker) sample(sh *shard, c census, n int) (taken int) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if c.of(sh) <= walkMax {
		n = 1
	}
	sh.run(c, n, func(e *entry) {
		taken++
		b.eviction.offer(candidate{sh, e.hash, b.coldness(e)})
	})
	return taken
}

// evictCandidate removes the key of a candidate if it is there still, as cold as it was when it was sampled. One that has been used
// since goes back into the pool as what it now is.
func (b *Broker) evictCandidate(best candidate, c census) bool {
	best.sh.mu.Lock()
	defer best.sh.mu.Unlock()
	e := best.sh.table.findHash(best.hash)
	if e == nil || (c == expiringKey && e.deadline == 0) {
		return false
	}
	if cold := b.coldness(e); cold < best.cold {
		best.cold = cold
		b.eviction.offer(best)
		return false
	}
	b.evict(best.sh, e)
	return true
}

// offer puts a candidate into its place, if there is one: the pool keeps the coldest, each key once.
func (v *eviction) offer(c candidate) {
	for i := range v.pool {
		if v.pool[i].sh == c.sh && v.pool[i].hash == c.hash {
			v.pool = slices.Delete(v.pool, i, i+1)
			break
		}
	}
	if len(v.pool) == poolSize {
		if c.cold <= v.pool[0].cold {
			return
		}
		v.pool = slices.Delete(v.pool, 0, 1)
	}
	at := len(v.pool)
	for at > 0 && v.pool[at-1].cold > c.cold {
		at--
	}
	v.pool = slices.Insert(v.pool, at, c)
}

// coldness tells how good a victim the key is under the LRU or LFU policy in force.
func (b *Broker) coldness(e *entry) uint32 {
	if b.frequency.Load() {
		return 255 - b.frequencyOf(e.access)
	}
	return b.coarse.Load() - e.access
}

// The LFU counter is Redis': 8 bits, logarithmic, losing one for each lfu-decay-time without use.
const (
	frequencyInitial = 5

	// LogFactorDefault and DecayMinutesDefault are Redis' lfu-log-factor and lfu-decay-time.
	LogFactorDefault    = 10
	DecayMinutesDefault = 1
)

// SetLogFactor changes how slowly the LFU counters grow.
func (b *Broker) SetLogFactor(n int) { b.logFactor.Store(uint32(min(max(n, 0), math.MaxInt32))) }

// SetDecayMinutes changes after how many minutes without use an LFU counter loses one; 0 is never.
func (b *Broker) SetDecayMinutes(n int) { b.decayMinutes.Store(uint32(min(max(n, 0), math.MaxInt32))) }

func (b *Broker) frequencyOf(access uint32) uint32 {
	counter := access & 0xff
	decay := b.decayMinutes.Load()
	if decay == 0 {
		return counter
	}
	lost := (b.coarse.Load()/60 - access>>8) / decay
	if lost >= counter {
		return 0
	}
	return counter - lost
}

func (b *Broker) moreFrequent(access uint32) uint32 {
	counter := b.frequencyOf(access)
	if counter < 255 {
		base := float64(0)
		if counter > frequencyInitial {
			base = float64(counter - frequencyInitial)
		}
		if rand.Float64() < 1/(base*float64(b.logFactor.Load())+1) {
			counter++
		}
	}
	return b.coarse.Load()/60<<8 | counter
}
