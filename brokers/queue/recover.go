package queue

import (
	"fmt"
	"math"
)

// recovery is what replay knows besides the queues.
type recovery struct {
	last       mark
	maxID      uint64
	snapshotAt int64 // the wall's time of the snapshot; 0 when there is none, or none is told
}

// recover replays the journal and begins a new life.
func (b *Broker) recover() error {
	b.loading.Store(true)
	b.everCold = idSet{}
	var state recovery
	size := int64(0)
	err := b.journal.Replay(func(body []byte) error {
		size += int64(len(body))
		return b.replay(body, &state)
	})
	if err != nil {
		return fmt.Errorf("replaying the queue journal: %w", err)
	}
	b.snapshotBytes.Store(max(size-b.journal.LogBytes(), 0))
	b.snapshotLive.Store(b.snapshotBytes.Load())
	n := &b.numbers
	n.floor, n.lifeFirstID = state.last.floor, state.last.lifeFirstID
	last := max(state.maxID, state.last.lastID)
	if !state.last.clean {
		last = max(last, state.last.reservedID)
		n.floor = max(n.floor, state.last.reservedDelivery)
		n.lifeFirstID = last + 1
	}
	n.lastID.Store(last)
	b.journal.Notify(b.notify)
	// A reserve that asks for what is one above everything given makes the first mark of this life.
	b.reserve(last, max(n.floor, state.last.reservedDelivery))
	b.endBoundLeases()
	b.loading.Store(false)
	b.everCold = nil
	if size >= freedLeast && b.options.Freed != nil {
		go b.options.Freed() // what the replay left behind
	}
	for _, q := range b.queues() {
		q.mu.Lock()
		now := b.steady()
		q.expireRunsLocked(now)
		q.fetchDueLocked(now)
		q.armAllLocked(now)
		q.mu.Unlock()
	}
	return nil
}

// endBoundLeases gives back the jobs of connections that ended with the last life.
func (b *Broker) endBoundLeases() {
	now := b.steady()
	for _, q := range b.queues() {
		q.mu.Lock()
		var bound []*job
		q.inflight.hot.scan(func(t timed) bool {
			if t.job.bound {
				bound = append(bound, t.job)
			}
			return true
		})
		for _, j := range bound {
			q.changeLocked(j, change{verb: verbRelease}, now, "")
		}
		q.commitLocked(false)
		q.mu.Unlock()
	}
}

// replay applies one record. A repair of the log may have lost any record before it; a change of what is not there for that
// reason is passed over, or no repair would let the server start again.
func (b *Broker) replay(body []byte, state *recovery) error {
	if len(body) < 2 || body[0] != formatVersion {
		return fmt.Errorf("%w: unknown version", errDamaged)
	}
	op := body[1]
	r := &reader{body: body[2:]}
	if op == opMark {
		state.last = decodeMark(r)
		state.snapshotAt = max(state.snapshotAt, state.last.at)
		return r.err
	}
	// Numbers given after a clean mark belong to a life of their own.
	state.last.clean = false
	number := r.uint()
	if op == opCreate {
		return b.replayCreate(number, r)
	}
	q, ok := b.directory.byNumber.Get(number)
	if r.err != nil {
		return damaged(op, "cut short or inconsistent")
	}
	if !ok {
		b.passedOver++
		return nil
	}
	switch op {
	case opConfig:
		q.config = b.shared(decodeConfig(r))
	case opDrop:
		b.replayDrop(q)
	case opPush, opPushAt:
		q.replayPush(op, r, state)
	case opChange:
		q.replayChange(r)
	case opMove:
		b.replayMove(q, r)
	case opPause:
		q.replayPause(r)
	case opJob:
		q.replayJob(r, state)
	case opDedup:
		q.replayDedup(r, state)
	case opCounters:
		q.counters.set(decodeCounters(r))
	case opRun, opTimedRun:
		q.replayRun(op, r, state)
	default:
		return damaged(op, "unknown kind")
	}
	if r.err == errDamaged {
		return damaged(op, "cut short or inconsistent")
	}
	q.relieveLocked()
	if b.hot() > b.options.JobMemory {
		b.spill.awaitRoom()
	}
	return r.err
}

func (b *Broker) replayCreate(number uint64, r *reader) error {
	name, config := r.text(), decodeConfig(r)
	d := &b.directory
	if r.err != nil || CheckName([]byte(name)) != nil {
		return damaged(opCreate, "bad name or configuration")
	}
	if older := d.byName[name]; older != nil {
		b.passedOver++ // that it was dropped has been lost
		b.replayDrop(older)
	}
	if _, taken := d.byNumber.Get(number); taken {
		return damaged(opCreate, "number given twice")
	}
	q := newQueue(b, number, name, config)
	d.byName[name] = q
	d.byNumber.Set(number, q)
	d.lastNumber = max(d.lastNumber, number)
	return nil
}

func (b *Broker) replayDrop(q *queue) {
	delete(b.directory.byName, q.name)
	b.directory.byNumber.Delete(q.number)
	q.dropped = true
	q.uncountLocked()
}

// resume is a time of the wall in a record, made at another time of the wall, as a steady time of this life: the wait from the one
// to the other is at most begun again. 0 is none.
func (b *Broker) resume(end, made int64) int64 {
	if end == 0 {
		return 0
	}
	return b.time.Resume(end, end-made)
}

