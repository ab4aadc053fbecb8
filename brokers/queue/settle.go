package queue

import (
	"github.com/nexobroker/nexo/brokers"
)

// sliceJobs is how many jobs long work handles per hold of a queue's lock.
const sliceJobs = 1000

// currentLocked is the job in flight under the handle, nil when the handle is stale.
func (q *queue) currentLocked(h Handle) *job {
	j, ok := q.index.get(h.ID)
	if !ok || j.state != stateInflight || j.deliveries != h.Delivery {
		return nil
	}
	return j
}

// settle applies one change to each job that is in flight under its handle, in one record. each, if not nil, gets an
// entry per handle.
func (b *Broker) settle(name []byte, handles []Handle, each []bool, reason string, what func(q *queue, j *job, now int64) change,
) (settled int, _ brokers.Receipt, _ error) {
	q, err := b.locked(name)
	if err != nil {
		return 0, brokers.Receipt{}, err
	}
	defer b.release(q)
	now := b.steady()
	for i, h := range handles {
		j := q.currentLocked(h)
		if each != nil {
			each[i] = j != nil
		}
		if j == nil {
			continue
		}
		q.changeLocked(j, what(q, j, now), now, reason)
		settled++
	}
	receipt := q.receiptLocked(q.commitLocked(q.config.Sync == brokers.Always))
	q.serveLocked()
	return settled, receipt, nil
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

// byID applies one change to each of the jobs that are in the given states: in one record, unless some must come from disk first.
func (b *Broker) byID(name []byte, ids []uint64, states States, c change) (changed int, receipt brokers.Receipt, _ error) {
	for {
		q, err := b.locked(name)
		if err != nil {
			return changed, receipt, err
		}
		now := b.steady()
		var cold *run
		for ; len(ids) > 0; ids = ids[1:] {
			j, ok := q.index.get(ids[0])
			if !ok {
				if states&Ready == 0 {
					continue // what is on disk is ready
				}
				if cold = q.ready.coldWith(ids[0]); cold != nil {
					break
				}
				continue
			}
			if states.has(j.state) {
				q.changeLocked(j, c, now, "")
				changed++
			}
		}
		if seq := q.commitLocked(q.config.Sync == brokers.Always); seq != 0 {
			receipt = q.receiptLocked(seq)
		}
		q.serveLocked()
		if cold == nil {
			b.release(q)
			return changed, receipt, nil
		}
		if err := q.awaitLocked(cold, nil); err != nil {
			return changed, receipt, err
		}
	}
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

// sliced walks the jobs that exist when it begins, in id order, a slice per lock hold, and does something to those in the
// given states.
func (b *Broker) sliced(name []byte, states States, do func(q *queue, j *job, now int64)) (int, brokers.Receipt, error) {
	var receipt brokers.Receipt
	end := b.numbers.lastID.Load()
	done := 0
	slice := make([]*job, 0, sliceJobs)
	limit := end
	for cursor := uint64(0); ; {
		q, err := b.locked(name)
		if err != nil {
			if cursor != 0 && isNoQueue(err) {
				err = nil // dropped meanwhile: nothing is left to do
			}
			return done, receipt, err
		}
		slice = slice[:0]
		looked := 0
		finished := true
		q.index.ascend(cursor, func(id uint64, j *job) bool {
			if id > limit {
				return false
			}
			if looked == sliceJobs {
				finished = false
				return false
			}
			looked++
			cursor = id + 1
			if states.has(j.state) {
				slice = append(slice, j)
			}
			return true
		})
		now := b.steady()
		for _, j := range slice {
			do(q, j, now)
		}
		var cold *run
		if finished && states&Ready != 0 {
			cold = q.runBeforeLocked(end)
		}
		done += len(slice)
		if seq := q.commitLocked(q.config.Sync == brokers.Always); seq != 0 {
			receipt = q.receiptLocked(seq)
		}
		q.serveLocked()
		if cold != nil {
			// The jobs on disk come last, a run at a time.
			if err := q.awaitLocked(cold, nil); err != nil {
				return done, receipt, err
			}
			cursor, limit = cold.first, min(cold.last, end)
			continue
		}
		b.release(q)
		if finished {
			return done, receipt, nil
		}
	}
}

// runBeforeLocked is a run that holds an id up to end.
func (q *queue) runBeforeLocked(end uint64) (cold *run) {
	if q.ready.cold == 0 {
		return nil
	}
	q.ready.all(func(b *bucket) bool {
		if len(b.runs()) > 0 && b.runs()[0].first <= end {
			cold = b.runs()[0]
		}
		return cold == nil
	})
	return cold
}
