package queue

import (
	"github.com/nexobroker/nexo/brokers"
)

// sliceJobs is how many jobs long work handles per hold of a queue's lock.
const sliceJobs = 1000

// currentLocked is the job in flight under the handle, nil when the handle is stale. When the job may be on disk it is the run that tells.
func (q *queue) currentLocked(h Handle) (j *job, cold *run) {
	j, ok := q.index.get(h.ID)
	if !ok {
		if r := q.shelved.with(h.ID); r != nil && r.times.state == stateInflight {
			cold = r
		}
		return nil, cold
	}
	if j.state != stateInflight || j.deliveries != h.Delivery {
		return nil, nil
	}
	return j, nil
}

// changeEach does something to each of a number of jobs in turn: in one record, unless some must come from disk first. one does it to a job
// and tells whether it has changed, or names the run that has the job. Those in a run that cannot be read stay as they are.
func (b *Broker) changeEach(name []byte, count int, one func(q *queue, i int, now int64) (changed bool, cold *run),
) (changed int, receipt brokers.Receipt, _ error) {
	var passed unread
	for i := 0; ; {
		q, err := b.locked(name)
		if err != nil {
			return changed, receipt, err
		}
		now := b.steady()
		var cold *run
		for ; i < count; i++ {
			var done bool
			if done, cold = one(q, i, now); cold != nil && !passed.runs[cold] {
				break
			}
			if cold = nil; done {
				changed++
			}
		}
		receipt = q.changedLocked(receipt)
		if cold == nil {
			b.release(q)
			return changed, receipt, passed.err
		}
		passed.awaitLocked(q, cold)
	}
}

// changedLocked ends what is changed under one hold of the lock. It returns the receipt to wait for: the one before when nothing was.
func (q *queue) changedLocked(receipt brokers.Receipt) brokers.Receipt {
	if seq := q.commitLocked(q.config.Sync == brokers.Always); seq != 0 {
		receipt = q.receiptLocked(seq)
	}
	q.serveLocked()
	q.relieveLocked() // what came back to be changed may have passed the budget
	return receipt
}

// settle applies one change to each job that is in flight under its handle. each, if not nil, gets an entry per handle.
func (b *Broker) settle(name []byte, handles []Handle, each []bool, reason string, what func(q *queue, j *job, now int64) change,
) (int, brokers.Receipt, error) {
	return b.changeEach(name, len(handles), func(q *queue, i int, now int64) (bool, *run) {
		j, cold := q.currentLocked(handles[i])
		if each != nil {
			each[i] = j != nil
		}
		if j != nil {
			q.changeLocked(j, what(q, j, now), now, reason)
		}
		return j != nil, cold
	})
}

// Ack ends jobs for good.
func (b *Broker) Ack(name []byte, handles []Handle, each []bool) (int, brokers.Receipt, error) {
	return b.settle(name, handles, each, "", func(*queue, *job, int64) change { return change{verb: verbAck} })
}

// Extend gives leases a new end, from now.
func (b *Broker) Extend(name []byte, lease int64, handles []Handle, each []bool) (int, brokers.Receipt, error) {
	return b.settle(name, handles, each, "", func(_ *queue, _ *job, now int64) change {
		return change{verb: verbExtend, at: now + lease}
	})
}

// NackOptions say what becomes of a job whose consumer gives up.
type NackOptions struct {
	Reason   string
	Delay    int64 // ms instead of the backoff; counts when HasDelay
	HasDelay bool
	Dead     bool // to the dead letters at once
	Release  bool // uncounted, to its place
}

// Nack gives jobs back: failed, given up, or released.
func (b *Broker) Nack(name []byte, o *NackOptions, handles []Handle, each []bool) (int, brokers.Receipt, error) {
	reason := o.Reason
	if len(reason) > MaxReasonBytes {
		reason = reason[:MaxReasonBytes]
	}
	return b.settle(name, handles, each, reason, func(q *queue, j *job, now int64) change {
		switch {
		case o.Release:
			return change{verb: verbRelease}
		case o.Dead || q.failedLocked(j):
			return change{verb: q.buriedVerb()}
		}
		delay := jittered(q.config.backoffDelay(j.attempts), q.config.Jitter)
		if o.HasDelay {
			delay = o.Delay
		}
		if delay == 0 {
			return change{verb: verbRetry}
		}
		return change{verb: verbRetry, at: now + delay}
	})
}

// Delete removes jobs in any state.
func (b *Broker) Delete(name []byte, ids []uint64) (int, brokers.Receipt, error) {
	return b.byID(name, ids, Ready|Delayed|Inflight|Dead, change{verb: verbDelete})
}

