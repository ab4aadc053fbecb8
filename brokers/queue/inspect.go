package queue

import (
	"slices"

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
	return [...]string{"pending", "ready", "delayed", "inflight", "dead", "gone", "ready"}[s]
}

func (q *queue) viewLocked(j *job) View {
	x, now := j.more(), q.broker.time.Now()
	v := View{
		ID: j.id, State: j.state.String(), Body: j.body, Priority: j.priority, Attempts: int64(j.attempts),
		MaxAttempts: q.config.MaxAttempts, Deliveries: j.deliveries, PushedAt: now.WallOf(j.pushedAt),
		Reason: x.reason, Dedup: x.dedup, Bound: j.bound && j.state == stateInflight,
	}
	if x.maxAttempts != 0 {
		v.MaxAttempts = x.maxAttempts
	}
	if j.expiresAt != 0 {
		v.ExpiresAt = now.WallOf(j.expiresAt)
	}
	switch j.state {
	case stateDelayed:
		v.DueAt = now.WallOf(j.at)
	case stateInflight:
		v.LeaseUntil = now.WallOf(j.at)
	case stateDead:
		v.FailedAt = now.WallOf(j.at)
	}
	return v
}

// Get looks at one job in any state.
func (b *Broker) Get(name []byte, id uint64) (View, bool, error) {
	q, err := b.locked(name)
	if err != nil {
		return View{}, false, err
	}
	j, ok := q.index.get(id)
	if ok && j.state != statePending {
		view := q.viewLocked(j)
		b.release(q)
		return view, true, nil
	}
	cold := q.coldWithLocked(id)
	if cold == nil {
		b.release(q)
		return View{}, false, nil
	}
	shift := cold.dateShift()
	b.spill.pin(cold)
	b.release(q)
	jobs, err := q.readRun(cold)
	b.spill.unpin(cold)
	if err != nil {
		return View{}, false, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	j = jobs[slices.IndexFunc(jobs, func(j *job) bool { return j.id == id })]
	j.at += shift
	return q.viewLocked(j), true, nil
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
		n += q.delayed.count()
	}
	if states&Inflight != 0 {
		n += q.inflight.count()
	}
	if states&Dead != 0 {
		n += q.dead.count()
	}
	return n
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
	ColdTimed                               int   // of the delayed, in-flight and dead ones, those on disk
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
	now := b.steady()
	info := Info{
		Ready: q.ready.count, Delayed: q.delayed.count(), Inflight: q.inflight.count(), Dead: q.dead.count(),
		Pending: len(q.pending) - q.pendingAt, Waiters: q.waiters.count, Bytes: q.bytes,
		Cold: q.ready.cold, ColdTimed: q.coldJobsLocked() - q.ready.cold, ColdBytes: q.cold, DedupKeys: q.dedup.count(),
		PausedIn: q.pausedIn > now, PausedOut: q.pausedOut > now, Counters: q.counters.all(), Config: *q.config,
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
	return *q.config, nil
}

// Configure changes the configuration of a queue, all or nothing; it holds from the next event on.
func (b *Broker) Configure(name []byte, alter func(*Config) error) (brokers.Receipt, error) {
	q, err := b.locked(name)
	if err != nil {
		return brokers.Receipt{}, err
	}
	defer b.release(q)
	config := *q.config
	if err := alter(&config); err != nil {
		return brokers.Receipt{}, err
	}
	if err := config.check(); err != nil {
		return brokers.Receipt{}, err
	}
	level := max(q.config.Sync, config.Sync)
	q.config = b.shared(config)
	seq := q.appendLocked(encodeCreate(nil, opConfig, q.number, "", config), level == brokers.Always)
	q.promoteLocked()
	q.armAllLocked(b.steady())
	q.serveLocked()
	return brokers.Receipt{Journal: b.journal, Seq: seq, Durability: level}, nil
}

// Pause stops pushes (in), pops (out) or both until Resume or, when duration is not 0, for that many milliseconds. It
// survives a restart. Leased jobs may still be acknowledged and delayed jobs still become ready.
func (b *Broker) Pause(name []byte, in, out bool, duration int64) (brokers.Receipt, error) {
	until := int64(foreverMS)
	if duration > 0 {
		until = b.steady() + duration
	}
	return b.setPause(name, func(q *queue) {
		if in {
			q.pausedIn = until
		}
		if out {
			q.pausedOut = until
			q.armLocked(until)
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
	now := q.broker.time.Now()
	for _, until := range []int64{q.pausedIn, q.pausedOut} {
		if until != 0 && until != foreverMS {
			until = now.WallOf(until)
		}
		record = appendTime(record, until)
	}
	return appendTime(record, now.Wall)
}

func (q *queue) replayPause(r *reader) {
	q.pausedIn, q.pausedOut = r.time(), r.time()
	if r.err != nil || len(r.body) == 0 { // earlier versions did not say when the pause began
		return
	}
	made := r.time()
	for _, until := range []*int64{&q.pausedIn, &q.pausedOut} {
		if *until != foreverMS {
			*until = q.broker.resume(*until, made)
		}
	}
}
