package stream

import (
	"errors"
	"math"
	"sort"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/stream/segment"
)

// Reading never holds a lock while it reads a file: it notes the block under the stream's lock, loads it without, and
// takes the lock again. An offset means the same entry for ever, so what was decided before stays right; only the front
// may have been trimmed meanwhile, and the blocks may have moved to another file, which ErrGone tells.

// load reads a block. retry tells that its file was removed: the caller looks the offset up again.
func (b *Broker) load(c coldBlock) (content *segment.Content, retry bool, err error) {
	content, err = b.cache.Load(c.file.File, c.block)
	retry, err = b.loaded(err)
	return content, retry, err
}

// loadRun is load of a block and of those behind it, for so many entries or bytes of payload.
func (b *Broker) loadRun(c coldBlock, entries, bytes int, into segment.Run) (run segment.Run, retry bool, err error) {
	run, err = b.cache.LoadRun(c.file.File, c.block, entries, int64(bytes), into)
	retry, err = b.loaded(err)
	return run, retry, err
}

func (b *Broker) loaded(err error) (retry bool, _ error) {
	switch {
	case err == nil:
		return false, nil
	case !errors.Is(err, segment.ErrGone):
		return false, &brokers.Error{Code: "IOERR", Message: err.Error()}
	case b.closed.Load():
		return false, errClosed
	}
	return true, nil
}

// coldLocked is the first cold block that ends at an offset or later, if the hot entries do not come first.
func (s *Stream) coldLocked(offset uint64) (c coldBlock, found bool) {
	i := sort.Search(len(s.cold), func(i int) bool { return s.cold[i].block.Last() >= offset })
	if i == len(s.cold) {
		return coldBlock{}, false
	}
	return s.cold[i], true
}

// hotIndexLocked is the index of the first hot entry at an offset or later.
func (s *Stream) hotIndexLocked(offset uint64) int {
	if len(s.hot) == 0 || offset <= s.hot[0].Offset {
		return 0
	}
	if i := offset - s.hot[0].Offset; i < uint64(len(s.hot)) && s.hot[i].Offset == offset {
		return int(i) // nothing is missing, as always but after a repair
	}
	return sort.Search(len(s.hot), func(i int) bool { return s.hot[i].Offset >= offset })
}

// presentLocked is the first offset at or after one that was not lost; next when there is none.
func (s *Stream) presentLocked(offset uint64) uint64 {
	if c, found := s.coldLocked(offset); found {
		return max(offset, c.block.First)
	}
	if i := s.hotIndexLocked(offset); i < len(s.hot) {
		return s.hot[i].Offset
	}
	return s.next
}

// after tells whether a position is after an id.
func (p *Position) after(ms int64, seq uint64) bool { return ms < p.Ms || ms == p.Ms && seq < p.Seq }

// needsLocating tells whether files may have to be read to find a position.
func (p *Position) needsLocating() bool { return p.Kind == AtTime || p.Kind == AtID }

// locate turns an id or a time into the first offset at or after it, and tells whether that is the very entry. Other
// positions stay as they are.
func (b *Broker) locate(s *Stream, p Position) (at Position, exact bool, err error) {
	switch p.Kind {
	case AtTime:
		p.Seq = 0
	case AtID:
	default:
		return p, false, nil
	}
	found := func(entries []Entry) (Position, bool) {
		i := sort.Search(len(entries), func(i int) bool { return !p.after(entries[i].Ms, entries[i].Seq) })
		if i == len(entries) {
			return Position{}, false
		}
		return Position{Offset: entries[i].Offset}, entries[i].Ms == p.Ms && entries[i].Seq == p.Seq
	}
	for {
		s.mu.Lock()
		i := sort.Search(len(s.cold), func(i int) bool { return !p.after(s.cold[i].block.LastMs, s.cold[i].block.LastSeq) })
		if i == len(s.cold) {
			at, exact = found(s.hot)
			if at.Offset == 0 {
				at.Offset = s.next
			}
			s.mu.Unlock()
			return at, exact, nil
		}
		c := s.cold[i]
		s.mu.Unlock()
		content, retry, err := b.load(c)
		if err != nil {
			return at, false, err
		}
		if !retry {
			at, exact = found(content.Entries)
			return at, exact, nil
		}
	}
}

