package store

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/store/slab"
)

// deadlines is a binary heap of the keys that expire, earliest first. Each entry knows its position.
type deadlines struct {
	pool  *slab.Pool
	items []deadline
	run   slab.Run // where the items are, if they are many
}

type deadline struct {
	at int64 // Unix milliseconds
	e  link
}

func (h *deadlines) len() int { return len(h.items) }

// put puts a deadline at a position.
func (h *deadlines) put(i int, d deadline) {
	h.items[i] = d
	d.e.entry().deadline = uint32(i + 1)
}

// up moves the deadline at i towards the first until it is in order, and returns where it is then.
func (h *deadlines) up(i int) int {
	moving := h.items[i]
	for i > 0 {
		parent := (i - 1) / 2
		if h.items[parent].at <= moving.at {
			break
		}
		h.put(i, h.items[parent])
		i = parent
	}
	h.put(i, moving)
	return i
}

func (h *deadlines) down(i int) {
	moving := h.items[i]
	for {
		child := 2*i + 1
		if child >= len(h.items) {
			break
		}
		if child+1 < len(h.items) && h.items[child+1].at < h.items[child].at {
			child++
		}
		if moving.at <= h.items[child].at {
			break
		}
		h.put(i, h.items[child])
		i = child
	}
	h.put(i, moving)
}

func (h *deadlines) push(at int64, e *entry) {
	if len(h.items) == cap(h.items) {
		h.grow(len(h.items) + max(4, len(h.items)/4))
	}
	h.items = append(h.items, deadline{at, linkTo(e)})
	h.up(len(h.items) - 1)
}

// grow gives the heap room for so many.
func (h *deadlines) grow(n int) {
	old, run := h.items, h.run
	h.items, h.run = array[deadline](h.pool, n)
	h.items = h.items[:copy(h.items, old)]
	if run.Base != nil {
		h.pool.Put(run)
	}
}

func (h *deadlines) move(i int, at int64) {
	h.items[i].at = at
	h.down(h.up(i))
}

func (h *deadlines) drop(i int) {
	last := len(h.items) - 1
	h.items[i].e.entry().deadline = 0
	moving := h.items[last]
	h.items = h.items[:last]
	if i != last {
		h.items[i] = moving
		h.down(h.up(i))
	}
	if cap(h.items) > 64 && len(h.items) < cap(h.items)/4 {
		h.grow(cap(h.items) / 2)
	}
}

func (h *deadlines) next() int64 {
	if len(h.items) == 0 {
		return noDeadline
	}
	return h.items[0].at
}

// instant is one reading of the clock in the two times that deadlines are kept in, in Unix nanoseconds.
type instant struct {
	elapsed int64 // monotonic, set to the wall clock in Open
	wall    int64
}

func (b *Broker) now() instant {
	t := b.clock.Now()
	return instant{elapsed: b.startWall + int64(t.Sub(b.start)), wall: t.UnixNano()}
}

// drift is the wall clock's lead over the monotonic one, in milliseconds: 0 until somebody sets the clock.
func (n instant) drift() int64 { return (n.wall - n.elapsed) / int64(time.Millisecond) }

func (n instant) elapsedMillis() int64 { return n.elapsed / int64(time.Millisecond) }
func (n instant) wallMillis() int64    { return n.wall / int64(time.Millisecond) }

// heap is where the entry's deadline is.
func (sh *shard) heap(e *entry) *deadlines {
	if e.flags&flagDated != 0 {
		return &sh.dated
	}
	return &sh.elapsing
}

func (b *Broker) overdue(sh *shard, e *entry) bool {
	at := sh.heap(e).items[e.deadline-1].at
	if e.flags&flagDated != 0 {
		return b.now().wallMillis() >= at
	}
	return b.now().elapsedMillis() >= at
}

// expire removes a key that is past its deadline.
func (b *Broker) expire(sh *shard, e *entry) {
	sh.counts.expired++
	b.remove(sh, e)
}

// remaining is the time to live in milliseconds of a live key, never below 1; ok is false when it does not expire.
func (sh *shard) remaining(e *entry, now instant) (ms int64, ok bool) {
	if e.deadline == 0 {
		return 0, false
	}
	at := sh.heap(e).items[e.deadline-1].at
	if e.flags&flagDated != 0 {
		return max(1, at-now.wallMillis()), true
	}
	return max(1, at-now.elapsedMillis()), true
}

// wallDeadline is the deadline as a wall clock time; 0 when there is none.
func (sh *shard) wallDeadline(e *entry, now instant) int64 {
	if e.deadline == 0 {
		return 0
	}
	at := sh.heap(e).items[e.deadline-1].at
	if e.flags&flagDated != 0 {
		return at
	}
	return at + now.drift()
}

