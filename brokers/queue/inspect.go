package queue

import (
	"runtime"
	"slices"
	"strings"

	"github.com/nexobroker/nexo/brokers"
)

// View is one job as it was when it was looked at. Times are wall-clock milliseconds, 0 where they do not apply.
type View struct {
	ID          uint64
	State       string
	Body        string
	Priority    uint8
	Attempts    int64
	MaxAttempts int64
	Deliveries  uint64
	PushedAt    int64
	DueAt       int64
	LeaseUntil  int64
	ExpiresAt   int64
	FailedAt    int64
	Reason      string
	Dedup       string
	Bound       bool
}

// String is the state's name as clients write it, in lower case.
func (s state) String() string {
	return [...]string{"pending", "ready", "delayed", "inflight", "dead", "gone"}[s]
}

func (q *queue) viewLocked(j *job) View {
	x := j.more()
	v := View{
		ID: j.id, State: j.state.String(), Body: j.body, Priority: j.priority, Attempts: int64(j.attempts),
		MaxAttempts: q.config.MaxAttempts, Deliveries: j.deliveries, PushedAt: j.pushedAt, ExpiresAt: j.expiresAt,
		Reason: x.reason, Dedup: x.dedup, Bound: j.bound && j.state == stateInflight,
	}
	if x.maxAttempts != 0 {
		v.MaxAttempts = x.maxAttempts
	}
	switch j.state {
	case stateDelayed:
		v.DueAt = j.at
	case stateInflight:
		v.LeaseUntil = q.broker.wallOf(j.at)
	case stateDead:
		v.FailedAt = j.at
	}
	return v
}

// Get looks at one job in any state.
func (b *Broker) Get(name []byte, id uint64) (View, bool, error) {
	q, err := b.locked(name)
	if err != nil {
		return View{}, false, err
	}
	j, ok := q.index.Get(id)
	if ok && j.state != statePending {
		view := q.viewLocked(j)
		b.release(q)
		return view, true, nil
	}
	var runs []*run
	q.ready.all(func(x *bucket) bool {
		if r := x.runWith(id); r != nil {
			b.spill.pin(r)
			runs = append(runs, r)
		}
		return true
	})
	b.release(q)
	return q.getCold(runs, id)
}

// getCold looks for a job in pinned runs.
func (q *queue) getCold(runs []*run, id uint64) (view View, found bool, err error) {
	for _, r := range runs {
		var jobs []*job
		if !found && err == nil {
			jobs, err = q.readRun(r)
		}
		q.broker.spill.unpin(r)
		if i := firstAbove(jobs, id-1); i < len(jobs) && jobs[i].id == id {
			q.mu.Lock()
			view, found = q.viewLocked(jobs[i]), true
			q.mu.Unlock()
		}
	}
	return view, found, err
}

// firstAbove is the index of the first job with an id above id, in jobs in id order.
func firstAbove(jobs []*job, id uint64) int {
	i, _ := slices.BinarySearchFunc(jobs, id, func(j *job, id uint64) int {
		if j.id <= id {
			return -1
		}
		return 1
	})
	return i
}

// Len counts the jobs in the given states.
func (b *Broker) Len(name []byte, states States) (int, error) {
	q, err := b.locked(name)
	if err != nil {
		return 0, err
	}
	defer b.release(q)
	return q.countLocked(states), nil
}

func (q *queue) countLocked(states States) int {
	n := 0
	if states&Ready != 0 {
		n += q.ready.count
	}
	if states&Delayed != 0 {
		n += q.delayed.Len()
	}
	if states&Inflight != 0 {
		n += q.inflight.Len()
	}
	if states&Dead != 0 {
		n += q.dead.Len()
	}
	return n
}

// peekScan is how many jobs one Peek with a search text looks at, at most.
const peekScan = 10_000

