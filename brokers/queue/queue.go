package queue

import (
	"math"
	"sync"

	"github.com/nexobroker/nexo/brokers"
)

// Counters are what has happened to a queue since it was made. They survive restarts.
type Counters struct {
	Pushed, Acked, Nacked, Released, LeaseExpired, Dead, Replayed, Deduped  uint64
	Deleted, Expired, Dropped, MovedIn, MovedOut, Delivered, Blocked, Woken uint64
}

// counters are a queue's, of which those that are only filled have but one.
type counters struct {
	pushed uint64
	others *Counters // but Pushed; nil while all are 0
}

func (c *counters) more() *Counters {
	if c.others == nil {
		c.others = &Counters{}
	}
	return c.others
}

func (c *counters) all() (all Counters) {
	if c.others != nil {
		all = *c.others
	}
	all.Pushed = c.pushed
	return all
}

func (c *counters) set(all Counters) {
	c.pushed, all.Pushed = all.Pushed, 0
	if c.others = nil; all != (Counters{}) {
		c.others = &all
	}
}

// queue is one queue. Everything but name and number is under mu.
type queue struct {
	broker *Broker
	name   string
	number uint64

	mu       sync.Mutex
	config   *Config // never changed, only replaced: queues share it
	dropped  bool
	counters counters
	bytes    int64 // of all jobs
	cold     int64 // of the jobs in runs
	merging  *run  // is fetched to be cut again with what has returned into its span, nil when none is

	index    index // every job of the queue in RAM, by id
	ready    readySet
	delayed  shelf
	inflight shelf
	dead     shelf
	shelved  *places     // the runs of these three, nil when there are none
	expiring tree[timed] // ready and delayed jobs with a TTL, in RAM

	runExpiry tree[runExpiry] // runs with such jobs

	dedup  *window           // nil before the first key
	owners map[uint64]*Owner // of the bound leases, by job

	// dated are the pending and delayed jobs in RAM that are due at a date, by id, nil when there are none. Their steady due times,
	// and those of the runs of such jobs, are right while the wall leads by drift.
	dated *index
	drift int64

	pausedIn, pausedOut int64 // when the pause ends; 0 not paused, math.MaxInt64 until resumed

	// pending are jobs whose push is not yet durable, in the order of their records; pendingAt is the first.
	pending   []pendingJob
	pendingAt int
	dirty     bool // on the broker's list for the next notify

	waiters  waiterList
	timer    brokers.Timer
	timerAt  int64         // for which the timer is set; math.MaxInt64 when it is not
	record   *recordBuffer // of the change under way
	changes  int           // jobs in the change record under way
	lastSeq  uint64
	snapshot *snapshot
}

type pendingJob struct {
	seq    uint64
	job    *job
	synced bool // wait for the fsync whatever the queue's level
}

// recordBuffer is where a record is made; the broker keeps some for all queues.
type recordBuffer struct{ bytes []byte }

func newQueue(b *Broker, number uint64, name string, config Config) *queue {
	return &queue{broker: b, name: name, number: number, config: b.shared(config), timerAt: math.MaxInt64}
}

// detachLocked takes a job out of the container of its state.
func (q *queue) detachLocked(j *job) {
	switch j.state {
	case stateReady:
		q.ready.remove(j)
	case stateDelayed:
		q.delayed.remove(j)
		q.undateLocked(j)
	case stateInflight:
		q.inflight.remove(j)
		if j.bound {
			q.unbindLocked(j.id)
		}
	case stateDead:
		q.dead.remove(j)
	}
	if j.expiresAt != 0 && (j.state == stateReady || j.state == stateDelayed) {
		q.expiring.remove(timed{at: j.expiresAt, id: j.id})
	}
}

// attachLocked puts a job into the container of a state and sets the timer for what is to come.
func (q *queue) attachLocked(j *job, state state, at int64) {
	j.state, j.at = state, at
	switch state {
	case stateReady:
		q.ready.add(j)
	case stateDelayed:
		q.delayed.add(j)
		q.armLocked(at)
	case stateInflight:
		q.inflight.add(j)
		q.armLocked(at)
	case stateDead:
		q.dead.add(j)
		if q.config.DeadTTL > 0 {
			q.armLocked(at + q.config.DeadTTL)
		}
	}
	if j.expiresAt != 0 && (state == stateReady || state == stateDelayed) {
		q.expiring.set(timed.before, timed{j.expiresAt, j.id, j})
		q.armLocked(j.expiresAt)
	}
}

// waitingLocked attaches a job that waits: delayed when due lies ahead, ready otherwise.
func (q *queue) waitingLocked(j *job, due int64) {
	if due > 0 && due > q.broker.steady() {
		q.attachLocked(j, stateDelayed, due)
		return
	}
	q.undateLocked(j)
	q.attachLocked(j, stateReady, 0)
}

// addLocked makes a job part of the queue; the caller attaches it.
func (q *queue) addLocked(j *job) {
	q.index.set(j)
	j.generation = q.broker.generation
	q.bytes += j.cost()
	q.broker.bytes.Add(j.cost())
	q.broker.jobs.Add(1)
}

