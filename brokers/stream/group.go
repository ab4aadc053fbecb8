package stream

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/tidwall/btree"

	"github.com/nexobroker/nexo/brokers"
)

// group is a consumer group: what of the stream was delivered to whom. It is guarded by its stream's lock.
type group struct {
	stream *Stream
	name   string
	config GroupConfig
	epoch  uint64
	next   uint64 // first offset never delivered

	pending btree.Map[uint64, *pendingEntry]
	due     *btree.BTreeG[*pendingEntry] // by time, then offset; only those with a time
	holding map[string]int               // pending entries by consumer; those that were given back are nobody's
	parked  btree.Map[uint64, *parkedEntry]
	skipped uint64 // entries lost to retention before they were delivered
	waiters []*Waiter
	timer   brokers.Timer
}

type pendingEntry struct {
	offset     uint64
	consumer   string
	deliveries int
	dueMs      int64 // Unix time of the redelivery; 0 never
}

// nobody is the consumer of a pending entry that was given back.
const nobody = ""

type parkedEntry struct {
	deliveries int
	parkedMs   int64
	reason     string
}

// Waiter is a consumer that waits for entries of a group. C receives when it is its turn to try again.
type Waiter struct {
	C     chan struct{}
	group *group
}

func newGroup(s *Stream, name string, c GroupConfig, next uint64) *group {
	return &group{
		stream: s, name: name, config: c, epoch: 1, next: next, holding: map[string]int{},
		due: btree.NewBTreeGOptions(func(a, b *pendingEntry) bool {
			return a.dueMs < b.dueMs || a.dueMs == b.dueMs && a.offset < b.offset
		}, btree.Options{NoLocks: true}),
	}
}

func (g *group) setPending(p *pendingEntry) {
	g.removePending(p.offset)
	g.pending.Set(p.offset, p)
	if p.dueMs > 0 {
		g.due.Set(p)
	}
	if p.consumer != nobody {
		g.holding[p.consumer]++
	}
}

func (g *group) removePending(offset uint64) *pendingEntry {
	p, found := g.pending.Delete(offset)
	if !found {
		return nil
	}
	if p.dueMs > 0 {
		g.due.Delete(p)
	}
	if p.consumer != nobody {
		if g.holding[p.consumer]--; g.holding[p.consumer] == 0 {
			delete(g.holding, p.consumer)
		}
	}
	return p
}

// cutLocked forgets what retention has removed.
func (g *group) cutLocked(first uint64) {
	for {
		offset, _, found := g.pending.Min()
		if !found || offset >= first {
			break
		}
		g.removePending(offset)
	}
	for {
		offset, _, found := g.parked.Min()
		if !found || offset >= first {
			break
		}
		g.parked.PopMin()
	}
	if g.next < first {
		g.skipped += first - g.next
		g.next = first
	}
}

// wakeLocked lets the longest-waiting consumer try again when there is something for it.
func (g *group) wakeLocked() {
	if len(g.waiters) == 0 || !g.readyLocked(g.stream.broker.clock.Now().UnixMilli()) {
		return
	}
	w := g.waiters[0]
	g.waiters = g.waiters[1:]
	w.C <- struct{}{} // capacity 1, and a waiter is woken once
}

func (g *group) wakeAllLocked() {
	for _, w := range g.waiters {
		w.C <- struct{}{}
	}
	g.waiters = nil
}

func (g *group) readyLocked(now int64) bool {
	if p, ok := g.due.Min(); ok && p.dueMs <= now {
		return true
	}
	return g.next <= g.stream.high && g.pending.Len() < g.config.MaxPending
}

// armLocked sets the timer for the next redelivery while somebody waits for it.
func (g *group) armLocked(now int64) {
	p, ok := g.due.Min()
	if !ok || len(g.waiters) == 0 || g.stream.broker.closed.Load() {
		return
	}
	wait := time.Duration(max(1, p.dueMs-now)) * time.Millisecond
	if g.timer == nil {
		g.timer = g.stream.broker.clock.AfterFunc(wait, g.tick)
		return
	}
	g.timer.Reset(wait)
}

func (g *group) tick() {
	s := g.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped || s.broker.closed.Load() {
		return
	}
	g.wakeLocked()
	g.armLocked(s.broker.clock.Now().UnixMilli())
}

