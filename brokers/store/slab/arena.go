package slab

import (
	"math/bits"
	"sync"
	"unsafe"
)

const (
	spanHeader = 48
	single     = 0xff // the class of a block that is the only one of its span
)

// Place says where a block lies in its span. It belongs to the block.
type Place struct{ class, slot uint8 }

// span is the beginning of a run. The owners of its blocks follow, a byte for each, then the blocks.
type span struct {
	next, prev spanLink  // in the list of those with a free block
	live       [2]uint64 // a bit for each block in use; of a single block the pages of the span
	chunk      uint32
	index      uint32 // in Arena.spans
	class      uint8
	used       uint8 // blocks in use
}

// spanLink is the address of a span, 0 for none.
type spanLink uintptr

func (l *spanLink) span() *span { return *(**span)(unsafe.Pointer(l)) }

func linkTo(s *span) spanLink { return spanLink(unsafe.Pointer(s)) }

// spans is a list.
type spans struct{ first spanLink }

func (l *spans) push(s *span) {
	s.prev, s.next = 0, l.first
	if l.first != 0 {
		l.first.span().prev = linkTo(s)
	}
	l.first = linkTo(s)
}

func (l *spans) remove(s *span) {
	if s.next != 0 {
		s.next.span().prev = s.prev
	}
	if s.prev != 0 {
		s.prev.span().next = s.next
	} else {
		l.first = s.next
	}
}

// class is the spans of one size of blocks.
type class struct {
	partial spans // with a free block
	free    int32 // blocks
	blocks  int32 // free or not
}

// Arena is the blocks of some owners. Its methods may be called from any goroutine, but each block is its owner's.
type Arena struct {
	pool *Pool

	mu      sync.Mutex // taken with an owner locked, or none; what is below, and the heads of the spans
	loose   uint64     // a bit for each class that may have too many free blocks
	classes [len(shapes)]class
	spans   []spanLink // all of them, in any order
	outOf   *span      // out of use: not among the partial ones, and counted no more; see Begin
}

// NewArena makes an empty arena.
func NewArena(p *Pool) *Arena { return &Arena{pool: p} }

// Size is how many bytes a block of at least n bytes has.
func Size(n int) int {
	if n <= BlockMax {
		return layouts[classBySize[(n+7)/8]].size
	}
	return singlePages(n)*PageSize - spanHeader
}

func singlePages(n int) int { return (n + spanHeader + PageSize - 1) / PageSize }

// SizeOf is how many bytes a block has.
func SizeOf(block unsafe.Pointer, at Place) int {
	if at.class != single {
		return layouts[at.class].size
	}
	return spanOf(block, at).pages()*PageSize - spanHeader
}

// spanOf is the span that a block lies in.
func spanOf(block unsafe.Pointer, at Place) *span {
	offset := spanHeader
	if at.class != single {
		l := &layouts[at.class]
		offset = l.first + int(at.slot)*l.size
	}
	return (*span)(unsafe.Add(block, -offset))
}

func (s *span) pages() int {
	if s.class == single {
		return int(s.live[0])
	}
	return layouts[s.class].pages
}

func (s *span) run() Run { return Run{unsafe.Pointer(s), s.chunk, uint32(s.pages())} }

func (s *span) block(slot int) unsafe.Pointer {
	l := &layouts[s.class]
	return unsafe.Add(unsafe.Pointer(s), l.first+slot*l.size)
}

func (s *span) owner(slot int) *uint8 {
	return (*uint8)(unsafe.Add(unsafe.Pointer(s), spanHeader+slot))
}

// newSpan begins a span on a run of the pool.
func (a *Arena) newSpan(kind uint8, pages int) *span {
	run := a.pool.Get(pages)
	s := (*span)(run.Base)
	*s = span{chunk: run.chunk, index: uint32(len(a.spans)), class: kind}
	a.spans = append(a.spans, linkTo(s))
	return s
}

// giveUp gives back a span whose blocks are free.
func (a *Arena) giveUp(s *span) {
	last := len(a.spans) - 1
	a.spans[s.index] = a.spans[last]
	a.spans[s.index].span().index = s.index
	a.spans = a.spans[:last]
	if cap(a.spans) > 1024 && last < cap(a.spans)/4 {
		a.spans = append(make([]spanLink, 0, cap(a.spans)/2), a.spans...)
	}
	a.pool.Put(s.run())
}

// Alloc makes a block of at least n bytes for an owner. What it holds is undefined.
func (a *Arena) Alloc(owner uint8, n int) (block unsafe.Pointer, at Place) {
	a.mu.Lock()
	if n > BlockMax {
		s := a.newSpan(single, singlePages(n))
		s.live[0] = uint64(singlePages(n))
		a.mu.Unlock()
		return unsafe.Add(unsafe.Pointer(s), spanHeader), Place{class: single}
	}
	block, at = a.alloc(owner, classBySize[(n+7)/8])
	a.mu.Unlock()
	return block, at
}

