package store

import (
	"fmt"
	"math/rand/v2"
	"strings"
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

func (p Policy) volatileOnly() bool { return p >= VolatileLRU }

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
	return nil
}

const (
	// sampleSize keys are compared for one victim; Redis takes 5 at a time and remembers the best 16.
	sampleSize = 16
	// evictionsMax bounds the work of one call; a burst of big values is worked off by the calls that follow.
	evictionsMax = 10_000
)

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

// evictOne removes the best victim of one shard. Shards are tried from a random one on, so that the smallest keyspace
// with one candidate is found.
func (b *Broker) evictOne(policy Policy) bool {
	start := int(rand.Uint32N(Databases * shardCount))
	for i := range Databases * shardCount {
		at := (start + i) % (Databases * shardCount)
		// Consecutive tries go to the databases in turn: most of them are unused.
		shards := b.databases[at%Databases].Load()
		if shards == nil {
			continue
		}
		sh := &shards[at/Databases]
		sh.mu.Lock()
		victim := b.victim(sh, policy)
		if victim != nil {
			key := victim.key
			b.remove(sh, victim)
			sh.counts.evicted++
			b.appendRecord(sh, func(rec []byte) []byte { return recordDelete(rec, sh.database, key) })
		}
		sh.mu.Unlock()
		if victim != nil {
			return true
		}
	}
	return false
}

func (b *Broker) victim(sh *shard, policy Policy) (best *entry) {
	if policy.volatileOnly() {
		return b.volatileVictim(sh, policy)
	}
	sh.sample(sampleSize, func(e *entry) {
		if best == nil || (policy != AllKeysRandom && b.colder(e, best)) {
			best = e
		}
	})
	return best
}

// volatileVictim samples the heaps of deadlines, which hold just the keys that qualify.
func (b *Broker) volatileVictim(sh *shard, policy Policy) (best *entry) {
	n := len(sh.elapsing) + len(sh.dated)
	if n == 0 {
		return nil
	}
	if policy == VolatileTTL {
		switch {
		case len(sh.dated) == 0 || (len(sh.elapsing) > 0 && sh.elapsing[0].at <= sh.dated[0].at):
			return sh.elapsing[0].e
		default:
			return sh.dated[0].e
		}
	}
	start := rand.IntN(n)
	for i := range min(n, sampleSize) {
		at := (start + i) % n
		var e *entry
		if at < len(sh.elapsing) {
			e = sh.elapsing[at].e
		} else {
			e = sh.dated[at-len(sh.elapsing)].e
		}
		if best == nil || (policy != VolatileRandom && b.colder(e, best)) {
			best = e
		}
	}
	return best
}

// colder tells whether a is a better victim than z under the LRU or LFU policy in force.
func (b *Broker) colder(a, z *entry) bool {
	if b.frequency.Load() {
		return b.frequencyOf(a.access) < b.frequencyOf(z.access)
	}
	return a.access < z.access
}

// The LFU counter is Redis': 8 bits, logarithmic, losing one for each minute without use.
const (
	frequencyInitial   = 5
	frequencyLogFactor = 10
)

func (b *Broker) frequencyOf(access uint32) uint32 {
	counter := access & 0xff
	minutes := b.coarse.Load()/60 - access>>8
	if minutes >= counter {
		return 0
	}
	return counter - minutes
}

func (b *Broker) moreFrequent(access uint32) uint32 {
	counter := b.frequencyOf(access)
	if counter < 255 {
		base := float64(0)
		if counter > frequencyInitial {
			base = float64(counter - frequencyInitial)
		}
		if rand.Float64() < 1/(base*frequencyLogFactor+1) {
			counter++
		}
	}
	return b.coarse.Load()/60<<8 | counter
}
