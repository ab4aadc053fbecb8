package stream

import (
	"time"

	"github.com/tidwall/btree"

	"github.com/nexobroker/nexo/brokers"
)

// group is a consumer group: what of the stream was delivered to whom. It is guarded by its stream's lock.
type group struct {
	stream *Stream
	name   string
	config GroupConfig
	next   uint64 // the next offset to be delivered that is not pending

	epoch    uint64
	epochSeq uint64 // of the record that gave the epoch; 0 when it is from an earlier life

	pending btree.Map[uint64, *pendingEntry] // all below next
	// Those of them that have a due time, by it and then by offset: what consumers hold, and what was given back.
	lapsing, returning *btree.BTreeG[*pendingEntry]
	held               int            // pending entries that a consumer holds
	holding            map[string]int // the same by consumer
	// parked entries are not pending. After a seek back some may be at next or above; they leave when they are delivered.
	parked  btree.Map[uint64, *parkedEntry]
	skipped uint64 // entries lost to retention before they were delivered
	waiters []*Waiter
	timer   brokers.Timer
}

type pendingEntry struct {
	offset     uint64
	consumer   string
	deliveries int
	due        int64 // steady time of the redelivery
}

const (
	// nobody is the consumer of a pending entry that was given back.
	nobody = ""
	// never is the due time of a pending entry that only its consumer can end.
	never = 0
	// pendingMax bounds the pending entries of a group together with those that were given back, which MAXPENDING does
	// not count.
	pendingMax = 1_000_000
)

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
		stream: s, name: name, config: c, next: next, holding: map[string]int{},
		lapsing:   btree.NewBTreeGOptions(dueBefore, btree.Options{NoLocks: true}),
		returning: btree.NewBTreeGOptions(dueBefore, btree.Options{NoLocks: true}),
	}
}

func dueBefore(a, b *pendingEntry) bool {
	return a.due < b.due || a.due == b.due && a.offset < b.offset
}

// byDue is the tree that a pending entry with a due time is in.
func (g *group) byDue(p *pendingEntry) *btree.BTreeG[*pendingEntry] {
	if p.consumer == nobody {
		return g.returning
	}
	return g.lapsing
}

func (g *group) setPending(p *pendingEntry) {
	g.removePending(p.offset)
	g.parked.Delete(p.offset)
	g.pending.Set(p.offset, p)
	if p.due != never {
		g.byDue(p).Set(p)
	}
	if p.consumer != nobody {
		g.held++
		g.holding[p.consumer]++
	}
}

func (g *group) removePending(offset uint64) *pendingEntry {
	p, found := g.pending.Delete(offset)
	if !found {
		return nil
	}
	if p.due != never {
		g.byDue(p).Delete(p)
	}
	if p.consumer != nobody {
		g.held--
		if g.holding[p.consumer]--; g.holding[p.consumer] == 0 {
			delete(g.holding, p.consumer)
		}
	}
	return p
}

// advance moves next forward: what it passes is delivered, or lost, and no longer parked.
func (g *group) advance(next uint64) {
	for g.parked.Len() > 0 {
		at, found := uint64(0), false
		g.parked.Ascend(g.next, func(offset uint64, _ *parkedEntry) bool {
			at, found = offset, offset < next
			return false
		})
		if !found {
			break
		}
		g.parked.Delete(at)
	}
	g.next = next
}

// roomLocked tells whether consumers may hold another entry that nobody holds.
func (g *group) roomLocked() bool {
	return g.held < g.config.MaxPending && g.pending.Len() < pendingMax
}

// dueLocked is the entry to be delivered again first, nil when none is due. What was given back counts against MAXPENDING
// when it is delivered again, so it waits for room; what a consumer holds and has let lapse counts already.
func (g *group) dueLocked(now int64) *pendingEntry {
	first, found := g.lapsing.Min()
	if !found || first.due > now {
		first = nil
	}
	if p, found := g.returning.Min(); found && p.due <= now && g.held < g.config.MaxPending && (first == nil || dueBefore(p, first)) {
		first = p
	}
	return first
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
		g.advance(first)
	}
}

// wakeLocked lets the longest-waiting consumer try again when there is something for it.
func (g *group) wakeLocked() {
	if len(g.waiters) == 0 || !g.readyLocked(g.stream.broker.time.Now().Steady) {
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
	return g.dueLocked(now) != nil || g.next <= g.stream.high && g.roomLocked()
}

// armLocked sets the timer for the next redelivery while somebody waits for it.
func (g *group) armLocked(now int64) {
	if len(g.waiters) == 0 || g.stream.broker.closed.Load() {
		return
	}
	next, found := g.lapsing.Min()
	// One that was given back and is due already waits for room, and whoever makes room wakes.
	if p, ok := g.returning.Min(); ok && p.due > now && (!found || p.due < next.due) {
		next, found = p, true
	}
	if !found {
		return
	}
	wait := time.Duration(max(1, next.due-now)) * time.Millisecond
	if g.timer == nil {
		g.timer = g.stream.broker.time.AfterFunc(wait, g.tick)
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
	g.armLocked(s.broker.time.Now().Steady)
}
