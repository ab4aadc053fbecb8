package processtest

import (
	"fmt"
	"time"
)

// died adds what a kill makes possible to what was known.
func (q *queueOwner) died(at time.Time, clean bool) {
	q.diedAt = at
	leases := 0
	for _, j := range q.jobs {
		j.advance(at)
		if j.may(jobLeased) {
			leases++
		}
		if !clean || j.bound {
			j.died()
		}
	}
	q.count("leases at a kill", leases)
	if p := q.popping; p != nil && !p.bound {
		for _, j := range q.in(p.queue, jobReady, at) {
			lease := within(p.sent, at, p.lease)
			if j.may(jobLeased) {
				lease = span{minTime(lease.from, j.lease.from), maxTime(lease.to, j.lease.to)}
			}
			j.states, j.lease, j.handle, j.bound, j.leased, j.to = j.states|jobLeased, lease, "", false, true, j.to+1
		}
	}
	for queue := range q.queues {
		for id := range q.dropping[queue] {
			j := q.jobs[id]
			q.dropping[queue][id] = j.states
			j.states |= jobGone
		}
	}
	for _, j := range q.pushing {
		j.due.to, j.expiry.to = j.due.to.Add(late), j.expiry.to.Add(late)
	}
	q.popping = nil
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// compare reads every job of both queues, in every state.
func (q *queueOwner) compare(c *client) error {
	began := time.Now()
	for queue := range q.queues {
		if err := q.compareQueue(c, queue); err != nil {
			return err
		}
		// What moves on meanwhile is met again behind. What a job that ends takes out of a page may be missed: a push of which nobody
		// knows the ids is looked for twice.
		for _, state := range []string{"delayed", "inflight", "ready", "dead", "ready"} {
			if err := q.list(c, queue, state); err != nil {
				return err
			}
		}
	}
	if err := q.missing(c); err != nil {
		return err
	}
	q.pushing = nil
	for _, j := range q.jobs {
		if j.seen = false; j.is(jobDead) {
			q.count("dead letters at a start", 1)
		}
		if !j.due.from.IsZero() && j.due.from.After(q.diedAt) && j.due.to.Before(began) {
			if q.count("jobs due while dead", 1); j.is(jobDelayed) {
				if err := q.awaitDue(c, j); err != nil {
					return err
				}
			}
		}
	}
	for key := range q.keys {
		if q.random.IntN(4) == 0 {
			if err := q.pushKeyed(c, key); err != nil {
				return err
			}
		}
	}
	return nil
}

// compareQueue tells whether a queue is there that must be, and makes it otherwise.
func (q *queueOwner) compareQueue(c *client, queue int) error {
	reply, err := q.ask(c, "QEXISTS", q.queues[queue])
	if err != nil {
		return err
	}
	switch there := reply == int64(1); {
	case there:
		for id, states := range q.dropping[queue] {
			q.jobs[id].states = states
		}
		q.dropping[queue] = nil
	case q.dropping[queue] != nil:
		q.dropped(queue)
	case q.made[queue]:
		q.problem("queue %s is lost", q.queues[queue])
		return errRefuted
	}
	if err := q.create(c, queue); err != nil {
		return err
	}
	cold, err := q.ask(c, "QINFO", q.queues[queue])
	if err != nil {
		return err
	}
	for i, field := range cold.([]any) {
		if field == "ready-on-disk" {
			n := cold.([]any)[i+1].(int64)
			q.count("jobs on disk at a start", int(n))
			q.onDisk = q.onDisk && queue == 1 || n > 0
		}
		if field == "timed-on-disk" {
			q.count("delayed, leased and dead jobs on disk at a start", int(cold.([]any)[i+1].(int64)))
		}
	}
	return nil
}

// list reads the jobs of a queue that are in a state. The clock may move some on meanwhile; nobody else does.
func (q *queueOwner) list(c *client, queue int, state string) error {
	before, err := q.ask(c, "QLEN", q.queues[queue], state)
	if err != nil {
		return err
	}
	found := int64(0)
	for next := int64(0); next >= 0; {
		reply, err := q.ask(c, "QPEEK", q.queues[queue], "STATE", state, "OFFSET", next, "COUNT", 1000)
		if err != nil {
			return err
		}
		page := reply.([]any)
		next = page[1].(int64)
		for _, item := range page[2].([]any) {
			if found++; !q.look(item, queue) {
				return errRefuted
			}
		}
	}
	after, err := q.ask(c, "QLEN", q.queues[queue], state)
	moving := int64(0)
	for _, j := range q.in(queue, jobWaits|jobLeased|jobDead, time.Now().Add(early)) {
		if !j.expiry.from.IsZero() || j.states&(j.states-1) != 0 {
			moving++
		}
	}
	if n := before.(int64); err == nil && before == after && max(found-n, n-found) > moving {
		q.problem("%s has %d jobs that are %s, and shows %d", q.queues[queue], n, state, found)
	}
	return err
}

// look compares one job that is there.
func (q *queueOwner) look(item any, queue int) bool {
	v, err := viewOf(item)
	if err != nil {
		q.problem("%v", err)
		return false
	}
	j := q.jobs[v.id]
	if j == nil {
		if how, ended := q.gone[v.id]; ended {
			q.problem("job %d is there, %v in %s, although %s", v.id, v.state, q.queues[queue], how)
			return false
		}
		if j = q.unanswered(v); j == nil {
			q.problem("job %d in %s holds %.60q, which nobody pushed, or which was not there before", v.id, q.queues[queue], v.payload)
			return false
		}
	}
	j.advance(time.Now())
	if wrong := j.agrees(v, queue); wrong != "" {
		q.problem("job %d of %s after a start: %s", v.id, q.queues[queue], wrong)
		return false
	}
	j.seen = true
	return true
}

// unanswered finds the job among those whose push was under way.
func (q *queueOwner) unanswered(v jobView) *ownedJob {
	producer, number, err := keyOf(v.payload)
	for _, j := range q.pushing {
		if err != nil || j.head != headOf(producer, number) || j.id != 0 {
			continue
		}
		if first, known := q.keys[j.key]; j.key != "" {
			if known && first != 0 {
				q.problem("key %s of job %d was forgotten: its duplicate became job %d", j.key, first, v.id)
			}
			q.keys[j.key] = v.id
		}
		j.id = v.id
		q.jobs[v.id] = j
		return j
	}
	return nil
}

// missing asks for the jobs that were in no list, one by one.
func (q *queueOwner) missing(c *client) error {
	for id, j := range q.jobs {
		for queue := range q.queues {
			if j.seen {
				break
			}
			reply, err := q.ask(c, "QGET", q.queues[queue], id)
			if err != nil {
				return err
			}
			if reply != nil && !isEmpty(reply) && !q.look(reply, queue) {
				return errRefuted
			}
		}
		switch j.advance(time.Now()); {
		case j.seen:
		case j.may(jobGone):
			q.end(j, "it was found to be gone")
			q.forgetKey(j, false)
		default:
			q.problem("job %d of %s is lost; it was %v", id, q.queues[j.queue], j.states)
			return errRefuted
		}
	}
	here, last := 0, uint64(0)
	for _, j := range q.pushing {
		if j.id == 0 {
			continue
		}
		if here++; j.id <= last {
			q.problem("jobs of one push have the ids %d and then %d", last, j.id)
		}
		last = j.id
	}
	if here != 0 && here != len(q.pushing) {
		q.problem("%d of the %d jobs of one push are there", here, len(q.pushing))
	}
	return nil
}

func isEmpty(reply any) bool {
	list, isList := reply.([]any)
	return isList && len(list) == 0
}

// awaitDue is for a job whose time came while the server was dead: it is not to wait any longer.
func (q *queueOwner) awaitDue(c *client, j *ownedJob) error {
	for deadline := time.Now().Add(late); ; time.Sleep(time.Millisecond) {
		reply, err := q.ask(c, "QGET", q.queues[j.queue], j.id)
		if err != nil {
			return err
		}
		v, err := viewOf(reply)
		if err == nil && v.state == jobReady {
			j.states = jobReady
			return nil
		}
		if time.Now().After(deadline) {
			q.problem("job %d was due at %v and is still %v (%v)", j.id, j.due.from, v.state, err)
			return errRefuted
		}
	}
}

// finish takes and acknowledges all that is ready.
func (q *queueOwner) finish(c *client) error {
	for queue := range q.queues {
		for {
			n, err := q.take(c, queue, 500, 30*time.Second, false)
			if err != nil {
				return err
			}
			if n == 0 {
				break
			}
			list := q.held(queue, n)
			reply, err := q.ask(c, append([]any{"QACK", q.queues[queue]}, handlesOf(list)...)...)
			if err != nil {
				return err
			}
			if reply != int64(len(list)) {
				q.problem("QACK of %d jobs counted %v", len(list), reply)
			}
			for _, j := range list {
				q.end(j, fmt.Sprint("it was acknowledged at the end as ", j.handle))
			}
		}
	}
	return nil
}
