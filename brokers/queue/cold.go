package queue

import (
	"math"
	"slices"
)

// runJobs is how many jobs a run holds at most: they come back under one hold of the lock.
const runJobs = 4096

// runExpiry is a run of jobs that all have a TTL, with the latest of its ends.
type runExpiry struct {
	at  int64
	run *run
}

func (x runExpiry) before(other runExpiry) bool {
	if x.at != other.at {
		return x.at < other.at
	}
	return x.run.number < other.run.number
}

// heatLocked counts the cost of ready jobs that come to RAM or leave it.
func (q *queue) heatLocked(cost int64) {
	q.hot += cost
	q.broker.hot.Add(cost)
}

// relieveLocked cuts runs while the ready jobs in RAM are over the budget and this queue has enough of them: for whole runs
// at first, for smaller ones when the budget is passed by a quarter.
func (q *queue) relieveLocked() {
	b := q.broker
	for !q.dropped && b.hot.Load() > b.options.ReadyMemory && b.spill.open() && b.journal.Ready() == nil {
		least := b.options.runBytes
		if b.crowded() {
			least = b.options.runLeast
		}
		jobs := q.leastUrgentLocked(least)
		if jobs == nil {
			return
		}
		q.cutLocked(jobs)
	}
}

// crowded tells that whole runs were not enough to keep the budget.
func (b *Broker) crowded() bool { return b.hot.Load() > b.options.ReadyMemory/4*5 }

// leastUrgentLocked takes jobs for a run out of their places: of the least urgent bucket that has enough those behind its
// runs, or else the last of those in front of them; nil when no bucket has enough.
func (q *queue) leastUrgentLocked(least int64) []*job {
	var found *bucket
	q.ready.all(func(b *bucket) bool {
		if back := b.back(); back != nil && back.cost >= least || b.frontCost() >= 2*least && b.front.count > 1 {
			found = b
		}
		return true
	})
	switch limit := q.broker.options.runBytes; {
	case found == nil:
		return nil
	case found.behind != nil && found.behind.back.cost >= least:
		return found.collect(found.firstBehind, min(limit, found.behind.back.cost))
	default:
		jobs := found.collect(found.lastInFront, min(limit, found.frontCost()/2))
		slices.Reverse(jobs)
		return jobs
	}
}

// collect unplaces the jobs that next names, one after the other, up to a cost and to what a run holds.
func (b *bucket) collect(next func() *job, limit int64) (jobs []*job) {
	for cost := int64(0); len(jobs) < runJobs; {
		j := next()
		if j == nil || len(jobs) > 0 && (cost+j.cost() > limit || apart(jobs[0].id, j.id) > runSpan) {
			break
		}
		cost += j.cost()
		b.unplace(j)
		jobs = append(jobs, j)
	}
	return jobs
}

func apart(a, b uint64) uint64 { return max(a, b) - min(a, b) }

// cutLocked makes unplaced jobs into a run.
func (q *queue) cutLocked(jobs []*job) {
	r := encodeRun(jobs, q.number, q.name, q.broker.time.Now().Drift())
	for _, j := range jobs {
		q.touchLocked(j)
		if j.expiresAt != 0 {
			q.expiring.remove(timed{at: j.expiresAt, id: j.id})
		}
		q.index.remove(j.id)
		j.state = stateCold
	}
	if q.broker.loading.Load() {
		q.broker.everCold.addRun(r)
	}
	q.broker.spill.add(r)
	q.ready.insert(r)
	q.heatLocked(-r.cost)
	q.coolLocked(r)
	if r.expires != math.MaxInt64 {
		q.runExpiry.set(runExpiry.before, runExpiry{r.expires, r})
		q.armLocked(r.expires)
	}
}

// fetchLocked begins to bring a run back, unless that is under way.
func (q *queue) fetchLocked(r *run) *fetch {
	if r.fetch == nil {
		r.fetch = &fetch{done: make(chan struct{})}
		q.broker.spill.pin(r)
		go q.bringBack(r)
	}
	return r.fetch
}

