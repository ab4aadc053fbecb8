package processtest

import (
	"fmt"
	"strings"
	"time"
)

// jobStates is a set of states in which a job may be.
type jobStates uint8

const (
	jobReady jobStates = 1 << iota
	jobDelayed
	jobLeased
	jobDead
	jobGone

	jobWaits = jobReady | jobDelayed
)

var jobStateNames = map[string]jobStates{"ready": jobReady, "delayed": jobDelayed, "inflight": jobLeased, "dead": jobDead}

func (s jobStates) String() string {
	var words []string
	for name, state := range jobStateNames {
		if s&state != 0 {
			words = append(words, name)
		}
	}
	if s&jobGone != 0 {
		words = append(words, "gone")
	}
	return "{" + strings.Join(words, " ") + "}"
}

const (
	early = 20 * time.Millisecond // clocks are read in milliseconds, by two processes
	late  = 5 * time.Second       // a timer of a busy machine
)

// span is when something happens, as far as it is known.
type span struct{ from, to time.Time }

// within is the span of what a command that was sent and answered at these times sets for so much later.
func within(sent, answered time.Time, d time.Duration) span {
	return span{sent.Add(d), answered.Add(d)}
}

func (s span) may(now time.Time) bool  { return !s.from.IsZero() && !now.Before(s.from.Add(-early)) }
func (s span) must(now time.Time) bool { return !s.from.IsZero() && now.After(s.to.Add(late)) }

// ownedJob is one job as its owner knows it: states and attempts that are possible, and when it leaves them by itself.
type ownedJob struct {
	id       uint64
	queue    int // of the owner's two
	head     string
	priority int64
	key      string // that it was pushed with
	limit    int64  // attempts

	states    jobStates
	elsewhere bool // it may have been moved to the other queue, ready
	due       span // of jobDelayed
	lease     span // of jobLeased
	expiry    span // of its first life; zero for none
	delivery  int64
	handle    string // of the last delivery that the owner has seen
	bound     bool
	leased    bool  // since the last change that was waited for: what became of it then no record may tell
	from, to  int64 // attempts
	sure      int64 // attempts in the last record that was waited for; those of leases are not
	seen      bool  // in the comparison under way
}

func (j *ownedJob) is(s jobStates) bool  { return j.states == s }
func (j *ownedJob) may(s jobStates) bool { return j.states&s != 0 }

// advance adds the states that a job may have come to by now, and takes away those that it must have left.
func (j *ownedJob) advance(now time.Time) {
	if j.may(jobDelayed) && j.due.may(now) {
		j.states |= jobReady
		if j.due.must(now) {
			j.states &^= jobDelayed
		}
	}
	if j.may(jobLeased) && j.lease.may(now) {
		if j.from < j.limit {
			j.states |= jobReady
		}
		if j.to >= j.limit {
			j.states |= jobDead
		}
		if j.lease.must(now) {
			j.states &^= jobLeased
		}
	}
	if j.may(jobWaits) && j.expiry.may(now) {
		j.states |= jobGone
	}
}

// died is the end of a server: the records of leases, and of their ends, may be lost; one that ends with its connection counts for
// nothing.
func (j *ownedJob) died() {
	j.from = min(j.from, j.sure)
	if !j.leased {
		return
	}
	j.states |= jobReady
	if j.bound {
		j.states &^= jobLeased
	} else {
		j.states |= jobLeased
	}
}

// jobView is a job as the server shows it.
type jobView struct {
	id                                       uint64
	state                                    jobStates
	payload, dedup                           string
	priority, attempts, deliveries           int64
	dueAt, leaseUntil, expiresAt, maxAttempt int64
}

func viewOf(reply any) (v jobView, err error) {
	fields, ok := reply.([]any)
	if !ok {
		return v, fmt.Errorf("not a job: %.100v", reply)
	}
	numbers := map[string]*int64{"priority": &v.priority, "attempts": &v.attempts, "deliveries": &v.deliveries, "due-at": &v.dueAt,
		"lease-until": &v.leaseUntil, "expires-at": &v.expiresAt, "max-attempts": &v.maxAttempt}
	for i := 0; i+1 < len(fields); i += 2 {
		name, _ := fields[i].(string)
		if number := numbers[name]; number != nil {
			*number, _ = fields[i+1].(int64)
			continue
		}
		switch text := fmt.Sprint(fields[i+1]); name {
		case "id":
			_, err = fmt.Sscan(text, &v.id)
		case "state":
			v.state = jobStateNames[text]
		case "payload":
			v.payload = text
		case "dedup":
			v.dedup = text
		}
	}
	if v.state == 0 || v.id == 0 {
		return v, fmt.Errorf("not a job: %.200v", fields)
	}
	return v, err
}

// agrees compares a job with what is shown of it, and takes over what was open. It answers what is wrong, "" for nothing.
func (j *ownedJob) agrees(v jobView, queue int) string {
	producer, number, err := keyOf(v.payload)
	if err != nil {
		return err.Error()
	}
	moved := j.elsewhere && queue != j.queue
	switch {
	case headOf(producer, number) != j.head:
		return fmt.Sprintf("it holds %s, not %s", headOf(producer, number), j.head)
	case queue != j.queue && !moved:
		return "it is in another queue"
	case moved && v.state != jobReady || !moved && j.states&v.state == 0:
		return fmt.Sprintf("it is %v, which it cannot be: %v", v.state, j.states)
	case v.priority != j.priority || v.dedup != j.key:
		return fmt.Sprintf("priority %d, key %q, not %d, %q", v.priority, v.dedup, j.priority, j.key)
	case !moved && (v.attempts < j.from || v.attempts > j.to):
		return fmt.Sprintf("%v with %d attempts, not %d to %d", v.state, v.attempts, j.from, j.to)
	case v.state == jobLeased && j.handle != "" && j.is(jobLeased) && v.deliveries != j.delivery:
		return fmt.Sprintf("leased as delivery %d, not %d", v.deliveries, j.delivery)
	case v.state == jobDelayed && (v.dueAt < j.due.from.Add(-early).UnixMilli() || v.dueAt > j.due.to.Add(early).UnixMilli()):
		return fmt.Sprintf("due at %d, not between %d and %d", v.dueAt, j.due.from.UnixMilli(), j.due.to.UnixMilli())
	}
	j.queue, j.elsewhere, j.states = queue, false, v.state
	j.from, j.to, j.sure = v.attempts, v.attempts, v.attempts
	switch v.state {
	case jobDelayed:
		j.due = at(v.dueAt)
	case jobLeased:
		j.lease, j.delivery, j.handle = at(v.leaseUntil), v.deliveries, fmt.Sprintf("%d-%d", j.id, v.deliveries)
	}
	if v.expiresAt == 0 {
		j.expiry = span{}
	}
	return ""
}

// at is a time that is known to the millisecond.
func at(ms int64) span { return span{time.UnixMilli(ms), time.UnixMilli(ms)} }
