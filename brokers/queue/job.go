package queue

import (
	"math/bits"

	"github.com/tidwall/btree"
)

type state uint8

const (
	statePending state = iota
	stateReady
	stateDelayed
	stateInflight
	stateDead
	stateGone
)

// job is one job. Its identity and body never change; the rest changes under the lock of its queue, after touch.
type job struct {
	id         uint64
	body       string
	extra      *extra // nil for most; replaced, never changed, so that a snapshot may share it
	owner      *Owner // whose connection the lease is bound to
	previous   *job   // neighbours in the ready list
	next       *job
	at         int64 // delayed: due (wall); in flight: lease end (steady); dead: when it failed (wall)
	pushedAt   int64 // wall
	expiresAt  int64 // wall; 0 never. It holds while the job waits, not while it is in flight
	deliveries uint64
	attempts   uint32
	generation uint32 // of the last snapshot that has this job's state, or in which it was born
	priority   uint8
	state      state
	listed     bool // ready and in its bucket's list, not in the tree beside it
	bound      bool // the lease ends with its connection
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

func newTimed() *btree.BTreeG[timed] {
	return btree.NewBTreeGOptions(func(a, b timed) bool {
		if a.at != b.at {
			return a.at < b.at
		}
		return a.id < b.id
	}, btree.Options{NoLocks: true})
}

// bucket holds the ready jobs of one priority: a list in id order, and a tree of those that came back into its middle.
type bucket struct {
	head, tail *job
	count      int
	returned   *btree.Map[uint64, *job]
}

// first is the job to deliver next, nil when the bucket is empty.
func (b *bucket) first() *job {
	if b.returned != nil && b.returned.Len() > 0 {
		id, j, _ := b.returned.Min()
		if b.head == nil || id < b.head.id {
			return j
		}
	}
	return b.head
}

func (b *bucket) add(j *job) {
	b.count++
	switch {
	case b.tail == nil:
		b.head, b.tail = j, j
	case b.tail.id < j.id:
		j.previous, b.tail.next, b.tail = b.tail, j, j
	case j.id < b.head.id:
		j.next, b.head.previous, b.head = b.head, j, j
	default:
		if b.returned == nil {
			b.returned = &btree.Map[uint64, *job]{}
		}
		b.returned.Set(j.id, j)
		return
	}
	j.listed = true
}

func (b *bucket) remove(j *job) {
	b.count--
	if !j.listed {
		b.returned.Delete(j.id)
		return
	}
	if j.previous != nil {
		j.previous.next = j.next
	} else {
		b.head = j.next
	}
	if j.next != nil {
		j.next.previous = j.previous
	} else {
		b.tail = j.previous
	}
	j.previous, j.next, j.listed = nil, nil, false
}

// after is the next ready job behind id in this bucket. from is the job with that id, if the caller still has it: it
// saves the search when it is still listed.
func (b *bucket) after(id uint64, from *job) *job {
	var listed *job
	if from != nil && from.state == stateReady && from.listed {
		listed = from.next
	} else {
		for listed = b.head; listed != nil && listed.id <= id; listed = listed.next {
		}
	}
	if b.returned != nil {
		b.returned.Ascend(id+1, func(other uint64, j *job) bool {
			if listed == nil || other < listed.id {
				listed = j
			}
			return false
		})
	}
	return listed
}

// readySet is 256 buckets, made sixteen at a time when a priority is first used, and a bitmap of the non-empty ones.
type readySet struct {
	count   int
	bitmap  [4]uint64
	buckets [16]*[16]bucket
}

func (r *readySet) bucket(priority uint8) *bucket {
	group := r.buckets[priority>>4]
	if group == nil {
		group = new([16]bucket)
		r.buckets[priority>>4] = group
	}
	return &group[priority&15]
}

func (r *readySet) add(j *job) {
	r.bucket(j.priority).add(j)
	r.count++
	r.bitmap[j.priority>>6] |= 1 << (j.priority & 63)
}

func (r *readySet) remove(j *job) {
	b := r.bucket(j.priority)
	b.remove(j)
	r.count--
	if b.count == 0 {
		r.bitmap[j.priority>>6] &^= 1 << (j.priority & 63)
	}
}

// below is the highest non-empty priority at or below limit, -1 when there is none.
func (r *readySet) below(limit int) int {
	for word := limit >> 6; word >= 0; word-- {
		set := r.bitmap[word]
		if word == limit>>6 {
			set &= ^uint64(0) >> (63 - limit&63)
		}
		if set != 0 {
			return word<<6 + 63 - bits.LeadingZeros64(set)
		}
	}
	return -1
}

// first is the job to deliver next.
func (r *readySet) first() *job {
	priority := r.below(255)
	if priority < 0 {
		return nil
	}
	return r.bucket(uint8(priority)).first()
}

// oldest is the ready job with the lowest id, whatever its priority.
func (r *readySet) oldest() *job {
	var oldest *job
	for p := r.below(255); p >= 0; p = r.below(p - 1) {
		if j := r.bucket(uint8(p)).first(); oldest == nil || j.id < oldest.id {
			oldest = j
		}
		if p == 0 {
			break
		}
	}
	return oldest
}
