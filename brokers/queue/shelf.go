package queue

import (
	"container/heap"
	"math"
	"slices"
	"sort"
)

// shelf holds the jobs of a state that a time is set for: delayed, in flight or dead. Those in RAM are in a tree in order of that
// time; of the others a run of some hundred is one descriptor. DESIGN.md says how they come and go.
type shelf struct {
	hot  tree[timed]
	cost int64 // of the jobs in RAM that may go to disk
	away *away // nil while none of the jobs is on disk and the hand is at the end
}

// away is what a shelf has on disk. Its runs may overlap.
type away struct {
	count int
	runs  tree[*run] // by their first time
	hand  timed      // the next run is cut below it; zero at the end
}

func (s *shelf) add(j *job) {
	s.hot.set(timed.before, timed{j.at, j.id, j})
	if !j.held() {
		s.cost += j.cost()
	}
}

func (s *shelf) remove(j *job) {
	s.hot.remove(timed{at: j.at, id: j.id})
	if !j.held() {
		s.cost -= j.cost()
	}
}

// count is how many jobs there are, cold how many of them are on disk.
func (s *shelf) count() int { return s.hot.count() + s.cold() }

func (s *shelf) cold() int {
	if s.away == nil {
		return 0
	}
	return s.away.count
}

// firstRun is the run with the first time of those on disk, nil when there is none.
func (s *shelf) firstRun() *run {
	if s.away == nil {
		return nil
	}
	r, _ := s.away.runs.min()
	return r
}

func (s *shelf) insert(r *run) {
	if s.away == nil {
		s.away = &away{}
	}
	s.away.count += r.count
	s.away.runs.set((*run).earlier, r)
}

func (s *shelf) drop(r *run) {
	s.away.count -= r.count
	if s.away.runs.remove(r); s.away.count == 0 {
		s.away = nil
	}
}

// dates moves the runs of jobs that are due at dates when the wall clock was set.
func (s *shelf) dates(by int64) {
	if s.away == nil {
		return
	}
	var dated []*run
	s.away.runs.scan(func(r *run) bool {
		if r.times.dated {
			dated = append(dated, r)
		}
		return true
	})
	for _, r := range dated {
		s.away.runs.remove(r)
	}
	for _, r := range dated {
		r.times.base += by
		r.times.shift += by
		s.away.runs.set((*run).earlier, r)
	}
}

// collect takes the jobs of the next run out of the tree, in order of time: below the hand, which goes from the last time down to
// those at or before floor and begins again; nil when less than least is there. So what a run holds lies close together, and few
// runs have to be in RAM for one moment: what has come since the hand was here last is spread over all times.
func (s *shelf) collect(limit, least, floor int64) []*job {
	last := timed{at: math.MaxInt64, id: math.MaxUint64}
	if s.away == nil {
		s.away = &away{}
	}
	x := s.away
	hand := x.hand
	if hand == (timed{}) {
		hand = last
	}
	jobs, end, more := s.below(hand, limit, least, floor)
	if jobs == nil && !more && hand != last {
		jobs, end, more = s.below(last, limit, least, floor)
	}
	if x.hand = end; jobs == nil && !more {
		if x.hand = (timed{}); x.count == 0 {
			s.away = nil
		}
	}
	for _, j := range jobs {
		s.remove(j)
	}
	slices.Reverse(jobs)
	return jobs
}

// below is the jobs of a run below a place, last first, and the place behind which to go on. more tells that there are jobs behind
// that which have not been looked at. Those that are due at dates and the others are taken side by side, so that neither kind, how few
// they be of it, keeps the other in RAM.
func (s *shelf) below(hand timed, limit, least, floor int64) (jobs []*job, end timed, more bool) {
	var kinds [2]picked
	looked := 0
	s.hot.descend(hand, func(t timed) bool {
		j := t.job
		if t.at <= floor {
			return false
		}
		if more = looked == 2*runJobs; more {
			return false
		}
		looked++
		kind := &kinds[0]
		if j.dated {
			kind = &kinds[1]
		}
		if !j.held() && !kind.take(j, limit) {
			jobs, more = kind.jobs, true
			return false
		}
		end = timed{at: t.at, id: t.id}
		return true
	})
	if jobs != nil {
		return jobs, end, more
	}
	most := &kinds[0]
	if kinds[1].cost > most.cost {
		most = &kinds[1]
	}
	if most.cost >= least {
		jobs = most.jobs
	}
	return jobs, end, more
}

// picked are jobs for a run, by time, last first.
type picked struct {
	jobs      []*job
	cost      int64
	low, high uint64 // of their ids
}

