package stream

import (
	"errors"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/nexobroker/nexo/brokers"
)

// Options configures the broker.
type Options struct {
	Journal    brokers.Journal
	Clock      brokers.Clock      // nil: the system's
	Durability brokers.Durability // of streams that do not say SYNC
	MaxPayload int                // bytes; 0: 10 MiB
	MaxStreams int                // 0: 100,000
	// CompactBytes is how much log starts a compaction, if it is also more than half of the live bytes; 0: 64 MiB.
	CompactBytes int64
	// Failed is told of a compaction that failed; the log stays the truth. May be nil.
	Failed func(error)
}

// Broker holds the streams. Its methods may be called from any goroutine.
type Broker struct {
	options Options
	journal brokers.Journal
	clock   brokers.Clock

	world sync.RWMutex // changes hold it shared, the cut of a compaction alone

	mu      sync.RWMutex // guards streams and nextID
	streams map[string]*Stream
	nextID  uint64

	notifying sync.Mutex // one batch is shown at a time; taken before every other lock

	unseen struct { // streams with entries above their high
		sync.Mutex
		streams []*Stream
		spare   []*Stream
	}

	closed     atomic.Bool
	compacting atomic.Bool
	background sync.WaitGroup
	replaying  map[uint64]*Stream
}

// Open replays the journal.
func Open(o Options) (*Broker, error) {
	if o.Journal == nil {
		return nil, errors.New("stream: a journal is required")
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
	b := &Broker{options: o, journal: o.Journal, clock: o.Clock, streams: map[string]*Stream{}, replaying: map[uint64]*Stream{}}
	if err := b.journal.Replay(b.replay); err != nil {
		return nil, err
	}
	b.replaying = nil
	b.journal.Notify(b.notified)
	for _, s := range b.all() {
		s.mu.Lock()
		s.high = s.next - 1
		for _, g := range s.groups {
			g.next = min(g.next, s.next) // a repair may have lost what was delivered
		}
		s.retainLocked(b.clock.Now().UnixMilli())
		s.mu.Unlock()
	}
	return b, nil
}

// Close ends timers and waits for a compaction under way; the journal is closed by who opened it.
func (b *Broker) Close() error {
	b.closed.Store(true)
	b.background.Wait()
	for _, s := range b.all() {
		s.mu.Lock()
		s.stopTimersLocked()
		s.mu.Unlock()
	}
	return nil
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
	return b.createLocked(string(name), DefaultConfig(b.options.Durability))
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

// compactIfDue begins a compaction when the log has grown past its live bytes.
func (b *Broker) compactIfDue() {
	if b.journal.LogBytes() < b.options.CompactBytes || b.closed.Load() || !b.compacting.CompareAndSwap(false, true) {
		return
	}
	b.background.Go(func() {
		defer b.compacting.Store(false)
		if b.journal.LogBytes() < b.liveBytes()/2 {
			return
		}
		if err := b.Compact(); err != nil && b.options.Failed != nil {
			b.options.Failed(err)
		}
	})
}

func (b *Broker) liveBytes() (n int64) {
	for _, s := range b.all() {
		s.mu.Lock()
		n += s.bytes
		s.mu.Unlock()
	}
	return n
}

// Compact replaces the log by a snapshot.
func (b *Broker) Compact() error {
	b.world.Lock()
	finish, err := b.journal.Cut()
	if err != nil {
		b.world.Unlock()
		return err
	}
	copies := make([]*snapshot, 0)
	for _, s := range b.all() {
		s.mu.Lock()
		copies = append(copies, s.snapshotLocked())
		s.mu.Unlock()
	}
	nextID := b.nextID
	b.world.Unlock()
	return finish(func(emit brokers.Emit) error { return dump(copies, nextID, emit) })
}
