package stream

import (
	"crypto/sha256"
	"sort"

	"github.com/nexobroker/nexo/brokers"
)

// Stats describes a stream.
type Stats struct {
	Config               Config
	First, Next, High    uint64
	Entries, Bytes       int64
	FirstMs, LastMs      int64
	Appended, Duplicates uint64
	Groups               []string
}

// GroupStats describes a group.
type GroupStats struct {
	Config          GroupConfig
	Epoch, Next     uint64
	Floor, Lag      uint64 // everything up to Floor is done
	Pending, Parked int
	Skipped         uint64
	Waiters         int
	Consumers       int
	OldestPendingMs int64 // how long the oldest pending entry has been overdue or has still to wait, as its due time; 0 none
}

// Stats describes a stream.
func (b *Broker) Stats(name []byte) (Stats, error) {
	s, err := b.use(name)
	if err != nil {
		return Stats{}, err
	}
	defer s.mu.Unlock()
	st := Stats{Config: s.config, First: s.first, Next: s.next, High: s.high, Entries: int64(len(s.entries)), Bytes: s.bytes,
		Appended: s.appended, Duplicates: s.duplicates, LastMs: s.lastMs}
	if len(s.entries) > 0 {
		st.FirstMs = s.entries[0].ms
	}
	for g := range s.groups {
		st.Groups = append(st.Groups, g)
	}
	sort.Strings(st.Groups)
	return st, nil
}

// Length is the number of entries that readers see.
func (b *Broker) Length(name []byte) (uint64, error) {
	s, err := b.use(name)
	if err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	return s.high + 1 - s.first, nil
}

// GroupStats describes a group.
func (b *Broker) GroupStats(name, groupName []byte) (st GroupStats, err error) {
	err = b.withGroup(name, groupName, func(s *Stream, g *group) error {
		st = GroupStats{Config: g.config, Epoch: g.epoch, Next: g.next, Lag: g.lagLocked(), Pending: len(g.pending), Parked: len(g.parked),
			Skipped: g.skipped, Waiters: len(g.waiters), Floor: g.next - 1}
		consumers := map[string]bool{}
		for offset, p := range g.pending {
			if p.consumer != nobody {
				consumers[p.consumer] = true
			}
			st.Floor = min(st.Floor, offset-1)
		}
		for offset := range g.parked {
			st.Floor = min(st.Floor, offset-1)
		}
		st.Consumers = len(consumers)
		if p, ok := g.due.Min(); ok {
			st.OldestPendingMs = p.dueMs
		}
		return nil
	})
	return st, err
}

// Configure changes a stream's config.
func (b *Broker) Configure(name []byte, change func(c *Config) error) (brokers.Receipt, error) {
	b.world.RLock()
	defer b.world.RUnlock()
	s, err := b.use(name)
	if err != nil {
		return brokers.Receipt{}, err
	}
	defer s.mu.Unlock()
	c := s.config
	if err := change(&c); err != nil {
		return brokers.Receipt{}, err
	}
	if c.Chain != s.config.Chain {
		return brokers.Receipt{}, brokers.Errorf("ERR", "INTEGRITY is chosen when a stream is made")
	}
	s.config = c
	seq := b.journal.Append(s.encodeConfig(nil), c.Sync == brokers.Always)
	s.retainLocked(b.clock.Now().UnixMilli())
	return s.receipt(seq), nil
}

// Verification is the result of Verify.
type Verification struct {
	OK       bool
	From, To uint64
	Head     [sha256.Size]byte
	FirstBad uint64 // 0 when none
}

func notChained(name string) error {
	return brokers.Errorf("ERR", "stream '%s' has no INTEGRITY CHAIN", name)
}

// Verify computes the hashes of a range again from the entries and compares them with those kept.
func (b *Broker) Verify(name []byte, from, to Position) (v Verification, err error) {
	s, err := b.use(name)
	if err != nil {
		return v, err
	}
	if !s.config.Chain {
		s.mu.Unlock()
		return v, notChained(s.name)
	}
	v = Verification{OK: true, From: min(max(s.resolveLocked(from), s.first), s.high+1), To: min(s.resolveEndLocked(to), s.high)}
	// Payloads and the slice of hashes never change, so the hashing needs no lock.
	before := s.anchor
	first, hashes := s.first, s.hashes
	entries := append([]entry(nil), s.entries...) // retention clears the ones it removes
	s.mu.Unlock()
	if v.From > first {
		before = hashes[v.From-first-1]
	}
	v.Head = before
	for offset := v.From; offset <= v.To; offset++ {
		computed := chainHash(v.Head, offset, entries[offset-first])
		if computed != hashes[offset-first] {
			v.OK, v.FirstBad = false, offset
			return v, nil
		}
		v.Head = computed
	}
	return v, nil
}

// Head is the last shown entry of a chained stream and its hash: the anchor to keep elsewhere.
func (b *Broker) Head(name []byte) (offset uint64, ms int64, seq uint64, hash [sha256.Size]byte, err error) {
	s, err := b.use(name)
	if err != nil {
		return 0, 0, 0, hash, err
	}
	defer s.mu.Unlock()
	if !s.config.Chain {
		return 0, 0, 0, hash, notChained(s.name)
	}
	if s.high < s.first {
		return s.high, 0, 0, s.anchor, nil
	}
	e := s.atLocked(s.high)
	return s.high, e.ms, e.seq, s.hashes[s.high-s.first], nil
}