// take adds a job, unless the run is full with those that are there.
func (p *picked) take(j *job, limit int64) bool {
	low, high := j.id, j.id
	if len(p.jobs) > 0 {
		low, high = min(p.low, j.id), max(p.high, j.id)
		if len(p.jobs) == runJobs || p.cost+j.cost() > limit || p.jobs[0].at-j.at > math.MaxUint32 || high-low > runSpan {
			return false
		}
	}
	p.jobs, p.cost, p.low, p.high = append(p.jobs, j), p.cost+j.cost(), low, high
	return true
}

// rank is how many jobs come before a place.
func (s *shelf) rank(t timed) int {
	before := sort.Search(s.hot.count(), func(i int) bool { return !s.hot.at(i).before(t) })
	if s.away != nil {
		s.away.runs.scan(func(r *run) bool {
			before += r.rank(t)
			return r.from().before(t)
		})
	}
	return before
}

// at is the place of the job at a position below count; no id is above lastID.
func (s *shelf) at(position int, lastID uint64) timed {
	if s.away == nil {
		return s.hot.at(position)
	}
	first, last := int64(math.MaxInt64), int64(math.MinInt64)
	if s.hot.count() > 0 {
		first, last = s.hot.at(0).at, s.hot.at(s.hot.count()-1).at
	}
	s.away.runs.scan(func(r *run) bool {
		first, last = min(first, r.from().at), max(last, r.until().at)
		return true
	})
	// The place itself is the last that has no more than position jobs before it.
	at := first + int64(sort.Search(int(last-first), func(d int) bool { return s.rank(timed{at: first + int64(d) + 1}) > position }))
	id := sort.Search(int(lastID), func(id int) bool { return s.rank(timed{at: at, id: uint64(id) + 1}) > position })
	return timed{at: at, id: uint64(id)}
}

// placed is a job of a shelf: in RAM, or in a run.
type placed struct {
	timed
	run *run
	in  int // its position in the run, or in the list of those in RAM
}

// heads are the next jobs of the tree and of each run.
type heads struct {
	places []placed
	back   bool
}

func (h *heads) Len() int { return len(h.places) }
func (h *heads) Less(i, k int) bool {
	return h.places[i].before(h.places[k].timed) != h.back
}
func (h *heads) Swap(i, k int) { h.places[i], h.places[k] = h.places[k], h.places[i] }
func (h *heads) Push(any)      { panic("BUG: nothing joins the heads of a shelf") }
func (h *heads) Pop() any {
	h.places = h.places[:len(h.places)-1]
	return nil
}

// walk visits up to limit jobs from a place on, by time or, back, latest first, until visit returns false.
func (s *shelf) walk(from timed, back bool, limit int, visit func(p placed) bool) {
	tree := s.hot.ascend
	if back {
		tree = s.hot.descend
	}
	if s.away == nil {
		tree(from, func(t timed) bool {
			limit--
			return limit >= 0 && visit(placed{timed: t})
		})
		return
	}
	var hot []timed
	tree(from, func(t timed) bool {
		hot = append(hot, t)
		return len(hot) < limit
	})
	h := s.heads(from, back, hot)
	for ; limit > 0 && len(h.places) > 0; limit-- {
		p := &h.places[0]
		if !visit(*p) {
			return
		}
		step := 1
		if back && p.run != nil {
			step = -1
		}
		switch p.in += step; {
		case p.run == nil && p.in < len(hot):
			p.timed = hot[p.in]
		case p.run != nil && p.in >= 0 && p.in < p.run.count:
			p.timed = p.run.key(p.in)
		default:
			heap.Remove(h, 0)
			continue
		}
		heap.Fix(h, 0)
	}
}

// heads are the first jobs from a place on.
func (s *shelf) heads(from timed, back bool, hot []timed) *heads {
	h := &heads{back: back}
	if len(hot) > 0 {
		h.places = append(h.places, placed{timed: hot[0]})
	}
	s.away.runs.scan(func(r *run) bool {
		in := r.rank(from)
		if back && (in == r.count || from.before(r.key(in))) {
			in--
		}
		if in >= 0 && in < r.count {
			h.places = append(h.places, placed{r.key(in), r, in})
		}
		return true
	})
	heap.Init(h)
	return h
}

func (q *queue) shelf(state state) *shelf {
	switch state {
	case stateDelayed:
		return &q.delayed
	case stateInflight:
		return &q.inflight
	}
	return &q.dead
}

// shelveLocked puts a run that has its number on the shelf of its jobs.
func (q *queue) shelveLocked(r *run) {
	if q.shelved == nil {
		q.shelved = &places{}
	}
	q.shelved.add(r)
	q.shelf(r.times.state).insert(r)
}

func (q *queue) unshelveLocked(r *run) {
	q.shelf(r.times.state).drop(r)
	if q.shelved.drop(r); q.shelved.count == 0 {
		q.shelved = nil
	}
}