// Peek looks at up to count jobs of one state from offset on: ready ones in the order of delivery, delayed ones by due
// time, in-flight ones by lease end, dead ones newest first. With a text it returns only jobs whose payload holds it, and looks
// at 10,000 jobs at most. next is the offset to go on from, -1 at the end. Bodies of more than maxBytes together end the
// page early. The lock is held for a slice of jobs at a time and never while searching, so jobs that move meanwhile may
// be seen twice or not at all.
func (b *Broker) Peek(name []byte, state States, offset, count int, text string, maxBytes int) (views []View, total, next int, _ error) {
	at, bytes, budget := offset, 0, peekScan
	if text == "" {
		budget = count
	}
	c := &cursor{state: state, priority: unplaced}
	slice := make([]View, 0, min(budget, sliceJobs))
	for budget > 0 {
		q, err := b.locked(name)
		if err != nil {
			return nil, 0, -1, err
		}
		total = q.countLocked(state)
		steps, more := 0, false
		if at < total {
			steps, slice, more = c.sliceLocked(q, at, slice[:0], min(budget, sliceJobs))
		}
		if c.needed != nil {
			b.spill.pin(c.needed)
		}
		b.release(q)
		runtime.Gosched() // who waits for the lock takes it now; else this loop would take it again first, for up to a millisecond
		if err := c.read(q); err != nil {
			return nil, 0, -1, err
		}
		for i := range slice {
			if len(views) == count || (len(views) > 0 && bytes+len(slice[i].Body) > maxBytes) {
				return views, total, at, nil
			}
			at++
			budget--
			if text == "" || strings.Contains(slice[i].Body, text) {
				bytes += len(slice[i].Body) + viewOverheadBytes
				views = append(views, slice[i])
			}
		}
		if !more && steps == 0 {
			return views, total, -1, nil
		}
		slice = slice[:0]
	}
	if at >= total {
		return views, total, -1, nil
	}
	return views, total, at, nil
}

// viewOverheadBytes is about what a reply holds for a job besides its body.
const viewOverheadBytes = 400

// cursor is a place in the ready jobs of a queue between two slices. Jobs of the other states are found by position.
type cursor struct {
	state    States
	position int // of the next job
	priority int
	id       uint64
	job      *job
	needed   *run // to be read before it can go on
	opened   *run // the run that has been read
	cold     []*job
}

// read reads the run that the cursor needs, which is pinned, with no lock held.
func (c *cursor) read(q *queue) (err error) {
	if c.needed == nil {
		return nil
	}
	c.opened, c.needed = c.needed, nil
	c.cold, err = q.readRun(c.opened)
	q.broker.spill.unpin(c.opened)
	return err
}

// nextLocked is the next job of a bucket in the order of delivery. When that may be in a run which has not been read, that
// run is needed; one that ends in front of the offset is passed over without being read.
func (c *cursor) nextLocked(b *bucket, at int) *job {
	for {
		next := b.after(c.id, c.job)
		r := b.runAbove(c.id + 1)
		switch {
		case r == nil || next != nil && next.id <= max(r.first, c.id+1):
			return next
		case r == c.opened:
			if i := firstAbove(c.cold, c.id); i < len(c.cold) && (next == nil || c.cold[i].id < next.id) {
				return c.cold[i]
			}
			return next
		case c.id < r.first && (next == nil || next.id > r.last) && at-c.position >= r.count:
			c.position += r.count
			c.id, c.job = r.last, nil
		default:
			c.needed = r
			return nil
		}
	}
}

// unplaced is the priority of a cursor that has not looked yet.
const unplaced = 256

// passedJobs is how many jobs in front of the offset are passed over in one hold of the lock: that is a walk along a list, far
// less work per job than a view, and every hold has to wait for its turn among those who push and pop.
const passedJobs = 4 * sliceJobs

// sliceLocked goes on towards at, or from there takes up to n views, in at most a slice of steps. steps is 0 at the end.
func (c *cursor) sliceLocked(q *queue, at int, out []View, n int) (steps int, _ []View, more bool) {
	if c.state != Ready {
		return c.treeSliceLocked(q, at, out, n)
	}
	if c.priority == unplaced {
		c.priority = q.ready.below(255)
	}
	for (steps < sliceJobs || c.position < at && steps < passedJobs) && len(out) < n && c.priority >= 0 {
		b := q.ready.bucket(uint8(c.priority))
		if c.id == 0 && at-c.position >= b.count {
			// The whole bucket lies in front of the offset.
			c.position += b.count
			c.descend(q)
			steps++
			continue
		}
		j := c.nextLocked(b, at)
		steps++
		if c.needed != nil {
			return steps, out, true
		}
		if j == nil {
			c.descend(q)
			continue
		}
		c.id, c.job = j.id, j
		if c.position >= at {
			out = append(out, q.viewLocked(j))
		}
		c.position++
	}
	return steps, out, c.priority >= 0
}

func (c *cursor) descend(q *queue) {
	c.priority = q.ready.below(c.priority - 1)
	c.id, c.job = 0, nil
}

