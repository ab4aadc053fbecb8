package processtest

import (
	"time"
)

// held are jobs that are leased for certain, and will be for a while.
func (q *queueOwner) held(queue, n int) []*ownedJob {
	now := time.Now()
	var list []*ownedJob
	for _, j := range q.in(queue, jobLeased, now) {
		if j.is(jobLeased) && j.handle != "" && now.Add(late).Before(j.lease.from) {
			list = append(list, j)
		}
	}
	return some(q.random, list, n)
}

// end notes that a job has ended for good.
func (q *queueOwner) end(j *ownedJob, how string) {
	j.states = jobGone
	delete(q.jobs, j.id)
	q.gone[j.id] = how
}

// forgetKey is for a job that is thrown away: its key ends with it. Before that is answered nobody knows.
func (q *queueOwner) forgetKey(j *ownedJob, certain bool) {
	if first, known := q.keys[j.key]; j.key == "" || !known || first != j.id && first != 0 {
		return
	}
	if q.keys[j.key] = 0; certain && j.queue == 0 { // what was moved may leave it
		delete(q.keys, j.key)
	}
}

func handlesOf(list []*ownedJob) (words []any) {
	for _, j := range list {
		words = append(words, j.handle)
	}
	return words
}

func (q *queueOwner) ack(c *client) error {
	queue := q.random.IntN(2)
	list := q.held(queue, 1+q.random.IntN(10))
	if len(list) == 0 {
		return nil
	}
	for _, j := range list {
		j.states |= jobGone
	}
	reply, err := q.ask(c, append([]any{"QACK", q.queues[queue]}, handlesOf(list)...)...)
	if err != nil {
		return err
	}
	if reply != int64(len(list)) {
		q.problem("QACK of %d leased jobs counted %v: %v", len(list), reply, handlesOf(list))
		return errRefuted
	}
	for _, j := range list {
		q.end(j, "its acknowledgement "+j.handle+" was acknowledged")
	}
	q.count("acks", len(list))
	return nil
}

// staleAck acknowledges a delivery whose job has ended, or was delivered again.
func (q *queueOwner) staleAck(c *client) error {
	for handle := range q.handles {
		stale := true
		for _, j := range q.jobs {
			stale = stale && (j.handle != handle || !j.may(jobLeased))
		}
		if !stale {
			return nil
		}
		for _, queue := range q.queues {
			if reply, err := q.ask(c, "QACK", queue, handle); err != nil {
				return err
			} else if reply != int64(0) {
				q.problem("QACK of the stale handle %s counted %v", handle, reply)
				return errRefuted
			}
		}
		return nil
	}
	return nil
}

// nack fails jobs, gives them up, or releases them.
func (q *queueOwner) nack(c *client) error {
	queue := q.random.IntN(2)
	list := q.held(queue, 1+q.random.IntN(5))
	if len(list) == 0 {
		return nil
	}
	words := append([]any{"QNACK", q.queues[queue]}, handlesOf(list)...)
	delay := jobBackoff
	way := q.random.IntN(4)
	switch way {
	case 0:
		words = append(words, "RELEASE")
	case 1:
		words = append(words, "DEAD", "REASON", "given up")
	case 2:
		delay = time.Duration(q.random.IntN(3000)) * time.Millisecond
		words = append(words, "DELAY", delay.Milliseconds())
	default:
		words = append(words, "REASON", "failed")
	}
	after := func(j *ownedJob) jobStates {
		switch {
		case way == 0:
			return jobReady
		case way == 1 || j.from >= j.limit:
			return jobDead
		case delay < time.Millisecond:
			return jobReady
		}
		return jobDelayed
	}
	sent := time.Now()
	for _, j := range list {
		j.states |= after(j)
		j.due = within(sent, sent.Add(late), delay)
		if way == 0 {
			j.from--
		}
	}
	reply, err := q.ask(c, words...)
	if err != nil {
		return err
	}
	if reply != int64(len(list)) {
		q.problem("QNACK of %d leased jobs counted %v", len(list), reply)
		return errRefuted
	}
	for _, j := range list {
		j.states, j.due = after(j), within(sent, time.Now(), delay)
		j.to, j.sure, j.leased = j.from, j.from, false
	}
	return nil
}

