package store

import (
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/store/slab"
)

// Databases is how many keyspaces there are.
const Databases = 16

var (
	// ErrMemory is returned by what adds data when the account is over the limit and the policy finds nothing to evict.
	ErrMemory = &brokers.Error{Code: "OOM", Message: "command not allowed when used memory > 'maxmemory'."}
	// ErrKind is returned when a key holds another kind of value than the operation works on.
	ErrKind = &brokers.Error{Code: "WRONGTYPE", Message: "Operation against a key holding the wrong kind of value"}
	// ErrNoKey is returned by Rename when the source is missing, and by the object commands.
	ErrNoKey = &brokers.Error{Code: "ERR", Message: "no such key"}
	// ErrNotInteger is returned by Increment when the value is not a decimal 64-bit integer.
	ErrNotInteger = &brokers.Error{Code: "ERR", Message: "value is not an integer or out of range"}
	// ErrOverflow is returned by Increment when the result does not fit 64 bits.
	ErrOverflow = &brokers.Error{Code: "ERR", Message: "increment or decrement would overflow"}
	// ErrNotFloat is returned by IncrementFloat when the value is not a number.
	ErrNotFloat = &brokers.Error{Code: "ERR", Message: "value is not a valid float"}
	// ErrNotFinite is returned by IncrementFloat when the result is not a finite number.
	ErrNotFinite = &brokers.Error{Code: "ERR", Message: "increment would produce NaN or Infinity"}
	// ErrTooLong is returned when a value would grow over ValueMax.
	ErrTooLong = &brokers.Error{Code: "ERR", Message: "string exceeds maximum allowed size (proto-max-bulk-len)"}
)

// ValueMax is the longest a value can grow by APPEND and SETRANGE.
const ValueMax = 512 << 20

// Options opens a Broker.
type Options struct {
	Journal         brokers.Journal // nil: the store is volatile
	Clock           brokers.Clock   // nil: the system's
	Durability      brokers.Durability
	MaxMemory       int64  // bytes of the account; 0 is no limit
	MaxMemoryPolicy string // "" is noeviction
	DefaultTTL      time.Duration
	// Freed is told when a flush has emptied the store of much memory, so that what of it is on the heap (ordered keys) may be handed
	// back to the system: nothing else would make the runtime collect it while little happens. nil: nobody is told. It must not block.
	Freed func()
}

// Broker is the keyspace. All its methods may be called from any goroutine.
type Broker struct {
	clock      brokers.Clock
	start      time.Time // of Open, with its monotonic reading
	startWall  int64     // Unix nanoseconds of start
	seed       maphash.Seed
	defaultTTL time.Duration

	creating  sync.Mutex // adding to databases
	databases [Databases]atomic.Pointer[[shardCount]shard]
	tallies   [Databases]tally

	memory    atomic.Int64 // the account, in bytes
	peak      atomic.Int64 // of the account, as of the last tick
	maxMemory atomic.Int64
	policy    atomic.Uint32 // Policy
	frequency atomic.Bool   // the policy is an LFU one: access fields are counters
	coarse    atomic.Uint32 // seconds since start; the clock of access fields
	refused   atomic.Uint64
	eviction  eviction
	// The tunables of the LRU and LFU policies: see SetSampling, SetLogFactor and SetDecayMinutes.
	samples, logFactor, decayMinutes atomic.Uint32

	timing timing
	ticker struct {
		mu     sync.Mutex
		timer  brokers.Timer
		closed bool
	}

	journal    brokers.Journal
	durability brokers.Durability
	compaction compaction
	relief     brokers.Relief
	freed      func()
	blocks     blocks
}

// Open makes a Broker and replays its journal.
func Open(o Options) (*Broker, error) {
	if o.Clock == nil {
		o.Clock = brokers.SystemClock{}
	}
	if o.MaxMemoryPolicy == "" {
		o.MaxMemoryPolicy = NoEviction.String()
	}
	if o.MaxMemory < 0 || o.DefaultTTL < 0 {
		return nil, errors.New("store: negative memory limit or default TTL")
	}
	b := &Broker{clock: o.Clock, seed: maphash.MakeSeed(), defaultTTL: o.DefaultTTL, durability: o.Durability,
		freed: o.Freed}
	b.start = o.Clock.Now()
	b.startWall = b.start.UnixNano()
	b.timing.wakeAt.Store(math.MinInt64) // no timer before the replay is over
	b.blocks.pool = slab.NewPool()
	b.shards(0)
	b.SetSampling(SamplesDefault)
	b.SetLogFactor(LogFactorDefault)
	b.SetDecayMinutes(DecayMinutesDefault)
	if err := b.SetMaxMemoryPolicy(o.MaxMemoryPolicy); err != nil {
		return nil, err
	}
	if o.Journal != nil {
		if err := o.Journal.Replay(b.replay); err != nil {
			return nil, fmt.Errorf("store: replaying the journal: %w", err)
		}
		b.journal = o.Journal
		o.Journal.Notify(b.notified)
	}
	b.expireDue()
	b.maxMemory.Store(o.MaxMemory)
	b.ticker.mu.Lock()
	b.ticker.timer = b.clock.AfterFunc(time.Second, b.tick)
	b.ticker.mu.Unlock()
	return b, nil
}

