package stream

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"sync"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/stream/segment"
)

// entryOverhead is counted for each entry beside its payload.
const entryOverhead = 48

// Stream is one log and its groups. Its newest entries are in memory: those that are in the journal and not yet in a segment
// file. The others are in blocks of segment files.
type Stream struct {
	broker *Broker
	id     uint64 // never reused
	name   string

	mu      sync.Mutex // guards everything below
	config  Config
	created uint64 // sequence of the create record
	dropped bool

	first   uint64 // what is below it is trimmed
	next    uint64
	high    uint64 // last offset shown
	lastMs  int64
	lastSeq uint64
	head    segment.Hash // of entry next-1, in a stream with INTEGRITY CHAIN
	holes   []hole       // where a repair had to give up entries
	coldEnd uint64       // behind the last offset that was in segment files when the log began; 0 unknown, during replay only
	bytes   int64        // of the hot entries and of all cold blocks, whole
	gone    int64        // of it, those of the first cold block that are trimmed

	// hot entries come after all cold ones. The slice is only appended to and cut in front, and its entries never change,
	// so a copy of the slice may be read without the lock. An offset that is missing was lost by a repair of the log.
	hot       []Entry
	hotHashes []segment.Hash // of the hot entries, in a chained stream
	hotBefore segment.Hash   // of the entry before hot[0]

	cold        []coldBlock // by offset, none wholly below first
	coldEntries int64       // of all cold blocks, whole

	front []frontEntry // of cold[0], while retention takes it apart; nil when not known
	// frontBroken: cold[0] cannot be read, so it stays until all of it is too old.
	frontBroken bool
	settling    bool // in broker.unsettled: what retention needs to know will be read

	unseen       []unseenBatch // appended and above high, in order
	unseenListed bool          // in broker.unseen
	dedup        dedup
	groups       map[string]*group
	changed      chan struct{} // closed when high grows; nil when nobody waits
	expiry       brokers.Timer // of the first entry's MAXAGE
	expiryMs     int64         // when it fires

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
	now := b.time.Now()
	if dedupKey != nil {
		s.dedup.expire(now.Steady)
		if offset, found := s.dedup.find(dedupKey, now.Steady); found {
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
	ms, seq := s.nextIDLocked(now.Wall)
	forgotten := now.Steady + s.config.DedupWindow.Milliseconds()
	record := encodeAppend(recordBuffer(), s.id, s.next, ms, seq, now.WallOf(forgotten), dedupKey, payloads)
	position := b.journal.Append(record, s.config.Sync == brokers.Always)
	releaseBuffer(record)
	result := AppendResult{First: s.next, Last: s.next + uint64(len(payloads)) - 1}
	if dedupKey != nil {
		s.dedup.add(string(dedupKey), s.next, forgotten)
	}
	s.addLocked(ms, seq, payloads)
	s.appended += uint64(len(payloads))
	s.unseen = append(s.unseen, unseenBatch{seq: position, last: result.Last})
	if s.config.Sync == brokers.Never {
		s.showLocked(position, position)
	}
	s.retainSoonLocked(now.Earlier())
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
	if len(s.hot) == 0 {
		s.hotBefore = s.head
	}
	for i, payload := range payloads {
		from := len(memory)
		memory = append(memory, payload...)
		e := Entry{Offset: s.next, Ms: ms, Seq: seq + uint64(i), Payload: memory[from:len(memory):len(memory)]}
		if s.config.Chain {
			s.head = chainHash(s.head, &e)
			s.hotHashes = append(s.hotHashes, s.head)
		}
		s.hot = append(s.hot, e)
		s.bytes += weight(&e)
		s.next++
		s.lastMs, s.lastSeq = e.Ms, e.Seq
	}
}

// weight is what an entry counts against MAXBYTES.
func weight(e *Entry) int64 { return int64(len(e.Payload)) + entryOverhead }

// chainHash is SHA-256 over a zero byte, the hash before, the offset, the time and the payload.
func chainHash(before segment.Hash, e *Entry) segment.Hash {
	h := sha256.New()
	var head [1 + sha256.Size + 16]byte
	copy(head[1:], before[:])
	binary.BigEndian.PutUint64(head[1+sha256.Size:], e.Offset)
	binary.BigEndian.PutUint64(head[1+sha256.Size+8:], uint64(e.Ms))
	h.Write(head[:])
	h.Write(e.Payload)
	return segment.Hash(h.Sum(nil))
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
		shown++
	}
	s.showBatchesLocked(shown)
}

// showBatchesLocked shows the oldest batches that were not shown.
func (s *Stream) showBatchesLocked(n int) {
	if n == 0 {
		return
	}
	s.high = s.unseen[n-1].last
	s.unseen = s.unseen[:copy(s.unseen, s.unseen[n:])]
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	for _, g := range s.groups {
		g.wakeLocked()
	}
	if s.config.MaxLen > 0 || s.config.MaxBytes > 0 || s.config.MaxAge > 0 {
		s.retainSoonLocked(s.broker.time.Now().Earlier()) // what was not shown could not be removed
	}
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
	for i := range s.cold {
		s.cold[i].release()
	}
	s.hot, s.hotHashes, s.cold, s.front, s.groups = nil, nil, nil, nil, map[string]*group{}
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
