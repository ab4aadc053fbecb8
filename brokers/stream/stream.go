package stream

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"sort"
	"sync"
	"time"

	"github.com/nexobroker/nexo/brokers"
)

// entry is what is kept of one entry; its offset follows from its place. One that a repair of the log has lost has a nil
// payload: readers pass over it.
type entry struct {
	ms      int64
	seq     uint64
	payload []byte
}

// entryOverhead is counted for each entry beside its payload.
const entryOverhead = 48

// Stream is one log and its groups.
type Stream struct {
	broker *Broker
	id     uint64 // never reused
	name   string

	mu      sync.Mutex // guards everything below
	config  Config
	created uint64 // sequence of the create record
	dropped bool

	entries []entry // of the offsets first..next-1; the slice is only appended to and cut in front
	first   uint64
	next    uint64
	high    uint64 // last offset shown
	lastMs  int64
	lastSeq uint64
	bytes   int64

	hashes [][sha256.Size]byte // of the entries, in a stream with INTEGRITY CHAIN
	anchor [sha256.Size]byte   // hash of the entry before first

	unseen       []unseenBatch // appended and above high, in order
	unseenListed bool          // in broker.unseen
	dedup        dedup
	groups       map[string]*group
	changed      chan struct{} // closed when high grows; nil when nobody waits
	expiry       brokers.Timer // of the first entry's MAXAGE

	appended, duplicates uint64
}

// unseenBatch is an append that waits for its durability.
type unseenBatch struct{ seq, last uint64 }

func newStream(b *Broker, id uint64, name string, c Config) *Stream {
	return &Stream{broker: b, id: id, name: name, config: c, first: 1, next: 1, groups: map[string]*group{}, dedup: newDedup()}
}

func (s *Stream) receipt(seq uint64) brokers.Receipt {
	return brokers.Receipt{Journal: s.broker.journal, Seq: seq, Durability: s.config.Sync}
}

// AppendResult is where the entries stand.
type AppendResult struct {
	First, Last uint64
	Duplicate   bool // the dedup key was seen in the window; First and Last are the original's
}

