package queue

import (
	"math"
	"runtime"
	"time"
)

// longestWait is the longest a queue's timer sleeps: some jobs are due at dates, and the wall may be set.
const longestWait = 60_000

// driftSlack is how far apart two readings of the wall's lead may be, in milliseconds, although nobody has set the clock.
const driftSlack = 5

// followLocked moves the jobs that are due at a date when the wall clock was set: all of them at once.
func (q *queue) followLocked() {
	drift := q.broker.time.Now().Drift()
	moved := drift - q.drift
	if max(moved, -moved) <= driftSlack {
		return
	}
	q.drift = drift
	q.delayed.dates(-moved)
	if q.dated == nil {
		return
	}
	q.dated.ascend(0, func(_ uint64, j *job) bool {
		q.touchLocked(j)
		if j.state != stateDelayed {
			j.at -= moved
			return true
		}
		q.delayed.remove(j)
		j.at -= moved
		q.delayed.add(j)
		return true
	})
}

// dateLocked marks a job that is due at a date, undateLocked one that is so no more.
func (q *queue) dateLocked(j *job) {
	if q.dated == nil {
		q.dated = &index{}
	}
	j.dated = true
	q.dated.set(j)
}

func (q *queue) undateLocked(j *job) {
	if !j.dated {
		return
	}
	j.dated = false
	if q.dated.remove(j.id); q.dated.count() == 0 {
		q.dated = nil
	}
}

// armLocked makes sure that the queue looks at its times no later than at a time.
func (q *queue) armLocked(at int64) {
	if at >= q.timerAt || at == foreverMS || q.broker.loading.Load() || q.dropped {
		return
	}
	q.setTimerLocked(at, q.broker.steady())
}

func (q *queue) setTimerLocked(at, now int64) {
	if at-now > longestWait {
		at = now + longestWait
	}
	if at >= q.timerAt {
		return
	}
	q.timerAt = at
	wait := max(time.Duration(at-now)*time.Millisecond, 0)
	if q.timer == nil {
		q.timer = q.broker.time.AfterFunc(wait, q.tick)
		return
	}
	q.timer.Reset(wait)
}

// runExpiryRetry is how long after a failed fetch a run in which a time is over is fetched again.
const runExpiryRetry = 1000

// tick is the timer's function: it handles what is due, a slice per lock hold, so that a million jobs due at once do not
// keep pushes waiting.
func (q *queue) tick() {
	for {
		if q.broker.enter() != nil {
			return
		}
		q.mu.Lock()
		more := !q.dropped && q.tickLocked()
		q.broker.release(q)
		if !more {
			return
		}
		runtime.Gosched()
	}
}

// tickLocked handles up to a slice of what is due and sets the timer for the rest. It tells whether more is due now.
func (q *queue) tickLocked() (more bool) {
	q.followLocked()
	now := q.broker.steady()
	budget := sliceJobs
	q.timerAt = math.MaxInt64
	if q.pausedIn <= now {
		q.pausedIn = 0
	}
	if q.pausedOut <= now {
		q.pausedOut = 0
	}
	budget = q.expireLocked(now, budget)
	budget = q.dueLocked(now, budget)
	budget = q.lapseLocked(now, budget)
	budget = q.sweepLocked(now, budget)
	if budget > 0 { // those that are back go first
		q.expireRunsLocked(now)
		q.fetchDueLocked(now)
	}
	q.serveLocked()
	q.relieveLocked()
	if budget == 0 {
		return true
	}
	q.armAllLocked(now)
	return false
}

// expireLocked drops waiting jobs whose TTL has run out, and dead letters too old.
func (q *queue) expireLocked(now int64, budget int) int {
	for budget > 0 {
		t, ok := q.expiring.min()
		if !ok || t.at > now {
			break
		}
		q.changeLocked(t.job, change{verb: verbExpire}, now, "")
		budget--
	}
	for budget > 0 && q.config.DeadTTL > 0 {
		t, ok := q.dead.hot.min()
		if !ok || t.at+q.config.DeadTTL > now {
			break
		}
		q.changeLocked(t.job, change{verb: verbExpire}, now, "")
		budget--
	}
	q.commitLocked(false)
	return budget
}

// runExpiryFetches is how many runs with nothing but expired jobs a queue fetches at a time.
const runExpiryFetches = 4

// expireRunsLocked fetches the first runs in which every TTL has run out. Their jobs expire when they are back, and then
// the next are fetched: a whole backlog whose time is over, as after a long stop, must not come to RAM at once.
func (q *queue) expireRunsLocked(now int64) {
	fetched := 0
	q.runExpiry.scan(func(x runExpiry) bool {
		if x.at > now || fetched == runExpiryFetches {
			return false
		}
		q.fetchLocked(x.run)
		fetched++
		return true
	})
}

