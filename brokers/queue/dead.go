package queue

import (
	"github.com/nexobroker/nexo/brokers"
)

// ReplayDead takes dead letters back: same id, attempts 0, original priority, no TTL, after a delay in milliseconds. Those that do
// not fit under MAXLEN stay dead; when none fits the queue is full.
func (b *Broker) ReplayDead(name []byte, ids []uint64, delay int64) (int, brokers.Receipt, error) {
	var full error
	revived, receipt, err := b.changeEach(name, len(ids), func(q *queue, i int, now int64) (bool, *run) {
		j, cold := q.inStateLocked(ids[i], Dead)
		if j == nil && cold == nil {
			return false, nil
		}
		if q.fullLocked() {
			full = q.errFullLocked()
			return false, nil
		}
		if j == nil {
			return false, cold
		}
		c := change{verb: verbRevive}
		if delay > 0 {
			c.at = now + delay
		}
		q.changeLocked(j, c, now, "")
		return true, nil
	})
	if err == nil && revived == 0 {
		err = full
	}
	return revived, receipt, err
}

func (q *queue) fullLocked() bool {
	return q.config.MaxLen > 0 && q.lenLocked() >= q.config.MaxLen
}

func (q *queue) errFullLocked() error {
	return brokers.Errorf("QFULL", "'%s' has %d of MAXLEN %d", q.name, q.lenLocked(), q.config.MaxLen)
}

// DeleteDead removes dead letters by id.
func (b *Broker) DeleteDead(name []byte, ids []uint64) (int, brokers.Receipt, error) {
	return b.byID(name, ids, Dead, change{verb: verbDelete})
}

// ReplayAllDead takes back every dead letter there is when it begins, oldest first, in slices: into its own queue, or into
// another one when to is not nil. It stops early when the target is full.
func (b *Broker) ReplayAllDead(name, to []byte) (int, brokers.Receipt, error) {
	if to != nil && string(to) != string(name) {
		return b.moveAllDead(name, to)
	}
	return b.eachDead(name, func(q *queue, j *job, now int64) bool {
		if q.fullLocked() {
			return false
		}
		q.changeLocked(j, change{verb: verbRevive}, now, "")
		return true
	})
}

// PurgeDead removes every dead letter there is when it begins, in slices.
func (b *Broker) PurgeDead(name []byte) (int, brokers.Receipt, error) {
	return b.eachDead(name, func(q *queue, j *job, now int64) bool {
		q.changeLocked(j, change{verb: verbDelete}, now, "")
		return true
	})
}

// eachDead does something that ends its being dead to each dead letter that exists when it begins, a slice per lock hold. Those in a run
// that cannot be read stay as they are.
func (b *Broker) eachDead(name []byte, do func(q *queue, j *job, now int64) bool) (done int, receipt brokers.Receipt, _ error) {
	var passed unread
	left := -1
	for {
		q, err := b.locked(name)
		if err != nil {
			if left >= 0 && isNoQueue(err) {
				err = nil // dropped meanwhile: nothing is left to do
			}
			return done, receipt, err
		}
		if left < 0 {
			left = q.dead.count()
		}
		full := false
		now := b.steady()
		jobs, cold := q.oldestDeadLocked(min(left, sliceJobs), &passed)
		for _, j := range jobs {
			if full = !do(q, j, now); full {
				break
			}
			left--
			done++
		}
		receipt = q.changedLocked(receipt)
		if err = passed.err; full && done == 0 {
			err = q.errFullLocked()
		}
		if cold != nil && left > 0 {
			passed.awaitLocked(q, cold)
			if passed.runs[cold] {
				left = max(left-cold.count, 0) // some may have come since
			}
			continue
		}
		finished := full || left <= 0 || len(jobs) == 0
		b.release(q)
		if finished {
			return done, receipt, err
		}
	}
}

