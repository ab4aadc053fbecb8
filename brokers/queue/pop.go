package queue

import (
	"math"
	"runtime"
	"sync"

	"github.com/nexobroker/nexo/brokers"
)

// PopOptions say how jobs are taken.
type PopOptions struct {
	Count    int
	Lease    int64  // ms; 0: the job's or the queue's
	MaxBytes int    // of all bodies together, but never fewer than one job; 0: no limit
	Owner    *Owner // not nil: the leases end with it
	Cold     func() // called before jobs are waited for that come from a file, with no lock held; may be nil
}

// Delivery is one leased job.
type Delivery struct {
	ID, Number  uint64 // the handle
	Attempt     int64
	MaxAttempts int64
	Body        string
	Reason      string // of the last failure
	PushedAt    int64
	ExpiresAt   int64
	LeaseUntil  int64
	Priority    uint8
}

// Handle names one delivery of one job. One that is not the current delivery of a job in flight is stale: it counts
// for nothing and changes nothing.
type Handle struct {
	ID, Delivery uint64
}

// Pop leases ready jobs and appends them to out; none when nothing is ready or the queue's output is paused. The receipt
// is empty but for the rare delivery number whose reservation is not yet synced.
func (b *Broker) Pop(name []byte, o *PopOptions, out []Delivery) ([]Delivery, brokers.Receipt, error) {
	before := len(out)
	for fetched := 0; ; {
		q, err := b.locked(name)
		if err != nil {
			return out, brokers.Receipt{}, err
		}
		// When what was fetched goes back to disk at once, fewer jobs will do.
		if r := q.coldForLocked(o); r != nil && (fetched < popFetches || q.ready.next() == nil) {
			if err := q.awaitLocked(r, o.Cold); err != nil {
				return out, brokers.Receipt{}, err
			}
			fetched++
			continue
		}
		out, receipt := q.popLocked(o, out)
		expiredOnly := len(out) == before && q.expiredInFrontLocked()
		b.release(q)
		if expiredOnly {
			runtime.Gosched()
			continue
		}
		return out, receipt, nil
	}
}

// expiredInFrontLocked tells that a pop without a job may find one behind the expired jobs that are still in front.
func (q *queue) expiredInFrontLocked() bool {
	return q.ready.next() != nil && !q.outputPausedLocked()
}

// popFetches is how many runs a pop waits for while it could take some jobs at once.
const popFetches = 32

// coldForLocked is the run to fetch before a pop, nil when what it may take is in RAM.
func (q *queue) coldForLocked(o *PopOptions) *run {
	if q.ready.cold == 0 && q.delayed.cold() == 0 || q.outputPausedLocked() {
		return nil
	}
	bytes := int64(o.MaxBytes)
	if bytes == 0 {
		bytes = math.MaxInt64
	}
	r := q.ready.coldBefore(max(o.Count, 1), bytes)
	if r == nil && q.ready.next() == nil {
		r = q.overdueLocked()
	}
	return r
}

func (q *queue) popLocked(o *PopOptions, out []Delivery) ([]Delivery, brokers.Receipt) {
	if q.outputPausedLocked() {
		return out, brokers.Receipt{}
	}
	out, safe := q.leaseLocked(o, out)
	// The next pop should not have to wait.
	if r := q.ready.coldBefore(prefetchJobs, prefetchBytes); r != nil && !q.broker.crowded() {
		q.fetchLocked(r)
	}
	seq := q.commitLocked(!safe)
	q.relieveLocked()
	if safe {
		return out, brokers.Receipt{}
	}
	return out, brokers.Receipt{Journal: q.broker.journal, Seq: seq, Durability: brokers.Always}
}

// A run is fetched ahead when fewer jobs, or bytes, than these lie in front of it.
const (
	prefetchJobs  = 2000
	prefetchBytes = 512 << 10
)

func (q *queue) outputPausedLocked() bool {
	return q.pausedOut != 0 && q.pausedOut > q.broker.steady()
}

