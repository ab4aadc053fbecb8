package stream

import (
	"errors"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/stream/segment"
)

// Retention removes entries from the front one by one, as the limits say, wherever they are. Of a cold block memory holds
// only the sum of its sizes, and its first and last time; to take the first block apart, the sizes and times of its
// entries are read once (the front). Whoever needs the exact state reads it (settle); an append leaves that to a goroutine.
//
// An age is told by the earlier of the two clocks (brokers.Instant): when the wall is set forward the steady one keeps what
// is not that old, when it is set back the wall does, whose time the next entries have.

// frontEntry is what retention must know of an entry.
type frontEntry struct{ ms, weight int64 }

// overLocked tells whether the limits let an entry go, when it is the first: its offset, its time, and the live bytes
// with it.
func (s *Stream) overLocked(offset uint64, ms, bytes, now int64) bool {
	c := &s.config
	return c.MaxLen > 0 && int64(s.next-offset) > c.MaxLen || c.MaxBytes > 0 && bytes > c.MaxBytes || c.MaxAge > 0 && ms+c.MaxAge.Milliseconds() <= now
}

// liveBytesLocked is what counts against MAXBYTES.
func (s *Stream) liveBytesLocked() int64 { return s.bytes - s.gone }

// frontUnknownLocked tells that a part of the first cold block is trimmed, and how much is not known.
func (s *Stream) frontUnknownLocked() bool {
	return len(s.cold) > 0 && s.first > s.cold[0].block.First && s.front == nil && !s.frontBroken
}

// retainLocked drops what the limits do not allow, from the front, and sets the timer for what comes next. Entries that
// are not yet shown stay. needFront tells that the first cold block must be read to go on.
func (s *Stream) retainLocked(now int64) (needFront bool) {
	cut, needFront := s.overdueLocked(now)
	if cut > s.first {
		s.broker.journal.Append(encodeTrim(nil, s.id, cut), false)
		s.cutLocked(cut)
	}
	s.armExpiryLocked(now)
	return needFront || s.frontUnknownLocked()
}

// overdueLocked finds the first entry that stays.
func (s *Stream) overdueLocked(now int64) (cut uint64, needFront bool) {
	cut = s.first
	bytes := s.liveBytesLocked()
	for i := range s.cold {
		block := s.cold[i].block
		left := s.cold[i].weight()
		unknown := false
		if i == 0 {
			left -= s.gone
			unknown = s.frontUnknownLocked()
		}
		behind := bytes - left // with at least one byte of its last entry, it must be over MAXBYTES
		if s.overLocked(block.Last(), block.LastMs, behind+1, now) && (!unknown || s.overLocked(block.Last(), block.LastMs, 0, now)) {
			bytes, cut = behind, block.Last()+1
			continue
		}
		if unknown || i == 0 && s.frontBroken {
			return cut, unknown
		}
		first := max(cut, block.First)
		if first == block.First && !s.overLocked(first, block.FirstMs, bytes, now) {
			return cut, false
		}
		if i > 0 || s.front == nil {
			return cut, true
		}
		for _, e := range s.front[first-block.First:] {
			if !s.overLocked(first, e.ms, bytes, now) {
				return cut, false
			}
			bytes -= e.weight
			first++
			cut = first
		}
	}
	for i := range s.hot {
		e := &s.hot[i]
		if e.Offset > s.high || !s.overLocked(e.Offset, e.Ms, bytes, now) {
			break
		}
		bytes -= weight(e)
		cut = e.Offset + 1
	}
	return cut, false
}

// cutLocked forgets the entries before an offset.
func (s *Stream) cutLocked(first uint64) {
	n := 0
	for n < len(s.cold) && s.cold[n].block.Last() < first {
		s.countColdLocked(&s.cold[n], -1)
		s.cold[n].release()
		n++
	}
	if n > 0 {
		s.setColdLocked(s.cold[n:])
	}
	if s.front != nil {
		from := s.cold[0].block.First
		for offset := max(s.first, from); offset < first; offset++ {
			s.gone += s.front[offset-from].weight
		}
	}
	if n := s.hotIndexLocked(first); n > 0 {
		for i := range s.hot[:n] {
			s.bytes -= weight(&s.hot[i])
		}
		s.cutHotLocked(n)
	}
	s.first = first
	for _, g := range s.groups {
		g.cutLocked(first)
		g.wakeLocked() // MAXPENDING may have room again
	}
}

// countColdLocked counts a cold block that comes, with times -1 one that goes.
func (s *Stream) countColdLocked(c *coldBlock, times int64) {
	s.bytes += times * c.weight()
	s.coldEntries += times * int64(c.block.Count)
}

// setColdLocked replaces the cold blocks, which the caller counts.
func (s *Stream) setColdLocked(cold []coldBlock) {
	s.cold, s.front, s.frontBroken, s.gone = cold, nil, false, 0
}

// cutHotLocked takes the first n hot entries away. Others may be reading them, so they are not cleared.
func (s *Stream) cutHotLocked(n int) {
	s.hot = s.hot[n:]
	if s.config.Chain {
		s.hotBefore = s.hotHashes[n-1]
		s.hotHashes = s.hotHashes[n:]
	}
}

