package stream

import (
	"sort"
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

	pending map[uint64]*pendingEntry
	due     *btree.BTreeG[*pendingEntry] // by time, then offset; only those with a time
	parked  map[uint64]*parkedEntry
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
		stream: s, name: name, config: c, epoch: 1, next: next,
		pending: map[uint64]*pendingEntry{}, parked: map[uint64]*parkedEntry{},
		due: btree.NewBTreeGOptions(func(a, b *pendingEntry) bool {
			return a.dueMs < b.dueMs || a.dueMs == b.dueMs && a.offset < b.offset
		}, btree.Options{NoLocks: true}),
	}
}

func (g *group) setPending(p *pendingEntry) {
	g.removePending(p.offset)
	g.pending[p.offset] = p
	if p.dueMs > 0 {
		g.due.Set(p)
	}
}

func (g *group) removePending(offset uint64) *pendingEntry {
	p := g.pending[offset]
	if p == nil {
		return nil
	}
	delete(g.pending, offset)
	if p.dueMs > 0 {
		g.due.Delete(p)
	}
	return p
}

// cutLocked forgets what retention has removed.
func (g *group) cutLocked(first uint64) {
	for offset := range g.pending {
		if offset < first {
			g.removePending(offset)
		}
	}
	for offset := range g.parked {
		if offset < first {
			delete(g.parked, offset)
		}
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
	return g.next <= g.stream.high && len(g.pending) < g.config.MaxPending
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

// ConsumeOptions says what a consumer takes.
type ConsumeOptions struct {
	Count    int
	MaxBytes int
	NoAck    bool
	Make     bool // make the group with defaults
	Wait     bool // return a waiter when there is nothing
}

// Consumed is what a consumer got.
type Consumed struct {
	Epoch, Lag uint64
	Entries    []Delivery
	Waiter     *Waiter // set when there was nothing and waiting was asked for
}

// Consume gives a consumer the redeliveries that are due, then entries never delivered.
func (b *Broker) Consume(name, groupName, consumer []byte, o ConsumeOptions, into []Delivery) (got Consumed, err error) {
	if err := CheckName("consumer", consumer); err != nil {
		return got, err
	}
	if o.Make {
		if err := b.makeGroup(name, groupName); err != nil {
			return got, err
		}
	}
	err = b.withGroup(name, groupName, func(s *Stream, g *group) error {
		now := b.clock.Now().UnixMilli()
		take := taking{g: g, consumer: string(consumer), now: now, room: o.MaxBytes, count: o.Count, entries: into}
		take.redeliveries()
		take.fresh(o.NoAck)
		take.journal(o.NoAck)
		got = Consumed{Epoch: g.epoch, Lag: g.lagLocked(), Entries: take.entries}
		if len(take.entries) == 0 && o.Wait {
			got.Waiter = &Waiter{C: make(chan struct{}, 1), group: g}
			g.waiters = append(g.waiters, got.Waiter)
			g.armLocked(now)
			return nil
		}
		g.wakeLocked()   // what is left is for the next in line
		g.armLocked(now) // and so is this delivery, if it is not acknowledged
		return nil
	})
	return got, err
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
		_, _, err = s.createGroupLocked(string(groupName), DefaultGroupConfig(), s.first)
	}
	return err
}

func (g *group) lagLocked() uint64 {
	if g.stream.high+1 < g.next {
		return 0
	}
	return g.stream.high + 1 - g.next
}

// taking gathers one delivery.
type taking struct {
	g         *group
	consumer  string
	now       int64
	room      int
	count     int
	entries   []Delivery
	delivered []*pendingEntry
	parked    []uint64
}

func (t *taking) full(size int) bool {
	return len(t.entries) >= t.count || len(t.entries) > 0 && size > t.room
}

func (t *taking) add(offset uint64, deliveries int) {
	e := t.g.stream.viewLocked(offset)
	t.room -= len(e.Payload)
	t.entries = append(t.entries, Delivery{Entry: e, Deliveries: deliveries})
}

func (t *taking) dueMs() int64 {
	if t.g.config.AckWait <= 0 {
		return 0
	}
	return t.now + t.g.config.AckWait.Milliseconds()
}

func (t *taking) redeliveries() {
	g := t.g
	for {
		p, ok := g.due.Min()
		if !ok || p.dueMs > t.now {
			return
		}
		if g.config.MaxDeliver > 0 && p.deliveries >= g.config.MaxDeliver {
			g.removePending(p.offset)
			g.parked[p.offset] = &parkedEntry{deliveries: p.deliveries, parkedMs: t.now, reason: "delivered too often without an ack"}
			t.parked = append(t.parked, p.offset)
			continue
		}
		if t.full(len(g.stream.atLocked(p.offset).payload)) {
			return
		}
		next := &pendingEntry{offset: p.offset, consumer: t.consumer, deliveries: p.deliveries + 1, dueMs: t.dueMs()}
		g.setPending(next)
		t.delivered = append(t.delivered, next)
		t.add(p.offset, next.deliveries)
	}
}

func (t *taking) fresh(noAck bool) {
	g := t.g
	for g.next <= g.stream.high && (noAck || len(g.pending) < g.config.MaxPending) {
		if g.stream.atLocked(g.next).lost() {
			g.skipped++
			g.next++
			continue
		}
		if t.full(len(g.stream.atLocked(g.next).payload)) {
			return
		}
		if !noAck {
			p := &pendingEntry{offset: g.next, consumer: t.consumer, deliveries: 1, dueMs: t.dueMs()}
			g.setPending(p)
			t.delivered = append(t.delivered, p)
		}
		t.add(g.next, 1)
		g.next++
	}
}

// journal logs the delivery lazily: an acknowledgement that becomes durable comes after it in the log.
func (t *taking) journal(noAck bool) {
	g := t.g
	b := g.stream.broker
	for _, offset := range t.parked {
		b.journal.Append(g.encodeParked(nil, offset, g.parked[offset]), false)
	}
	if len(t.delivered) > 0 || noAck && len(t.entries) > 0 {
		b.journal.Append(g.encodeDelivered(recordBuffer(), t.delivered), false)
	}
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
			if p := g.pending[d.Offset]; p != nil && p.deliveries == d.Deliveries && p.consumer != nobody {
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

// eachPending visits the pending entries in the ranges.
func (g *group) eachPending(ranges []Range, visit func(p *pendingEntry)) {
	for _, r := range ranges {
		if r.To < r.From {
			continue
		}
		if r.To-r.From < uint64(len(g.pending)) {
			for offset := r.From; ; offset++ {
				if p := g.pending[offset]; p != nil {
					visit(p)
				}
				if offset == r.To {
					break
				}
			}
			continue
		}
		for _, p := range g.sortedPending() {
			if p.offset >= r.From && p.offset <= r.To {
				visit(p)
			}
		}
	}
}

func (g *group) sortedPending() []*pendingEntry {
	list := make([]*pendingEntry, 0, len(g.pending))
	for _, p := range g.pending {
		list = append(list, p)
	}
	sort.Slice(list, func(i, k int) bool { return list[i].offset < list[k].offset })
	return list
}

// Resolver turns the positions of acknowledgements into offsets, under the stream's lock.
type Resolver func(resolve func(Position) (uint64, bool)) []Range

// exactLocked is the offset of the entry that a position names exactly.
func (s *Stream) exactLocked(p Position) (uint64, bool) {
	offset := s.resolveLocked(p)
	if offset < s.first || offset >= s.next {
		return 0, false
	}
	if p.Kind == AtID {
		e := s.atLocked(offset)
		return offset, e.ms == p.Ms && e.seq == p.Seq
	}
	return offset, true
}

// Ack acknowledges entries and tells how many were pending. An epoch other than 0 must be the group's.
func (b *Broker) Ack(name, groupName []byte, which Resolver, epoch uint64) (n int, r brokers.Receipt, err error) {
	err = b.withGroup(name, groupName, func(s *Stream, g *group) error {
		if epoch != 0 && epoch != g.epoch {
			return brokers.Errorf("FENCED", "epoch %d, now %d", epoch, g.epoch)
		}
		var acked []uint64
		g.eachPending(which(s.exactLocked), func(p *pendingEntry) {
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
	err = b.withGroup(name, groupName, func(s *Stream, g *group) error {
		now := b.clock.Now().UnixMilli()
		var list []*pendingEntry
		seen := map[uint64]bool{} // an entry may be named twice
		g.eachPending(which(s.exactLocked), func(p *pendingEntry) {
			if !seen[p.offset] {
				seen[p.offset] = true
				list = append(list, p)
			}
		})
		n = len(list)
		var back []*pendingEntry
		for _, p := range list {
			if mode == NackFatal || mode == NackFail && g.config.MaxDeliver > 0 && p.deliveries >= g.config.MaxDeliver {
				g.removePending(p.offset)
				parked := &parkedEntry{deliveries: p.deliveries, parkedMs: now, reason: reason}
				g.parked[p.offset] = parked
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
	err = b.withGroup(name, groupName, func(s *Stream, g *group) error {
		due := b.clock.Now().UnixMilli() + d.Milliseconds()
		var list []*pendingEntry
		seen := map[uint64]bool{}
		g.eachPending(which(s.exactLocked), func(p *pendingEntry) {
			if !seen[p.offset] {
				seen[p.offset] = true
				list = append(list, &pendingEntry{offset: p.offset, consumer: p.consumer, deliveries: p.deliveries, dueMs: due})
			}
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
		for _, p := range g.sortedPending() {
			if p.consumer == string(consumer) && p.consumer != nobody {
				back = append(back, &pendingEntry{offset: p.offset, consumer: nobody, deliveries: p.deliveries - 1, dueMs: now})
			}
		}
		n = len(back)
		g.rescheduleLocked(back, false)
		return nil
	})
	return n, err
}

// Seek moves a group: what was pending or parked is forgotten, the epoch grows, who waits tries again.
func (b *Broker) Seek(name, groupName []byte, p Position) (epoch, next uint64, r brokers.Receipt, err error) {
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
	clear(g.pending)
	clear(g.parked)
	g.due.Clear()
}

// ParkedEntries lists parked entries from an offset on.
func (b *Broker) ParkedEntries(name, groupName []byte, from Position, count int) (list []Parked, err error) {
	err = b.withGroup(name, groupName, func(s *Stream, g *group) error {
		start := s.resolveLocked(from)
		offsets := make([]uint64, 0, len(g.parked))
		for offset := range g.parked {
			if offset >= start {
				offsets = append(offsets, offset)
			}
		}
		sort.Slice(offsets, func(i, k int) bool { return offsets[i] < offsets[k] })
		for _, offset := range offsets[:min(count, len(offsets))] {
			p := g.parked[offset]
			list = append(list, Parked{Entry: s.viewLocked(offset), Deliveries: p.deliveries, ParkedMs: p.parkedMs, Reason: p.reason})
		}
		return nil
	})
	return list, err
}

// Unpark lets parked entries be delivered again with a fresh count, or drops them. A nil Resolver means all.
func (b *Broker) Unpark(name, groupName []byte, which Resolver, drop bool) (n int, r brokers.Receipt, err error) {
	err = b.withGroup(name, groupName, func(s *Stream, g *group) error {
		var offsets []uint64
		ranges := []Range{{From: 0, To: ^uint64(0)}}
		if which != nil {
			ranges = which(s.exactLocked)
		}
		for offset := range g.parked {
			for _, r := range ranges {
				if offset >= r.From && offset <= r.To {
					offsets = append(offsets, offset)
					break
				}
			}
		}
		sort.Slice(offsets, func(i, k int) bool { return offsets[i] < offsets[k] })
		if n = len(offsets); n == 0 {
			return nil
		}
		for _, offset := range offsets {
			delete(g.parked, offset)
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