// forgetLocked ends a job's time in the queue.
func (q *queue) forgetLocked(j *job) {
	q.detachLocked(j)
	j.state = stateGone
	q.index.remove(j.id)
	q.bytes -= j.cost()
	q.broker.bytes.Add(-j.cost())
	q.broker.jobs.Add(-1)
}

// throwAwayLocked ends a job that was not done: its dedup key no longer keeps the work from being pushed again. A key that
// a later job has taken over stays.
func (q *queue) throwAwayLocked(j *job) {
	if x := j.extra; x != nil && x.dedup != "" {
		if entry, ok := q.dedup.get(x.dedup); ok && entry.id == j.id {
			q.dedup.remove(x.dedup, entry)
		}
	}
	q.forgetLocked(j)
}

// applyLocked is the one place where a job changes, live and in replay.
func (q *queue) applyLocked(j *job, c change, now int64, reason string) {
	q.touchLocked(j)
	switch c.verb {
	case verbLease:
		q.detachLocked(j)
		j.deliveries = c.delivery
		j.attempts++
		j.bound = c.bound
		q.counters.more().Delivered++
		q.attachLocked(j, stateInflight, c.at)
	case verbExtend:
		q.inflight.remove(j) // it stays bound
		q.attachLocked(j, stateInflight, c.at)
	case verbAck:
		q.counters.more().Acked++
		q.forgetLocked(j)
	case verbDelete:
		q.counters.more().Deleted++
		q.throwAwayLocked(j)
	case verbExpire:
		q.counters.more().Expired++
		q.throwAwayLocked(j)
	case verbDrop:
		q.counters.more().Dropped++
		q.throwAwayLocked(j)
	case verbRelease:
		q.counters.more().Released++
		q.detachLocked(j)
		if j.attempts > 0 {
			j.attempts--
		}
		q.attachLocked(j, stateReady, 0)
	case verbRetry:
		q.counters.more().Nacked++
		q.detachLocked(j)
		q.setReason(j, reason)
		q.waitingLocked(j, c.at)
	case verbLapse:
		q.counters.more().LeaseExpired++
		q.detachLocked(j)
		q.setReason(j, reason)
		q.attachLocked(j, stateReady, 0)
	case verbDead:
		q.counters.more().Dead++
		q.detachLocked(j)
		q.setReason(j, reason)
		q.attachLocked(j, stateDead, now)
	case verbRevive:
		q.counters.more().Replayed++
		q.detachLocked(j)
		j.beginAgain()
		q.waitingLocked(j, c.at)
	}
}

func (q *queue) setReason(j *job, reason string) {
	x := j.more()
	if x.reason == reason {
		return
	}
	x.reason = reason
	j.extra = &x
}

// changeLocked applies a change and adds it to the record under way, which commitLocked appends.
func (q *queue) changeLocked(j *job, c change, now int64, reason string) {
	if q.changes == 0 {
		q.recordLocked()
		q.record.bytes = encodeChangeHeader(q.record.bytes[:0], q.number, q.broker.time.Now().WallOf(now), reason)
	}
	q.changes++
	q.record.bytes = c.encode(q.record.bytes, j.id, now)
	q.applyLocked(j, c, now, reason)
}

// commitLocked appends the changes made since the last commit as one record; 0 when there were none.
func (q *queue) commitLocked(synced bool) uint64 {
	if q.changes == 0 {
		return 0
	}
	q.changes = 0
	return q.appendLocked(q.record.bytes, synced)
}

// recordKeep is the largest record buffer that is kept for the next record.
const recordKeep = 64 << 10

// recordLocked is the buffer for the record under way, until it is appended.
func (q *queue) recordLocked() []byte {
	if q.record == nil {
		if q.record, _ = q.broker.records.Get().(*recordBuffer); q.record == nil {
			q.record = &recordBuffer{}
		}
	}
	return q.record.bytes
}

func (q *queue) appendLocked(record []byte, synced bool) uint64 {
	q.lastSeq = q.broker.append(record, synced)
	if q.record != nil {
		if cap(q.record.bytes) <= recordKeep {
			q.broker.records.Put(q.record)
		}
		q.record = nil
	}
	return q.lastSeq
}

// receiptLocked promises that everything appended up to seq is durable at the queue's level.
func (q *queue) receiptLocked(seq uint64) brokers.Receipt {
	if seq == 0 {
		return brokers.Receipt{}
	}
	return brokers.Receipt{Journal: q.broker.journal, Seq: seq, Durability: q.config.Sync}
}

// visibleLocked attaches a job whose push is durable.
func (q *queue) visibleLocked(j *job) {
	q.touchLocked(j)
	q.waitingLocked(j, j.at)
}

