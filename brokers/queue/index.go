package queue

import (
	"cmp"
	"slices"

	"github.com/tidwall/btree"
)

// tree is an ordered set that takes no memory before something has been in it.
type tree[T any] struct{ made *btree.BTreeG[T] }

func (t *tree[T]) set(less func(a, b T) bool, value T) {
	if t.made == nil {
		t.made = btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})
	}
	t.made.Set(value)
}

func (t *tree[T]) remove(value T) {
	if t.made != nil {
		t.made.Delete(value)
	}
}

func (t *tree[T]) count() int {
	if t.made == nil {
		return 0
	}
	return t.made.Len()
}

func (t *tree[T]) min() (least T, ok bool) {
	if t.made == nil {
		return least, false
	}
	return t.made.Min()
}

// at is the value at a position below count.
func (t *tree[T]) at(position int) T {
	value, _ := t.made.GetAt(position)
	return value
}

func (t *tree[T]) ascend(from T, visit func(T) bool) {
	if t.made != nil {
		t.made.Ascend(from, visit)
	}
}

func (t *tree[T]) descend(from T, visit func(T) bool) {
	if t.made != nil {
		t.made.Descend(from, visit)
	}
}

func (t *tree[T]) scan(visit func(T) bool) {
	if t.made != nil {
		t.made.Scan(visit)
	}
}

// fewJobs is how many jobs an index holds in one slice. Most queues of those who have very many are short.
const fewJobs = 32

// index finds jobs by id: in a slice in id order while there are few, in a tree from then on until it is empty.
type index struct {
	few  []*job
	many *btree.Map[uint64, *job]
}

func (x *index) count() int {
	if x.many != nil {
		return x.many.Len()
	}
	return len(x.few)
}

// roomFor makes places for short lists a few at a time: of very many of them half would be empty else.
func roomFor(places []*job) []*job {
	if len(places) < cap(places) || len(places) >= fewJobs {
		return places
	}
	return append(make([]*job, 0, len(places)+4), places...)
}

// place is where a job with this id is in the slice, or would be.
func (x *index) place(id uint64) (at int, found bool) {
	if n := len(x.few); n == 0 || x.few[n-1].id < id {
		return n, false // as most new ids are
	}
	at, found = slices.BinarySearchFunc(x.few, id, func(j *job, id uint64) int { return cmp.Compare(j.id, id) })
	return at, found
}

func (x *index) get(id uint64) (*job, bool) {
	if x.many != nil {
		return x.many.Get(id)
	}
	if at, found := x.place(id); found {
		return x.few[at], true
	}
	return nil, false
}

func (x *index) set(j *job) {
	if x.many != nil {
		x.many.Set(j.id, j)
		return
	}
	at, found := x.place(j.id)
	switch {
	case found:
		x.few[at] = j
	case len(x.few) < fewJobs:
		x.few = slices.Insert(roomFor(x.few), at, j)
	default:
		x.many = &btree.Map[uint64, *job]{}
		for _, other := range x.few {
			x.many.Set(other.id, other)
		}
		x.many.Set(j.id, j)
		x.few = nil
	}
}

func (x *index) remove(id uint64) {
	if x.many != nil {
		if x.many.Delete(id); x.many.Len() == 0 {
			x.many = nil
		}
		return
	}
	if at, found := x.place(id); found {
		x.few = slices.Delete(x.few, at, at+1)
	}
}

// ascend visits the jobs with ids from id on, lowest first.
func (x *index) ascend(id uint64, visit func(id uint64, j *job) bool) {
	if x.many != nil {
		x.many.Ascend(id, visit)
		return
	}
	at, _ := x.place(id)
	for ; at < len(x.few) && visit(x.few[at].id, x.few[at]); at++ {
		continue
	}
}

// copy is the index as it is now; neither changes with the other. It takes no longer for many jobs than for few.
func (x *index) copy() index {
	if x.many != nil {
		return index{many: x.many.Copy()}
	}
	return index{few: slices.Clone(x.few)}
}