func (a *Arena) alloc(owner, kind uint8) (block unsafe.Pointer, at Place) {
	c, per := &a.classes[kind], layouts[kind].per
	s := c.partial.first.span()
	if s == nil {
		s = a.newSpan(kind, layouts[kind].pages)
		c.partial.push(s)
		c.free += int32(per)
		c.blocks += int32(per)
	}
	slot := bits.TrailingZeros64(^s.live[0])
	if slot == 64 {
		slot += bits.TrailingZeros64(^s.live[1])
	}
	s.live[slot/64] |= 1 << (slot % 64)
	*s.owner(slot) = owner
	c.free--
	if s.used++; int(s.used) == per {
		c.partial.remove(s)
	}
	return s.block(slot), Place{kind, uint8(slot)}
}

// Free gives up a block, and tells whether there are too many free ones now: then somebody should begin to tighten the arena.
func (a *Arena) Free(block unsafe.Pointer, at Place) (loose bool) {
	if poisoned {
		poison(block, SizeOf(block, at))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s := spanOf(block, at)
	if at.class == single {
		a.giveUp(s)
		return a.loose != 0
	}
	c, per := &a.classes[at.class], layouts[at.class].per
	if s.class != at.class || s.live[at.slot/64]&(1<<(at.slot%64)) == 0 {
		panic("BUG: slab: a block that is not in use is freed")
	}
	s.live[at.slot/64] &^= 1 << (at.slot % 64)
	s.used--
	if s == a.outOf {
		return a.loose != 0
	}
	c.free++
	if int(s.used) == per-1 {
		c.partial.push(s)
	}
	if s.used == 0 {
		a.drop(c, s)
		a.giveUp(s)
	} else if c.slack(per) {
		a.loose |= 1 << at.class
	}
	return a.loose != 0
}

// drop takes a span that is not full out of its list and out of the counts.
func (a *Arena) drop(c *class, s *span) {
	per := int32(layouts[s.class].per)
	c.partial.remove(s)
	c.free -= per - int32(s.used)
	c.blocks -= per
}

// poison makes sure that nobody can go on with the block unnoticed.
func poison(block unsafe.Pointer, size int) {
	bytes := unsafe.Slice((*byte)(block), size)
	for i := range min(size, 64) {
		bytes[i] = 0xdb
	}
	for done := 64; done < size; done *= 2 {
		copy(bytes[done:], bytes[:done])
	}
}

// slack tells whether the class has more free blocks than it should.
func (c *class) slack(perSpan int) bool {
	return int(c.free) >= perSpan+max((perSpan+1)/2, int(c.blocks)/32)
}

// Owners is a set of owners of blocks.
type Owners [4]uint64

// Has tells whether an owner is in the set.
func (o *Owners) Has(owner uint8) bool { return o[owner/64]&(1<<(owner%64)) != 0 }

// emptiestOf bounds the search for the span that is best given up.
const emptiestOf = 32

// Begin takes a span out of use whose blocks fit into others, and tells whose they are; false when there is nothing to tighten, or
// another one has begun. Move must follow for each of the owners, and End.
func (a *Arena) Begin() (owners Owners, found bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.loose != 0 && a.outOf == nil {
		kind := uint8(bits.TrailingZeros64(a.loose))
		c := &a.classes[kind]
		if !c.slack(layouts[kind].per) {
			a.loose &^= 1 << kind
			continue
		}
		s := c.partial.first.span()
		for other, n := s, 0; other != nil && n < emptiestOf; other, n = other.next.span(), n+1 {
			if other.used < s.used {
				s = other
			}
		}
		a.drop(c, s)
		a.outOf = s
		s.each(func(slot int) {
			owner := *s.owner(slot)
			owners[owner/64] |= 1 << (owner % 64)
		})
		return owners, true
	}
	return owners, false
}

// each visits the blocks in use.
func (s *span) each(visit func(slot int)) {
	for word, live := range s.live {
		for ; live != 0; live &= live - 1 {
			visit(word*64 + bits.TrailingZeros64(live))
		}
	}
}

// Move moves the blocks of one owner, who is locked, out of the span. moved is told of each: it must put the new address where the old one
// is kept, and may call nothing of the arena.
func (a *Arena) Move(owner uint8, moved func(from, to unsafe.Pointer, at Place)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.outOf
	if s == nil {
		return // the arena was released
	}
	size := layouts[s.class].size
	s.each(func(slot int) {
		if *s.owner(slot) != owner {
			return
		}
		from := s.block(slot)
		to, at := a.alloc(owner, s.class)
		copy(unsafe.Slice((*byte)(to), size), unsafe.Slice((*byte)(from), size))
		moved(from, to, at)
		s.live[slot/64] &^= 1 << (slot % 64)
		s.used--
	})
}

// End gives the span up, and tells whether there is more to tighten.
func (a *Arena) End() (loose bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.outOf; s != nil {
		if s.used != 0 {
			panic("BUG: slab: a span is given up that has blocks in use")
		}
		a.giveUp(s)
		a.outOf = nil
	}
	return a.loose != 0
}

// Release gives up all blocks. No owner may use the arena any more.
func (a *Arena) Release() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.loose, a.outOf = 0, nil
	var batch [32]Run // some at a time: others wait for the pool meanwhile
	for len(a.spans) > 0 {
		n := min(len(batch), len(a.spans))
		for i := range n {
			batch[i] = a.spans[i].span().run()
		}
		a.pool.Put(batch[:n]...)
		a.spans = a.spans[n:]
	}
	a.spans = nil
}