// CreateGroup makes a group that starts at a position.
func (b *Broker) CreateGroup(name, groupName []byte, c GroupConfig, start Position, ifNew bool) (brokers.Receipt, error) {
	if err := CheckName("group", groupName); err != nil {
		return brokers.Receipt{}, err
	}
	start, err := b.located(name, &start)
	if err != nil {
		return brokers.Receipt{}, err
	}
	b.world.RLock()
	defer b.world.RUnlock()
	s, err := b.use(name)
	if err != nil {
		return brokers.Receipt{}, err
	}
	defer s.mu.Unlock()
	if g := s.groups[string(groupName)]; g != nil {
		if g.config != c && !ifNew {
			return brokers.Receipt{}, brokers.Errorf("GEXISTS", "'%s' exists with other options", groupName)
		}
		return brokers.Receipt{}, nil
	}
	_, r, err := s.createGroupLocked(string(groupName), c, s.resolveLocked(start))
	return r, err
}

const groupsMax = 10_000

func (s *Stream) createGroupLocked(name string, c GroupConfig, next uint64) (*group, brokers.Receipt, error) {
	if err := s.broker.journal.Ready(); err != nil {
		return nil, brokers.Receipt{}, err
	}
	if len(s.groups) >= groupsMax {
		return nil, brokers.Receipt{}, brokers.Errorf("ERR", "stream '%s' has %d groups, the most allowed", s.name, groupsMax)
	}
	g := newGroup(s, name, c, min(max(next, s.first), s.high+1))
	s.groups[name] = g
	return g, s.receipt(s.broker.journal.Append(g.encodeCreate(nil), s.config.Sync == brokers.Always)), nil
}

// DropGroup removes a group.
func (b *Broker) DropGroup(name, groupName []byte) (dropped bool, r brokers.Receipt, err error) {
	b.world.RLock()
	defer b.world.RUnlock()
	s, err := b.use(name)
	if err != nil {
		return false, r, err
	}
	defer s.mu.Unlock()
	g := s.groups[string(groupName)]
	if g == nil {
		return false, r, nil
	}
	delete(s.groups, g.name)
	g.wakeAllLocked()
	return true, s.receipt(s.broker.journal.Append(g.encode(opGroupDrop, nil), s.config.Sync == brokers.Always)), nil
}

// withGroup runs fn under the lock of a group's stream.
func (b *Broker) withGroup(name, groupName []byte, fn func(s *Stream, g *group) error) error {
	b.world.RLock()
	defer b.world.RUnlock()
	s, err := b.use(name)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	g := s.groups[string(groupName)]
	if g == nil {
		return noGroup(s.name, string(groupName))
	}
	return fn(s, g)
}

// makeGroup makes stream and group with defaults when they are missing.
func (b *Broker) makeGroup(name, groupName []byte) error {
	if err := CheckName("group", groupName); err != nil {
		return err
	}
	b.world.RLock()
	defer b.world.RUnlock()
	s, err := b.findOrCreate(name, true)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.groups[string(groupName)] == nil {
		_, _, err = s.createGroupLocked(string(groupName), b.GroupDefaults(), s.first)
	}
	return err
}

func (g *group) lagLocked() uint64 {
	if g.stream.high+1 < g.next {
		return 0
	}
	return g.stream.high + 1 - g.next
}

// Cancel ends a wait. A wake-up that came meanwhile goes to the next in line.
func (b *Broker) Cancel(w *Waiter) {
	s := w.group.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range w.group.waiters {
		if other == w {
			w.group.waiters = append(w.group.waiters[:i:i], w.group.waiters[i+1:]...)
			return
		}
	}
	w.group.wakeLocked()
}

// Return takes back what a consumer was given and never got: undelivered, uncounted.
func (b *Broker) Return(name, groupName []byte, entries []Delivery) {
	_ = b.withGroup(name, groupName, func(s *Stream, g *group) error {
		now := b.clock.Now().UnixMilli()
		var back []*pendingEntry
		for _, d := range entries {
			if p, found := g.pending.Get(d.Offset); found && p.deliveries == d.Deliveries && p.consumer != nobody {
				back = append(back, &pendingEntry{offset: d.Offset, consumer: nobody, deliveries: d.Deliveries - 1, dueMs: now})
			}
		}
		g.rescheduleLocked(back, false)
		return nil
	})
}

// rescheduleLocked makes entries pending as given and tells the sequence of the record; 0 when there are none.
func (g *group) rescheduleLocked(list []*pendingEntry, sync bool) (seq uint64) {
	for _, p := range list {
		g.setPending(p)
	}
	if len(list) > 0 {
		seq = g.stream.broker.journal.Append(g.encodeDelivered(nil, list), sync)
		g.wakeLocked()
		g.armLocked(g.stream.broker.clock.Now().UnixMilli())
	}
	return seq
}

// eachPending visits the pending entries in the ranges; visit may change them.
func (g *group) eachPending(ranges []Range, visit func(p *pendingEntry)) {
	for _, r := range ranges {
		offset := r.From
		for offset <= r.To {
			var found *pendingEntry
			g.pending.Ascend(offset, func(_ uint64, p *pendingEntry) bool {
				found = p
				return false
			})
			if found == nil || found.offset > r.To {
				break
			}
			visit(found)
			offset = found.offset + 1
		}
	}
}

