package store

// Counters is a snapshot of the store.
type Counters struct {
	Keys, Expires     int // in all databases
	Hits, Misses      uint64
	Expired, Evicted  uint64
	Refused           uint64 // writes answered OOM
	Memory, MaxMemory int64  // bytes of the account, and its limit (0: none)
	Policy            string
	LogBytes          int64  // of the journal since its last snapshot
	CompactionError   string // what went wrong with the last compaction; "" when it went well
	Databases         [Databases]DatabaseCounters
}

// DatabaseCounters is the size of one database.
type DatabaseCounters struct {
	Keys, Expires int
}

// Counters takes a snapshot, one shard at a time.
func (b *Broker) Counters() Counters {
	c := Counters{Memory: b.memory.Load(), Refused: b.refused.Load()}
	limit, policy := b.MaxMemory()
	c.MaxMemory, c.Policy = limit, policy.String()
	c.CompactionError = b.compaction.failure()
	if b.journal != nil {
		c.LogBytes = b.journal.LogBytes()
	}
	for sh := range b.allShards() {
		database := &c.Databases[sh.database]
		sh.mu.Lock()
		database.Keys += sh.table.count
		database.Expires += sh.elapsing.len() + sh.dated.len()
		c.Hits += sh.counts.hits
		c.Misses += sh.counts.misses
		c.Expired += sh.counts.expired
		c.Evicted += sh.counts.evicted
		sh.mu.Unlock()
	}
	for _, database := range c.Databases {
		c.Keys += database.Keys
		c.Expires += database.Expires
	}
	return c
}

// ResetCounters sets the counts of events back to zero, as CONFIG RESETSTAT does.
func (b *Broker) ResetCounters() {
	b.refused.Store(0)
	for sh := range b.allShards() {
		sh.mu.Lock()
		sh.counts = shardCounts{}
		sh.mu.Unlock()
	}
}

// Memory is the account in bytes and the most it was, looked at once a second.
func (b *Broker) Memory() (now, peak int64) {
	b.notePeak()
	return b.memory.Load(), b.peak.Load()
}

func (b *Broker) notePeak() {
	for now := b.memory.Load(); ; {
		peak := b.peak.Load()
		if now <= peak || b.peak.CompareAndSwap(peak, now) {
			return
		}
	}
}