const (
	// shelfFetches is how many runs of a shelf are fetched at a time, fetchRetry how long they wait when there is no room.
	shelfFetches = 4
	fetchRetry   = 50
)

// comingLocked visits the runs of a shelf in order, with the time at which to fetch each, until visit returns false.
func (q *queue) comingLocked(s state, visit func(r *run, at int64) bool) {
	if shelf := q.shelf(s); shelf.away != nil {
		shelf.away.runs.scan(func(r *run) bool { return visit(r, q.fetchTimeLocked(r)) })
	}
}

// fetchTimeLocked is when to fetch a run for the first of its times: somewhat before, while there is room.
func (q *queue) fetchTimeLocked(r *run) int64 {
	at := r.from().at
	if r.times.state == stateDead {
		if q.config.DeadTTL == 0 {
			return foreverMS
		}
		at += q.config.DeadTTL
	}
	if !q.broker.crowded() {
		at -= q.broker.options.fetchAhead
	}
	if r.failed != 0 {
		at = max(at, r.failed+runExpiryRetry)
	}
	return at
}

// fetchDueLocked fetches the runs whose first jobs are due, few at a time: those that come due together go back to disk as ready ones
// when nobody takes them. When that must wait, so do they, but for what somebody may wait for.
func (q *queue) fetchDueLocked(now int64) {
	b := q.broker
	limit := shelfFetches
	if b.crowded() && !b.spill.open() {
		if limit = 1; q.ready.next() != nil {
			return
		}
	}
	for _, s := range [...]state{stateDelayed, stateInflight, stateDead} {
		fetched := 0
		q.comingLocked(s, func(r *run, at int64) bool {
			if at > now {
				return r.failed != 0
			}
			q.fetchLocked(r)
			fetched++
			return fetched < limit
		})
	}
}

// overdueLocked is a run of delayed jobs whose first should be ready, nil when there is none.
func (q *queue) overdueLocked() *run {
	if r := q.delayed.firstRun(); r != nil && r.from().at <= q.broker.steady() {
		return r
	}
	return nil
}

// dueLocked makes delayed jobs ready. It has no record: a replay sees the same times.
func (q *queue) dueLocked(now int64, budget int) int {
	for budget > 0 {
		t, ok := q.delayed.hot.min()
		if !ok || t.at > now {
			break
		}
		q.touchLocked(t.job)
		q.detachLocked(t.job)
		q.attachLocked(t.job, stateReady, 0)
		budget--
	}
	return budget
}

// leaseExpired is the reason of an attempt that ended with its lease.
const leaseExpired = "lease expired"

// lapseLocked ends leases whose time is over: the attempt has failed; the wait was the lease, so the job is ready at once.
func (q *queue) lapseLocked(now int64, budget int) int {
	for budget > 0 {
		t, ok := q.inflight.hot.min()
		if !ok || t.at > now {
			break
		}
		c := change{verb: verbLapse}
		if q.failedLocked(t.job) {
			c.verb = q.buriedVerb()
		}
		q.changeLocked(t.job, c, now, leaseExpired)
		budget--
	}
	q.commitLocked(false)
	return budget
}

// sweepLocked forgets dedup keys whose window is over. It has no record: entries hold their end.
func (q *queue) sweepLocked(now int64, budget int) int {
	for budget > 0 {
		end, ok := q.dedup.soonest()
		if !ok || end.until > now {
			break
		}
		q.dedup.remove(end.key, dedupEntry{until: end.until})
		budget--
	}
	return budget
}

// armAllLocked sets the timer for the next thing that is due.
func (q *queue) armAllLocked(now int64) {
	next := int64(math.MaxInt64)
	wake := func(at int64) { next = min(next, at) }
	if t, ok := q.inflight.hot.min(); ok {
		wake(t.at)
	}
	if t, ok := q.delayed.hot.min(); ok {
		wake(t.at)
	}
	if t, ok := q.expiring.min(); ok {
		wake(t.at)
	}
	if x, ok := q.runExpiry.min(); ok {
		if x.at <= now {
			x.at = now + runExpiryRetry // it is being fetched; should that fail it is tried again
		}
		wake(x.at)
	}
	if t, ok := q.dead.hot.min(); ok && q.config.DeadTTL > 0 {
		wake(t.at + q.config.DeadTTL)
	}
	for _, s := range [...]state{stateDelayed, stateInflight, stateDead} {
		q.comingLocked(s, func(r *run, at int64) bool {
			if at <= now {
				at = now + fetchRetry // it is being fetched, or waits for room
			}
			wake(at)
			return r.failed != 0
		})
	}
	if end, ok := q.dedup.soonest(); ok {
		wake(end.until + dedupSlack)
	}
	if q.pausedOut != 0 && q.pausedOut != foreverMS {
		wake(q.pausedOut)
	}
	if next != math.MaxInt64 {
		q.setTimerLocked(next, now)
	}
}