// awaitLocked fetches a run and waits for it, with no lock held meanwhile. The caller has locked the queue with
// Broker.locked; it must lock it again and look again.
// cold is called before the wait unless it is nil.
func (q *queue) awaitLocked(r *run, cold func()) error {
	f := q.fetchLocked(r)
	q.broker.release(q)
	if cold != nil {
		cold()
	}
	<-f.done
	return f.err
}

// bringBack reads a run and puts its jobs in their places.
func (q *queue) bringBack(r *run) {
	b := q.broker
	jobs, err := q.readRun(r)
	b.spill.unpin(r)
	entered := b.enter()
	q.mu.Lock()
	f := r.fetch
	r.fetch = nil
	switch {
	case entered != nil:
		err = entered
	case q.dropped:
		err = errNoQueue([]byte(q.name))
	case err == nil:
		q.warmLocked(r, jobs)
		q.expireLocked(b.steady(), len(jobs)) // who waits for the run learns what is left of it
		q.serveLocked()
	default:
		q.waiters.failAll(err)
	}
	q.mu.Unlock()
	if entered == nil {
		b.leave()
	}
	f.err = err
	close(f.done)
}

func (q *queue) readRun(r *run) ([]*job, error) {
	bytes, err := q.broker.spill.read(r)
	if err != nil {
		return nil, err
	}
	return r.decode(bytes)
}

// warmLocked puts the jobs of a run back and forgets the run.
func (q *queue) warmLocked(r *run, jobs []*job) {
	q.dropRunLocked(r)
	for _, j := range jobs {
		q.index.set(j)
		j.generation = q.broker.generation
		q.attachLocked(j, stateReady, 0)
	}
}

// dropRunLocked takes a run and its jobs out of the queue.
func (q *queue) dropRunLocked(r *run) {
	q.ready.drop(r)
	q.leaveLocked(r)
	if r.expires != math.MaxInt64 {
		q.runExpiry.remove(runExpiry{r.expires, r})
	}
}

// coolLocked counts the jobs of a run that a bucket gets.
func (q *queue) coolLocked(r *run) {
	q.cold += r.cost
	q.broker.cold.Add(r.cost)
	q.broker.coldJobs.Add(int64(r.count))
}

// leaveLocked undoes it. The file stays while a snapshot lists it.
func (q *queue) leaveLocked(r *run) {
	q.cold -= r.cost
	q.broker.cold.Add(-r.cost)
	q.broker.coldJobs.Add(-int64(r.count))
	r.gone = true
	if r.listed != 0 {
		q.broker.deadRuns.Add(r.size)
	}
	q.broker.spill.unpin(r)
}

// findLocked is the job with an id, wherever it is; nil when there is none. It is for replay, when nobody waits for the
// lock. Most ids that it is asked for are new, and known to be so without a look at the runs.
func (q *queue) findLocked(id uint64) (*job, error) {
	if j, ok := q.index.get(id); ok {
		return j, nil
	}
	if !q.broker.everCold.has(id) {
		return nil, nil
	}
	r := q.ready.coldWith(id)
	if r == nil {
		return nil, nil
	}
	jobs, err := q.readRun(r)
	if err != nil {
		return nil, err
	}
	q.warmLocked(r, jobs)
	j, _ := q.index.get(id)
	return j, nil
}

// idSet is a set of ids, a bit for each where they are dense.
type idSet map[uint64]*[idSetWords]uint64

const idSetWords = 8

// addRun adds the ids of a run.
func (s idSet) addRun(r *run) {
	r.ids(s.add)
}

func (s idSet) add(id uint64) {
	words := s[id/(64*idSetWords)]
	if words == nil {
		words = new([idSetWords]uint64)
		s[id/(64*idSetWords)] = words
	}
	words[id/64%idSetWords] |= 1 << (id % 64)
}

func (s idSet) has(id uint64) bool {
	words := s[id/(64*idSetWords)]
	return words != nil && words[id/64%idSetWords]&(1<<(id%64)) != 0
}

// runsLocked is every run of the queue.
func (q *queue) runsLocked() (runs []*run) {
	if q.ready.cold == 0 {
		return nil
	}
	q.ready.all(func(b *bucket) bool {
		runs = append(runs, b.runs()...)
		return true
	})
	return runs
}
