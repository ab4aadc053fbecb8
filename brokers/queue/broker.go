package queue

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/nexobroker/nexo/brokers"
	"github.com/tidwall/btree"
)

// Options are what a Broker is made of.
type Options struct {
	Journal    brokers.Journal
	Clock      brokers.Clock      // nil: the system's
	Durability brokers.Durability // of queues that do not say SYNC
	Defaults   Config             // of queues that are made without a word about it; the zero value: DefaultConfig
	MaxPayload int                // bytes; 0: 10 MiB
	MaxMemory  int64              // bytes of jobs in RAM above which pushes are refused; 0: no limit
	// JobMemory is how many bytes of jobs, over all queues, stay in RAM; 0: 256 MiB. Those past it go to files in
	// SpillDirectory, which belongs to the broker; without a directory all stay.
	JobMemory      int64
	SpillDirectory string
	MaxQueues      int // 0: 100,000
	DedupKeys      int // keys a queue may hold in its window; 0: 1,000,000
	// CompactBytes is how much must have been written or died for a compaction, and how much more log after a failed one;
	// 0: 64 MiB.
	CompactBytes int64
	// Failed is told of background work that failed and will be tried again: a compaction, after which the log stays the
	// truth, or moving jobs to disk, which then stay in RAM. May be nil.
	Failed func(error)
	// Freed is told when jobs have taken much more memory than they do now, so that it may be handed back to the system: after a
	// purge, when a backlog has been drained, and after a start that has read many. May be nil.
	Freed func()

	runBytes, runLeast int64 // cost of the jobs of a run, and what a bucket or a shelf keeps in RAM; 0: 1 MiB and 64 KiB
	fetchAhead         int64 // how many ms before the first time in a run it is fetched; 0: 2,000
}

// Broker holds the queues. Its methods may be called from any goroutine.
type Broker struct {
	options    Options
	journal    brokers.Journal
	time       *brokers.Timeline
	passedOver uint64      // changes in the log of a job or queue that is not there; set by Open
	loading    atomic.Bool // Open is replaying: no timers, no waiters, no records
	closed     atomic.Bool
	everCold   idSet                  // while loading: the ids of the jobs that have been in a run
	config     atomic.Pointer[Config] // the last one given to a queue
	records    sync.Pool              // of *recordBuffer
	numbers    numbers
	bytes      atomic.Int64 // of all jobs
	jobs       atomic.Int64 // how many there are
	cold       atomic.Int64 // bytes of the jobs in runs
	coldJobs   atomic.Int64 // how many these are
	deadRuns   atomic.Int64 // bytes of the files that only the last snapshot still needs
	listed     []*run       // by the last snapshot, pinned; of the one compaction, and of the start
	peak       atomic.Int64 // what jobs took of RAM at most since Freed was told
	freeing    atomic.Bool  // Freed is about to be told
	spill      *spill
	written    atomic.Uint64
	synced     atomic.Uint64
	notified   sync.Mutex // one notify at a time
	resting    sync.Mutex // one search at a time rests; no other lock is held

	// world is read-held by every change and write-held for the moment in which a snapshot is pinned.
	world      sync.RWMutex
	generation uint32 // of the last snapshot; changes under world's write lock

	directory struct {
		mu         sync.RWMutex
		byName     map[string]*queue
		byNumber   btree.Map[uint64, *queue]
		lastNumber uint64
	}

	dirty struct {
		mu            sync.Mutex
		queues, spare []*queue
	}

	compacting atomic.Bool
	// compactAbove is how much log there must be for another try after a compaction failed; 0 after a success. failures
	// is how many failed since the last success.
	compactAbove  atomic.Int64
	relief        brokers.Relief
	failures      int
	snapshotBytes atomic.Int64 // of the snapshot that the log follows
	snapshotLive  atomic.Int64 // liveBytes when it was made
	background    sync.WaitGroup
	compaction    sync.Mutex // serializes the start of a compaction with Close
}

