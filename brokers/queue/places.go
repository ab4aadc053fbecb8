package queue

import (
	"math"
	"slices"
	"sort"
)

// placesBlock is how many ids a block of places holds at most.
const placesBlock = 512

// places are the runs of a queue's shelves, and which of them has which job: in blocks in id order, eight to sixteen bytes for each.
type places struct {
	blocks []placeBlock // none is empty
	count  int          // of ids
	runs   []*run       // by slot; nil where there is none
	free   []uint32     // the slots without a run
}

// placeBlock is a stretch of ids from first on, below the first of the next block.
type placeBlock struct {
	first uint64
	ids   []idPlace // in order
}

// idPlace is the id, less the first of its block, and the slot of the run that has it.
type idPlace struct{ above, slot uint32 }

// with is the run that has an id, nil when none has.
func (p *places) with(id uint64) *run {
	if p == nil {
		return nil
	}
	at, in, found := p.find(id)
	if !found {
		return nil
	}
	return p.runs[p.blocks[at].ids[in].slot]
}

// find is the block to which an id belongs, -1 when it lies below all, and where in it the id is or would be.
func (p *places) find(id uint64) (at, in int, found bool) {
	at = sort.Search(len(p.blocks), func(i int) bool { return p.blocks[i].first > id }) - 1
	if at < 0 {
		return at, 0, false
	}
	b := &p.blocks[at]
	in = sort.Search(len(b.ids), func(i int) bool { return b.first+uint64(b.ids[i].above) >= id })
	return at, in, in < len(b.ids) && b.first+uint64(b.ids[in].above) == id
}

// holdsAny tells whether one of a run's jobs is in another.
func (p *places) holdsAny(r *run) (any bool) {
	r.ids(func(id uint64) { any = any || p.with(id) != nil })
	return any
}

// add takes a run, none of whose jobs is in another.
func (p *places) add(r *run) {
	if n := len(p.free); n > 0 {
		r.times.slot, p.free = p.free[n-1], p.free[:n-1]
		p.runs[r.times.slot] = r
	} else {
		r.times.slot = uint32(len(p.runs))
		p.runs = append(p.runs, r)
	}
	r.ids(func(id uint64) { p.set(id, r.times.slot) })
	p.count += r.count
}

func (p *places) set(id uint64, slot uint32) {
	at, in, _ := p.find(id)
	switch {
	case at < 0 && (len(p.blocks) == 0 || len(p.blocks[0].ids) == placesBlock || !p.blocks[0].lower(id)):
		p.blocks = slices.Insert(p.blocks, 0, placeBlock{first: id})
		at, in = 0, 0
	case at < 0:
		at, in = 0, 0
	case in == placesBlock && at+1 < len(p.blocks) && len(p.blocks[at+1].ids) < placesBlock && p.blocks[at+1].lower(id):
		at, in = at+1, 0 // or ids that come downward would have a block each
	case id-p.blocks[at].first > math.MaxUint32 || in == placesBlock:
		at, in = at+1, 0
		p.blocks = slices.Insert(p.blocks, at, placeBlock{first: id})
	case len(p.blocks[at].ids) == placesBlock:
		p.blocks = slices.Insert(p.blocks, at+1, p.blocks[at].split())
		p.set(id, slot)
		return
	}
	b := &p.blocks[at]
	b.ids = slices.Insert(b.ids, in, idPlace{uint32(id - b.first), slot})
}

// lower makes an id the first of the block, unless it lies too far below the others.
func (b *placeBlock) lower(id uint64) bool {
	by := b.first - id
	if by+uint64(b.ids[len(b.ids)-1].above) > math.MaxUint32 {
		return false
	}
	for i := range b.ids {
		b.ids[i].above += uint32(by)
	}
	b.first = id
	return true
}

// split takes the upper half out.
func (b *placeBlock) split() placeBlock {
	half := len(b.ids) / 2
	upper := placeBlock{first: b.first + uint64(b.ids[half].above), ids: slices.Clone(b.ids[half:])}
	by := upper.ids[0].above
	for i := range upper.ids {
		upper.ids[i].above -= by
	}
	b.ids = slices.Clone(b.ids[:half])
	return upper
}

// drop forgets a run and its jobs.
func (p *places) drop(r *run) {
	r.ids(p.remove)
	p.count -= r.count
	p.runs[r.times.slot] = nil
	p.free = append(p.free, r.times.slot)
}

func (p *places) remove(id uint64) {
	at, in, found := p.find(id)
	if !found {
		panic("BUG: a job of a run has no place")
	}
	b := &p.blocks[at]
	if b.ids = slices.Delete(b.ids, in, in+1); len(b.ids) == 0 {
		p.blocks = slices.Delete(p.blocks, at, at+1)
		return
	}
	if at == 0 || len(b.ids) > placesBlock/8 || len(p.blocks[at-1].ids)+len(b.ids) > placesBlock/2 {
		return
	}
	// Else a queue from which jobs leave here and there would keep a block for every few of them.
	before := &p.blocks[at-1]
	by := b.first - before.first
	if by+uint64(b.ids[len(b.ids)-1].above) > math.MaxUint32 {
		return
	}
	for _, place := range b.ids {
		before.ids = append(before.ids, idPlace{place.above + uint32(by), place.slot})
	}
	p.blocks = slices.Delete(p.blocks, at, at+1)
}

// ascend visits the ids from one on until visit returns false.
func (p *places) ascend(id uint64, visit func(id uint64, r *run) bool) {
	at, in, _ := p.find(id)
	for at = max(at, 0); at < len(p.blocks); at, in = at+1, 0 {
		b := &p.blocks[at]
		for ; in < len(b.ids); in++ {
			if !visit(b.first+uint64(b.ids[in].above), p.runs[b.ids[in].slot]) {
				return
			}
		}
	}
}

// all is every run.
func (p *places) all() []*run {
	if p == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(p.runs), func(r *run) bool { return r == nil })
}
