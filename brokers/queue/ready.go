package queue

import (
	"math"
	"math/bits"
	"slices"
	"sort"

	"github.com/tidwall/btree"
)

// bucket holds the ready jobs of one priority; DESIGN.md draws it.
type bucket struct {
	count  int // of all
	front  jobList
	behind *behind // nil while nothing is on disk
}

// behind is what a bucket has besides its front when some of its jobs are on disk.
type behind struct {
	back         jobList
	runs         []*run
	returned     *btree.Map[uint64, *job]
	returnedCost int64
	hand         uint64 // an id: where the next look at the tree begins
	barren       int64  // returnedCost at the last look that found no run to make without fetching one, 0 when it did
}

// runs are the runs, lowest ids first.
func (b *bucket) runs() []*run {
	if b.behind == nil {
		return nil
	}
	return b.behind.runs
}

// back is the list behind the runs, nil when there is none.
func (b *bucket) back() *jobList {
	if b.behind == nil {
		return nil
	}
	return &b.behind.back
}

// returned is the tree beside the runs, nil when there is none.
func (b *bucket) returned() *btree.Map[uint64, *job] {
	if b.behind == nil {
		return nil
	}
	return b.behind.returned
}

// list is where a job with this id belongs unless it belongs in the tree; nil when it does for sure.
func (b *bucket) list(id uint64) *jobList {
	switch {
	case len(b.runs()) == 0 || id < b.runs()[0].first:
		return &b.front
	case id > b.behind.runs[len(b.behind.runs)-1].last:
		return &b.behind.back
	}
	return nil
}

// first is the job to deliver next, nil when the bucket is empty or that job is in a run.
func (b *bucket) first() *job {
	first := b.front.first()
	if b.returned() != nil {
		if id, j, ok := b.returned().Min(); ok && (first == nil || id < first.id) {
			first = j
		}
	}
	if len(b.runs()) > 0 && (first == nil || first.id > b.runs()[0].first) {
		return nil
	}
	return first
}

func (b *bucket) add(j *job) {
	b.count++
	if l := b.list(j.id); l != nil {
		l.add(j)
		return
	}
	if b.behind.returned == nil { // there are runs
		b.behind.returned = &btree.Map[uint64, *job]{}
	}
	b.behind.returned.Set(j.id, j)
	b.behind.returnedCost += j.cost()
}

func (b *bucket) remove(j *job) {
	b.count--
	b.unplace(j)
}

// unplace takes a job out of its list or the tree.
func (b *bucket) unplace(j *job) {
	if j.listed {
		b.list(j.id).remove(j)
		return
	}
	x := b.behind
	x.returned.Delete(j.id)
	if x.returnedCost -= j.cost(); len(x.runs) == 0 && x.returned.Len() == 0 {
		b.behind = nil
	}
}

// insert puts a run in its place. Its jobs have been unplaced and still count.
func (b *bucket) insert(r *run) {
	if b.behind == nil {
		b.behind = &behind{}
	}
	i, _ := slices.BinarySearchFunc(b.behind.runs, r.first, func(other *run, first uint64) int {
		if other.first < first {
			return -1
		}
		return 1
	})
	b.behind.runs = slices.Insert(b.behind.runs, i, r)
}

// drop takes a run out; its jobs no longer count. Without runs there is no back list.
func (b *bucket) drop(r *run) {
	x := b.behind
	i := slices.Index(x.runs, r)
	x.runs = slices.Delete(x.runs, i, i+1)
	b.count -= r.count
	if len(x.runs) > 0 {
		return
	}
	if b.front.splice(&x.back); x.returned == nil || x.returned.Len() == 0 {
		b.behind = nil
	}
}

// frontCost is what the jobs in front of the runs take, or most when it is more: those of the list, and those in the tree before the first
// run. The others of the tree, which lie behind the first jobs of a run, cannot be cut off the front, and make it no longer.
func (b *bucket) frontCost(most int64) int64 {
	cost := b.front.cost
	if b.returned() == nil || cost >= most {
		return min(cost, most)
	}
	end := uint64(math.MaxUint64)
	if len(b.runs()) > 0 {
		end = b.runs()[0].first
	}
	b.returned().Scan(func(id uint64, j *job) bool {
		if id < end {
			cost += j.cost()
		}
		return id < end && cost < most
	})
	return min(cost, most)
}

// lastInFront is the job with the highest id in front of the runs.
func (b *bucket) lastInFront() *job {
	last := b.front.last()
	if b.returned() == nil {
		return last
	}
	end := uint64(math.MaxUint64)
	if len(b.runs()) > 0 {
		end = b.runs()[0].first
	}
	b.returned().Descend(end, func(id uint64, j *job) bool {
		if last == nil || id > last.id {
			last = j
		}
		return false
	})
	return last
}

