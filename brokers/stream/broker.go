package stream

import (
	"errors"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/stream/segment"
)

// Options configures the broker.
type Options struct {
	Journal    brokers.Journal
	Directory  string             // of the segment files
	Log        segment.Log        // which log the files belong to
	Clock      brokers.Clock      // nil: the system's
	Durability brokers.Durability // of streams that do not say SYNC
	// Defaults and GroupDefaults are of what is made without a word about it; their zero values: DefaultConfig, DefaultGroupConfig.
	Defaults      Config
	GroupDefaults GroupConfig
	MaxPayload    int // bytes; 0: 10 MiB
	MaxStreams    int // 0: 100,000
	// CompactBytes is how much log starts a compaction, if it is also more than the last snapshot; 0: 64 MiB.
	CompactBytes int64
	BlockBytes   int // of the segment files; 0: 64 KiB
	// Failed is told of work in the background that failed; nothing is lost by it. May be nil.
	Failed func(error)
}

// Broker holds the streams. Its methods may be called from any goroutine.
type Broker struct {
	options Options
	journal brokers.Journal
	time    *brokers.Timeline

	synced       atomic.Uint64 // sequence up to which the journal is fsynced
	droppedEpoch atomic.Uint64 // highest epoch of a group that was dropped; see epoch.go

	world sync.RWMutex // changes hold it shared, the cut of a compaction alone

	mu          sync.RWMutex // guards streams and the numbers
	streams     map[string]*Stream
	nextID      uint64
	nextSegment uint64

	// files are the segment files that the journal lists: read under world shared, changed under world alone, in the
	// order of the records that tell of it.
	files    map[uint64]*sealed
	cache    segment.Cache
	sealing  sync.Mutex // one compaction at a time
	tidying  sync.Mutex // one merge at a time
	untidy   atomic.Bool
	replaced []replaced    // to be removed; under tidying
	leftover *segment.File // of a compaction that failed; under sealing

	snapshotBytes atomic.Int64 // of the last one
	retryBytes    atomic.Int64 // log at which a compaction that failed is tried again
	relief        brokers.Relief

	notifying sync.Mutex // one batch is shown at a time; taken before every other lock

	unseen struct { // streams with entries above their high
		sync.Mutex
		streams []*Stream
		spare   []*Stream
	}

	unsettled struct { // streams whose retention waits for a file to be read
		sync.Mutex
		streams []*Stream
		running bool // a goroutine settles them
	}

	closed     atomic.Bool
	compacting atomic.Bool
	merging    atomic.Bool

	spawning   sync.Mutex // nothing is spawned once closed is set under it
	background sync.WaitGroup

	// During replay only.
	replaying map[uint64]*Stream
	listed    map[uint64]bool // segment files
	listing   bool            // the list of all segment files was found
	told      [][]byte        // records of holes that the files tell of
}

// Open replays the journal.
func Open(o Options) (*Broker, error) {
	if o.Journal == nil || o.Directory == "" {
		return nil, errors.New("stream: a journal and a directory are required")
	}
	if o.Clock == nil {
		o.Clock = brokers.SystemClock{}
	}
	if o.MaxPayload == 0 {
		o.MaxPayload = 10 << 20
	}
	if o.MaxStreams == 0 {
		o.MaxStreams = 100_000
	}
	if o.CompactBytes == 0 {
		o.CompactBytes = 64 << 20
	}
	b := &Broker{options: o, journal: o.Journal, time: brokers.NewTimeline(o.Clock), streams: map[string]*Stream{},
		replaying: map[uint64]*Stream{}, files: map[uint64]*sealed{}, listed: map[uint64]bool{}, nextSegment: 1}
	if err := b.journal.Replay(b.replay); err != nil {
		return nil, err
	}
	if err := b.openSegments(); err != nil {
		b.closeFiles()
		return nil, err
	}
	b.replaying, b.listed = nil, nil
	b.journal.Notify(b.notified)
	for _, record := range b.told {
		b.journal.Append(record, true)
	}
	b.told = nil
	for _, s := range b.all() {
		s.mu.Lock()
		s.high = s.next - 1
		for _, g := range s.groups {
			g.next = min(g.next, s.next) // a repair may have lost what was delivered
		}
		s.retainSoonLocked(b.time.Now().Earlier())
		s.mu.Unlock()
	}
	return b, nil
}

// Close ends timers and waits for work in the background; the journal is closed by who opened it.
func (b *Broker) Close() error {
	b.spawning.Lock()
	b.closed.Store(true)
	b.spawning.Unlock()
	b.background.Wait()
	for _, s := range b.all() {
		s.mu.Lock()
		s.stopTimersLocked()
		s.mu.Unlock()
	}
	return b.closeFiles()
}

func (b *Broker) closeFiles() error {
	b.world.Lock()
	defer b.world.Unlock()
	var problems []error
	for _, file := range b.files {
		problems = append(problems, file.Close())
	}
	return errors.Join(problems...)
}

// spawn runs fn in the background, unless the broker is closed.
func (b *Broker) spawn(fn func()) bool {
	b.spawning.Lock()
	defer b.spawning.Unlock()
	if b.closed.Load() {
		return false
	}
	b.background.Go(fn)
	return true
}

func (b *Broker) failed(err error) {
	if b.options.Failed != nil {
		b.options.Failed(err)
	}
}

// all returns the streams by name.
func (b *Broker) all() []*Stream {
	b.mu.RLock()
	list := make([]*Stream, 0, len(b.streams))
	for _, s := range b.streams {
		list = append(list, s)
	}
	b.mu.RUnlock()
	sort.Slice(list, func(i, k int) bool { return list[i].name < list[k].name })
	return list
}

