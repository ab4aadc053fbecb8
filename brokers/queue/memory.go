package queue

import "time"

const (
	// freedLeast is how many bytes of jobs must have gone for the collector to be told.
	freedLeast = 64 << 20
	// freedAfter is how long they must stay away: a queue that fills and drains all the time takes its memory again at once.
	freedAfter = 2 * time.Second
)

// watchMemory is asked after every batch of the journal. When jobs take less than half of the memory that they took at most since
// the last time, and freedLeast less, and do so for a while, Options.Freed is told: nothing else would make the runtime collect
// what is gone while little happens.
func (b *Broker) watchMemory() {
	if b.options.Freed == nil || b.loading.Load() {
		return
	}
	ram := b.ram()
	if peak := b.peak.Load(); ram >= peak {
		b.peak.Store(ram) // one notify at a time
		return
	}
	if !b.sunken(ram) || !b.freeing.CompareAndSwap(false, true) {
		return
	}
	b.time.AfterFunc(freedAfter, b.tellFreed)
}

// tellFreed tells it if the memory has stayed away. A compaction under way still holds what was there when it began.
func (b *Broker) tellFreed() {
	if b.compacting.Load() && !b.closed.Load() {
		b.time.AfterFunc(freedAfter, b.tellFreed)
		return
	}
	ram := b.ram()
	freed := !b.closed.Load() && b.sunken(ram)
	if freed {
		b.peak.Store(ram)
	}
	b.freeing.Store(false)
	if freed {
		b.options.Freed()
	}
}

func (b *Broker) sunken(ram int64) bool {
	peak := b.peak.Load()
	return peak-ram >= freedLeast && ram <= peak/2
}
