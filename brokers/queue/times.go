package queue

import (
	"math"
	"slices"
	"sort"
)

// times are what the descriptor of a run knows of jobs that are not ready: all of one state, in the order of the times that are set
// for them. The offsets of such a run, always there, are in that order too.
type times struct {
	state state
	dated bool     // they are due at dates: base and shift move, under the lock of the queue, when the wall clock is set
	base  int64    // the first, steady
	after []uint32 // less base
	slot  uint32   // of the run in places
	shift int64    // of dated ones: what the times in the file lack
}

// dateShift is what the times of jobs that are due at dates lack in the file, once resumeTimes has been.
func (r *run) dateShift() int64 {
	if r.times == nil || !r.times.dated {
		return 0
	}
	return r.times.shift
}

// key is the place of a job of the run on its shelf.
func (r *run) key(i int) timed {
	return timed{at: r.times.base + int64(r.times.after[i]), id: r.first + uint64(r.offsets[i])}
}

func (r *run) from() timed  { return r.key(0) }
func (r *run) until() timed { return r.key(r.count - 1) }

// rank is how many jobs of the run come before a place.
func (r *run) rank(t timed) int {
	if !r.from().before(t) {
		return 0
	}
	if r.until().before(t) {
		return r.count
	}
	return sort.Search(r.count, func(i int) bool { return !r.key(i).before(t) })
}

// earlier orders the runs of a shelf.
func (r *run) earlier(other *run) bool {
	if a, b := r.from(), other.from(); a.at != b.at || a.id != b.id {
		return a.before(b)
	}
	return r.number < other.number
}

// state is the state of every job of the run.
func (r *run) state() state {
	if r.times == nil {
		return stateReady
	}
	return r.times.state
}

// describeTimed is the descriptor of a run of jobs of a shelf, in the order of their times.
func describeTimed(jobs []*job, state state) *run {
	first := jobs[0]
	r := &run{
		first: first.id, last: first.id, count: len(jobs), soonest: math.MaxInt64,
		times:   &times{state: state, dated: first.dated, base: first.at, after: make([]uint32, len(jobs))},
		offsets: make([]uint32, len(jobs)),
	}
	for _, j := range jobs {
		r.first, r.last = min(r.first, j.id), max(r.last, j.id)
		r.measure(j)
	}
	for i, j := range jobs {
		r.offsets[i], r.times.after[i] = uint32(j.id-r.first), uint32(j.at-first.at)
	}
	if state != stateDelayed { // a TTL counts while a job waits
		r.soonest, r.expires = math.MaxInt64, math.MaxInt64
	}
	return r
}

// timedRecord is record for jobs of a shelf.
func (r *run) timedRecord(buf []byte, queue uint64, drift, dateDrift int64) []byte {
	t := r.times
	mark, base, shift := t.state, t.base+drift, r.shift+drift
	if t.dated {
		mark, base, shift = t.state|stateDated, t.base+dateDrift, t.shift+dateDrift
	}
	buf = appendUint(header(buf, opTimedRun), queue)
	buf = append(appendUint(buf, r.number), byte(mark))
	bodies := uint64(r.cost) - uint64(r.count)*jobOverheadBytes
	for _, n := range []uint64{r.first, r.last, uint64(r.count), bodies, uint64(r.size), uint64(r.checksum)} {
		buf = appendUint(buf, n)
	}
	for _, ms := range []int64{r.shift + drift, later(r.soonest, drift), later(r.expires, drift), shift, base} {
		buf = appendTime(buf, ms)
	}
	last, at := int64(0), uint32(0)
	for i, offset := range r.offsets {
		buf = appendUint(buf, uint64(t.after[i]-at))
		buf = appendTime(buf, int64(offset)-last)
		last, at = int64(offset), t.after[i]
	}
	return buf
}

func decodeTimedRun(d *reader) *run {
	r, t := &run{number: d.uint()}, &times{}
	mark := state(d.byte())
	t.dated, t.state = mark&stateDated != 0, mark&^stateDated
	r.first, r.last, r.count, r.cost = d.uint(), d.uint(), int(d.uint()), int64(d.uint())
	r.size, r.checksum = int64(d.uint()), uint32(d.uint())
	r.shift, r.soonest, r.expires, t.shift, t.base = d.time(), d.time(), d.time(), d.time(), d.time()
	r.times = t
	if d.err != nil || t.state < stateDelayed || t.state > stateDead || t.dated && t.state != stateDelayed ||
		r.first == 0 || r.last < r.first || r.last-r.first > runSpan || r.count < 1 || r.count > runJobs || r.size < 1 || r.cost < 0 {
		d.fail()
		return r
	}
	r.cost += int64(r.count) * jobOverheadBytes
	r.offsets, t.after = make([]uint32, r.count), make([]uint32, r.count)
	id, at := int64(0), uint64(0)
	for i := range r.offsets {
		at += d.uint()
		id += d.time()
		if d.err != nil || at > math.MaxUint32 || id < 0 || id > int64(r.last-r.first) {
			d.fail()
			return r
		}
		r.offsets[i], t.after[i] = uint32(id), uint32(at)
		if i > 0 && !r.key(i-1).before(r.key(i)) {
			d.fail()
			return r
		}
	}
	if slices.Min(r.offsets) != 0 || uint64(slices.Max(r.offsets)) != r.last-r.first {
		d.fail()
	}
	return r
}