func (b *Broker) find(name []byte) *Stream {
	b.mu.RLock()
	s := b.streams[string(name)]
	b.mu.RUnlock()
	return s
}

// use finds a stream and locks it; the caller calls the function returned.
func (b *Broker) use(name []byte) (*Stream, error) {
	s := b.find(name)
	if s == nil {
		return nil, noStream(string(name))
	}
	s.mu.Lock()
	if s.dropped {
		s.mu.Unlock()
		return nil, noStream(string(name))
	}
	return s, nil
}

// Create makes a stream. An existing one with the same config, or ifNew, is right; another config is SEXISTS.
func (b *Broker) Create(name []byte, c Config, ifNew bool) (brokers.Receipt, error) {
	if err := CheckName("stream", name); err != nil {
		return brokers.Receipt{}, err
	}
	b.world.RLock()
	defer b.world.RUnlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.streams[string(name)]; s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if difference := s.config.conflict(c); difference != "" && !ifNew {
			return brokers.Receipt{}, brokers.Errorf("SEXISTS", "'%s' exists with %s", name, difference)
		}
		return s.receipt(s.created), nil
	}
	s, err := b.createLocked(string(name), c)
	if err != nil {
		return brokers.Receipt{}, err
	}
	return s.receipt(s.created), nil
}

func (b *Broker) createLocked(name string, c Config) (*Stream, error) {
	if err := b.journal.Ready(); err != nil {
		return nil, err
	}
	if len(b.streams) >= b.options.MaxStreams {
		return nil, brokers.Errorf("ERR", "there are %d streams, the most allowed", len(b.streams))
	}
	b.nextID++
	s := newStream(b, b.nextID, name, c)
	b.streams[name] = s
	s.created = b.journal.Append(s.encodeCreate(nil), c.Sync == brokers.Always)
	return s, nil
}

// findOrCreate is find, making the stream with defaults when it is missing and make is set.
func (b *Broker) findOrCreate(name []byte, make bool) (*Stream, error) {
	if s := b.find(name); s != nil || !make {
		if s == nil {
			return nil, noStream(string(name))
		}
		return s, nil
	}
	if err := CheckName("stream", name); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.streams[string(name)]; s != nil {
		return s, nil
	}
	return b.createLocked(string(name), b.Defaults())
}

// Drop removes streams with everything in them and tells how many there were.
func (b *Broker) Drop(names [][]byte) (n int, r brokers.Receipt) {
	b.world.RLock()
	defer b.world.RUnlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range names {
		s := b.streams[string(name)]
		if s == nil {
			continue
		}
		s.mu.Lock()
		delete(b.streams, s.name)
		// Of several streams the most durable one is waited for: the log is one, so the last of those covers the others.
		if own := s.receipt(b.journal.Append(encodeDrop(nil, s.id), s.config.Sync == brokers.Always)); own.Durability >= r.Durability {
			r = own
		}
		s.dropEpochs()
		s.dropLocked()
		s.mu.Unlock()
		n++
	}
	return n, r
}

// Exists counts the names that are streams.
func (b *Broker) Exists(names [][]byte) (n int) {
	for _, name := range names {
		if b.find(name) != nil {
			n++
		}
	}
	return n
}

// Names returns up to count names after the given one that match keeps, in order, and whether there are more.
func (b *Broker) Names(after string, count int, keep func(name string) bool) (names []string, more bool) {
	for _, s := range b.all() {
		if s.name <= after || !keep(s.name) {
			continue
		}
		if len(names) == count {
			return names, true
		}
		names = append(names, s.name)
	}
	return names, false
}

// DefaultDurability is that of streams that do not say SYNC.
func (b *Broker) DefaultDurability() brokers.Durability { return b.options.Durability }

// notified shows what has become durable. The journal's writer calls it after each batch.
func (b *Broker) notified(written, synced uint64) {
	b.notifying.Lock()
	defer b.notifying.Unlock()
	b.synced.Store(synced)
	u := &b.unseen
	u.Lock()
	list := u.streams
	u.streams, u.spare = u.spare[:0], nil
	u.Unlock()
	for _, s := range list {
		s.mu.Lock()
		s.unseenListed = false
		if !s.dropped {
			s.showLocked(written, synced)
			if len(s.unseen) > 0 {
				s.listUnseenLocked()
			}
		}
		s.mu.Unlock()
	}
	u.Lock()
	clear(list)
	u.spare = list[:0]
	u.Unlock()
	b.compactIfDue()
}

// compactIfDue begins a compaction when the log has grown past what a compaction costs, and a merge when one is due.
func (b *Broker) compactIfDue() {
	grown := b.journal.LogBytes() >= max(b.options.CompactBytes, b.snapshotBytes.Load(), b.retryBytes.Load())
	if (grown || b.relief.Due(b.journal, b.hotBytes)) && b.compacting.CompareAndSwap(false, true) {
		if !b.spawn(b.compactInBackground) {
			b.compacting.Store(false)
		}
	}
	if b.untidy.Load() {
		b.tidyInBackground()
	}
}

func (b *Broker) compactInBackground() {
	defer b.compacting.Store(false)
	b.retryBytes.Store(0)
	if err := b.Compact(); err != nil {
		b.retryBytes.Store(b.journal.LogBytes() + b.options.CompactBytes/2)
		if !b.closed.Load() {
			b.failed(err)
		}
		return
	}
	b.tidyInBackground()
}

func (b *Broker) tidyInBackground() {
	if !b.merging.CompareAndSwap(false, true) {
		return
	}
	if !b.spawn(func() {
		defer b.merging.Store(false)
		if err := b.tidy(); err != nil && !b.closed.Load() {
			b.failed(err)
		}
	}) {
		b.merging.Store(false)
	}
}