// promoteLocked shows the pending jobs that have become durable and tells whether some are left.
func (q *queue) promoteLocked() (left bool) {
	written, synced := q.broker.written.Load(), q.broker.synced.Load()
	for ; q.pendingAt < len(q.pending); q.pendingAt++ {
		p := &q.pending[q.pendingAt]
		durable := q.config.Sync == brokers.Never || (q.config.Sync == brokers.Interval && p.seq <= written)
		if (p.synced || !durable) && p.seq > synced {
			return true
		}
		q.visibleLocked(p.job)
		p.job = nil
	}
	q.pending, q.pendingAt = q.pending[:0], 0
	if cap(q.pending) > 1<<16 {
		q.pending = nil
	}
	return false
}

// pendLocked hides a new job until its record is durable. pendedLocked must follow.
func (q *queue) pendLocked(j *job, seq uint64, synced bool) {
	if q.pendingAt > 1024 && q.pendingAt > len(q.pending)/2 {
		n := copy(q.pending, q.pending[q.pendingAt:])
		clear(q.pending[n:])
		q.pending, q.pendingAt = q.pending[:n], 0
	}
	q.pending = append(q.pending, pendingJob{seq, j, synced})
}

// pendedLocked makes sure that the next notify looks at this queue, and looks itself in case the notify for these
// records has already been.
func (q *queue) pendedLocked() {
	if !q.dirty {
		q.dirty = true
		q.broker.enlist(q)
	}
	q.promoteLocked()
}

// lenLocked is what counts against MAXLEN: every job but the dead.
func (q *queue) lenLocked() int64 {
	return int64(q.index.count() + q.coldJobsLocked() - q.dead.count())
}

// failedLocked is what becomes of a job whose attempt failed.
func (q *queue) failedLocked(j *job) (exhausted bool) {
	limit := q.config.MaxAttempts
	if x := j.extra; x != nil && x.maxAttempts != 0 {
		limit = x.maxAttempts
	}
	return int64(j.attempts) >= limit
}

// buriedVerb is what becomes of a job that has failed for good.
func (q *queue) buriedVerb() verb {
	if q.config.DeadLetters {
		return verbDead
	}
	return verbDrop
}

// leaseLocked leases ready jobs: at least one if any is ready, up to count, with bodies of up to maxBytes together.
// It leaves off where the next job is in a run, and when a slice of expired jobs was in front: then the next ready job is in
// RAM and none may have been leased. The caller commits. safe is false when a delivery number is not yet covered by a
// synced mark.
func (q *queue) leaseLocked(o *PopOptions, out []Delivery) (_ []Delivery, safe bool) {
	instant := q.broker.time.Now()
	now := instant.Steady
	count, bytes := max(o.Count, 1), 0
	safe = true
	for taken, expired := 0, 0; taken < count && expired < sliceJobs; {
		j := q.ready.next()
		if j == nil {
			break
		}
		if j.expiresAt != 0 && j.expiresAt <= now {
			q.changeLocked(j, change{verb: verbExpire}, now, "")
			expired++
			continue
		}
		bytes += len(j.body) + deliveryOverheadBytes
		if taken > 0 && o.MaxBytes > 0 && bytes > o.MaxBytes {
			break
		}
		number, ok := q.broker.nextDelivery(j)
		safe = safe && ok
		until := now + q.leaseFor(j, o.Lease)
		q.changeLocked(j, change{verb: verbLease, at: until, delivery: number, bound: o.Owner != nil}, now, "")
		if o.Owner != nil {
			q.bindLocked(j.id, number, o.Owner)
		}
		out = append(out, q.deliveryLocked(j, until, instant))
		taken++
	}
	return out, safe
}

// bindLocked makes a lease end with its owner.
func (q *queue) bindLocked(id, delivery uint64, owner *Owner) {
	if q.owners == nil {
		q.owners = map[uint64]*Owner{}
	}
	q.owners[id] = owner
	owner.remember(q, id, delivery)
}

// unbindLocked is called when a bound lease has ended. One of an earlier life has no owner.
func (q *queue) unbindLocked(id uint64) {
	if owner := q.owners[id]; owner != nil {
		owner.forget(q, id)
		delete(q.owners, id)
	}
}

// deliveryOverheadBytes is an upper bound of what a reply holds for a job besides its body and its META.
const deliveryOverheadBytes = 80

func (q *queue) leaseFor(j *job, asked int64) int64 {
	if asked != 0 {
		return asked
	}
	if j.extra != nil && j.extra.lease != 0 {
		return j.extra.lease
	}
	return q.config.Lease
}

func (q *queue) deliveryLocked(j *job, until int64, now brokers.Instant) Delivery {
	d := Delivery{
		ID: j.id, Number: j.deliveries, Attempt: int64(j.attempts), Body: j.body, Priority: j.priority,
		PushedAt: now.WallOf(j.pushedAt), LeaseUntil: now.WallOf(until), MaxAttempts: q.config.MaxAttempts,
	}
	if j.expiresAt != 0 {
		d.ExpiresAt = now.WallOf(j.expiresAt)
	}
	if j.extra != nil {
		d.Reason = j.extra.reason
		if j.extra.maxAttempts != 0 {
			d.MaxAttempts = j.extra.maxAttempts
		}
	}
	return d
}
