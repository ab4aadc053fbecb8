package queue

import (
	"math"
	"slices"
	"sort"
)

// blockJobs is how many places a block of a list has at most.
const blockJobs = 256

// emptyPlaces is how many places an empty list keeps for the jobs to come.
const emptyPlaces = 64

// block is a stretch of a list: the jobs of places[low:], which have ids from from on, below the from of the next block.
type block struct {
	from   uint64
	low    int
	places []*job
}

func (b *block) jobs() []*job { return b.places[b.low:] }

// jobList holds jobs in id order, in blocks. At its ends, where nearly all jobs come and go, nothing is searched or moved; in the
// middle a job is found by halving and moves the places of one block. So is the job behind any id, and a position costs a look
// at every block.
type jobList struct {
	blocks []block // none is empty, but for the only one
	count  int
	cost   int64
}

// first is the job with the lowest id, nil when there is none.
func (l *jobList) first() *job {
	if l.count == 0 {
		return nil
	}
	b := &l.blocks[0]
	return b.places[b.low]
}

// last is the job with the highest id, nil when there is none.
func (l *jobList) last() *job {
	if l.count == 0 {
		return nil
	}
	b := &l.blocks[len(l.blocks)-1]
	return b.places[len(b.places)-1]
}

func (l *jobList) add(j *job) {
	if last := l.last(); last == nil || last.id < j.id {
		l.append(j)
	} else {
		l.insert(j)
	}
	j.listed = true
	l.count++
	l.cost += j.cost()
}

// append adds a job behind all others. The places that others have left in front of the last block's are taken before more are
// made, so a queue that stays short allocates none.
func (l *jobList) append(j *job) {
	if len(l.blocks) == 0 {
		l.blocks = append(l.blocks, block{from: j.id})
	}
	b := &l.blocks[len(l.blocks)-1]
	if l.count == 0 {
		b.from = j.id
	}
	if len(b.places) == cap(b.places) && b.low > 0 && b.low >= len(b.places)/2 {
		n := copy(b.places, b.jobs())
		clear(b.places[n:])
		b.places, b.low = b.places[:n], 0
	}
	if len(b.places) < blockJobs {
		b.places = append(roomFor(b.places), j)
		return
	}
	l.blocks = append(l.blocks, block{from: j.id, places: append(make([]*job, 0, blockJobs), j)})
}

// insert adds a job in front of the last one.
func (l *jobList) insert(j *job) {
	i := l.find(j.id)
	b := &l.blocks[i]
	b.from = min(b.from, j.id)
	at := b.low + firstAbove(b.jobs(), j.id)
	switch {
	case b.low > 0:
		copy(b.places[b.low-1:], b.places[b.low:at])
		b.low--
		b.places[at-1] = j
	case len(b.places) < blockJobs:
		b.places = slices.Insert(b.places, at, j)
	default:
		upper := append(make([]*job, 0, blockJobs), b.places[blockJobs/2:]...)
		clear(b.places[blockJobs/2:])
		b.places = b.places[:blockJobs/2]
		l.blocks = slices.Insert(l.blocks, i+1, block{from: upper[0].id, places: upper})
		l.insert(j)
	}
}

func (l *jobList) remove(j *job) {
	j.listed = false
	l.count--
	l.cost -= j.cost()
	i, b := 0, &l.blocks[0]
	if b.places[b.low] != j {
		i = l.find(j.id)
		b = &l.blocks[i]
	}
	if b.places[b.low] == j {
		b.places[b.low] = nil
		if b.low++; b.low < len(b.places) {
			return
		}
	} else {
		at := b.low + firstAbove(b.jobs(), j.id) - 1
		b.places = slices.Delete(b.places, at, at+1)
	}
	l.tidy(i)
}