// PopAny leases from the first of the queues that has a ready job; index says which.
func (b *Broker) PopAny(names [][]byte, o *PopOptions, out []Delivery) (_ []Delivery, index int, _ brokers.Receipt, _ error) {
	for _, name := range names {
		if err := CheckName(name); err != nil {
			return out, 0, brokers.Receipt{}, err
		}
	}
	for i, name := range names {
		more, receipt, err := b.Pop(name, o, out)
		if err != nil || len(more) > len(out) {
			return more, i, receipt, err
		}
	}
	return out, 0, brokers.Receipt{}, nil
}

// Waiter waits in line at one or several queues. The queue that serves it leases the jobs to it at that moment and then
// fires its channel; whoever waits must call Finish.
type Waiter struct {
	options PopOptions
	wake    chan struct{}

	mu      sync.Mutex
	done    bool // served, failed or finished: no queue may serve it any more
	jobs    []Delivery
	index   int
	receipt brokers.Receipt
	err     error
	places  []place
}

// place is a waiter's place in the line of one queue. The links belong to the queue's lock.
type place struct {
	waiter         *Waiter
	queue          *queue
	index          int
	previous, next *place
	linked         bool
}

// waiterList is the line at one queue, longest waiting first.
type waiterList struct {
	head, tail *place
	count      int
}

func (l *waiterList) add(p *place) {
	p.previous, p.next, p.linked = l.tail, nil, true
	if l.tail != nil {
		l.tail.next = p
	} else {
		l.head = p
	}
	l.tail = p
	l.count++
}

func (l *waiterList) remove(p *place) {
	if !p.linked {
		return
	}
	if p.previous != nil {
		p.previous.next = p.next
	} else {
		l.head = p.next
	}
	if p.next != nil {
		p.next.previous = p.previous
	} else {
		l.tail = p.previous
	}
	p.previous, p.next, p.linked = nil, nil, false
	l.count--
}

// failAll ends the wait of everybody in the line with an error.
func (l *waiterList) failAll(err error) {
	for p := l.head; p != nil; p = l.head {
		l.remove(p)
		w := p.waiter
		w.mu.Lock()
		if !w.done {
			w.done, w.err = true, err
			w.wake <- struct{}{}
		}
		w.mu.Unlock()
	}
}

// Wait joins the line at the queues, in their order, or takes jobs at once if one of them has some.
func (b *Broker) Wait(names [][]byte, o *PopOptions) (*Waiter, error) {
	w := &Waiter{options: *o, wake: make(chan struct{}, 1), places: make([]place, len(names))}
	for i, name := range names {
		q, err := b.locked(name)
		if err != nil {
			// An earlier queue may have served it already.
			b.Return(w)
			return nil, err
		}
		p := &w.places[i]
		p.waiter, p.queue, p.index = w, q, i
		repeated := false
		for k := range i {
			repeated = repeated || w.places[k].queue == q
		}
		w.mu.Lock()
		done := w.done
		w.mu.Unlock()
		if !done && !repeated {
			q.waiters.add(p)
			q.serveLocked()
		}
		b.release(q)
		if done {
			break
		}
	}
	return w, nil
}

// C fires once, when the waiter has been served or its wait has failed.
func (w *Waiter) C() <-chan struct{} { return w.wake }

// Finish leaves all lines and returns what the waiter was given, if anything: the jobs, from which of the queues, and what
// to wait for before they are shown. Call it whatever ended the wait; what is not passed on must be given back; Return does both.
func (w *Waiter) Finish() (jobs []Delivery, index int, receipt brokers.Receipt, err error) {
	w.mu.Lock()
	w.done = true
	w.mu.Unlock()
	for i := range w.places {
		p := &w.places[i]
		if q := p.queue; q != nil {
			q.mu.Lock()
			q.waiters.remove(p)
			q.mu.Unlock()
		}
	}
	return w.jobs, w.index, w.receipt, w.err
}

// Return finishes a waiter and gives back what it was given.
func (b *Broker) Return(w *Waiter) {
	jobs, index, _, _ := w.Finish()
	if len(jobs) > 0 {
		b.giveBack(w.places[index].queue, Handles(jobs))
	}
}

