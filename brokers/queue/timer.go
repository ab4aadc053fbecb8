package queue

import (
	"math"
	"runtime"
	"time"
)

// longestWait is the longest a queue's timer sleeps: due times are wall-clock times, and the wall may be set.
const longestWait = 60_000

// armLocked makes sure that the queue looks at its times no later than at steady time at.
func (q *queue) armLocked(at int64) {
	if at >= q.timerAt || q.broker.loading.Load() || q.dropped {
		return
	}
	now := q.broker.now()
	q.setTimerLocked(at, now)
}

func (q *queue) setTimerLocked(at int64, now instant) {
	if at-now.steady > longestWait {
		at = now.steady + longestWait
	}
	if at >= q.timerAt {
		return
	}
	q.timerAt = at
	wait := max(time.Duration(at-now.steady)*time.Millisecond, 0)
	if q.timer == nil {
		q.timer = q.broker.clock.AfterFunc(wait, q.tick)
		return
	}
	q.timer.Reset(wait)
}

// armWallLocked is armLocked for a wall time.
func (q *queue) armWallLocked(at int64) {
	if q.broker.loading.Load() || q.dropped || at == foreverMS {
		return
	}
	now := q.broker.now()
	steady := at - now.wall + now.steady
	if steady < q.timerAt {
		q.setTimerLocked(steady, now)
	}
}

// runExpiryRetry is how long after a failed fetch a run with an expired job is fetched again.
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
	now := q.broker.now()
	budget := sliceJobs
	q.timerAt = math.MaxInt64
	if q.pausedIn <= now.wall {
		q.pausedIn = 0
	}
	if q.pausedOut <= now.wall {
		q.pausedOut = 0
	}
	budget = q.expireLocked(now, budget)
	budget = q.dueLocked(now, budget)
	budget = q.lapseLocked(now, budget)
	budget = q.sweepLocked(now, budget)
	if budget > 0 { // those that are back go first
		q.expireRunsLocked(now)
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
func (q *queue) expireLocked(now instant, budget int) int {
	for budget > 0 {
		t, ok := q.expiring.min()
		if !ok || t.at > now.wall {
			break
		}
		q.changeLocked(t.job, change{verb: verbExpire}, now.wall, "")
		budget--
	}
	for budget > 0 && q.config.DeadTTL > 0 {
		t, ok := q.dead.min()
		if !ok || t.at+q.config.DeadTTL > now.wall {
			break
		}
		q.changeLocked(t.job, change{verb: verbExpire}, now.wall, "")
		budget--
	}
	q.commitLocked(false)
	return budget
}

// runExpiryFetches is how many runs with nothing but expired jobs a queue fetches at a time.
const runExpiryFetches = 4

// expireRunsLocked fetches the first runs in which every TTL has run out. Their jobs expire when they are back, and then
// the next are fetched: a whole backlog whose time is over, as after a long stop, must not come to RAM at once.
func (q *queue) expireRunsLocked(now instant) {
	fetched := 0
	q.runExpiry.scan(func(x runExpiry) bool {
		if x.at > now.wall || fetched == runExpiryFetches {
			return false
		}
		q.fetchLocked(x.run)
		fetched++
		return true
	})
}

// dueLocked makes delayed jobs ready. It has no record: a replay sees the same times.
func (q *queue) dueLocked(now instant, budget int) int {
	for budget > 0 {
		t, ok := q.delayed.min()
		if !ok || t.at > now.wall {
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
func (q *queue) lapseLocked(now instant, budget int) int {
	for budget > 0 {
		t, ok := q.inflight.min()
		if !ok || t.at > now.steady {
			break
		}
		c := change{verb: verbLapse}
		if q.failedLocked(t.job) {
			c.verb = q.buriedVerb()
		}
		q.changeLocked(t.job, c, now.wall, leaseExpired)
		budget--
	}
	q.commitLocked(false)
	return budget
}

// sweepLocked forgets dedup keys whose window is over. It has no record: entries hold their end.
func (q *queue) sweepLocked(now instant, budget int) int {
	for budget > 0 {
		end, ok := q.dedup.soonest()
		if !ok || end.until > now.wall {
			break
		}
		q.dedup.remove(end.key, dedupEntry{until: end.until})
		budget--
	}
	return budget
}

// armAllLocked sets the timer for the next thing that is due.
func (q *queue) armAllLocked(now instant) {
	next := int64(math.MaxInt64)
	wall := func(at int64) {
		next = min(next, at-now.wall+now.steady)
	}
	if t, ok := q.inflight.min(); ok {
		next = t.at
	}
	if t, ok := q.delayed.min(); ok {
		wall(t.at)
	}
	if t, ok := q.expiring.min(); ok {
		wall(t.at)
	}
	if x, ok := q.runExpiry.min(); ok {
		if x.at <= now.wall {
			x.at = now.wall + runExpiryRetry // it is being fetched; should that fail it is tried again
		}
		wall(x.at)
	}
	if t, ok := q.dead.min(); ok && q.config.DeadTTL > 0 {
		wall(t.at + q.config.DeadTTL)
	}
	if end, ok := q.dedup.soonest(); ok {
		wall(end.until + dedupSlack)
	}
	if q.pausedOut != 0 && q.pausedOut != foreverMS {
		wall(q.pausedOut)
	}
	if next != math.MaxInt64 {
		q.setTimerLocked(next, now)
	}
}
