package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nexobroker/nexo/brokers"
)

// Records of the journal. All numbers are uvarints, times are Unix milliseconds, byte strings have their length in front;
// FORMAT.md draws them.
const (
	opCreate       = 1  // id name config
	opDrop         = 2  // id
	opAppend       = 3  // id offset ms seq dedup-expires dedup-key count payload*
	opTrim         = 4  // id first
	opConfig       = 5  // id config
	opGroupCreate  = 6  // id group epoch next config
	opGroupDrop    = 7  // id group
	opDelivered    = 8  // id group next count (offset consumer deliveries due)*: replaced by opGiven
	opAcked        = 9  // id group count offset*
	opParked       = 10 // id group offset deliveries parked-at reason
	opSeek         = 11 // id group epoch next; the parked are forgotten: replaced by opSought
	opStreamState  = 12 // id first next last-ms last-seq anchor appended duplicates: snapshots only
	opBrokerState  = 13 // next id, highest epoch of a dropped group: snapshots only
	opDedupKey     = 14 // id key offset expires made: snapshots only
	opSegments     = 15 // count id*: snapshots only
	opReplaced     = 16 // new id (0 none) count id*
	opGiven        = 17 // id group next at count (offset consumer deliveries wait)*
	opSought       = 18 // id group epoch next
	opHole         = 19 // id first count: the entries were given up by a repair
	configIsChain  = 1
	recordKeptSize = 64 << 10
	offsetMax      = 1 << 62 // no log gets there
)

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// recordBuffer and releaseBuffer lend memory to encode a record in: the journal copies it.
func recordBuffer() []byte { return (*buffers.Get().(*[]byte))[:0] }
func releaseBuffer(b []byte) {
	if cap(b) <= recordKeptSize {
		buffers.Put(&b)
	}
}

func appendBytes[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func numbers(b []byte, list ...uint64) []byte {
	for _, n := range list {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func (c *Config) encode(b []byte) []byte {
	var flags uint64
	if c.Chain {
		flags |= configIsChain
	}
	return numbers(b, uint64(c.MaxAge.Milliseconds()), uint64(c.MaxBytes), uint64(c.MaxLen), uint64(c.Sync), flags, uint64(c.DedupWindow.Milliseconds()))
}

func (s *Stream) encodeCreate(b []byte) []byte {
	return s.config.encode(appendBytes(numbers(append(b, opCreate), s.id), s.name))
}

func (s *Stream) encodeConfig(b []byte) []byte {
	return s.config.encode(numbers(append(b, opConfig), s.id))
}

func encodeDrop(b []byte, id uint64) []byte { return numbers(append(b, opDrop), id) }

func encodeTrim(b []byte, id, first uint64) []byte { return numbers(append(b, opTrim), id, first) }

func encodeAppend(b []byte, id, offset uint64, ms int64, seq uint64, dedupExpires int64, dedupKey []byte, payloads [][]byte) []byte {
	b = numbers(append(b, opAppend), id, offset, uint64(ms), seq)
	if dedupKey == nil {
		b = append(numbers(b, 0), 0)
	} else {
		b = appendBytes(numbers(b, uint64(dedupExpires)), dedupKey)
	}
	b = numbers(b, uint64(len(payloads)))
	for _, payload := range payloads {
		b = appendBytes(b, payload)
	}
	return b
}

func (g *group) encode(op byte, b []byte) []byte {
	return appendBytes(numbers(append(b, op), g.stream.id), g.name)
}

func (g *group) encodeCreate(b []byte) []byte {
	return numbers(g.encode(opGroupCreate, b), g.epoch, g.next, uint64(g.config.AckWait.Milliseconds()), uint64(g.config.MaxDeliver), uint64(g.config.MaxPending))
}

func (g *group) encodeGiven(b []byte, now brokers.Instant, list []*pendingEntry) []byte {
	b = numbers(g.encode(opGiven, b), g.next, uint64(now.Wall), uint64(len(list)))
	for _, p := range list {
		b = numbers(appendBytes(numbers(b, p.offset), p.consumer), uint64(p.deliveries), encodeWait(p.due, now.Steady))
	}
	return b
}

// encodeWait is 0 for never, and else one more than the wait until a due time, its sign in the last bit.
func encodeWait(due, now int64) uint64 {
	if due == never {
		return 0
	}
	wait := due - now
	return uint64(wait<<1^wait>>63) + 1
}

// waitEnd is the due time of what was given to wait at a time of the wall.
func (b *Broker) waitEnd(at int64, encoded uint64) (due int64) {
	if encoded == 0 {
		return never
	}
	encoded--
	wait := int64(encoded>>1) ^ -int64(encoded&1)
	return b.time.Resume(at+wait, wait)
}

func (g *group) encodeAcked(b []byte, offsets []uint64) []byte {
	return numbers(numbers(g.encode(opAcked, b), uint64(len(offsets))), offsets...)
}

func (g *group) encodeParked(b []byte, offset uint64, p *parkedEntry) []byte {
	return appendBytes(numbers(g.encode(opParked, b), offset, uint64(p.deliveries), uint64(p.parkedMs)), p.reason)
}

func (g *group) encodeSought(b []byte) []byte { return numbers(g.encode(opSought, b), g.epoch, g.next) }

var errShort = errors.New("the record ends early")

// reader takes a record apart. After a failure everything it returns is zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.err, r.b = errShort, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) bytes() []byte {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.err, r.b = errShort, nil
		return nil
	}
	s := r.b[:n]
	r.b = r.b[n:]
	return s
}

// count is a number of items that follow, each of at least one byte.
func (r *reader) count() int {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.err, r.b = errShort, nil
		return 0
	}
	return int(n)
}