func (c *cursor) treeSliceLocked(q *queue, at int, out []View, n int) (int, []View, bool) {
	tree := q.delayed
	switch c.state {
	case Inflight:
		tree = q.inflight
	case Dead:
		tree = q.dead
	}
	size := tree.Len()
	i := at
	for ; i < size && len(out) < n; i++ {
		position := i
		if c.state == Dead {
			position = size - 1 - i
		}
		if t, ok := tree.GetAt(position); ok {
			out = append(out, q.viewLocked(t.job))
		}
	}
	return i - at, out, i < size
}

// PriorityCount is how many ready jobs a priority has.
type PriorityCount struct {
	Priority uint8
	Count    int
}

// Info is the state of one queue at one moment.
type Info struct {
	Ready, Delayed, Inflight, Dead, Pending int
	Waiters                                 int
	Bytes                                   int64
	Cold                                    int   // of the ready jobs, those on disk
	ColdBytes                               int64 // of Bytes, those on disk
	DedupKeys                               int
	PausedIn, PausedOut                     bool
	OldestReadyMS                           int64 // age of the job that would be delivered next; 0 when none
	Priorities                              []PriorityCount
	Counters                                Counters
	Config                                  Config
}

// Info describes a queue.
func (b *Broker) Info(name []byte) (Info, error) {
	q, err := b.locked(name)
	if err != nil {
		return Info{}, err
	}
	defer b.release(q)
	now := b.wall()
	info := Info{
		Ready: q.ready.count, Delayed: q.delayed.Len(), Inflight: q.inflight.Len(), Dead: q.dead.Len(),
		Pending: len(q.pending) - q.pendingAt, Waiters: q.waiters.count, Bytes: q.bytes, Cold: q.ready.cold, ColdBytes: q.cold, DedupKeys: q.dedup.Len(),
		PausedIn: q.pausedIn > now, PausedOut: q.pausedOut > now, Counters: q.counters, Config: q.config,
	}
	if q.ready.count > 0 {
		info.OldestReadyMS = max(now-q.ready.firstPushed(), 0)
	}
	for p := q.ready.below(255); p >= 0; p = q.ready.below(p - 1) {
		info.Priorities = append(info.Priorities, PriorityCount{uint8(p), q.ready.bucket(uint8(p)).count})
	}
	return info, nil
}

// Config is the configuration of a queue.
func (b *Broker) Config(name []byte) (Config, error) {
	q, err := b.locked(name)
	if err != nil {
		return Config{}, err
	}
	defer b.release(q)
	return q.config, nil
}

// Configure changes the configuration of a queue, all or nothing; it holds from the next event on.
func (b *Broker) Configure(name []byte, alter func(*Config) error) (brokers.Receipt, error) {
	q, err := b.locked(name)
	if err != nil {
		return brokers.Receipt{}, err
	}
	defer b.release(q)
	config := q.config
	if err := alter(&config); err != nil {
		return brokers.Receipt{}, err
	}
	if err := config.check(); err != nil {
		return brokers.Receipt{}, err
	}
	level := max(q.config.Sync, config.Sync)
	q.config = config
	seq := q.appendLocked(encodeCreate(nil, opConfig, q.number, "", config), level == brokers.Always)
	q.promoteLocked()
	q.armAllLocked(b.now())
	q.serveLocked()
	return brokers.Receipt{Journal: b.journal, Seq: seq, Durability: level}, nil
}

// Pause stops pushes (in), pops (out) or both until Resume or, when duration is not 0, for that many milliseconds. It
// survives a restart. Leased jobs may still be acknowledged and delayed jobs still become ready.
func (b *Broker) Pause(name []byte, in, out bool, duration int64) (brokers.Receipt, error) {
	until := int64(foreverMS)
	if duration > 0 {
		until = b.wall() + duration
	}
	return b.setPause(name, func(q *queue) {
		if in {
			q.pausedIn = until
		}
		if out {
			q.pausedOut = until
			q.armWallLocked(until)
		}
	})
}

// Resume ends every pause.
func (b *Broker) Resume(name []byte) (brokers.Receipt, error) {
	return b.setPause(name, func(q *queue) { q.pausedIn, q.pausedOut = 0, 0 })
}

func (b *Broker) setPause(name []byte, set func(*queue)) (brokers.Receipt, error) {
	q, err := b.locked(name)
	if err != nil {
		return brokers.Receipt{}, err
	}
	defer b.release(q)
	set(q)
	seq := q.appendLocked(q.encodePause(nil), q.config.Sync == brokers.Always)
	q.serveLocked()
	return q.receiptLocked(seq), nil
}

func (q *queue) encodePause(record []byte) []byte {
	record = header(record, opPause)
	record = appendUint(record, q.number)
	record = appendTime(record, q.pausedIn)
	return appendTime(record, q.pausedOut)
}