// Close stops the timers and waits for a compaction under way. The journal is the caller's to close.
func (b *Broker) Close() error {
	b.ticker.mu.Lock()
	b.ticker.closed = true
	b.ticker.timer.Stop()
	b.ticker.mu.Unlock()

	b.timing.mu.Lock()
	b.timing.closed = true
	if b.timing.timer != nil {
		b.timing.timer.Stop()
	}
	b.timing.mu.Unlock()
	b.timing.running.Lock() // once it is ours, a run under way has ended
	defer b.timing.running.Unlock()
	b.blocks.behind.Wait()
	b.blocks.pool.Close()
	return b.compaction.close()
}

// tick moves the coarse clock, and looks at the memory.
func (b *Broker) tick() {
	b.ticker.mu.Lock()
	defer b.ticker.mu.Unlock()
	if b.ticker.closed {
		return
	}
	b.coarse.Store(uint32(b.clock.Now().Sub(b.start) / time.Second))
	b.notePeak()
	b.tightenUpTo(tightenPerTick)
	b.ticker.timer.Reset(time.Second)
}

// DefaultTTL is what a native set without an expiry gets; 0 is none.
func (b *Broker) DefaultTTL() time.Duration { return b.defaultTTL }

// shards returns the shards of a database, making them on its first use.
func (b *Broker) shards(db int) *[shardCount]shard {
	if shards := b.databases[db].Load(); shards != nil {
		return shards
	}
	b.creating.Lock()
	defer b.creating.Unlock()
	if shards := b.databases[db].Load(); shards != nil {
		return shards
	}
	shards := new([shardCount]shard)
	for i := range shards {
		shards[i].index = uint8(i)
		shards[i].database = uint8(db)
		shards[i].tally = &b.tallies[db]
		shards[i].blocks = &b.blocks
		b.prepare(&shards[i])
		shards[i].nextElapsing.Store(noDeadline)
		shards[i].nextDated.Store(noDeadline)
	}
	b.regroup(shards)
	b.databases[db].Store(shards)
	return shards
}

// allShards are the shards of the databases that have been used, in the order in which they are locked.
func (b *Broker) allShards() iter.Seq[*shard] {
	return func(yield func(*shard) bool) {
		for db := range b.databases {
			shards := b.databases[db].Load()
			if shards == nil {
				continue
			}
			for i := range shards {
				if !yield(&shards[i]) {
					return
				}
			}
		}
	}
}

// shardOf finds the shard of a key and the key's hash within it.
func (b *Broker) shardOf(db int, key []byte) (*shard, uint32) {
	hash := maphash.Bytes(b.seed, key)
	return &b.shards(db)[hash>>56], uint32(hash)
}

// shardSet is a set of the shards of one database.
type shardSet [shardCount / 64]uint64

func (s *shardSet) add(index uint8)      { s[index/64] |= 1 << (index % 64) }
func (s *shardSet) has(index uint8) bool { return s[index/64]&(1<<(index%64)) != 0 }

// lockAll locks the shards of keys[0], keys[step], ... in order of their indices.
func (b *Broker) lockAll(db int, keys [][]byte, step int) (shards *[shardCount]shard, locked shardSet) {
	shards = b.shards(db)
	for i := 0; i < len(keys); i += step {
		locked.add(uint8(maphash.Bytes(b.seed, keys[i]) >> 56))
	}
	for i := range shards {
		if locked.has(uint8(i)) {
			shards[i].mu.Lock()
		}
	}
	return shards, locked
}

func unlockAll(shards *[shardCount]shard, locked shardSet) {
	for i := range shards {
		if locked.has(uint8(i)) {
			shards[i].mu.Unlock()
		}
	}
}

// lockTwo locks two shards, which may be one, in order of database and index.
func lockTwo(a, z *shard) (unlock func()) {
	if a == z {
		a.mu.Lock()
		return a.mu.Unlock
	}
	if a.database > z.database || (a.database == z.database && a.index > z.index) {
		a, z = z, a
	}
	a.mu.Lock()
	z.mu.Lock()
	return func() {
		z.mu.Unlock()
		a.mu.Unlock()
	}
}

// MakeRoom evicts by the policy until the account is within the limit. It returns ErrMemory when that cannot be done; then nothing
// that adds data would be done either.
func (b *Broker) MakeRoom() error {
	if limit := b.maxMemory.Load(); limit > 0 && b.memory.Load() > limit && !b.makeRoom(limit) {
		b.refused.Add(1)
		return ErrMemory
	}
	return nil
}

// admit is asked, with no lock held, before data is added.
func (b *Broker) admit() error {
	b.tightenUpTo(1)
	if err := b.MakeRoom(); err != nil {
		return err
	}
	if b.journal != nil {
		return b.journal.Ready()
	}
	return nil
}
