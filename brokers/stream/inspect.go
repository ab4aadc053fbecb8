package stream

import (
	"crypto/sha256"
	"sort"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/stream/segment"
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
	Held            int // pending entries that a consumer holds, which MAXPENDING counts; the others were given back
	Skipped         uint64
	Waiters         int
	Consumers       int
	OldestPendingMs int64 // when the first pending entry is due, as the wall shows it; 0 none
	// EpochReceipt is to be waited for before the epoch is told to somebody who may acknowledge with it.
	EpochReceipt brokers.Receipt
}

// Stats describes a stream.
func (b *Broker) Stats(name []byte) (Stats, error) {
	s := b.find(name)
	if s == nil {
		return Stats{}, noStream(string(name))
	}
	if err := s.settle(); err != nil {
		return Stats{}, err
	}
	defer s.mu.Unlock()
	st := Stats{Config: s.config, First: s.first, Next: s.next, High: s.high, Entries: s.entriesLocked(s.next - 1), Bytes: s.liveBytesLocked(),
		Appended: s.appended, Duplicates: s.duplicates, LastMs: s.lastMs}
	st.FirstMs, _ = s.firstMsLocked()
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
	return uint64(s.entriesLocked(s.high)), nil
}

// entriesLocked is how many entries there are up to an offset that is not below the last cold one. Those that a repair has
// lost have an offset and are none.
func (s *Stream) entriesLocked(last uint64) int64 {
	n := s.coldEntries + int64(s.hotIndexLocked(last+1))
	if len(s.cold) > 0 && s.first > s.cold[0].block.First {
		n -= int64(s.first - s.cold[0].block.First)
	}
	return n
}

// GroupStats describes a group.
func (b *Broker) GroupStats(name, groupName []byte) (st GroupStats, err error) {
	err = b.withGroup(name, groupName, func(s *Stream, g *group) error {
		st = GroupStats{Config: g.config, Epoch: g.epoch, Next: g.next, Lag: g.lagLocked(), Pending: g.pending.Len(), Parked: g.parked.Len(),
			Held:         g.held,
			EpochReceipt: g.epochReceipt(), Skipped: g.skipped, Waiters: len(g.waiters), Consumers: len(g.holding), Floor: g.next - 1}
		if offset, _, ok := g.pending.Min(); ok {
			st.Floor = min(st.Floor, offset-1)
		}
		if offset, _, ok := g.parked.Min(); ok {
			st.Floor = min(st.Floor, offset-1)
		}
		first, found := g.lapsing.Min()
		if p, ok := g.returning.Min(); ok && (!found || dueBefore(p, first)) {
			first, found = p, true
		}
		if found {
			st.OldestPendingMs = b.time.Now().WallOf(first.due)
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
	s.retainSoonLocked(b.time.Now().Earlier())
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
	s := b.find(name)
	if s == nil {
		return v, noStream(string(name))
	}
	if from, _, err = b.locate(s, from); err == nil {
		to, err = b.locateEnd(s, to)
	}
	if err != nil {
		return v, err
	}
	if err := s.settle(); err != nil {
		return v, err
	}
	defer s.mu.Unlock()
	if !s.config.Chain {
		return v, notChained(s.name)
	}
	v = Verification{OK: true, From: min(max(s.resolveLocked(from), s.first), s.high+1), To: min(s.resolveLocked(to), s.high)}
	c := &chaining{b: b, s: s, v: &v, next: v.From}
	return v, c.run()
}

// chaining follows the integrity chain. It is entered and left with the stream locked, and unlocks it while it reads and
// hashes.
type chaining struct {
	b       *Broker
	s       *Stream
	v       *Verification
	next    uint64
	started bool
}

func (c *chaining) run() error {
	for c.next <= c.v.To && c.v.OK {
		if c.s.dropped {
			return noStream(c.s.name)
		}
		if c.next < c.s.first { // retention was faster
			c.v.From, c.next, c.started = c.s.first, c.s.first, false
			continue
		}
		cold, found := c.s.coldLocked(c.next)
		i := c.s.hotIndexLocked(c.next)
		content := &segment.Content{Entries: c.s.hot[i:], Before: c.s.hotBefore}
		if i > 0 {
			content.Before = c.s.hotHashes[i-1]
		}
		if !found {
			content.Hashes = c.s.hotHashes[i:]
		}
		c.s.mu.Unlock()
		retry, err := false, error(nil)
		if found {
			content, retry, err = c.b.load(cold)
		}
		if err == nil && !retry {
			c.check(content, !found)
		}
		c.s.mu.Lock()
		if err != nil {
			return err
		}
	}
	if !c.started && c.next == c.s.high+1 {
		c.v.Head = c.s.hashBeforeLocked(c.next)
	}
	return nil
}

// check verifies the entries of a block, or of memory, that are in the range.
func (c *chaining) check(content *segment.Content, last bool) {
	before := content.Before
	for i := range content.Entries {
		e := &content.Entries[i]
		if e.Offset > c.v.To {
			break
		}
		hash := content.Hashes[i]
		if e.Offset >= c.next {
			if !c.started {
				c.started, c.v.Head = true, before
			}
			// What a repair has lost shows as an entry that does not follow the one before it.
			if chainHash(c.v.Head, e) != hash || e.Offset != c.next {
				c.v.OK, c.v.FirstBad = false, c.next
				return
			}
			c.v.Head = hash
			c.next++
		}
		before = hash
	}
	if last && c.next <= c.v.To {
		c.v.OK, c.v.FirstBad = false, c.next // the last ones were lost
	}
}

// hashBeforeLocked is the hash of the entry before an offset that is not below the last cold one.
func (s *Stream) hashBeforeLocked(offset uint64) segment.Hash {
	if i := s.hotIndexLocked(offset); i > 0 {
		return s.hotHashes[i-1]
	}
	if len(s.hot) > 0 {
		return s.hotBefore
	}
	return s.head
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
	hash = s.hashBeforeLocked(s.high + 1)
	if i := s.hotIndexLocked(s.high + 1); i > 0 {
		ms, seq = s.hot[i-1].Ms, s.hot[i-1].Seq
	} else if n := len(s.cold); n > 0 {
		ms, seq = s.cold[n-1].block.LastMs, s.cold[n-1].block.LastSeq
	}
	return s.high, ms, seq, hash, nil
}