// Resolver turns the positions of acknowledgements into offsets.
type Resolver func(resolve func(Position) (uint64, bool)) []Range

// ranges runs a resolver, which may have to read files, before the stream is locked. What it answers is in order, and no
// offset is in two ranges.
func (b *Broker) ranges(name []byte, which Resolver) (list []Range, err error) {
	s := b.find(name)
	if s == nil {
		return nil, noStream(string(name))
	}
	list = which(func(p Position) (uint64, bool) {
		at, exact, locateErr := b.locate(s, p)
		err = errors.Join(err, locateErr)
		if p.Kind == AtID {
			return at.Offset, exact
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		offset := s.resolveLocked(at)
		return offset, offset >= s.first && offset < s.next
	})
	return disjoint(list), err
}

// disjoint puts ranges in order and joins those that overlap, so that thousands that name the same entries cost no more
// than one under the stream's lock.
func disjoint(list []Range) []Range {
	slices.SortFunc(list, func(a, b Range) int { return cmp.Compare(a.From, b.From) })
	joined := list[:0]
	for _, r := range list {
		if n := len(joined); n > 0 && r.From <= joined[n-1].To {
			joined[n-1].To = max(joined[n-1].To, r.To)
			continue
		}
		joined = append(joined, r)
	}
	return joined
}

// Ack acknowledges entries and tells how many were pending. An epoch other than 0 must be the group's.
func (b *Broker) Ack(name, groupName []byte, which Resolver, epoch uint64) (n int, r brokers.Receipt, err error) {
	ranges, err := b.ranges(name, which)
	if err != nil {
		return 0, r, err
	}
	err = b.withGroup(name, groupName, func(s *Stream, g *group) error {
		if epoch != 0 && epoch != g.epoch {
			return brokers.Errorf("FENCED", "epoch %d, now %d", epoch, g.epoch)
		}
		var acked []uint64
		g.eachPending(ranges, func(p *pendingEntry) {
			acked = append(acked, p.offset)
			g.removePending(p.offset)
		})
		if n = len(acked); n == 0 {
			return nil
		}
		record := g.encodeAcked(recordBuffer(), acked)
		r = s.receipt(b.journal.Append(record, s.config.Sync == brokers.Always))
		releaseBuffer(record)
		g.wakeLocked() // MAXPENDING has room again
		return nil
	})
	return n, r, err
}

// NackMode says what becomes of entries that were not processed.
type NackMode uint8

const (
	NackSilent NackMode = iota // given back, the delivery is not counted
	NackFail                   // given back, the delivery counts
	NackFatal                  // parked
)

// Nack gives entries back or parks them.
func (b *Broker) Nack(name, groupName []byte, mode NackMode, which Resolver, delay time.Duration, reason string) (n int, r brokers.Receipt, err error) {
	ranges, err := b.ranges(name, which)
	if err != nil {
		return 0, r, err
	}
	err = b.withGroup(name, groupName, func(s *Stream, g *group) error {
		now := b.clock.Now().UnixMilli()
		var list []*pendingEntry
		g.eachPending(ranges, func(p *pendingEntry) { list = append(list, p) })
		n = len(list)
		var back []*pendingEntry
		for _, p := range list {
			if mode == NackFatal || mode == NackFail && g.config.MaxDeliver > 0 && p.deliveries >= g.config.MaxDeliver {
				g.removePending(p.offset)
				parked := &parkedEntry{deliveries: p.deliveries, parkedMs: now, reason: reason}
				g.parked.Set(p.offset, parked)
				r = s.receipt(b.journal.Append(g.encodeParked(nil, p.offset, parked), s.config.Sync == brokers.Always))
				continue
			}
			deliveries := p.deliveries
			if mode == NackSilent && p.consumer != nobody {
				deliveries--
			}
			back = append(back, &pendingEntry{offset: p.offset, consumer: nobody, deliveries: deliveries, dueMs: now + delay.Milliseconds()})
		}
		g.rescheduleLocked(back, false)
		g.wakeLocked()
		return nil
	})
	return n, r, err
}

// Extend moves the redelivery of entries to a duration from now.
func (b *Broker) Extend(name, groupName []byte, d time.Duration, which Resolver) (n int, err error) {
	ranges, err := b.ranges(name, which)
	if err != nil {
		return 0, err
	}
	err = b.withGroup(name, groupName, func(s *Stream, g *group) error {
		due := b.clock.Now().UnixMilli() + d.Milliseconds()
		var list []*pendingEntry
		g.eachPending(ranges, func(p *pendingEntry) {
			list = append(list, &pendingEntry{offset: p.offset, consumer: p.consumer, deliveries: p.deliveries, dueMs: due})
		})
		n = len(list)
		g.rescheduleLocked(list, false)
		return nil
	})
	return n, err
}

// Leave gives back everything a consumer holds, uncounted.
func (b *Broker) Leave(name, groupName, consumer []byte) (n int, err error) {
	err = b.withGroup(name, groupName, func(s *Stream, g *group) error {
		now := b.clock.Now().UnixMilli()
		var back []*pendingEntry
		g.pending.Scan(func(offset uint64, p *pendingEntry) bool {
			if p.consumer == string(consumer) && p.consumer != nobody {
				back = append(back, &pendingEntry{offset: offset, consumer: nobody, deliveries: p.deliveries - 1, dueMs: now})
			}
			return true
		})
		n = len(back)
		g.rescheduleLocked(back, false)
		return nil
	})
	return n, err
}

// Seek moves a group: what was pending or parked is forgotten, the epoch grows, who waits tries again.
func (b *Broker) Seek(name, groupName []byte, p Position) (epoch, next uint64, r brokers.Receipt, err error) {
	if p, err = b.located(name, &p); err != nil {
		return 0, 0, r, err
	}
	err = b.withGroup(name, groupName, func(s *Stream, g *group) error {
		g.seekLocked(g.epoch+1, min(max(s.resolveLocked(p), s.first), s.high+1))
		epoch, next = g.epoch, g.next
		r = s.receipt(b.journal.Append(g.encodeSeek(nil), s.config.Sync == brokers.Always))
		g.wakeAllLocked()
		return nil
	})
	return epoch, next, r, err
}

func (g *group) seekLocked(epoch, next uint64) {
	g.epoch, g.next = epoch, next
	g.pending.Clear()
	g.parked.Clear()
	g.due.Clear()
	clear(g.holding)
}

// ParkedEntries lists parked entries from an offset on: at least one, and no more after it than maxBytes of payloads. next is where to
// go on, 0 at the end.
func (b *Broker) ParkedEntries(name, groupName []byte, from Position, count, maxBytes int) (list []Parked, next uint64, err error) {
	if from, err = b.located(name, &from); err != nil {
		return nil, 0, err
	}
	var stream *Stream
	err = b.withGroup(name, groupName, func(s *Stream, g *group) error {
		stream = s
		g.parked.Ascend(s.resolveLocked(from), func(offset uint64, p *parkedEntry) bool {
			if len(list) == count {
				next = offset
				return false
			}
			list = append(list, Parked{Entry: Entry{Offset: offset}, Deliveries: p.deliveries, ParkedMs: p.parkedMs, Reason: p.reason})
			return true
		})
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	kept, bytes := list[:0], 0
	for _, p := range list {
		if bytes >= maxBytes {
			return kept, p.Offset, nil
		}
		var found bool
		if p.Entry, found, err = b.entryAt(stream, p.Offset); err != nil {
			return nil, 0, err
		}
		if found { // not trimmed meanwhile
			kept = append(kept, p)
			bytes += len(p.Payload)
		}
	}
	return kept, next, nil
}

// Unpark lets parked entries be delivered again with a fresh count, or drops them. A nil Resolver means all.
func (b *Broker) Unpark(name, groupName []byte, which Resolver, drop bool) (n int, r brokers.Receipt, err error) {
	ranges := []Range{{From: 0, To: ^uint64(0)}}
	if which != nil {
		if ranges, err = b.ranges(name, which); err != nil {
			return 0, r, err
		}
	}
	err = b.withGroup(name, groupName, func(s *Stream, g *group) error {
		var offsets []uint64
		for _, r := range ranges {
			g.parked.Ascend(r.From, func(offset uint64, _ *parkedEntry) bool {
				if offset > r.To {
					return false
				}
				offsets = append(offsets, offset)
				return true
			})
		}
		if n = len(offsets); n == 0 {
			return nil
		}
		for _, offset := range offsets {
			g.parked.Delete(offset)
		}
		if drop {
			r = s.receipt(b.journal.Append(g.encodeAcked(nil, offsets), s.config.Sync == brokers.Always))
			return nil
		}
		now := b.clock.Now().UnixMilli()
		back := make([]*pendingEntry, 0, n)
		for _, offset := range offsets {
			back = append(back, &pendingEntry{offset: offset, consumer: nobody, dueMs: now})
		}
		// One record takes them out of the parked and makes them pending: no crash can fall between.
		r = s.receipt(g.rescheduleLocked(back, s.config.Sync == brokers.Always))
		return nil
	})
	return n, r, err
}