// Append adds payloads, all or none, in one record.
func (b *Broker) Append(name []byte, payloads [][]byte, x Expect, dedupKey []byte, create bool) (AppendResult, brokers.Receipt, error) {
	var none brokers.Receipt
	for _, payload := range payloads {
		if len(payload) > b.options.MaxPayload {
			return AppendResult{}, none, brokers.Errorf("TOOBIG", "payload %d > %d", len(payload), b.options.MaxPayload)
		}
	}
	b.world.RLock()
	defer b.world.RUnlock()
	// A refused append makes no stream: only these two expectations can hold of one that is missing.
	missingFits := x.Kind == ExpectAny || x.Kind == ExpectNone || x.Kind == ExpectOffset && x.Offset == 0
	s, err := b.findOrCreate(name, create && missingFits)
	if err != nil && create && x.Kind == ExpectOffset && errors.Is(err, noStream("")) {
		return AppendResult{}, none, brokers.Errorf("EXPECT", "expected %d, is 0", x.Offset)
	}
	if err != nil {
		return AppendResult{}, none, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped {
		return AppendResult{}, none, noStream(s.name)
	}
	now := b.clock.Now().UnixMilli()
	if dedupKey != nil {
		s.dedup.expire(now)
		if offset, found := s.dedup.find(dedupKey, now); found {
			s.duplicates++
			return AppendResult{First: offset, Last: offset, Duplicate: true}, s.receipt(s.seqOfLocked(offset)), nil
		}
	}
	if err := s.expectedLocked(x); err != nil {
		return AppendResult{}, none, err
	}
	if err := b.journal.Ready(); err != nil {
		return AppendResult{}, none, err
	}
	if s.config.Sync != brokers.Never {
		s.listUnseenLocked() // before the journal has the record: it may be durable before we are back
	}
	ms, seq := s.nextIDLocked(now)
	record := encodeAppend(recordBuffer(), s.id, s.next, ms, seq, now+s.config.DedupWindow.Milliseconds(), dedupKey, payloads)
	position := b.journal.Append(record, s.config.Sync == brokers.Always)
	releaseBuffer(record)
	result := AppendResult{First: s.next, Last: s.next + uint64(len(payloads)) - 1}
	if dedupKey != nil {
		s.dedup.add(string(dedupKey), s.next, now+s.config.DedupWindow.Milliseconds())
	}
	s.addLocked(ms, seq, payloads)
	s.appended += uint64(len(payloads))
	s.unseen = append(s.unseen, unseenBatch{seq: position, last: result.Last})
	if s.config.Sync == brokers.Never {
		s.showLocked(position, position)
	}
	s.retainLocked(now)
	return result, s.receipt(position), nil
}

// seqOfLocked is the journal's sequence of an offset that is not yet shown; 0 when it is durable already.
func (s *Stream) seqOfLocked(offset uint64) uint64 {
	for _, batch := range s.unseen {
		if offset <= batch.last {
			return batch.seq
		}
	}
	return 0
}

func (s *Stream) expectedLocked(x Expect) error {
	last := s.next - 1
	switch {
	case x.Kind == ExpectNone && last != 0:
		return brokers.Errorf("EXPECT", "expected an empty stream, is at %d", last)
	case x.Kind == ExpectOffset && last != x.Offset:
		return brokers.Errorf("EXPECT", "expected %d, is %d", x.Offset, last)
	}
	return nil
}

// nextIDLocked is the id of the next entry: it never goes back, whatever the clock does.
func (s *Stream) nextIDLocked(now int64) (ms int64, seq uint64) {
	if now > s.lastMs {
		return now, 0
	}
	return s.lastMs, s.lastSeq + 1
}

// addLocked stores entries whose first has this id; the others follow it in its millisecond.
func (s *Stream) addLocked(ms int64, seq uint64, payloads [][]byte) {
	size := 0
	for _, payload := range payloads {
		size += len(payload)
	}
	memory := make([]byte, 0, size) // one piece for the batch
	for i, payload := range payloads {
		from := len(memory)
		memory = append(memory, payload...)
		e := entry{ms: ms, seq: seq + uint64(i), payload: memory[from:len(memory):len(memory)]}
		if s.config.Chain {
			s.hashes = append(s.hashes, chainHash(s.headHashLocked(), s.next, e))
		}
		s.entries = append(s.entries, e)
		s.bytes += int64(len(payload)) + entryOverhead
		s.next++
		s.lastMs, s.lastSeq = e.ms, e.seq
	}
}

// addLostLocked keeps the place of an entry that a repair of the log has lost.
func (s *Stream) addLostLocked() {
	e := entry{ms: s.lastMs, seq: s.lastSeq + 1}
	if s.config.Chain {
		s.hashes = append(s.hashes, chainHash(s.headHashLocked(), s.next, e))
	}
	s.entries = append(s.entries, e)
	s.bytes += entryOverhead
	s.next++
	s.lastSeq++
}

func (e *entry) lost() bool { return e.payload == nil }

// headHashLocked is the hash of the last entry.
func (s *Stream) headHashLocked() [sha256.Size]byte {
	if n := len(s.hashes); n > 0 {
		return s.hashes[n-1]
	}
	return s.anchor
}

// chainHash is SHA-256 over a zero byte, the hash before, the offset, the time and the payload.
func chainHash(before [sha256.Size]byte, offset uint64, e entry) [sha256.Size]byte {
	h := sha256.New()
	var head [1 + sha256.Size + 16]byte
	copy(head[1:], before[:])
	binary.BigEndian.PutUint64(head[1+sha256.Size:], offset)
	binary.BigEndian.PutUint64(head[1+sha256.Size+8:], uint64(e.ms))
	h.Write(head[:])
	h.Write(e.payload)
	return [sha256.Size]byte(h.Sum(nil))
}

func (s *Stream) listUnseenLocked() {
	if s.unseenListed {
		return
	}
	s.unseenListed = true
	u := &s.broker.unseen
	u.Lock()
	u.streams = append(u.streams, s)
	u.Unlock()
}

// showLocked moves high to what is durable now, and wakes who waits for it.
func (s *Stream) showLocked(written, synced uint64) {
	durable := synced
	if s.config.Sync != brokers.Always {
		durable = written
	}
	shown := 0
	for shown < len(s.unseen) && s.unseen[shown].seq <= durable {
		s.high = s.unseen[shown].last
		shown++
	}
	if shown == 0 {
		return
	}
	s.unseen = s.unseen[:copy(s.unseen, s.unseen[shown:])]
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	for _, g := range s.groups {
		g.wakeLocked()
	}
	if s.config.MaxLen > 0 || s.config.MaxBytes > 0 {
		s.retainLocked(s.broker.clock.Now().UnixMilli()) // what was not shown could not be removed
	}
}

// atLocked is the entry of an offset between first and next-1.
func (s *Stream) atLocked(offset uint64) *entry { return &s.entries[offset-s.first] }

func (s *Stream) viewLocked(offset uint64) Entry {
	e := s.atLocked(offset)
	return Entry{Offset: offset, Ms: e.ms, Seq: e.seq, Payload: e.payload}
}

// resolveLocked turns a position into the first offset at or after it.
func (s *Stream) resolveLocked(p Position) uint64 {
	after := func(match func(e *entry) bool) uint64 {
		return s.first + uint64(sort.Search(len(s.entries), func(i int) bool { return match(&s.entries[i]) }))
	}
	switch p.Kind {
	case AtID:
		return after(func(e *entry) bool { return e.ms > p.Ms || e.ms == p.Ms && e.seq >= p.Seq })
	case AtTime:
		return after(func(e *entry) bool { return e.ms >= p.Ms })
	case First:
		return s.first
	case Last:
		return max(s.high, s.first)
	case Next:
		return s.high + 1
	}
	return p.Offset
}

// Fetch is a page of a stream.
type Fetch struct {
	Next, High, Skipped uint64
	Entries             []Entry
	Changed             <-chan struct{} // closed when there is more; only set when asked for and the page is empty
}

// FetchOptions says what to read.
type FetchOptions struct {
	To       *Position
	Count    int
	MaxBytes int
	Reverse  bool
	Strict   bool
	Watch    bool
}

// Fetch reads entries at and after a position; with Reverse at and before it. Entries are appended to into.
func (b *Broker) Fetch(name []byte, from Position, o FetchOptions, into []Entry) (Fetch, error) {
	s, err := b.use(name)
	if err != nil {
		return Fetch{}, err
	}
	defer s.mu.Unlock()
	s.retainLocked(b.clock.Now().UnixMilli())
	start := s.resolveLocked(from)
	if o.Reverse && from.Kind == Next {
		start = s.high
	}
	page := Fetch{High: s.high, Entries: into}
	if start < s.first && !o.Reverse {
		page.Skipped = s.first - max(start, 1)
		if o.Strict && page.Skipped > 0 {
			return Fetch{}, brokers.Errorf("OFFSETGONE", "first is %d", s.first)
		}
		start = s.first
	}
	if o.Reverse {
		s.fetchReverseLocked(&page, min(start, s.high), o)
		return page, nil
	}
	end := s.high
	if o.To != nil {
		end = min(end, s.resolveEndLocked(*o.To))
	}
	size := 0
	page.Next = start
	for offset := start; offset <= end && len(page.Entries) < o.Count; offset++ {
		if s.atLocked(offset).lost() {
			page.Next = offset + 1
			continue
		}
		e := s.viewLocked(offset)
		if e.Payload == nil {
			page.Skipped++
			page.Next = offset + 1
			continue
		}
		if size += len(e.Payload); size > o.MaxBytes && len(page.Entries) > 0 {
			break
		}
		page.Entries = append(page.Entries, e)
		page.Next = offset + 1
	}
	if len(page.Entries) == 0 && o.Watch && start > s.high {
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		page.Changed = s.changed
	}
	return page, nil
}

// resolveEndLocked is the last offset that an inclusive end covers.
func (s *Stream) resolveEndLocked(p Position) uint64 {
	switch p.Kind {
	case AtTime:
		return s.resolveEndLocked(Position{Kind: AtID, Ms: p.Ms, Seq: math.MaxUint64})
	case AtID:
		return s.first - 1 + uint64(sort.Search(len(s.entries), func(i int) bool {
			e := &s.entries[i]
			return e.ms > p.Ms || e.ms == p.Ms && e.seq > p.Seq
		}))
	case First:
		return s.first
	}
	return s.resolveLocked(p)
}

func (s *Stream) fetchReverseLocked(page *Fetch, start uint64, o FetchOptions) {
	end := s.first
	if o.To != nil {
		end = max(end, s.resolveLocked(*o.To))
	}
	size := 0
	page.Next = start
	for offset := start; offset >= end && offset > 0 && len(page.Entries) < o.Count; offset-- {
		if s.atLocked(offset).lost() {
			page.Next = offset - 1
			continue
		}
		e := s.viewLocked(offset)
		if e.Payload == nil {
			page.Skipped++
			continue
		}
		if size += len(e.Payload); size > o.MaxBytes && len(page.Entries) > 0 {
			break
		}
		page.Entries = append(page.Entries, e)
		page.Next = offset - 1
	}
}

// retainLocked drops what the limits do not allow, from the front, and sets the timer for what comes next. Entries that
// are not yet shown stay.
func (s *Stream) retainLocked(now int64) {
	cut := s.first
	bytes := s.bytes
	keep := s.high + 1
	for cut < keep {
		e := s.atLocked(cut)
		tooMany := s.config.MaxLen > 0 && int64(s.next-cut) > s.config.MaxLen
		tooBig := s.config.MaxBytes > 0 && bytes > s.config.MaxBytes
		tooOld := s.config.MaxAge > 0 && e.ms+s.config.MaxAge.Milliseconds() <= now
		if !tooMany && !tooBig && !tooOld {
			break
		}
		bytes -= int64(len(e.payload)) + entryOverhead
		cut++
	}
	if cut > s.first {
		s.broker.journal.Append(encodeTrim(nil, s.id, cut), false)
		s.cutLocked(cut)
	}
	s.armExpiryLocked(now)
}

// cutLocked forgets the entries before an offset.
func (s *Stream) cutLocked(first uint64) {
	n := int(first - s.first)
	for i := range s.entries[:n] {
		s.bytes -= int64(len(s.entries[i].payload)) + entryOverhead
	}
	if len(s.hashes) > 0 {
		s.anchor = s.hashes[n-1]
		s.hashes = s.hashes[n:] // the next growth lets go of the front
	}
	clear(s.entries[:n]) // let go of the payloads
	s.entries = s.entries[n:]
	s.first = first
	for _, g := range s.groups {
		g.cutLocked(first)
		g.wakeLocked() // MAXPENDING may have room again
	}
}

func (s *Stream) armExpiryLocked(now int64) {
	if s.config.MaxAge <= 0 || len(s.entries) == 0 || s.dropped || s.broker.closed.Load() {
		return
	}
	wait := time.Duration(max(1, s.entries[0].ms+s.config.MaxAge.Milliseconds()-now)) * time.Millisecond
	if s.expiry == nil {
		s.expiry = s.broker.clock.AfterFunc(wait, s.expire)
		return
	}
	s.expiry.Reset(wait)
}

func (s *Stream) expire() {
	s.broker.world.RLock()
	defer s.broker.world.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dropped && !s.broker.closed.Load() {
		s.retainLocked(s.broker.clock.Now().UnixMilli())
	}
}

// Trim removes entries from the front until maxLen are left, or those before an offset, and tells how many went.
func (b *Broker) Trim(name []byte, maxLen *int64, before *Position) (n uint64, r brokers.Receipt, err error) {
	b.world.RLock()
	defer b.world.RUnlock()
	s, err := b.use(name)
	if err != nil {
		return 0, r, err
	}
	defer s.mu.Unlock()
	cut := s.first
	if maxLen != nil && int64(s.next-s.first) > *maxLen {
		cut = s.next - uint64(*maxLen)
	}
	if before != nil {
		cut = max(cut, s.resolveLocked(*before))
	}
	cut = min(cut, s.high+1)
	if cut <= s.first {
		return 0, r, nil
	}
	n = cut - s.first
	seq := b.journal.Append(encodeTrim(nil, s.id, cut), s.config.Sync == brokers.Always)
	s.cutLocked(cut)
	return n, s.receipt(seq), nil
}

func (s *Stream) dropLocked() {
	s.dropped = true
	s.stopTimersLocked()
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	for _, g := range s.groups {
		g.wakeAllLocked()
	}
	s.entries, s.groups = nil, map[string]*group{}
}

func (s *Stream) stopTimersLocked() {
	if s.expiry != nil {
		s.expiry.Stop()
	}
	for _, g := range s.groups {
		if g.timer != nil {
			g.timer.Stop()
		}
	}
}