// locateEnd turns an id or a time into the last offset that an inclusive end covers.
func (b *Broker) locateEnd(s *Stream, p Position) (Position, error) {
	switch {
	case (p.Kind == AtTime || p.Kind == AtID) && p.Ms == math.MaxInt64:
		return Position{Kind: Last}, nil
	case p.Kind == AtTime || p.Kind == AtID && p.Seq == math.MaxUint64:
		p = Position{Kind: AtID, Ms: p.Ms + 1}
	case p.Kind == AtID:
		p.Seq++
	default:
		return p, nil
	}
	at, _, err := b.locate(s, p)
	at.Offset--
	return at, err
}

// resolveLocked turns a position into an offset; ids and times were located before.
func (s *Stream) resolveLocked(p Position) uint64 {
	switch p.Kind {
	case First:
		return s.first
	case Last:
		return max(s.high, s.first)
	case Next:
		return s.high + 1
	}
	return p.Offset
}

// Fetch is a page of a stream.
type Fetch struct {
	Next, High, Skipped uint64
	Entries             []Entry
	Changed             <-chan struct{} // closed when there is more; only set when asked for and the page is empty
}

// FetchOptions says what to read.
type FetchOptions struct {
	To       *Position
	Count    int
	MaxBytes int
	Reverse  bool
	Strict   bool
	Watch    bool
	Cold     func() // called before a file is read, with no lock held; may be nil
}

// Fetch reads entries at and after a position; with Reverse at and before it. Entries are appended to into.
func (b *Broker) Fetch(name []byte, from Position, o FetchOptions, into []Entry) (Fetch, error) {
	s := b.find(name)
	if s == nil {
		return Fetch{}, noStream(string(name))
	}
	to := Position{Kind: Next}
	if o.Reverse {
		to.Kind = First
	}
	if o.Cold != nil && (from.needsLocating() || o.To != nil && o.To.needsLocating()) {
		o.Cold()
	}
	var err error
	if from, _, err = b.locate(s, from); err != nil {
		return Fetch{}, err
	}
	if o.To != nil && o.Reverse {
		to, _, err = b.locate(s, *o.To)
	} else if o.To != nil {
		to, err = b.locateEnd(s, *o.To)
	}
	if err != nil {
		return Fetch{}, err
	}
	if err := s.settle(); err != nil {
		return Fetch{}, err
	}
	defer s.mu.Unlock()
	start := s.resolveLocked(from)
	if o.Reverse && from.Kind == Next {
		start = s.high
	}
	page := Fetch{High: s.high, Entries: into}
	if start < s.first && !o.Reverse {
		page.Skipped = s.first - max(start, 1)
		if o.Strict && page.Skipped > 0 {
			return Fetch{}, brokers.Errorf("OFFSETGONE", "first is %d", s.first)
		}
		start = s.first
	}
	r := &reading{b: b, s: s, page: &page, count: o.Count, room: o.MaxBytes, cold: o.Cold}
	if o.Reverse {
		page.Next = min(start, s.high)
		return page, r.backward(page.Next, max(s.resolveLocked(to), s.first))
	}
	page.Next = start
	if o.Watch && start > s.high {
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		page.Changed = s.changed
		return page, nil
	}
	return page, r.forward(start, min(s.resolveLocked(to), s.high))
}

// reading gathers a page. It is entered and left with the stream locked, and unlocks it while it reads a file.
type reading struct {
	b     *Broker
	s     *Stream
	page  *Fetch
	count int
	room  int
	full  bool
	run   segment.Run // the blocks that were read last, to go on in
	cold  func()
}