func (r *reader) config() Config {
	ms := func() time.Duration { return time.Duration(r.number()) * time.Millisecond }
	c := Config{MaxAge: ms(), MaxBytes: int64(r.number()), MaxLen: int64(r.number()), Sync: brokers.Durability(r.number())}
	c.Chain = r.number()&configIsChain != 0
	c.DedupWindow = ms()
	return c
}

// replay applies one record of the journal.
func (b *Broker) replay(body []byte) error {
	if len(body) == 0 {
		return errors.New("stream: an empty record")
	}
	r := &reader{b: body[1:]}
	if err := b.replayOp(body[0], r); err != nil {
		return fmt.Errorf("stream: record of kind %d: %w", body[0], err)
	}
	if r.err != nil {
		return fmt.Errorf("stream: record of kind %d: %w", body[0], r.err)
	}
	return nil
}

func (b *Broker) replayOp(op byte, r *reader) error {
	id := r.number()
	switch op {
	case opBrokerState, opSegments, opReplaced:
		return b.replayBroker(op, id, r)
	case opCreate:
		name := string(r.bytes())
		s := newStream(b, id, name, r.config())
		if r.err == nil {
			b.streams[name], b.replaying[id] = s, s
			b.nextID = max(b.nextID, id)
		}
		return nil
	}
	s := b.replaying[id]
	if s == nil {
		// A lazily journaled change of a stream that was dropped meanwhile.
		r.b = nil
		return nil
	}
	switch op {
	case opDrop:
		s.dropEpochs()
		delete(b.streams, s.name)
		delete(b.replaying, id)
	case opConfig:
		chain := s.config.Chain // chosen when the stream was made
		s.config = r.config()
		s.config.Chain = chain
	case opAppend:
		return s.replayAppend(r)
	case opTrim:
		if first := r.number(); first > s.first && first <= s.next {
			s.cutLocked(first)
		}
	case opStreamState:
		if s.next != 1 {
			return errors.New("a state behind entries")
		}
		s.first, s.next, s.lastMs, s.lastSeq = r.number(), r.number(), int64(r.number()), r.number()
		s.coldEnd = s.next
		if s.first == 0 || s.first > s.next || s.next > offsetMax {
			return errors.New("an offset out of range")
		}
		copy(s.head[:], r.bytes())
		s.appended, s.duplicates = r.number(), r.number()
	case opHole:
		return s.replayHole(r)
	case opDedupKey:
		s.replayDedup(r)
	default:
		return s.replayGroup(op, r)
	}
	return nil
}

