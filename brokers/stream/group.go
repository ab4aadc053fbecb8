package stream

import (
	"cmp"
	"slices"
	"time"

	"github.com/nexobroker/nexo/brokers"
)

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
		return s.receipt(g.epochSeq), nil
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
	g.epoch = s.broker.droppedEpoch.Load() + 1
	s.groups[name] = g
	g.epochSeq = s.broker.journal.Append(g.encodeCreate(nil), true)
	return g, s.receipt(g.epochSeq), nil
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
	b.dropEpoch(g.epoch)
	delete(s.groups, g.name)
	g.wakeAllLocked()
	return true, s.receipt(s.broker.journal.Append(g.encode(opGroupDrop, nil), s.config.Sync == brokers.Always)), nil
}

// HasGroup tells whether a stream has a group.
func (b *Broker) HasGroup(name, groupName []byte) bool {
	return b.withGroup(name, groupName, func(*Stream, *group) error { return nil }) == nil
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
		now := b.time.Now()
		var back []*pendingEntry
		for _, d := range entries {
			if p, found := g.pending.Get(d.Offset); found && p.deliveries == d.Deliveries && p.consumer != nobody {
				back = append(back, &pendingEntry{offset: d.Offset, consumer: nobody, deliveries: d.Deliveries - 1, due: now.Steady})
			}
		}
		g.rescheduleLocked(now, back, false)
		return nil
	})
}

// rescheduleLocked makes entries pending as given and tells the sequence of the record; 0 when there are none.
func (g *group) rescheduleLocked(now brokers.Instant, list []*pendingEntry, sync bool) (seq uint64) {
	for _, p := range list {
		g.setPending(p)
	}
	if len(list) > 0 {
		seq = g.stream.broker.journal.Append(g.encodeGiven(nil, now, list), sync)
		g.wakeLocked()
		g.armLocked(now.Steady)
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
		if err == nil {
			err = locateErr
		}
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

// Ack acknowledges entries and tells how many were pending. An epoch other than 0 must be the group's; the receipt is to be
// waited for before the error that it is not is told, since that tells the group's epoch.
func (b *Broker) Ack(name, groupName []byte, which Resolver, epoch uint64) (n int, r brokers.Receipt, err error) {
	ranges, err := b.ranges(name, which)
	if err != nil {
		return 0, r, err
	}
	err = b.withGroup(name, groupName, func(s *Stream, g *group) error {
		if epoch != 0 && epoch != g.epoch {
			r = g.epochReceipt()
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
		now := b.time.Now()
		var list []*pendingEntry
		g.eachPending(ranges, func(p *pendingEntry) { list = append(list, p) })
		n = len(list)
		var back []*pendingEntry
		for _, p := range list {
			if mode == NackFatal || mode == NackFail && g.config.MaxDeliver > 0 && p.deliveries >= g.config.MaxDeliver {
				g.removePending(p.offset)
				parked := &parkedEntry{deliveries: p.deliveries, parkedMs: now.Wall, reason: reason}
				g.parked.Set(p.offset, parked)
				r = s.receipt(b.journal.Append(g.encodeParked(nil, p.offset, parked), s.config.Sync == brokers.Always))
				continue
			}
			deliveries := p.deliveries
			if mode == NackSilent && p.consumer != nobody {
				deliveries--
			}
			due := now.Steady + delay.Milliseconds()
			back = append(back, &pendingEntry{offset: p.offset, consumer: nobody, deliveries: deliveries, due: due})
		}
		g.rescheduleLocked(now, back, false)
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
		now := b.time.Now()
		due := now.Steady + d.Milliseconds()
		var list []*pendingEntry
		g.eachPending(ranges, func(p *pendingEntry) {
			list = append(list, &pendingEntry{offset: p.offset, consumer: p.consumer, deliveries: p.deliveries, due: due})
		})
		n = len(list)
		g.rescheduleLocked(now, list, false)
		return nil
	})
	return n, err
}

// Leave gives back everything a consumer holds, uncounted.
func (b *Broker) Leave(name, groupName, consumer []byte) (n int, err error) {
	err = b.withGroup(name, groupName, func(s *Stream, g *group) error {
		now := b.time.Now()
		var back []*pendingEntry
		g.pending.Scan(func(offset uint64, p *pendingEntry) bool {
			if p.consumer == string(consumer) && p.consumer != nobody {
				back = append(back, &pendingEntry{offset: offset, consumer: nobody, deliveries: p.deliveries - 1, due: now.Steady})
			}
			return true
		})
		n = len(back)
		g.rescheduleLocked(now, back, false)
		return nil
	})
	return n, err
}