// Handles lists the handles of deliveries.
func Handles(jobs []Delivery) []Handle {
	handles := make([]Handle, len(jobs))
	for i := range jobs {
		handles[i] = Handle{jobs[i].ID, jobs[i].Number}
	}
	return handles
}

// serveLocked gives ready jobs to those who wait, one waiter after the other while there are jobs.
func (q *queue) serveLocked() {
	if q.waiters.head == nil || q.ready.count == 0 || q.dropped || q.broker.loading.Load() || q.outputPausedLocked() {
		return
	}
	for p := q.waiters.head; p != nil && q.ready.count > 0; p = q.waiters.head {
		w := p.waiter
		w.mu.Lock()
		if w.done {
			w.mu.Unlock()
			q.waiters.remove(p)
			continue
		}
		if r := q.coldForLocked(&w.options); r != nil && q.ready.next() == nil {
			q.fetchLocked(r) // it serves again
			w.mu.Unlock()
			return
		}
		jobs, receipt := q.popLocked(&w.options, nil)
		if len(jobs) > 0 {
			w.done, w.jobs, w.index, w.receipt = true, jobs, p.index, receipt
			w.wake <- struct{}{}
			q.counters.more().Woken++
			q.waiters.remove(p)
		}
		w.mu.Unlock()
		if len(jobs) == 0 && q.expiredInFrontLocked() {
			q.armLocked(q.broker.steady()) // it takes another slice of them and serves again
			return
		}
	}
}

// Owner is a connection to which leases are bound. When it closes they end, and their jobs go back uncounted.
type Owner struct {
	mu     sync.Mutex
	leases map[leaseKey]uint64 // to delivery numbers
}

type leaseKey struct {
	queue *queue
	id    uint64
}

// NewOwner returns an owner without leases.
func NewOwner() *Owner { return &Owner{leases: map[leaseKey]uint64{}} }

func (o *Owner) remember(q *queue, id, delivery uint64) {
	o.mu.Lock()
	o.leases[leaseKey{q, id}] = delivery
	o.mu.Unlock()
}

func (o *Owner) forget(q *queue, id uint64) {
	o.mu.Lock()
	delete(o.leases, leaseKey{q, id})
	o.mu.Unlock()
}

// Leases is how many leases are bound to the owner. Any goroutine.
func (o *Owner) Leases() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.leases)
}

// CloseOwner gives back what is bound to the owner. Nothing may be leased to it afterwards.
func (b *Broker) CloseOwner(o *Owner) {
	byQueue := map[*queue][]Handle{}
	o.mu.Lock()
	for key, delivery := range o.leases {
		byQueue[key.queue] = append(byQueue[key.queue], Handle{key.id, delivery})
	}
	o.mu.Unlock()
	for q, handles := range byQueue {
		b.giveBack(q, handles)
	}
}

// GiveBack returns deliveries that never reached their consumer: uncounted, to their places, and on to who waits next.
func (b *Broker) GiveBack(name []byte, handles []Handle) {
	b.directory.mu.RLock()
	q := b.directory.byName[string(name)]
	b.directory.mu.RUnlock()
	if q != nil {
		b.giveBack(q, handles)
	}
}

func (b *Broker) giveBack(q *queue, handles []Handle) {
	var passed unread // what is in these comes back when its lease ends
	for len(handles) > 0 {
		if b.enter() != nil {
			return
		}
		q.mu.Lock()
		if q.dropped {
			b.release(q)
			return
		}
		now := b.steady()
		var cold *run
		for n := 0; n < sliceJobs && len(handles) > 0; n++ {
			var j *job
			if j, cold = q.currentLocked(handles[0]); cold != nil && !passed.runs[cold] {
				break
			}
			if cold = nil; j != nil {
				q.changeLocked(j, change{verb: verbRelease}, now, "")
			}
			handles = handles[1:]
		}
		q.commitLocked(false)
		q.serveLocked()
		q.relieveLocked()
		if cold == nil {
			b.release(q)
		} else {
			passed.awaitLocked(q, cold)
		}
	}
}