// replayBroker takes back a record that belongs to no one stream; its first number is read already.
func (b *Broker) replayBroker(op byte, id uint64, r *reader) error {
	switch op {
	case opBrokerState:
		b.nextID = max(b.nextID, id)
		if len(r.b) > 0 {
			b.dropEpoch(r.number())
		}
	case opSegments:
		if id > uint64(len(r.b)) {
			return errShort
		}
		b.listing = true
		b.list(r, int(id))
	case opReplaced:
		if id != 0 {
			b.list(&reader{b: numbers(nil, id)}, 1)
		}
		for n := r.count(); n > 0; n-- {
			delete(b.listed, r.number())
		}
	}
	return nil
}

// list notes segment files that a start must find.
func (b *Broker) list(r *reader, count int) {
	for ; count > 0; count-- {
		id := r.number()
		b.listed[id] = true
		b.nextSegment = max(b.nextSegment, id+1)
	}
}

func (s *Stream) replayAppend(r *reader) error {
	offset, ms, seq := r.number(), int64(r.number()), r.number()
	expires := int64(r.number())
	key := r.bytes()
	payloads := make([][]byte, r.count())
	for i := range payloads {
		payloads[i] = r.bytes()
	}
	if r.err != nil {
		return nil
	}
	if offset < s.next || offset > offsetMax {
		return fmt.Errorf("stream %q: offset %d follows %d", s.name, offset, s.next-1)
	}
	s.hole(s.next, offset-1)
	s.next = offset // above the expected one when a repair has left a hole: the offsets behind it keep their meaning
	if len(key) > 0 {
		s.dedup.add(string(key), offset, s.broker.time.Resume(expires, s.config.DedupWindow.Milliseconds()))
	}
	s.addLocked(ms, seq, payloads)
	s.appended += uint64(len(payloads))
	return nil
}

// replayDedup takes a key over for as long as its window was when it was appended, which may have been another than it is now.
func (s *Stream) replayDedup(r *reader) {
	key, offset, expires := string(r.bytes()), r.number(), int64(r.number())
	wait := s.config.DedupWindow.Milliseconds() // the snapshot of an earlier version does not say when it was made
	if len(r.b) > 0 {
		wait = expires - int64(r.number())
	}
	if r.err == nil {
		s.dedup.add(key, offset, s.broker.time.Resume(expires, wait))
	}
}

func (s *Stream) replayGroup(op byte, r *reader) error {
	name := string(r.bytes())
	if op == opGroupCreate {
		epoch, next := r.number(), r.number()
		c := GroupConfig{AckWait: time.Duration(r.number()) * time.Millisecond, MaxDeliver: int(r.number()), MaxPending: int(r.number())}
		s.groups[name] = newGroup(s, name, c, next)
		s.groups[name].epoch = epoch
		return nil
	}
	g := s.groups[name]
	if g == nil {
		r.b = nil // dropped meanwhile
		return nil
	}
	switch op {
	case opGroupDrop:
		s.broker.dropEpoch(g.epoch)
		delete(s.groups, name)
	case opDelivered, opGiven:
		g.replayGiven(op, r)
	case opAcked:
		for n := r.count(); n > 0; n-- {
			offset := r.number()
			g.removePending(offset)
			g.parked.Delete(offset)
		}
	case opParked:
		offset := r.number()
		p := &parkedEntry{deliveries: int(r.number()), parkedMs: int64(r.number()), reason: string(r.bytes())}
		g.removePending(offset)
		if offset >= s.first && offset < s.next {
			g.parked.Set(offset, p)
		}
	case opSeek:
		g.seekLocked(r.number(), r.number())
		g.parked.Clear()
	case opSought:
		g.seekLocked(r.number(), r.number())
	default:
		return errors.New("unknown kind")
	}
	return nil
}

func (g *group) replayGiven(op byte, r *reader) {
	s, next, at := g.stream, max(g.next, r.number()), int64(0)
	if op == opGiven {
		at = int64(r.number())
	}
	for n := r.count(); n > 0; n-- {
		p := &pendingEntry{offset: r.number(), consumer: string(r.bytes()), deliveries: int(r.number())}
		if op == opGiven {
			p.due = s.broker.waitEnd(at, r.number())
		} else {
			p.due = int64(r.number()) // a time of the wall; 0 was never, too
		}
		// What was given lies before what is to be given next: else it would be given twice, the second time as new.
		if p.offset >= s.first && p.offset < min(next, s.next) && r.err == nil {
			g.setPending(p)
		}
	}
	g.advance(next)
}