func (q *queueOwner) extend(c *client) error {
	queue := q.random.IntN(2)
	list := q.held(queue, 1+q.random.IntN(5))
	if len(list) == 0 {
		return nil
	}
	lease := []time.Duration{300 * time.Millisecond, 60 * time.Second}[q.random.IntN(2)]
	sent := time.Now()
	var before []span
	for _, j := range list {
		before = append(before, j.lease)
		if from := sent.Add(lease); from.Before(j.lease.from) {
			j.lease.from = from
		} else {
			j.lease.to = from.Add(late)
		}
	}
	reply, err := q.ask(c, append([]any{"QEXTEND", q.queues[queue], lease.Milliseconds()}, handlesOf(list)...)...)
	if err != nil {
		return err
	}
	if reply != int64(len(list)) {
		q.problem("QEXTEND of %d leased jobs, until %v, counted %v", len(list), before, reply)
		return errRefuted
	}
	for _, j := range list {
		j.lease = within(sent, time.Now(), lease)
	}
	return nil
}

// del deletes jobs in any state, in memory and on disk, and one that has ended.
func (q *queueOwner) del(c *client) error {
	queue := q.random.IntN(2)
	list := some(q.random, q.in(queue, jobWaits|jobLeased|jobDead, time.Now()), 1+q.random.IntN(6))
	words := []any{"QDEL", q.queues[queue]}
	certain := 0
	for _, j := range list {
		if words = append(words, j.id); !j.may(jobGone) {
			certain++
		}
		j.states |= jobGone
		q.forgetKey(j, false)
	}
	for id := range q.gone {
		words = append(words, id)
		break
	}
	if len(words) == 2 {
		return nil
	}
	reply, err := q.ask(c, words...)
	if err != nil {
		return err
	}
	if n := reply.(int64); n < int64(certain) || n > int64(len(list)) {
		q.problem("QDEL of %d to %d jobs counted %d: %v", certain, len(list), n, words)
		return errRefuted
	}
	for _, j := range list {
		q.forgetKey(j, true)
		q.end(j, "it was deleted")
	}
	if q.onDisk {
		q.count("jobs deleted on disk", len(list))
	}
	return nil
}

// purge deletes what is in some states.
func (q *queueOwner) purge(c *client) error {
	queue := q.random.IntN(2)
	states, words := jobStates(0), []any{"QPURGE", q.queues[queue]}
	for name, state := range map[string]jobStates{"READY": jobReady, "DELAYED": jobDelayed, "INFLIGHT": jobLeased, "DEAD": jobDead} {
		if q.random.IntN(2) == 0 {
			states, words = states|state, append(words, name)
		}
	}
	if states == 0 {
		states = jobWaits
	}
	before := map[uint64]jobStates{}
	certain := 0
	for _, j := range q.in(queue, states, time.Now()) {
		if before[j.id] = j.states; j.states&^states == 0 {
			certain++
		}
		j.states |= jobGone
		q.forgetKey(j, false)
	}
	reply, err := q.ask(c, words...)
	if err != nil {
		return err
	}
	now, possible := time.Now(), 0
	for _, j := range q.in(queue, states, now) {
		possible++
		was := before[j.id]
		if j.states&^states&^jobGone == 0 && was&^states == 0 {
			q.forgetKey(j, true)
			q.end(j, "it was purged")
			continue
		}
		j.states = j.states&^states | jobGone // it was purged, or had left these states, or came to them afterwards
		if was&states == 0 {
			j.states |= states & (jobReady | jobDead)
		}
		q.forgetKey(j, false)
	}
	if n := reply.(int64); n < int64(certain) || n > int64(possible) {
		q.problem("%v counted %d of %d to %d jobs", words, n, certain, possible)
		return errRefuted
	}
	if q.onDisk && states&jobReady != 0 {
		q.count("jobs deleted on disk", possible)
	}
	return nil
}

// drop drops a queue and makes it anew.
func (q *queueOwner) drop(c *client) error {
	queue := q.random.IntN(2)
	q.dropping[queue] = map[uint64]jobStates{}
	for _, j := range q.in(queue, jobWaits|jobLeased|jobDead, time.Now()) {
		q.dropping[queue][j.id] = j.states
	}
	if reply, err := q.ask(c, "QDROP", q.queues[queue]); err != nil {
		return err
	} else if reply != int64(1) {
		q.problem("QDROP of %s counted %v", q.queues[queue], reply)
	}
	q.dropped(queue)
	return q.create(c, queue)
}