// firstBehind is the job with the lowest id behind the runs.
func (b *bucket) firstBehind() *job {
	first := b.behind.back.first()
	if b.behind.returned == nil {
		return first
	}
	b.behind.returned.Ascend(b.behind.runs[len(b.behind.runs)-1].last+1, func(id uint64, j *job) bool {
		if first == nil || id < first.id {
			first = j
		}
		return false
	})
	return first
}

// runAbove is the first run that may hold an id at or above id.
func (b *bucket) runAbove(id uint64) *run {
	i, _ := slices.BinarySearchFunc(b.runs(), id, func(r *run, id uint64) int {
		if r.last < id {
			return -1
		}
		return 1
	})
	if i == len(b.runs()) {
		return nil
	}
	return b.runs()[i]
}

// slot is the index of the run within or behind which an id lies that is not below all runs.
func (b *bucket) slot(id uint64) int {
	return sort.Search(len(b.behind.runs), func(i int) bool { return b.behind.runs[i].first > id }) - 1
}

// runWith is the run that holds an id, nil when there is none.
func (b *bucket) runWith(id uint64) *run {
	if r := b.runAbove(id); r != nil && r.holds(id) {
		return r
	}
	return nil
}

// readySet is 256 buckets and a bitmap of the non-empty ones. The bucket of the first priority that is used is in it, for most
// queues use one; the others are made sixteen at a time.
type readySet struct {
	count  int // in RAM and in runs
	cold   int // in runs
	bitmap [4]uint64
	first  bucket
	others *[16]*[16]bucket // nil while only one priority has been used
	one    uint8            // the priority of first, when used
	used   bool
}

func (r *readySet) bucket(priority uint8) *bucket {
	if !r.used {
		r.one, r.used = priority, true
	}
	if priority == r.one {
		return &r.first
	}
	if r.others == nil {
		r.others = new([16]*[16]bucket)
	}
	group := r.others[priority>>4]
	if group == nil {
		group = new([16]bucket)
		r.others[priority>>4] = group
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
	r.mark(j.priority, b)
}

// mark clears the bit of a bucket that has become empty.
func (r *readySet) mark(priority uint8, b *bucket) {
	if b.count == 0 {
		r.bitmap[priority>>6] &^= 1 << (priority & 63)
	}
}

// insert makes jobs that have been unplaced into a run.
func (r *readySet) insert(x *run) {
	r.bucket(x.priority).insert(x)
	r.cold += x.count
}

// take adds a run with its jobs.
func (r *readySet) take(x *run) {
	r.bucket(x.priority).count += x.count
	r.count += x.count
	r.bitmap[x.priority>>6] |= 1 << (x.priority & 63)
	r.insert(x)
}

// drop takes a run out with its jobs.
func (r *readySet) drop(x *run) {
	b := r.bucket(x.priority)
	b.drop(x)
	r.cold -= x.count
	r.count -= x.count
	r.mark(x.priority, b)
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

// all calls visit with every non-empty bucket, most urgent first, until it returns false.
func (r *readySet) all(visit func(b *bucket) bool) {
	for p := r.below(255); p >= 0; p = r.below(p - 1) {
		if !visit(r.bucket(uint8(p))) {
			return
		}
	}
}

// next is the job to deliver next; nil when there is none or it is in a run.
func (r *readySet) next() *job {
	priority := r.below(255)
	if priority < 0 {
		return nil
	}
	return r.bucket(uint8(priority)).first()
}

// firstPushed is when the job to deliver next was pushed. There is one.
func (r *readySet) firstPushed() int64 {
	b := r.bucket(uint8(r.below(255)))
	if j := b.first(); j != nil {
		return j.pushedAt
	}
	return b.runs()[0].pushedAt
}

// coldBefore is the run to fetch before the next n jobs, or those that take bytes, can be taken; nil when they are in RAM.
func (r *readySet) coldBefore(n int, bytes int64) (cold *run) {
	if r.cold == 0 {
		return nil
	}
	r.all(func(b *bucket) bool {
		if len(b.runs()) > 0 && b.front.count < n && b.front.cost < bytes {
			cold = b.runs()[0]
			return false
		}
		n -= b.count
		return n > 0
	})
	return cold
}

// coldWith is the run that holds an id, nil when there is none.
func (r *readySet) coldWith(id uint64) (cold *run) {
	if r.cold == 0 {
		return nil
	}
	r.all(func(b *bucket) bool {
		cold = b.runWith(id)
		return cold == nil
	})
	return cold
}

// oldest is the ready job with the lowest id, whatever its priority, among those in front of the runs.
func (r *readySet) oldest() (oldest *job) {
	r.all(func(b *bucket) bool {
		if j := b.first(); j != nil && (oldest == nil || j.id < oldest.id) {
			oldest = j
		}
		return true
	})
	return oldest
}