// tidy takes a block out that has become empty, and puts one that has become small to the one before it: else a list from which
// jobs leave here and there would keep a block for every few of them.
func (l *jobList) tidy(i int) {
	b := &l.blocks[i]
	switch left := len(b.jobs()); {
	case len(l.blocks) == 1:
		if left == 0 {
			b.places, b.low = b.places[:0], 0
		}
		if left == 0 && cap(b.places) > emptyPlaces {
			b.places = nil
		}
	case i == 0:
		if left == 0 {
			*b = block{}
			l.blocks = l.blocks[1:]
		}
	default:
		before := &l.blocks[i-1]
		if left > 0 && len(before.jobs())+left > blockJobs/2 {
			return
		}
		if left > 0 {
			before.places, before.low = slices.Concat(before.jobs(), b.jobs()), 0
		}
		l.blocks = slices.Delete(l.blocks, i, i+1)
	}
}

// find is the block to which an id belongs.
func (l *jobList) find(id uint64) int {
	return sort.Search(len(l.blocks)-1, func(i int) bool { return l.blocks[i+1].from > id })
}

// after appends the jobs with ids above id, until out is full.
func (l *jobList) after(id uint64, out []*job) []*job {
	if l.count == 0 {
		return out
	}
	for i := l.find(id); i < len(l.blocks) && len(out) < cap(out); i++ {
		jobs := l.blocks[i].jobs()
		jobs = jobs[firstAbove(jobs, id):]
		out = append(out, jobs[:min(len(jobs), cap(out)-len(out))]...)
	}
	return out
}

// splice moves the jobs of another list, which lie behind all of this one, to its end.
func (l *jobList) splice(other *jobList) {
	if l.count == 0 {
		*l = jobList{}
	}
	if other.count > 0 {
		other.blocks[0].from = other.first().id // what it began with may be in this list now
		l.blocks = append(l.blocks, other.blocks...)
		l.count += other.count
		l.cost += other.cost
	}
	*other = jobList{}
}

// firstAbove is the index of the first job with an id above id, in jobs in id order.
func firstAbove(jobs []*job, id uint64) int {
	return sort.Search(len(jobs), func(i int) bool { return jobs[i].id > id })
}

// landmark is an id in a bucket, and how many jobs of its lists and runs have a lower one.
type landmark struct {
	id     uint64
	before int
}

// landmarks are the first ids of the blocks and runs of a bucket.
func (b *bucket) landmarks() []landmark {
	var back []block
	if l := b.back(); l != nil && l.count > 0 {
		back = l.blocks
	}
	marks, before := make([]landmark, 0, len(b.front.blocks)+len(b.runs())+len(back)), 0
	mark := func(id uint64, jobs int) {
		if jobs > 0 {
			marks = append(marks, landmark{id, before})
			before += jobs
		}
	}
	for i := range b.front.blocks {
		mark(b.front.blocks[i].from, len(b.front.blocks[i].jobs()))
	}
	for _, r := range b.runs() {
		mark(r.first, r.count)
	}
	for i := range back {
		from := back[i].from
		if i == 0 {
			from = b.back().first().id // the block may have begun with jobs that are in a run now
		}
		mark(from, len(back[i].jobs()))
	}
	return marks
}

// seek finds a place in front of the job at a position, in the order of delivery: behind the id after, where at jobs have passed. Between
// the place and the job there lies less than a block or a run, and what has returned into it.
func (b *bucket) seek(position int) (after uint64, at int) {
	marks := b.landmarks()
	i := sort.Search(len(marks), func(i int) bool { return marks[i].before+b.returnedBelow(marks[i].id) > position })
	if i == 0 {
		return 0, 0
	}
	mark := marks[i-1]
	return mark.id - 1, mark.before + b.returnedBelow(mark.id)
}

// returnedBelow is how many jobs of the tree have a lower id.
func (b *bucket) returnedBelow(id uint64) int {
	if b.returned() == nil {
		return 0
	}
	return sort.Search(b.returned().Len(), func(i int) bool {
		at, _, _ := b.returned().GetAt(i)
		return at >= id
	})
}

// upTo appends the jobs of the tree with ids above id and up to until, until out is full.
func (b *bucket) upTo(id, until uint64, out []*job) []*job {
	if b.returned() == nil || id == math.MaxUint64 {
		return out
	}
	b.returned().Ascend(id+1, func(at uint64, j *job) bool {
		if at > until || len(out) == cap(out) {
			return false
		}
		out = append(out, j)
		return true
	})
	return out
}
