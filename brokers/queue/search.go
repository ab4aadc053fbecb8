package queue

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// searchJobs and searchTime are how many jobs one call looks for a text in, and for how long, at most.
	searchJobs = 10_000
	searchTime = 250 * time.Millisecond
	// searchChunk is how many jobs are taken under one hold of the lock.
	searchChunk = 256
	// searchIndex is how many jobs of other states are passed under one hold of the lock.
	searchIndex = 1024
	// searchBurst is how long a search works before it rests, searchRest how many times as long it then rests.
	searchBurst = 250 * time.Microsecond
	searchRest  = 3
)

// Cursor is a place between the jobs of one state: behind a job, whether that is still there or not. The zero value is the beginning.
// DESIGN.md says which order the jobs have.
type Cursor struct {
	state States
	order int64 // priority of a ready job, due time of a delayed one, time of death of a dead one
	id    uint64
}

// String is the cursor as ParseCursor reads it, "" for the beginning.
func (c Cursor) String() string {
	if c.state == 0 {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d", c.state, c.order, c.id)
}

// ParseCursor reads a cursor of a state; false when it is none.
func ParseCursor(text string, state States) (Cursor, bool) {
	if text == "" {
		return Cursor{}, true
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 || parts[0] != strconv.Itoa(int(state)) {
		return Cursor{}, false
	}
	order, orderErr := strconv.ParseInt(parts[1], 10, 64)
	id, idErr := strconv.ParseUint(parts[2], 10, 64)
	if orderErr != nil || idErr != nil || id == math.MaxUint64 || state == Ready && (order < 0 || order > math.MaxUint8) {
		return Cursor{}, false
	}
	return Cursor{state, order, id}, true
}

// Page is what one call of Search has found.
type Page struct {
	Jobs    []View
	Total   int    // of the jobs in the state
	Scanned int    // how many of them were looked at
	Next    Cursor // to go on from, when there is More
	More    bool
}

// Match says which jobs a search is for; the zero value is all of them. Of texts that are given each must be found.
type Match struct {
	Text   string // in the payload or in the reason of the last failure
	Reason string // in the reason
}

func (m *Match) all() bool { return m.Text == "" && m.Reason == "" }

func (m *Match) matches(body, reason string) bool {
	return strings.Contains(reason, m.Reason) &&
		(m.Text == "" || strings.Contains(reason, m.Text) || strings.Contains(body, m.Text))
}

// Search looks at the jobs of one state from a cursor on and returns up to count of those that match: ready ones in the order of
// delivery, delayed ones by due time, in-flight ones by id, dead ones newest first. A job that is in the state from the first call
// to the last is looked at once. A call looks at 10,000 jobs at most, for a quarter of a second at most; without a text it looks at
// count. It ends early when bodies and reasons take more than maxBytes together.
func (b *Broker) Search(name []byte, state States, from Cursor, count int, match Match, maxBytes int) (Page, error) {
	s := newSearch(state, count, match, maxBytes)
	if from.state != 0 {
		s.at = from
	}
	err := s.run(b, name)
	return s.page, err
}

// Peek is Search by position: it begins offset jobs behind the first, in-flight ones by lease end. next is the offset to go on from,
// -1 at the end. Jobs that come or go between two calls move the others, which may then be seen twice or not at all.
func (b *Broker) Peek(name []byte, state States, offset, count int, match Match, maxBytes int) (views []View, total, next int, _ error) {
	s := newSearch(state, count, match, maxBytes)
	s.numeric, s.offset = true, offset
	if err := s.run(b, name); err != nil {
		return nil, 0, -1, err
	}
	if next = offset + s.page.Scanned; !s.page.More || next >= s.page.Total {
		next = -1
	}
	return s.page.Jobs, s.page.Total, next, nil
}

// search is one call under way.
type search struct {
	state    States
	numeric  bool // by position
	offset   int  // still to be sought
	count    int
	wanted   Match
	maxBytes int
	budget   int // of jobs to look at
	deadline time.Time
	rested   time.Time // when the last rest ended

	at    Cursor // behind what has been taken out of the queue
	skip  int    // jobs in front of the offset that are still to be passed
	bytes int    // of the page
	page  Page

	needed *run // to be read before the search can go on
	opened *run // has been read
	cold   []*job
	shelf  shelfRuns // those that jobs of a shelf are in

	listed, returned [searchChunk]*job // scratch
}

// candidate is a job taken out of the queue, to be looked at with no lock held: its body never changes, and its reason is that
// of the moment.
type candidate struct {
	at     int64
	id     uint64
	job    *job // nil until the run that has it is read
	run    *run
	reason string
}

func candidateOf(order int64, j *job) candidate {
	c := candidate{at: order, id: j.id, job: j}
	if j.extra != nil {
		c.reason = j.extra.reason
	}
	return c
}

// viewOverheadBytes is about what a reply holds for a job besides its body and its reason.
const viewOverheadBytes = 400

func newSearch(state States, count int, match Match, maxBytes int) *search {
	s := &search{state: state, count: count, wanted: match, maxBytes: maxBytes, budget: searchJobs, deadline: time.Now().Add(searchTime)}
	if match.all() {
		s.budget = count
	}
	s.at = Cursor{state: state, order: math.MinInt64}
	switch state {
	case Ready:
		s.at.order = math.MaxUint8
	case Inflight:
		s.at.order = 0
	case Dead:
		s.at.order, s.at.id = math.MaxInt64, math.MaxUint64
	}
	return s
}

// run takes chunks out of the queue under its lock, and searches them without it, until the page is full.
func (s *search) run(b *Broker, name []byte) error {
	places, found := make([]candidate, searchChunk), make([]candidate, 0, searchChunk)
	for s.page.More = true; s.page.More && !s.full(); {
		s.rest(b)
		q, err := b.locked(name)
		if err != nil {
			return err
		}
		begin := s.at
		var chunk []candidate
		chunk, s.page.More = s.chunkLocked(q, places[:0:min(searchChunk, s.budget+s.skip)])
		if s.needed != nil {
			b.spill.pin(s.needed)
		}
		s.shelf.pin(b.spill, chunk)
		b.release(q)
		runtime.Gosched() // who waits for the lock takes it now; else this loop would take it again first, for up to a millisecond
		if err := s.read(q); err != nil {
			return err
		}
		if err := s.shelf.read(q, chunk, func() { s.rest(b) }); err != nil {
			return err
		}
		if found = s.match(begin, chunk, found[:0]); len(found) > 0 {
			s.show(q, found)
		}
	}
	s.page.Next = s.at
	return nil
}

// rest pauses after a burst, so that a search leaves most of a processor to those who push and pop. Searches rest one after the other:
// many of them at once work no more than a few. One that is over with its first burst, as most looks at a queue are, never rests.
func (s *search) rest(b *Broker) {
	now := time.Now()
	if s.rested.IsZero() {
		s.rested = now
	}
	if worked := now.Sub(s.rested); worked > searchBurst {
		b.resting.Lock()
		time.Sleep(searchRest * worked)
		b.resting.Unlock()
		s.rested = time.Now()
	}
}

// full tells whether the page ends here. It goes on until it has got somewhere; among in-flight jobs its cursor always has.
func (s *search) full() bool {
	late := !s.wanted.all() && time.Now().After(s.deadline) && (s.page.Scanned > 0 || s.state == Inflight)
	return late || s.budget <= 0 || len(s.page.Jobs) >= s.count
}

// read reads the run that is needed, which is pinned, with no lock held.
func (s *search) read(q *queue) error {
	if s.needed == nil {
		return nil
	}
	s.opened, s.needed = s.needed, nil
	bytes, err := q.broker.spill.read(s.opened)
	q.broker.spill.unpin(s.opened)
	if err == nil {
		s.cold, err = s.opened.decodeTogether(bytes, func() { s.rest(q.broker) })
	}
	return err
}

// searchYield is how many bytes are searched before others get their turn.
const searchYield = 1 << 20

// match looks at a chunk with no lock held, for bodies never change, and returns the jobs to show. When the page is full before the
// end of the chunk, s.at goes back to there.
func (s *search) match(begin Cursor, chunk, found []candidate) []candidate {
	searched := 0
	for i, t := range chunk {
		if s.skip > 0 {
			s.skip--
			continue
		}
		body := t.job.body
		size := len(body) + len(t.reason)
		shown := len(s.page.Jobs) + len(found)
		matches := s.wanted.matches(body, t.reason)
		if shown == s.count || matches && shown > 0 && s.bytes+size > s.maxBytes {
			if s.at = begin; i > 0 {
				s.at = Cursor{s.state, chunk[i-1].at, chunk[i-1].id}
			}
			s.page.More, s.budget = true, 0
			break
		}
		if matches {
			s.bytes += size + viewOverheadBytes
			found = append(found, t)
		}
		s.page.Scanned++
		s.budget--
		if searched += size; searched > searchYield {
			searched = 0
			runtime.Gosched()
		}
	}
	return found
}

// show adds the jobs that are still in the state to the page.
func (s *search) show(q *queue, found []candidate) {
	s.page.Jobs = slices.Grow(s.page.Jobs, len(found))
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, t := range found {
		if s.state.has(t.job.state) {
			s.page.Jobs = append(s.page.Jobs, q.viewLocked(t.job))
		}
	}
}

// chunkLocked takes the jobs behind s.at, until out is full or a run is needed, and moves s.at behind them. It tells whether there
// may be more.
func (s *search) chunkLocked(q *queue, out []candidate) (_ []candidate, more bool) {
	s.page.Total = q.countLocked(s.state)
	if s.offset > 0 {
		if s.offset >= s.page.Total {
			return out, false
		}
		s.seekLocked(q)
		s.offset = 0
	}
	switch {
	case s.state == Ready:
		return s.readyLocked(q, out)
	case s.state == Inflight && !s.numeric:
		return s.indexLocked(q, out)
	}
	return s.shelfLocked(q, out)
}

// seekLocked moves s.at to a position, or near it: then s.skip jobs lie between. There are more jobs than offset.
func (s *search) seekLocked(q *queue) {
	switch s.state {
	case Ready:
		left := s.offset
		priority := q.ready.below(math.MaxUint8)
		for ; left >= q.ready.bucket(uint8(priority)).count; priority = q.ready.below(priority - 1) {
			left -= q.ready.bucket(uint8(priority)).count
		}
		after, at := q.ready.bucket(uint8(priority)).seek(left)
		s.at.order, s.at.id, s.skip = int64(priority), after, left-at
	case Dead:
		t := q.dead.at(q.dead.count()-1-s.offset, q.broker.numbers.lastID.Load())
		s.at.order, s.at.id = t.at, t.id+1
	default:
		t := q.shelf(s.onlyState()).at(s.offset, q.broker.numbers.lastID.Load())
		s.at.order, s.at.id = t.at, t.id-1
	}
}

// readyLocked takes ready jobs, one stretch after the other.
func (s *search) readyLocked(q *queue, out []candidate) (_ []candidate, more bool) {
	for len(out) < cap(out) {
		priority := q.ready.below(int(s.at.order))
		if priority < 0 {
			return out, false
		}
		if int64(priority) != s.at.order {
			s.at.order, s.at.id = int64(priority), 0
		}
		b := q.ready.bucket(uint8(priority))
		until, cold := s.stretch(b)
		if s.needed != nil {
			break
		}
		if out = s.takeUpTo(b, until, cold, out); s.at.id == math.MaxUint64 {
			if s.at.order, s.at.id = s.at.order-1, 0; s.at.order < 0 {
				return out, false
			}
		}
	}
	return out, true
}

// stretch is how far the jobs behind s.at are either all in RAM, or in the run that has been read and beside it. Another run at
// s.at is needed.
func (s *search) stretch(b *bucket) (until uint64, cold []*job) {
	switch r := b.runAbove(s.at.id + 1); {
	case r == nil:
		return math.MaxUint64, nil
	case s.at.id+1 < r.first:
		return r.first - 1, nil
	case r != s.opened:
		s.needed = r
		return 0, nil
	default:
		return r.last, s.cold[firstAbove(s.cold, s.at.id):]
	}
}

// takeUpTo takes the jobs of a stretch: those of a list, or of a run, and between them those that have returned.
func (s *search) takeUpTo(b *bucket, until uint64, cold []*job, out []candidate) []candidate {
	room := cap(out) - len(out)
	listed, returned := cold, b.upTo(s.at.id, until, s.returned[:0:room])
	if cold == nil {
		listed = b.front.after(s.at.id, s.listed[:0:room])
	}
	if back := b.back(); back != nil && until == math.MaxUint64 {
		listed = back.after(s.at.id, listed)
	}
	for len(out) < cap(out) {
		var next *job
		switch {
		case len(listed) > 0 && (len(returned) == 0 || listed[0].id < returned[0].id):
			next, listed = listed[0], listed[1:]
		case len(returned) > 0:
			next, returned = returned[0], returned[1:]
		default:
			s.at.id = until
			return out
		}
		s.at.id = next.id
		out = append(out, candidateOf(s.at.order, next))
	}
	return out
}