// Open replays the journal and returns a broker that is ready to serve.
func Open(o Options) (*Broker, error) {
	if o.Journal == nil {
		return nil, errors.New("queue: a journal is required")
	}
	if o.Defaults != (Config{}) {
		if err := o.Defaults.check(); err != nil {
			return nil, fmt.Errorf("queue: defaults: %w", err)
		}
	}
	if o.Clock == nil {
		o.Clock = brokers.SystemClock{}
	}
	setDefault(&o.MaxPayload, 10<<20)
	setDefault(&o.MaxQueues, 100_000)
	setDefault(&o.DedupKeys, 1_000_000)
	setDefault(&o.CompactBytes, 64<<20)
	setDefault(&o.JobMemory, 256<<20)
	setDefault(&o.runBytes, 1<<20)
	setDefault(&o.runLeast, 64<<10)
	setDefault(&o.fetchAhead, 2000)
	b := &Broker{options: o, journal: o.Journal, time: brokers.NewTimeline(o.Clock)}
	b.directory.byName = map[string]*queue{}
	spill, err := openSpill(o.SpillDirectory, o.Failed)
	if err != nil {
		return nil, err
	}
	b.spill = spill
	b.generation = 1
	err = b.recover()
	if err == nil {
		err = b.spill.sweep()
	}
	if err != nil {
		b.spill.close()
		return nil, err
	}
	b.spill.loaded()
	return b, nil
}

func setDefault[T int | int64](value *T, fallback T) {
	if *value == 0 {
		*value = fallback
	}
}

// Close stops the timers, wakes the waiters and marks the journal as cleanly left. The journal stays open.
func (b *Broker) Close() error {
	b.compaction.Lock()
	already := b.closed.Swap(true)
	b.compaction.Unlock()
	if already {
		return nil
	}
	b.background.Wait()
	b.world.Lock()
	for _, q := range b.queues() {
		q.mu.Lock()
		if q.timer != nil {
			q.timer.Stop()
		}
		q.waiters.failAll(errClosed)
		q.mu.Unlock()
	}
	n := &b.numbers
	n.mu.Lock()
	seq := b.append(mark{
		reservedID: n.reservedID.Load(), reservedDelivery: n.reservedDelivery.Load(), floor: n.floor,
		lifeFirstID: n.lifeFirstID, clean: true, lastID: n.lastID.Load(),
	}.encode(nil), true)
	n.mu.Unlock()
	b.world.Unlock()
	b.spill.close()
	return b.journal.WaitSynced(seq)
}

// steady is the time that everything in memory is told in; records and answers hold the wall's.
func (b *Broker) steady() int64 { return b.time.Now().Steady }

// append hands a record to the journal. Lock: world is held, read or write, and the lock of what changed.
func (b *Broker) append(record []byte, synced bool) uint64 {
	return b.journal.Append(record, synced)
}

// enter begins a change; leave ends it.
func (b *Broker) enter() error {
	b.world.RLock()
	if b.closed.Load() {
		b.world.RUnlock()
		return errClosed
	}
	return nil
}

func (b *Broker) leave() { b.world.RUnlock() }

// locked finds a queue and locks it, inside the world. The caller calls release.
func (b *Broker) locked(name []byte) (*queue, error) {
	if err := b.enter(); err != nil {
		return nil, err
	}
	b.directory.mu.RLock()
	q := b.directory.byName[string(name)]
	b.directory.mu.RUnlock()
	if q != nil {
		q.mu.Lock()
		if !q.dropped {
			return q, nil
		}
		q.mu.Unlock()
	}
	b.leave()
	if err := CheckName(name); err != nil {
		return nil, err
	}
	return nil, errNoQueue(name)
}

// release undoes locked.
func (b *Broker) release(q *queue) {
	q.mu.Unlock()
	b.leave()
}

// queues is every queue in the order they were made.
func (b *Broker) queues() []*queue {
	b.directory.mu.RLock()
	defer b.directory.mu.RUnlock()
	return b.directory.byNumber.Values()
}

// enlist puts a queue on the list of those with pending jobs.
func (b *Broker) enlist(q *queue) {
	b.dirty.mu.Lock()
	b.dirty.queues = append(b.dirty.queues, q)
	b.dirty.mu.Unlock()
}

func storeMax(v *atomic.Uint64, n uint64) {
	for {
		old := v.Load()
		if old >= n || v.CompareAndSwap(old, n) {
			return
		}
	}
}