// byID applies one change to each of the jobs that are in the given states.
func (b *Broker) byID(name []byte, ids []uint64, states States, c change) (int, brokers.Receipt, error) {
	return b.changeEach(name, len(ids), func(q *queue, i int, now int64) (bool, *run) {
		j, cold := q.inStateLocked(ids[i], states)
		if j != nil {
			q.changeLocked(j, c, now, "")
		}
		return j != nil, cold
	})
}

// inStateLocked is the job with an id if it is in one of the states, or the run that has it.
func (q *queue) inStateLocked(id uint64, states States) (j *job, cold *run) {
	if j, ok := q.index.get(id); ok {
		if states.has(j.state) {
			return j, nil
		}
		return nil, nil
	}
	if r := q.coldWithLocked(id); r != nil && states.has(r.state()) {
		return nil, r
	}
	return nil, nil
}

// States is a set of job states.
type States uint8

const (
	Ready States = 1 << iota
	Delayed
	Inflight
	Dead
)

func (s States) has(state state) bool {
	switch state {
	case stateReady, stateCold:
		return s&Ready != 0
	case stateDelayed:
		return s&Delayed != 0
	case stateInflight:
		return s&Inflight != 0
	case stateDead:
		return s&Dead != 0
	}
	return false
}

// Purge removes the jobs in the given states that are there when it begins, in slices.
func (b *Broker) Purge(name []byte, states States) (int, brokers.Receipt, error) {
	return b.sliced(name, states, func(q *queue, j *job, now int64) {
		q.changeLocked(j, change{verb: verbDelete}, now, "")
	})
}

// sliced walks the jobs that exist when it begins, a slice per lock hold, and does something to those in the given states: to those in
// RAM in id order, and then to those on disk, a run at a time. Those in a run that cannot be read stay as they are.
func (b *Broker) sliced(name []byte, states States, do func(q *queue, j *job, now int64)) (int, brokers.Receipt, error) {
	var receipt brokers.Receipt
	end := b.numbers.lastID.Load()
	done := 0
	w := sweep{states: states, end: end, slice: make([]*job, 0, sliceJobs)}
	for begun := false; ; begun = true {
		q, err := b.locked(name)
		if err != nil {
			if begun && isNoQueue(err) {
				err = nil // dropped meanwhile: nothing is left to do
			}
			return done, receipt, err
		}
		finished := w.nextLocked(q)
		now := b.steady()
		for _, j := range w.slice {
			do(q, j, now)
		}
		var cold *run
		if finished {
			cold = w.runLocked(q)
		}
		done += len(w.slice)
		receipt = q.changedLocked(receipt)
		if cold != nil {
			w.ids = w.ids[:0]
			cold.ids(func(id uint64) { w.ids = append(w.ids, id) })
			w.passed.awaitLocked(q, cold)
			continue
		}
		b.release(q)
		if finished {
			return done, receipt, w.passed.err
		}
	}
}

// sweep is where sliced is.
type sweep struct {
	states States
	end    uint64
	cursor uint64   // in the index
	ids    []uint64 // of the run that has been fetched, once the index is done
	passed unread
	slice  []*job
}

// nextLocked takes the next slice, and tells whether the index and the run that was fetched are done.
func (w *sweep) nextLocked(q *queue) (finished bool) {
	w.slice = w.slice[:0]
	take := func(j *job) {
		if w.states.has(j.state) && j.id <= w.end {
			w.slice = append(w.slice, j)
		}
	}
	if w.cursor <= w.end {
		looked := 0
		q.index.ascend(w.cursor, func(id uint64, j *job) bool {
			if id > w.end || looked == sliceJobs {
				return false
			}
			looked++
			w.cursor = id + 1
			take(j)
			return true
		})
		if looked == sliceJobs {
			return false
		}
		w.cursor = w.end + 1
	}
	n := min(len(w.ids), sliceJobs)
	for _, id := range w.ids[:n] {
		if j, ok := q.index.get(id); ok {
			take(j)
		}
	}
	w.ids = w.ids[n:]
	return len(w.ids) == 0
}

// runLocked is a run to fetch: of jobs in one of the states, with an id up to the end.
func (w *sweep) runLocked(q *queue) (cold *run) {
	look := func(r *run) bool {
		if r.first <= w.end && !w.passed.runs[r] {
			cold = r
		}
		return cold == nil
	}
	for _, s := range [...]state{stateDelayed, stateInflight, stateDead} {
		if shelf := q.shelf(s); cold == nil && w.states.has(s) && shelf.away != nil {
			shelf.away.runs.scan(look)
		}
	}
	if cold != nil || w.states&Ready == 0 || q.ready.cold == 0 {
		return cold
	}
	q.ready.all(func(b *bucket) bool {
		for _, r := range b.runs() {
			if r.first > w.end || !look(r) {
				break
			}
		}
		return cold == nil
	})
	return cold
}
