package queue

import (
	"cmp"
	"fmt"
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

// relieveLocked cuts runs while the jobs in RAM are over the budget and this queue has enough of them: for whole runs at first, for
// smaller ones when the budget is passed by a quarter.
func (q *queue) relieveLocked() {
	b := q.broker
	for !q.dropped && b.hot() > b.options.JobMemory && b.spill.open() && b.journal.Ready() == nil {
		least := b.options.runBytes
		if b.crowded() {
			least = b.options.runLeast
		}
		if !q.cutSomeLocked(least) {
			return
		}
	}
}

// hot is what jobs take in RAM.
func (b *Broker) hot() int64 { return b.bytes.Load() - b.cold.Load() }

// crowded tells that whole runs were not enough to keep the budget.
func (b *Broker) crowded() bool { return b.hot() > b.options.JobMemory/4*5 }

// cutSomeLocked cuts one run, if there is enough for one: of dead letters, which nobody waits for, or else of the jobs that take most.
// A share of the budget for each state is what lets runs of a shelf lie close together in time.
func (q *queue) cutSomeLocked(least int64) bool {
	states := [...]state{stateDead, stateDelayed, stateInflight, stateReady}
	ready := q.bytes - q.cold - q.delayed.cost - q.inflight.cost - q.dead.cost
	cost := func(s state) int64 {
		if s == stateReady {
			return ready
		}
		return q.shelf(s).cost
	}
	slices.SortFunc(states[1:], func(a, b state) int { return cmp.Compare(cost(b), cost(a)) })
	for _, s := range states {
		if cost(s) < least {
			continue
		}
		var jobs []*job
		if s == stateReady {
			if jobs = q.leastUrgentLocked(least); jobs == nil {
				jobs = q.scatteredLocked(least)
			}
		} else {
			q.followLocked()
			jobs = q.shelf(s).collect(q.broker.options.runBytes, least, q.soonLocked(s))
		}
		if jobs != nil {
			q.cutLocked(jobs, s)
			return true
		}
	}
	return false
}

// scatteredLocked takes jobs for a run out of the tree of a bucket, the least urgent that has enough. When a run must be fetched for that
// it is, one at a time, if the budget is passed by a quarter.
func (q *queue) scatteredLocked(least int64) (jobs []*job) {
	if q.ready.cold == 0 || q.merging != nil || q.broker.loading.Load() {
		return nil
	}
	var merge *run
	crowded := q.broker.crowded()
	q.ready.all(func(b *bucket) bool {
		if taken, with := b.scattered(q.broker.options.runBytes, least, crowded); taken != nil || with != nil {
			jobs, merge = taken, with
		}
		return jobs == nil
	})
	if jobs == nil && merge != nil && merge.failed == 0 && crowded {
		q.merging = merge
		q.fetchLocked(merge)
	}
	return jobs
}

// soonLocked is the time of a state up to which its jobs stay in RAM: they would be back before long. In a start nothing comes back
// before its end, and any number of times may be over that the log tells of.
func (q *queue) soonLocked(s state) int64 {
	if q.broker.loading.Load() {
		return math.MinInt64
	}
	soon := q.broker.steady() + 2*q.broker.options.fetchAhead
	switch {
	case s != stateDead:
		return soon
	case q.config.DeadTTL > 0:
		return soon - q.config.DeadTTL
	}
	return math.MinInt64
}

// leastUrgentLocked takes jobs for a run out of their places: of the least urgent bucket that has enough those behind its
// runs, or else the last of those in front of them; nil when no bucket has enough.
func (q *queue) leastUrgentLocked(least int64) []*job {
	var found *bucket
	limit := q.broker.options.runBytes
	q.ready.all(func(b *bucket) bool {
		if back := b.back(); back != nil && back.cost >= least || b.front.count > 1 && b.frontCost(2*least) >= 2*least {
			found = b
		}
		return true
	})
	switch {
	case found == nil:
		return nil
	case found.behind != nil && found.behind.back.cost >= least:
		return found.collect(found.firstBehind, min(limit, found.behind.back.cost))
	default:
		jobs := found.collect(found.lastInFront, found.frontCost(2*limit)/2)
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

// cutLocked makes unplaced jobs of a state into a run.
func (q *queue) cutLocked(jobs []*job, state state) {
	r := encodeRun(jobs, state, q.number, q.name, q.broker.time.Now().Drift())
	for _, j := range jobs {
		q.touchLocked(j)
		if j.expiresAt != 0 && (state == stateReady || state == stateDelayed) {
			q.expiring.remove(timed{at: j.expiresAt, id: j.id})
		}
		q.index.remove(j.id)
		if state == stateReady {
			j.state = stateCold // a search may still look at it, and knows it by the state that it had
		}
		q.undateLocked(j)
	}
	if q.broker.loading.Load() {
		q.broker.everCold.addRun(r)
	}
	q.broker.spill.add(r)
	q.insertRunLocked(r)
	q.coolLocked(r)
	if r.expires != math.MaxInt64 {
		q.runExpiry.set(runExpiry.before, runExpiry{r.expires, r})
		q.armLocked(r.expires)
	}
}

// insertRunLocked puts a run in its place. Its jobs have been unplaced.
func (q *queue) insertRunLocked(r *run) {
	if r.times == nil {
		q.ready.insert(r)
		return
	}
	q.shelveLocked(r)
	q.armLocked(q.fetchTimeLocked(r))
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
// Broker.locked; it must lock it again and look again. cold is called before the wait unless it is nil.
func (q *queue) awaitLocked(r *run, cold func()) error {
	f := q.fetchLocked(r)
	q.broker.release(q)
	if cold != nil {
		cold()
	}
	<-f.done
	return f.err
}

// unread are the runs that a command could not read. It passes over them, does the rest, and then says why the first could not be read.
type unread struct {
	runs map[*run]bool
	err  error
}

// awaitLocked is awaitLocked of the queue for a run that may turn out unreadable.
func (u *unread) awaitLocked(q *queue, r *run) { u.note(r, q.awaitLocked(r, nil)) }

func (u *unread) note(r *run, err error) {
	if err == nil {
		return
	}
	if u.runs == nil {
		u.runs, u.err = map[*run]bool{}, err
	}
	u.runs[r] = true
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
	if err != nil && q.merging == r {
		q.merging, r.failed = nil, b.steady()
	}
	switch {
	case entered != nil:
		err = entered
	case q.dropped:
		err = errNoQueue([]byte(q.name))
	case err == nil:
		now := b.steady()
		q.warmLocked(r, jobs)
		q.expireLocked(now, len(jobs)) // who waits for the run learns what is left of it
		q.dueLocked(now, len(jobs))
		q.serveLocked()
		if q.merging == r {
			q.merging = nil
			q.relieveLocked()
		}
		q.armAllLocked(now)
	case r.times == nil:
		q.waiters.failAll(err)
	default:
		q.unreadableLocked(r, err)
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

// unreadableLocked is told of a run of a shelf that cannot be read. Who waits for ready jobs is told when it holds some.
func (q *queue) unreadableLocked(r *run, err error) {
	if q.ready.next() == nil && r == q.overdueLocked() {
		q.waiters.failAll(err)
	}
	if failed := q.broker.options.Failed; failed != nil && r.failed == 0 {
		failed(fmt.Errorf("bringing %d %v jobs of queue '%s' back: %w", r.count, r.state(), q.name, err))
	}
	r.failed = q.broker.steady()
	q.armLocked(q.fetchTimeLocked(r))
}

// warmLocked puts the jobs of a run back and forgets the run.
func (q *queue) warmLocked(r *run, jobs []*job) {
	q.dropRunLocked(r)
	for _, j := range jobs {
		q.index.set(j)
		j.generation = q.broker.generation
		if j.dated {
			j.at += r.dateShift()
			q.dateLocked(j)
		}
		q.attachLocked(j, r.state(), j.at)
	}
}

// dropRunLocked takes a run and its jobs out of the queue.
func (q *queue) dropRunLocked(r *run) {
	if r.times == nil {
		q.ready.drop(r)
	} else {
		q.unshelveLocked(r)
	}
	q.leaveLocked(r)
	if r.expires != math.MaxInt64 {
		q.runExpiry.remove(runExpiry{r.expires, r})
	}
}

// coolLocked counts the jobs of a run that a bucket or a shelf gets.
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
	r := q.coldWithLocked(id)
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

// coldWithLocked is the run that holds an id, nil when there is none.
func (q *queue) coldWithLocked(id uint64) *run {
	if r := q.shelved.with(id); r != nil {
		return r
	}
	return q.ready.coldWith(id)
}

// coldJobsLocked is how many jobs are in runs.
func (q *queue) coldJobsLocked() int {
	return q.ready.cold + q.delayed.cold() + q.inflight.cold() + q.dead.cold()
}

// runsLocked is every run of the queue.
func (q *queue) runsLocked() (runs []*run) {
	runs = q.shelved.all()
	if q.ready.cold == 0 {
		return runs
	}
	q.ready.all(func(b *bucket) bool {
		runs = append(runs, b.runs()...)
		return true
	})
	return runs
}