func (q *queue) replayPush(op byte, r *reader, state *recovery) {
	b := q.broker
	p, n := decodePush(r)
	p.expires, p.dedupUntil = b.resume(p.expires, p.now), b.resume(p.dedupUntil, p.now)
	if p.dated = op == opPushAt; !p.dated {
		p.due = b.resume(p.due, p.now)
	}
	p.now = b.resume(p.now, p.now)
	for i := range n {
		var key string
		if p.dedupUntil != 0 {
			key = r.text()
		}
		body := r.text()
		id := p.firstID + uint64(i)
		if r.err != nil || id == 0 || q.replayFind(r, id) != nil { // ids begin at 1
			r.fail()
			return
		}
		j := q.newJobLocked(&p, id, body, key)
		q.waitingLocked(j, j.at)
		state.maxID = max(state.maxID, id)
	}
}

func (q *queue) replayChange(r *reader) {
	now, reason := r.time(), r.text()
	for len(r.body) > 0 {
		id, c := decodeChange(r, now)
		c.at = q.broker.resume(c.at, now)
		j := q.replayFind(r, id)
		if r.err != nil {
			return
		}
		// What was lost may be the push, or what brought the job into the state that the change began with: its end is right.
		if j == nil || c.verb == verbExtend && j.state != stateInflight {
			q.broker.passedOver++
			continue
		}
		q.applyLocked(j, c, q.broker.resume(now, now), reason)
	}
}

// replayDedup takes a key over for as long as its window was when it was pushed, which may have been another than it is now.
func (q *queue) replayDedup(r *reader, state *recovery) {
	b := q.broker
	key, id, until := r.text(), r.uint(), r.time()
	if r.err != nil || until <= b.steady() {
		return
	}
	wait := q.config.DedupWindow // the snapshot of an earlier version does not say when it was made
	if state.snapshotAt != 0 {
		wait = until - state.snapshotAt
	}
	q.rememberLocked(key, dedupEntry{id, b.time.Resume(until, wait)})
}

func (b *Broker) replayMove(q *queue, r *reader) {
	to, _ := b.directory.byNumber.Get(r.uint())
	n := r.many()
	for range n {
		j := q.replayFind(r, r.uint())
		if r.err != nil {
			return
		}
		if j == nil || to == nil {
			b.passedOver++
			continue
		}
		moveLocked(q, to, j)
	}
}

func (q *queue) replayJob(r *reader, state *recovery) {
	j := decodeJob(r)
	if r.err != nil || j.id == 0 || q.replayFind(r, j.id) != nil {
		r.fail()
		return
	}
	q.resumeJob(j, state.snapshotAt)
	q.addLocked(j)
	state.maxID = max(state.maxID, j.id)
	switch j.state {
	case stateReady, stateDelayed:
		q.waitingLocked(j, j.at)
	default:
		q.attachLocked(j, j.state, j.at)
	}
}

// resumeJob takes over the times of a job of a snapshot that was made at a time of the wall; 0 when that is not known.
func (q *queue) resumeJob(j *job, made int64) {
	if j.dated {
		q.dateLocked(j)
	}
	if made == 0 {
		return
	}
	b := q.broker
	if !j.dated {
		j.at = b.resume(j.at, made)
	}
	j.pushedAt, j.expiresAt = b.resume(j.pushedAt, made), b.resume(j.expiresAt, made)
}

// replayRun takes a run over from the snapshot. Runs come in front of the jobs that are in RAM, so that these find their places.
func (q *queue) replayRun(op byte, d *reader, state *recovery) {
	b := q.broker
	r := decodeRunOf(op, d)
	if d.err != nil {
		return
	}
	r.resume(b, state.snapshotAt)
	if !q.roomForRun(r) {
		d.fail()
		return
	}
	state.maxID = max(state.maxID, r.last)
	lost, err := b.spill.adopt(r)
	if err != nil {
		d.err, d.body = err, nil
		return
	}
	if lost {
		b.passedOver += uint64(r.count)
		q.counters.more().Deleted += uint64(r.count)
		return
	}
	r.listed = b.generation
	b.listed = append(b.listed, r)
	b.everCold.addRun(r)
	if r.times == nil {
		q.ready.take(r)
	} else {
		q.shelveLocked(r)
	}
	q.coolLocked(r)
	q.bytes += r.cost
	b.bytes.Add(r.cost)
	b.jobs.Add(int64(r.count))
	if r.expires != math.MaxInt64 {
		q.runExpiry.set(runExpiry.before, runExpiry{r.expires, r})
	}
}

// roomForRun tells whether a run of the snapshot has its place: ready ones come in order, and no job is in two runs of a shelf.
func (q *queue) roomForRun(r *run) bool {
	if r.times != nil {
		return !q.shelved.holdsAny(r)
	}
	bucket := q.ready.bucket(r.priority)
	runs := bucket.runs()
	last := len(runs) - 1
	return bucket.front.count == 0 && (last < 0 || runs[last].last < r.first && bucket.behind.back.count == 0)
}

// replayFind is the job with an id, nil when there is none or reading has failed.
func (q *queue) replayFind(r *reader, id uint64) *job {
	j, err := q.findLocked(id)
	if err != nil && r.err == nil {
		r.err, r.body = err, nil
	}
	if r.err != nil {
		return nil
	}
	return j
}