func (b *Broker) clearDeadline(sh *shard, e *entry) {
	if e.deadline == 0 {
		return
	}
	heap := sh.heap(e)
	heap.drop(int(e.deadline - 1))
	sh.publish()
	e.flags &^= flagDated
	b.account(sh, -deadlineOverhead)
}

// setDeadline makes the key expire at a time of the elapsed or (dated) the wall clock.
func (b *Broker) setDeadline(sh *shard, e *entry, at int64, dated bool) {
	if e.deadline != 0 && dated == (e.flags&flagDated != 0) {
		sh.heap(e).move(int(e.deadline-1), at)
	} else {
		b.clearDeadline(sh, e)
		if dated {
			e.flags |= flagDated
		}
		sh.heap(e).push(at, e)
		b.account(sh, deadlineOverhead)
	}
	sh.publish()
	if dated {
		now := b.now()
		b.wakeIn(min(at-now.wallMillis(), datedCheck), now)
		return
	}
	if at < b.timing.wakeAt.Load() {
		now := b.now()
		b.wakeIn(at-now.elapsedMillis(), now)
	}
}

// publish tells the timer of the earliest deadlines, and random picks of how many there are.
func (sh *shard) publish() {
	if n := int32(sh.elapsing.len() + sh.dated.len()); n != sh.expires.Load() {
		sh.tally.expires.Add(int64(n - sh.expires.Load()))
		sh.expires.Store(n)
	}
	if next := sh.elapsing.next(); next != sh.nextElapsing.Load() {
		sh.nextElapsing.Store(next)
	}
	if next := sh.dated.next(); next != sh.nextDated.Load() {
		sh.nextDated.Store(next)
	}
}

// datedCheck is how often dated deadlines are compared with the wall clock, which may be set at any time.
const datedCheck = 1000

// longestSleep keeps the arithmetic of far deadlines in range: the timer looks around once a day at least.
const longestSleep = 24 * 60 * 60 * 1000

// expiredPerLock bounds how long the timer holds a shard.
const expiredPerLock = 64

// wakeIn makes the timer run in ms milliseconds, unless it runs earlier anyway.
func (b *Broker) wakeIn(ms int64, now instant) {
	ms = min(max(ms, 0), longestSleep)
	at := now.elapsedMillis() + ms
	if at >= b.timing.wakeAt.Load() {
		return
	}
	b.timing.mu.Lock()
	defer b.timing.mu.Unlock()
	if at >= b.timing.wakeAt.Load() || b.timing.closed {
		return
	}
	b.timing.wakeAt.Store(at)
	// One millisecond is the unit of deadlines: waking at the start of it is enough, waking before it would spin.
	delay := time.Duration(at*int64(time.Millisecond) - now.elapsed)
	if b.timing.timer == nil {
		b.timing.timer = b.clock.AfterFunc(delay, b.expireDue)
		return
	}
	b.timing.timer.Reset(delay)
}

// expireDue removes the keys whose time has come and sets the timer for the next.
func (b *Broker) expireDue() {
	b.timing.running.Lock()
	defer b.timing.running.Unlock()
	// From here on a new deadline sets the timer itself, however this run ends.
	b.timing.wakeAt.Store(noDeadline)
	next := int64(noDeadline)
	for sh := range b.allShards() {
		next = min(next, b.expireShard(sh))
	}
	if next != noDeadline {
		b.wakeIn(next, b.now())
	}
}

// expireShard removes what is due and returns in how many milliseconds to look again.
func (b *Broker) expireShard(sh *shard) int64 {
	for {
		now := b.now()
		elapsing, dated := sh.nextElapsing.Load(), sh.nextDated.Load()
		wait := int64(noDeadline)
		if elapsing != noDeadline {
			wait = elapsing - now.elapsedMillis()
		}
		if dated != noDeadline {
			wait = min(wait, dated-now.wallMillis(), datedCheck)
		}
		if wait > 0 {
			return wait
		}
		sh.mu.Lock()
		for i := 0; i < expiredPerLock; i++ {
			switch {
			case sh.elapsing.next() <= now.elapsedMillis():
				b.expire(sh, sh.elapsing.items[0].e.entry())
			case sh.dated.next() <= now.wallMillis():
				b.expire(sh, sh.dated.items[0].e.entry())
			}
		}
		sh.mu.Unlock()
		b.tightenUpTo(tightenPerBatch)
	}
}

// timing is the one timer of the broker.
type timing struct {
	mu      sync.Mutex // timer, closed; wakeAt is lowered under it
	timer   brokers.Timer
	closed  bool
	running sync.Mutex   // one expireDue at a time; taken before everything else
	wakeAt  atomic.Int64 // elapsed milliseconds; noDeadline when the timer is not set
}
