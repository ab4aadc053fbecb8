package queue

type state uint8

const (
	statePending state = iota
	stateReady
	stateDelayed
	stateInflight
	stateDead
	stateGone
	stateCold // it was ready, and is in a run now: this object is the job's no more
)

// job is one job. Its times are steady. Its identity and body never change; the rest changes under the lock of its queue, after touch.
type job struct {
	id         uint64
	body       string
	extra      *extra // nil for most; replaced, never changed, so that a snapshot may share it
	at         int64  // delayed: due; in flight: lease end; dead: when it failed
	pushedAt   int64
	expiresAt  int64 // 0 never. It holds while the job waits, not while it is in flight
	deliveries uint64
	attempts   uint32
	generation uint32 // of the last snapshot that has this job's state, or in which it was born
	priority   uint8
	state      state
	listed     bool // ready and in a list of its bucket, not in the tree beside them
	bound      bool // the lease ends with its connection, which queue.owners has
	dated      bool // pending or delayed: due at a date of the wall, and in queue.dated
}

// extra is what few jobs have.
type extra struct {
	lease       int64 // 0: the queue's
	maxAttempts int64 // 0: the queue's
	dedup       string
	reason      string // of the last failure
}

func (j *job) more() extra {
	if j.extra == nil {
		return extra{}
	}
	return *j.extra
}

// beginAgain gives a dead letter its second life. What counted against the first one is over: its attempts, and its TTL, which
// would end the job on the spot although it was kept and asked back for. What says how it is to be worked on stays: priority,
// lease, MAXATTEMPTS. The caller has detached the job.
func (j *job) beginAgain() { j.attempts, j.expiresAt = 0, 0 }

// shift moves the times of a job.
func (j *job) shift(by int64) {
	j.pushedAt += by
	if j.at != 0 {
		j.at += by
	}
	if j.expiresAt != 0 {
		j.expiresAt += by
	}
}

// held tells that a job ends its state with a connection, which must find it in RAM.
func (j *job) held() bool { return j.bound && j.state == stateInflight }

// cost is the memory a job is counted with.
func (j *job) cost() int64 { return int64(len(j.body)) + jobOverheadBytes }

// jobOverheadBytes is what a job takes besides its body: the struct, its place in the index, allocation rounding.
const jobOverheadBytes = 160

// timed is a place in a tree ordered by time, then id.
type timed struct {
	at  int64
	id  uint64
	job *job
}

func (t timed) before(other timed) bool {
	if t.at != other.at {
		return t.at < other.at
	}
	return t.id < other.id
}
