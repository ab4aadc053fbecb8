package queue

import (
	"math"
	"slices"
)

// searchRuns is how many runs of a shelf a search has open at a time.
const searchRuns = 16

// shelfRuns are the runs of a shelf that a search has read, with their jobs by id: those of its last chunk.
type shelfRuns struct {
	jobs   map[*run]map[uint64]*job
	pinned []*run // to be read for this chunk
}

// onlyState is the one state that is searched, when that is not ready.
func (s *search) onlyState() state {
	switch s.state {
	case Delayed:
		return stateDelayed
	case Inflight:
		return stateInflight
	}
	return stateDead
}

// taker collects the candidates of a chunk.
type taker struct {
	out  []candidate
	runs []*run
}

// take adds a job, unless the chunk is full or would need too many runs.
func (t *taker) take(order int64, id uint64, j *job, r *run) bool {
	if len(t.out) == cap(t.out) {
		return false
	}
	if r == nil {
		t.out = append(t.out, candidateOf(order, j))
		return true
	}
	if !slices.Contains(t.runs, r) {
		if len(t.runs) == searchRuns {
			return false
		}
		t.runs = append(t.runs, r)
	}
	t.out = append(t.out, candidate{at: order, id: id, run: r})
	return true
}

// shelfLocked takes jobs in the order of their times.
func (s *search) shelfLocked(q *queue, out []candidate) (_ []candidate, more bool) {
	from, back := timed{at: s.at.order, id: s.at.id + 1}, s.state == Dead
	if back {
		from.id = s.at.id - 1
	}
	t := taker{out: out}
	q.shelf(s.onlyState()).walk(from, back, cap(out)+1, func(p placed) bool {
		if more = !t.take(p.timed.at, p.id, p.job, p.run); !more {
			s.at.order, s.at.id = p.timed.at, p.id
		}
		return !more
	})
	return t.out, more
}

// indexLocked takes in-flight jobs by id: their lease ends, which order them otherwise, move while they are in flight.
func (s *search) indexLocked(q *queue, out []candidate) (_ []candidate, more bool) {
	hot, end := s.inRAM(q, cap(out))
	cold, coldEnd := s.onDisk(q, cap(out))
	end = min(end, coldEnd)
	t := taker{out: out}
	for len(hot) > 0 || len(cold) > 0 {
		from := &hot
		if len(hot) == 0 || len(cold) > 0 && cold[0].id < hot[0].id {
			from = &cold
		}
		c := (*from)[0]
		if c.id > end {
			break
		}
		if !t.take(s.at.order, c.id, c.job, c.run) {
			return t.out, true
		}
		s.at.id, *from = c.id, (*from)[1:]
	}
	s.at.id = max(s.at.id, min(end, math.MaxUint64-1))
	return t.out, end != math.MaxUint64
}

// inRAM is the in-flight jobs behind s.at that are in RAM, and the id up to which they are all of them.
func (s *search) inRAM(q *queue, limit int) (jobs []candidate, end uint64) {
	passed := 0
	end = math.MaxUint64
	q.index.ascend(s.at.id+1, func(id uint64, j *job) bool {
		if len(jobs) == limit || passed == searchIndex {
			end = id - 1
			return false
		}
		if j.state == stateInflight {
			jobs = append(jobs, candidate{id: id, job: j})
		} else {
			passed++
		}
		return true
	})
	return jobs, end
}

// onDisk is those that are on disk.
func (s *search) onDisk(q *queue, limit int) (jobs []candidate, end uint64) {
	end = math.MaxUint64
	if q.inflight.cold() == 0 {
		return nil, end
	}
	passed := 0
	q.shelved.ascend(s.at.id+1, func(id uint64, r *run) bool {
		if len(jobs) == limit || passed == searchIndex {
			end = id - 1
			return false
		}
		if r.times.state == stateInflight {
			jobs = append(jobs, candidate{id: id, run: r})
		} else {
			passed++
		}
		return true
	})
	return jobs, end
}

// pin pins the runs that a chunk needs and that are not open, and closes the others. The queue is locked.
func (o *shelfRuns) pin(files *spill, chunk []candidate) {
	older := o.jobs
	o.jobs = nil
	for _, c := range chunk {
		if c.run == nil {
			continue
		}
		if o.jobs == nil {
			o.jobs = map[*run]map[uint64]*job{}
		}
		if _, ok := o.jobs[c.run]; ok {
			continue
		}
		o.jobs[c.run] = older[c.run]
		if older[c.run] == nil {
			files.pin(c.run)
			o.pinned = append(o.pinned, c.run)
		}
	}
}

// read reads what pin has pinned, with no lock held, and gives the candidates their jobs.
func (o *shelfRuns) read(q *queue, chunk []candidate, pause func()) (err error) {
	for _, r := range o.pinned {
		var bytes []byte
		if err == nil {
			bytes, err = q.broker.spill.read(r)
		}
		q.broker.spill.unpin(r)
		if err != nil {
			continue
		}
		var jobs []*job
		jobs, err = r.decodeTogether(bytes, pause)
		o.jobs[r] = make(map[uint64]*job, len(jobs))
		for _, j := range jobs {
			o.jobs[r][j.id] = j
		}
	}
	if o.pinned = o.pinned[:0]; err != nil {
		return err
	}
	for i := range chunk {
		c := &chunk[i]
		if c.run == nil {
			continue
		}
		c.job = o.jobs[c.run][c.id]
		if c.job.state == stateDelayed {
			c.job.at = c.at // of one that is due at a date the file does not know
		}
		c.reason = c.job.more().reason
	}
	return nil
}
