package store

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexobroker/nexo/brokers"
)

// deadlines is a binary heap of the keys that expire, earliest first. Each entry knows its position.
type deadlines []deadline

type deadline struct {
	at int64 // Unix milliseconds
	e  *entry
}

func (h deadlines) swap(i, k int) {
	h[i], h[k] = h[k], h[i]
	h[i].e.deadline = uint32(i + 1)
	h[k].e.deadline = uint32(k + 1)
}

func (h deadlines) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if h[parent].at <= h[i].at {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h deadlines) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if child+1 < len(h) && h[child+1].at < h[child].at {
			child++
		}
		if h[i].at <= h[child].at {
			return
		}
		h.swap(i, child)
		i = child
	}
}

func (h *deadlines) push(at int64, e *entry) {
	*h = append(*h, deadline{at, e})
	e.deadline = uint32(len(*h))
	h.up(len(*h) - 1)
}

func (h deadlines) move(i int, at int64) {
	h[i].at = at
	h.up(i)
	h.down(i)
}

func (h *deadlines) drop(i int) {
	last := len(*h) - 1
	(*h)[i].e.deadline = 0
	if i != last {
		(*h)[i] = (*h)[last]
		(*h)[i].e.deadline = uint32(i + 1)
	}
	(*h)[last] = deadline{}
	*h = (*h)[:last]
	if i != last {
		h.up(i)
		h.down(i)
	}
	if cap(*h) > 64 && len(*h) < cap(*h)/4 {
		*h = append(make(deadlines, 0, cap(*h)/2), *h...)
	}
}

func (h deadlines) next() int64 {
	if len(h) == 0 {
		return noDeadline
	}
	return h[0].at
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
	at := (*sh.heap(e))[e.deadline-1].at
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
	at := (*sh.heap(e))[e.deadline-1].at
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
	at := (*sh.heap(e))[e.deadline-1].at
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
	if n := int32(len(sh.elapsing) + len(sh.dated)); n != sh.expires.Load() {
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
	for db := range b.databases {
		shards := b.databases[db].Load()
		if shards == nil {
			continue
		}
		for i := range shards {
			next = min(next, b.expireShard(&shards[i]))
		}
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
			case len(sh.elapsing) > 0 && sh.elapsing[0].at <= now.elapsedMillis():
				b.expire(sh, sh.elapsing[0].e)
			case len(sh.dated) > 0 && sh.dated[0].at <= now.wallMillis():
				b.expire(sh, sh.dated[0].e)
			}
		}
		sh.mu.Unlock()
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