// notify is the journal's news: what was pending and is now durable becomes visible. The order matters: the marks are
// stored before the list is taken, and a push enlists before it reads the marks, so one of the two sees the other.
func (b *Broker) notify(written, synced uint64) {
	b.notified.Lock()
	defer b.notified.Unlock()
	storeMax(&b.written, max(written, synced))
	storeMax(&b.synced, synced)
	b.compactIfDue()
	b.watchMemory()
	b.dirty.mu.Lock()
	list := b.dirty.queues
	b.dirty.queues = b.dirty.spare[:0]
	b.dirty.mu.Unlock()
	if len(list) == 0 {
		b.dirty.mu.Lock()
		b.dirty.spare = list
		b.dirty.mu.Unlock()
		return
	}
	b.world.RLock()
	for _, q := range list {
		q.mu.Lock()
		if q.promoteLocked() {
			b.enlist(q)
		} else {
			q.dirty = false
		}
		q.serveLocked()
		q.relieveLocked()
		q.mu.Unlock()
	}
	b.world.RUnlock()
	clear(list)
	b.dirty.mu.Lock()
	b.dirty.spare = list[:0]
	b.dirty.mu.Unlock()
}

// Create makes a queue. One that exists with the same configuration, or with ifNew, is left as it is.
func (b *Broker) Create(name []byte, config Config, ifNew bool) (brokers.Receipt, error) {
	if err := CheckName(name); err != nil {
		return brokers.Receipt{}, err
	}
	if err := config.check(); err != nil {
		return brokers.Receipt{}, err
	}
	if err := b.enter(); err != nil {
		return brokers.Receipt{}, err
	}
	defer b.leave()
	q, made, err := b.findOrCreate(name, config)
	if err != nil {
		return brokers.Receipt{}, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if !made && !ifNew && *q.config != config {
		has, asked := q.config.Fields(), config.Fields()
		for i := range has {
			if has[i] != asked[i] {
				return brokers.Receipt{}, brokers.Errorf("QEXISTS", "'%s' exists with %s %s, asked %s",
					name, upper(has[i].Name), upper(has[i].Value), upper(asked[i].Value))
			}
		}
	}
	return q.receiptLocked(q.lastSeq), nil
}

// findOrCreate returns the queue, making it if need be. Inside the world.
func (b *Broker) findOrCreate(name []byte, config Config) (q *queue, made bool, err error) {
	d := &b.directory
	d.mu.RLock()
	q = d.byName[string(name)]
	d.mu.RUnlock()
	if q != nil {
		return q, false, nil
	}
	if err := CheckName(name); err != nil {
		return nil, false, err
	}
	if err := b.journal.Ready(); err != nil {
		return nil, false, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if q = d.byName[string(name)]; q != nil {
		return q, false, nil
	}
	if len(d.byName) >= b.options.MaxQueues {
		return nil, false, brokers.Errorf("QFULL", "there are %d queues already", len(d.byName))
	}
	d.lastNumber++
	q = newQueue(b, d.lastNumber, string(name), config)
	q.lastSeq = b.append(encodeCreate(nil, opCreate, q.number, q.name, config), config.Sync == brokers.Always)
	d.byName[q.name] = q
	d.byNumber.Set(q.number, q)
	return q, true, nil
}

// Drop removes queues with all their jobs and tells how many there were. Who waits on one is told.
func (b *Broker) Drop(names [][]byte) (dropped int, receipts []brokers.Receipt, err error) {
	for _, name := range names {
		if err := CheckName(name); err != nil {
			return 0, nil, err
		}
	}
	if err := b.enter(); err != nil {
		return 0, nil, err
	}
	defer b.leave()
	for _, name := range names {
		b.directory.mu.Lock()
		q := b.directory.byName[string(name)]
		if q != nil {
			delete(b.directory.byName, q.name)
			b.directory.byNumber.Delete(q.number)
			q.mu.Lock()
			receipts = append(receipts, q.dropLocked())
			q.mu.Unlock()
			dropped++
		}
		b.directory.mu.Unlock()
	}
	return dropped, receipts, nil
}

// Exists counts the names that are queues.
func (b *Broker) Exists(names [][]byte) (int, error) {
	found := 0
	for _, name := range names {
		if err := CheckName(name); err != nil {
			return 0, err
		}
	}
	b.directory.mu.RLock()
	defer b.directory.mu.RUnlock()
	for _, name := range names {
		if b.directory.byName[string(name)] != nil {
			found++
		}
	}
	return found, nil
}

// listScan is how many queues one List looks at, at most.
const listScan = 10_000

// List returns up to count queue names that match, in the order they were made, from the cursor on. The next cursor is
// 0 at the end. A queue that is there all the time is returned exactly once.
func (b *Broker) List(cursor uint64, count int, match func(name string) bool) (names []string, next uint64) {
	b.directory.mu.RLock()
	defer b.directory.mu.RUnlock()
	looked := 0
	last := uint64(0)
	b.directory.byNumber.Ascend(cursor+1, func(number uint64, q *queue) bool {
		if len(names) >= count || looked >= listScan {
			next = last
			return false
		}
		looked++
		last = number
		if match == nil || match(q.name) {
			names = append(names, q.name)
		}
		return true
	})
	return names, next
}

func (q *queue) dropLocked() brokers.Receipt {
	q.dropped = true
	record := header(nil, opDrop)
	record = appendUint(record, q.number)
	receipt := q.receiptLocked(q.appendLocked(record, q.config.Sync == brokers.Always))
	q.uncountLocked()
	if q.timer != nil {
		q.timer.Stop()
	}
	for id, owner := range q.owners {
		owner.forget(q, id)
	}
	q.waiters.failAll(errNoQueue([]byte(q.name)))
	// The jobs go with the queue object; a snapshot under way holds its own copy of the index.
	q.pending, q.pendingAt = nil, 0
	return receipt
}

// uncountLocked takes a queue with its jobs out of the broker's sums.
func (q *queue) uncountLocked() {
	b := q.broker
	b.bytes.Add(-q.bytes)
	b.jobs.Add(-int64(q.index.count() + q.coldJobsLocked()))
	for _, r := range q.runsLocked() {
		q.leaveLocked(r)
	}
	q.bytes, q.cold = 0, 0
}

// Memory is what the jobs of all queues take.
type Memory struct {
	Bytes   int64 // of all jobs, in RAM or not
	RAM     int64 // of the jobs in RAM, and of runs that cannot be written
	Budget  int64 // for RAM; past it jobs go to disk
	Limit   int64 // for RAM; past it pushes are refused; 0: none
	Cold    int64 // of the jobs that are not in RAM
	OnDisk  int64 // of the files they are in
	Blocked bool  // the last write of such a file failed
}

// Memory tells what the jobs of all queues take.
func (b *Broker) Memory() Memory {
	cold := b.cold.Load()
	return Memory{
		Bytes: b.bytes.Load(), RAM: b.ram(), Budget: b.options.JobMemory, Limit: b.options.MaxMemory,
		Cold: cold, OnDisk: b.spill.stored.Load(), Blocked: b.spill.blocked.Load(),
	}
}

// ram is what jobs take in RAM: their objects, and runs that cannot be written. Those that only wait for their turn,
// which are few, must not get a push refused.
func (b *Broker) ram() int64 {
	ram := b.hot()
	if b.spill.blocked.Load() {
		ram += b.spill.unwritten.Load()
	}
	return ram
}

// shared is a configuration for a queue. They never change, so queues that are made alike have one together.
func (b *Broker) shared(config Config) *Config {
	if last := b.config.Load(); last != nil && *last == config {
		return last
	}
	b.config.Store(&config)
	return &config
}

// jittered moves a delay by up to percent either way.
func jittered(delay, percent int64) int64 {
	spread := delay / 100 * percent
	if delay < 100 {
		spread = delay * percent / 100
	}
	if spread <= 0 {
		return delay
	}
	return delay - spread + rand.Int64N(2*spread+1)
}

// foreverMS stands for a pause without an end.
const foreverMS = math.MaxInt64

// PassedOver is how many changes in the log were of a job or a queue that it does not have: a repair has lost them.
func (b *Broker) PassedOver() uint64 { return b.passedOver }

// Durability is the level of queues that do not say SYNC.
func (b *Broker) Durability() brokers.Durability { return b.options.Durability }