// oldestDeadLocked is up to n of the oldest dead letters in RAM: those in front of the first run that is not passed over. That is the one
// to fetch when there are none.
func (q *queue) oldestDeadLocked(n int, passed *unread) (jobs []*job, cold *run) {
	if away := q.dead.away; away != nil {
		away.runs.scan(func(r *run) bool {
			if !passed.runs[r] {
				cold = r
			}
			return cold == nil
		})
	}
	jobs = make([]*job, 0, n)
	q.dead.hot.scan(func(t timed) bool {
		if len(jobs) == n || cold != nil && cold.from().before(t) {
			return false
		}
		jobs = append(jobs, t.job)
		return true
	})
	if len(jobs) > 0 {
		cold = nil
	}
	return jobs, cold
}

// moveAllDead moves dead letters to another queue, in slices of one record each. Those in a run that cannot be read stay where they are.
func (b *Broker) moveAllDead(name, to []byte) (done int, receipt brokers.Receipt, _ error) {
	var passed unread
	left := -1
	for {
		from, target, err := b.lockedPair(name, to)
		if err != nil {
			if left >= 0 && isNoQueue(err) {
				err = nil
			}
			return done, receipt, err
		}
		if left < 0 {
			left = from.dead.count()
		}
		n := min(left, sliceJobs)
		if room := target.config.MaxLen - target.lenLocked(); target.config.MaxLen > 0 && int64(n) > room {
			n = int(max(room, 0))
		}
		if err = passed.err; n == 0 && left > 0 && done == 0 {
			err = target.errFullLocked()
		}
		jobs, cold := from.oldestDeadLocked(n, &passed)
		if len(jobs) > 0 {
			level := max(from.config.Sync, target.config.Sync)
			seq := from.appendLocked(encodeMove(from.number, target.number, jobs), level == brokers.Always)
			target.lastSeq = seq
			receipt = brokers.Receipt{Journal: b.journal, Seq: seq, Durability: level}
			for _, j := range jobs {
				moveLocked(from, target, j)
			}
			target.serveLocked()
			target.relieveLocked()
		}
		done += len(jobs)
		left -= len(jobs)
		full := n == 0 || len(jobs) == 0 && cold == nil
		var back *fetch
		if cold != nil && n > 0 {
			back = from.fetchLocked(cold)
		}
		from.mu.Unlock()
		target.mu.Unlock()
		b.leave()
		switch {
		case full || left <= 0:
			return done, receipt, err
		case back != nil:
			<-back.done
			if passed.note(cold, back.err); back.err != nil {
				left = max(left-cold.count, 0) // some may have come since
			}
		}
	}
}

// lockedPair locks two queues in the order of their numbers, inside the world.
func (b *Broker) lockedPair(name, other []byte) (*queue, *queue, error) {
	if err := b.enter(); err != nil {
		return nil, nil, err
	}
	for _, n := range [][]byte{name, other} {
		if _, err := b.target(n, true); err != nil {
			b.leave()
			return nil, nil, err
		}
	}
	b.directory.mu.RLock()
	first, second := b.directory.byName[string(name)], b.directory.byName[string(other)]
	b.directory.mu.RUnlock()
	if first == nil || second == nil {
		b.leave()
		return nil, nil, errNoQueue(name)
	}
	low, high := first, second
	if low.number > high.number {
		low, high = high, low
	}
	low.mu.Lock()
	high.mu.Lock()
	if first.dropped || second.dropped {
		low.mu.Unlock()
		high.mu.Unlock()
		b.leave()
		return nil, nil, errNoQueue(name)
	}
	return first, second, nil
}

func encodeMove(from, to uint64, jobs []*job) []byte {
	record := header(nil, opMove)
	record = appendUint(record, from)
	record = appendUint(record, to)
	record = appendUint(record, uint64(len(jobs)))
	for _, j := range jobs {
		record = appendUint(record, j.id)
	}
	return record
}

// moveLocked takes a dead letter out of one queue and makes it ready in another, live and in replay. The job object stays
// behind unchanged, for a snapshot of its old queue may still need it.
func moveLocked(from, to *queue, j *job) {
	from.touchLocked(j)
	from.counters.more().MovedOut++
	from.forgetLocked(j)
	moved := *j
	moved.beginAgain()
	to.addLocked(&moved)
	to.counters.more().MovedIn++
	to.waitingLocked(&moved, 0)
}