func (q *queueOwner) dropped(queue int) {
	for id := range q.dropping[queue] {
		q.end(q.jobs[id], "its queue was dropped")
	}
	if queue == 0 {
		clear(q.keys)
	}
	q.dropping[queue], q.made[queue] = nil, false
}

// dead are the dead letters of a queue, and whether that is known of all jobs.
func (q *queueOwner) dead(queue int) (list []*ownedJob, certain bool) {
	certain = true
	soon := time.Now().Add(late)
	for _, j := range q.in(queue, jobDead|jobLeased, time.Now()) {
		if j.is(jobDead) {
			list = append(list, j)
		} else if j.may(jobDead) || j.to >= j.limit && j.lease.may(soon) {
			certain = false
		}
	}
	return list, certain
}

// revive says what replayed dead letters are afterwards, as far as is known before the answer, and then.
func revive(list []*ownedJob, states jobStates, due span, answered bool) {
	for _, j := range list {
		j.states |= states
		if j.due, j.from = due, 0; answered {
			j.states, j.to, j.sure, j.expiry, j.leased = states, 0, 0, span{}, false
		}
	}
}

func (q *queueOwner) replay(c *client) error {
	queue := q.random.IntN(2)
	all, _ := q.dead(queue)
	list := some(q.random, all, 1+q.random.IntN(4))
	if len(list) == 0 {
		return nil
	}
	verb, states, delay := "REPLAY", jobReady, time.Duration(0)
	if q.random.IntN(3) == 0 {
		verb = "DEL"
	}
	words := []any{"QDLQ", verb, q.queues[queue]}
	for _, j := range list {
		words = append(words, j.id)
	}
	if verb == "REPLAY" && q.random.IntN(2) == 0 {
		delay = time.Duration(50+q.random.IntN(2000)) * time.Millisecond
		words, states = append(words, "DELAY", delay.Milliseconds()), jobDelayed
	}
	sent := time.Now()
	if verb == "REPLAY" {
		revive(list, states, within(sent, sent.Add(late), delay), false)
	} else {
		for _, j := range list {
			j.states |= jobGone
			q.forgetKey(j, false)
		}
	}
	reply, err := q.ask(c, words...)
	if err != nil {
		return err
	}
	if reply != int64(len(list)) {
		q.problem("%v counted %v", words, reply)
		return errRefuted
	}
	if verb == "REPLAY" {
		revive(list, states, within(sent, time.Now(), delay), true)
		q.count("dead letters replayed", len(list))
		return nil
	}
	for _, j := range list {
		q.forgetKey(j, true)
		q.end(j, "it was deleted as a dead letter")
	}
	return nil
}

// replayAll takes all dead letters back, or deletes them.
func (q *queueOwner) replayAll(c *client) error {
	queue := q.random.IntN(2)
	list, certain := q.dead(queue)
	if !certain {
		return nil
	}
	revive(list, jobReady, span{}, false)
	reply, err := q.ask(c, "QDLQ", "REPLAY", q.queues[queue], "ALL")
	if err != nil {
		return err
	}
	if reply != int64(len(list)) {
		q.problem("QDLQ REPLAY %s ALL counted %v of %d", q.queues[queue], reply, len(list))
		return errRefuted
	}
	revive(list, jobReady, span{}, true)
	q.count("dead letters replayed", len(list))
	return nil
}

// replayInto takes all dead letters of the first queue into the second.
func (q *queueOwner) replayInto(c *client) error {
	list, certain := q.dead(0)
	if !certain {
		return nil
	}
	for _, j := range list {
		j.elsewhere = true
	}
	reply, err := q.ask(c, "QDLQ", "REPLAY", q.queues[0], "ALL", "TO", q.queues[1])
	if err != nil {
		return err
	}
	if reply != int64(len(list)) {
		q.problem("QDLQ REPLAY %s ALL TO %s counted %v of %d", q.queues[0], q.queues[1], reply, len(list))
		return errRefuted
	}
	revive(list, jobReady, span{}, true)
	for _, j := range list {
		j.queue, j.elsewhere = 1, false
	}
	q.count("dead letters replayed", len(list))
	return nil
}
