package queue

import (
	"sync"
	"sync/atomic"
)

const (
	reservedIDs        = 1 << 16
	reservedDeliveries = 1000
)

// numbers gives out ids and delivery numbers; the package doc says why none repeats after a crash.
type numbers struct {
	lastID             atomic.Uint64 // the last id given
	reservedID         atomic.Uint64 // no id above it is given before a mark that reserves it has been appended
	safeID             atomic.Uint64 // reserved by a synced mark
	reservedDelivery   atomic.Uint64
	safeDelivery       atomic.Uint64
	floor, lifeFirstID uint64 // jobs with ids below lifeFirstID are delivered above floor; set by Open

	mu  sync.Mutex // orders marks
	seq uint64     // of the last mark; under mu
}

// allocateIDs gives n consecutive ids. When safe is false the change must be synced before anybody learns of them.
func (b *Broker) allocateIDs(n int) (first uint64, safe bool) {
	last := b.numbers.lastID.Add(uint64(n))
	if last+reservedIDs/2 > b.numbers.reservedID.Load() {
		b.reserve(last, 0)
	}
	return last - uint64(n) + 1, last <= b.numbers.safeID.Load() || b.safe(last, 0)
}

// nextDelivery gives the number of a job's next delivery.
func (b *Broker) nextDelivery(j *job) (number uint64, safe bool) {
	number = j.deliveries + 1
	if j.id < b.numbers.lifeFirstID && number <= b.numbers.floor {
		number = b.numbers.floor + 1
	}
	if number+reservedDeliveries/2 > b.numbers.reservedDelivery.Load() {
		b.reserve(0, number)
	}
	return number, number <= b.numbers.safeDelivery.Load() || b.safe(0, number)
}

// reserve appends a mark that covers the id and the delivery number, and some more.
func (b *Broker) reserve(id, delivery uint64) {
	n := &b.numbers
	n.mu.Lock()
	defer n.mu.Unlock()
	ids, deliveries := n.reservedID.Load(), n.reservedDelivery.Load()
	enough := true
	if id+reservedIDs/2 > ids {
		ids, enough = id+reservedIDs, false
	}
	if delivery+reservedDeliveries/2 > deliveries {
		deliveries, enough = delivery+reservedDeliveries, false
	}
	if enough {
		return
	}
	// Appended before it is published: whoever sees the new bound appends behind the mark.
	n.seq = b.append(mark{
		reservedID: ids, reservedDelivery: deliveries, floor: n.floor, lifeFirstID: n.lifeFirstID,
	}.encode(nil), true)
	n.reservedID.Store(ids)
	n.reservedDelivery.Store(deliveries)
}

// safe tells whether the numbers are covered by a synced mark, now that more may have been synced.
func (b *Broker) safe(id, delivery uint64) bool {
	n := &b.numbers
	n.mu.Lock()
	defer n.mu.Unlock()
	if b.synced.Load() >= n.seq {
		n.safeID.Store(n.reservedID.Load())
		n.safeDelivery.Store(n.reservedDelivery.Load())
	}
	return id <= n.safeID.Load() && delivery <= n.safeDelivery.Load()
}