// settle locks the stream, unless it answers an error, and does all that retention asks for.
func (s *Stream) settle() error {
	for {
		s.mu.Lock()
		if s.dropped {
			s.mu.Unlock()
			return noStream(s.name)
		}
		if !s.retainLocked(s.broker.time.Now().Earlier()) {
			return nil
		}
		c := s.cold[0]
		s.mu.Unlock()
		content, retry, err := s.broker.load(c)
		if errors.Is(err, errClosed) {
			return err
		}
		if retry {
			continue
		}
		s.mu.Lock()
		if len(s.cold) > 0 && s.cold[0] == c && s.front == nil {
			s.setFrontLocked(content, err)
		}
		s.mu.Unlock()
		if err != nil {
			s.broker.failed(err)
		}
	}
}

// setFrontLocked notes what the first cold block holds. One that cannot be read is left whole, and goes as a whole.
func (s *Stream) setFrontLocked(content *segment.Content, err error) {
	if err != nil {
		s.frontBroken = true
		return
	}
	s.front = make([]frontEntry, len(content.Entries))
	for i := range content.Entries {
		e := &content.Entries[i]
		s.front[i] = frontEntry{ms: e.Ms, weight: weight(e)}
		if e.Offset < s.first {
			s.gone += weight(e)
		}
	}
}

// retainSoonLocked is retainLocked for who must not wait for a file: what has to be read is read in the background.
func (s *Stream) retainSoonLocked(now int64) {
	if !s.retainLocked(now) || s.settling {
		return
	}
	s.settling = true
	u := &s.broker.unsettled
	u.Lock()
	defer u.Unlock()
	u.streams = append(u.streams, s)
	if !u.running {
		u.running = s.broker.spawn(s.broker.settleAll)
	}
}

// settleAll settles one stream after the other: a start may find 100,000 of them, and as many reads at once would take
// a thread and a block of memory each.
func (b *Broker) settleAll() {
	u := &b.unsettled
	for {
		u.Lock()
		if len(u.streams) == 0 || b.closed.Load() {
			u.streams, u.running = nil, false
			u.Unlock()
			return
		}
		s := u.streams[0]
		u.streams = u.streams[1:]
		u.Unlock()
		if s.settle() == nil {
			s.settling = false
			s.mu.Unlock()
		}
	}
}

// firstMsLocked is the time of the first entry; of a block that is not known, the time that its first one had.
func (s *Stream) firstMsLocked() (ms int64, found bool) {
	switch {
	case len(s.cold) > 0 && s.front != nil && s.first > s.cold[0].block.First:
		return s.front[s.first-s.cold[0].block.First].ms, true
	case len(s.cold) > 0 && s.frontBroken:
		return s.cold[0].block.LastMs, true
	case len(s.cold) > 0:
		return s.cold[0].block.FirstMs, true
	case len(s.hot) > 0:
		return s.hot[0].Ms, true
	}
	return 0, false
}

// expiryCheck is the longest that the timer sleeps: the wall clock may be set meanwhile.
const expiryCheck = time.Hour

// armExpiryLocked sets the timer for the first entry's MAXAGE, if that has changed. One that is not shown cannot expire.
func (s *Stream) armExpiryLocked(now int64) {
	ms, found := s.firstMsLocked()
	if s.config.MaxAge <= 0 || !found || s.first > s.high || s.dropped || s.broker.closed.Load() {
		return
	}
	due := ms + s.config.MaxAge.Milliseconds()
	if due == s.expiryMs && due > now {
		return
	}
	s.expiryMs = due
	wait := min(time.Duration(max(1, due-now))*time.Millisecond, expiryCheck)
	if s.expiry == nil {
		s.expiry = s.broker.time.AfterFunc(wait, s.expire)
		return
	}
	s.expiry.Reset(wait)
}

func (s *Stream) expire() {
	if s.broker.closed.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped {
		return
	}
	s.expiryMs = 0
	s.retainSoonLocked(s.broker.time.Now().Earlier())
}

// Trim removes entries from the front until maxLen are left, or those before an offset, and tells how many went.
func (b *Broker) Trim(name []byte, maxLen *int64, before *Position) (n uint64, r brokers.Receipt, err error) {
	position, err := b.located(name, before)
	if err != nil {
		return 0, r, err
	}
	b.world.RLock()
	defer b.world.RUnlock()
	s, err := b.use(name)
	if err != nil {
		return 0, r, err
	}
	defer s.mu.Unlock()
	cut := s.first
	if maxLen != nil && int64(s.next-s.first) > *maxLen {
		cut = s.next - uint64(*maxLen)
	}
	if before != nil {
		cut = max(cut, s.resolveLocked(position))
	}
	cut = min(cut, s.high+1)
	if cut <= s.first {
		return 0, r, nil
	}
	n = cut - s.first
	seq := b.journal.Append(encodeTrim(nil, s.id, cut), s.config.Sync == brokers.Always)
	s.cutLocked(cut)
	return n, s.receipt(seq), nil
}

// located is locate by name; a nil position stays the start.
func (b *Broker) located(name []byte, p *Position) (Position, error) {
	s := b.find(name)
	if s == nil {
		return Position{}, noStream(string(name))
	}
	if p == nil {
		return Position{}, nil
	}
	at, _, err := b.locate(s, *p)
	return at, err
}