func (r *reading) add(e *Entry) bool {
	if len(r.page.Entries) >= r.count || len(r.page.Entries) > 0 && len(e.Payload) > r.room {
		r.full = true
		return false
	}
	r.room -= len(e.Payload)
	r.page.Entries = append(r.page.Entries, *e)
	return true
}

// unlocked reads with the stream unlocked. An error behind entries that were read ends the page.
func (r *reading) unlocked(read func() error) error {
	r.s.mu.Unlock()
	if r.cold != nil {
		r.cold()
	}
	err := read()
	r.s.mu.Lock()
	if err == nil && r.s.dropped {
		err = noStream(r.s.name)
	}
	if err != nil && len(r.page.Entries) > 0 {
		r.full = true // what there is, is right; the next page begins with the error
		return nil
	}
	return err
}

func (r *reading) forward(offset, end uint64) error {
	for offset <= end && !r.full {
		c, cold := r.s.coldLocked(offset)
		entries := r.s.hot[r.s.hotIndexLocked(offset):]
		if cold {
			if c.block.First > end {
				break
			}
			content := r.run.At(max(offset, c.block.First))
			if content == nil {
				if err := r.unlocked(func() (err error) {
					r.run, _, err = r.b.loadRun(c, r.count-len(r.page.Entries), r.room, r.run[:0])
					return err
				}); err != nil {
					return err
				}
				continue
			}
			entries = content.Entries
			if first := entries[0].Offset; offset > first {
				entries = entries[offset-first:]
			}
		}
		for i := range entries {
			if entries[i].Offset > end || !r.add(&entries[i]) {
				break
			}
			offset = entries[i].Offset + 1
			r.page.Next = offset
		}
		if !cold {
			break
		}
	}
	if !r.full && end >= r.page.Next {
		r.page.Next = end + 1 // what is missing was lost by a repair
	}
	return nil
}

func (r *reading) backward(offset, end uint64) error {
	for offset >= end && offset > 0 && !r.full {
		if i := r.s.hotIndexLocked(offset + 1); i > 0 {
			for i--; i >= 0 && r.s.hot[i].Offset >= end && r.add(&r.s.hot[i]); i-- {
				offset = r.s.hot[i].Offset - 1
				r.page.Next = offset
			}
			if i >= 0 || r.full {
				return nil
			}
		}
		i := sort.Search(len(r.s.cold), func(i int) bool { return r.s.cold[i].block.First > offset })
		if i == 0 || r.s.cold[i-1].block.Last() < end {
			return nil
		}
		c := r.s.cold[i-1]
		var content *segment.Content
		if err := r.unlocked(func() (err error) {
			content, _, err = r.b.load(c)
			return err
		}); err != nil {
			return err
		}
		if content == nil || r.full {
			continue
		}
		for i := len(content.Entries) - 1; i >= 0; i-- {
			e := &content.Entries[i]
			if e.Offset > offset {
				continue
			}
			if e.Offset < end || !r.add(e) {
				return nil
			}
			offset = e.Offset - 1
			r.page.Next = offset
		}
	}
	return nil
}

// entryAt reads one entry; found is false when it was lost or trimmed.
func (b *Broker) entryAt(s *Stream, offset uint64) (e Entry, found bool, err error) {
	for {
		s.mu.Lock()
		if i := s.hotIndexLocked(offset); i < len(s.hot) && s.hot[i].Offset == offset {
			e = s.hot[i]
			s.mu.Unlock()
			return e, true, nil
		}
		c, cold := s.coldLocked(offset)
		s.mu.Unlock()
		if !cold || c.block.First > offset {
			return Entry{}, false, nil
		}
		content, retry, err := b.load(c)
		if err != nil {
			return Entry{}, false, err
		}
		if !retry {
			return *content.At(offset), true, nil
		}
	}
}
