package slab

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// held is a block as its owner knows it.
type held struct {
	owner uint8
	block unsafe.Pointer
	at    Place
	size  int
	seed  byte
}

func (h *held) bytes() []byte { return unsafe.Slice((*byte)(h.block), h.size) }

// pattern returns what a block of n bytes is filled with.
func pattern(seed byte, n int) []byte {
	return bytes.Repeat([]byte{seed, ^seed, seed + 1, seed ^ 0x55, 7, 8, 9, seed}, n/8+1)[:n]
}

func (h *held) fill() { copy(h.bytes(), pattern(h.seed, h.size)) }

func (h *held) intact() bool { return bytes.Equal(h.bytes(), pattern(h.seed, h.size)) }

// owners is how many share the arena; one goroutine plays them all.
const owners = 5

// model is an arena beside what it should hold.
type model struct {
	t      testing.TB
	arena  *Arena
	blocks []*held
	where  map[unsafe.Pointer]*held
	seed   byte

	frees, moves int // so far
}

func newModel(t testing.TB, p *Pool) *model {
	return &model{t: t, arena: NewArena(p), where: map[unsafe.Pointer]*held{}}
}

func (m *model) alloc(n int) {
	owner := m.seed % owners
	block, at := m.arena.Alloc(owner, n)
	h := &held{owner: owner, block: block, at: at, size: SizeOf(block, at), seed: m.seed}
	m.seed++
	if h.size != Size(n) || h.size < n || uintptr(block)%8 != 0 {
		m.t.Fatalf("a block of %d bytes has %d, should have %d, at %p", n, h.size, Size(n), block)
	}
	h.fill()
	m.blocks = append(m.blocks, h)
	m.where[block] = h
}

func (m *model) free(i int) {
	h := m.blocks[i]
	if !h.intact() {
		m.t.Fatalf("a block of %d bytes was changed", h.size)
	}
	m.arena.Free(h.block, h.at)
	delete(m.where, h.block)
	m.frees++
	last := len(m.blocks) - 1
	m.blocks[i] = m.blocks[last]
	m.blocks = m.blocks[:last]
}

// tighten does all there is to tighten. Between the steps of it blocks come and go: stir is called there.
func (m *model) tighten(stir func()) {
	for {
		set, found := m.arena.Begin()
		if !found {
			break
		}
		for owner := range uint8(owners) {
			if stir(); set.Has(owner) {
				m.arena.Move(owner, func(from, to unsafe.Pointer, at Place) { m.moved(owner, from, to, at) })
			}
		}
		stir()
		m.arena.End()
	}
}

func (m *model) moved(owner uint8, from, to unsafe.Pointer, at Place) {
	h := m.where[from]
	if h == nil || h.owner != owner {
		m.t.Fatal("a block was moved that its owner has not")
	}
	m.moves++
	h.block, h.at = to, at
	delete(m.where, from)
	m.where[to] = h
	if !h.intact() {
		m.t.Fatal("a block was not moved whole")
	}
}

func still() {}

// check compares the arena with what it should hold: no two blocks overlap, and the counts of each class are right.
func (m *model) check() {
	m.t.Helper()
	slices.SortFunc(m.blocks, func(a, b *held) int { return bytes.Compare(address(a.block), address(b.block)) })
	for i, h := range m.blocks {
		if !h.intact() {
			m.t.Fatalf("a block of %d bytes was changed", h.size)
		}
		if i > 0 && uintptr(m.blocks[i-1].block)+uintptr(m.blocks[i-1].size) > uintptr(h.block) {
			m.t.Fatal("two blocks overlap")
		}
	}
	live := [len(layouts)]int{}
	for _, h := range m.blocks {
		if h.at.class != single {
			live[h.at.class]++
		}
	}
	for kind := range m.arena.classes {
		c, per := &m.arena.classes[kind], layouts[kind].per
		used, spans, partial := 0, 0, 0
		for i := range m.arena.spans {
			s := m.arena.spans[i].span()
			if s.index != uint32(i) {
				m.t.Fatalf("span %d has number %d", i, s.index)
			}
			if s.class != uint8(kind) {
				continue
			}
			used += int(s.used)
			if spans++; int(s.used) < per {
				partial++
			}
		}
		for s := c.partial.first.span(); s != nil; s = s.next.span() {
			if partial--; s.used == 0 || int(s.used) == per {
				m.t.Fatalf("a span of %d blocks of %d is among the partial", s.used, per)
			}
		}
		if partial != 0 {
			m.t.Fatalf("class %d: %d partial spans are not in the list", kind, partial)
		}
		if used != live[kind] || int(c.blocks) != spans*per || int(c.free) != spans*per-used {
			m.t.Fatalf("class %d: %d in use of %d held, %d spans; it counts %d blocks, %d free",
				kind, used, live[kind], spans, c.blocks, c.free)
		}
		if m.arena.loose == 0 && c.slack(per) {
			m.t.Fatalf("class %d has %d free blocks of %d, and is not loose", kind, c.free, c.blocks)
		}
	}
}

func address(p unsafe.Pointer) []byte { return binary.BigEndian.AppendUint64(nil, uint64(uintptr(p))) }

// drive runs a script against an arena and its model: a byte says what to do, two more with what.
func drive(t testing.TB, script []byte) {
	p := NewPool()
	defer p.Close()
	m := newModel(t, p)
	for len(script) >= 3 {
		step, n := script[0], int(binary.LittleEndian.Uint16(script[1:]))
		script = script[3:]
		switch {
		case step < 120:
			m.alloc(1 + n%300) // the small ones are the many
		case step < 140:
			m.alloc(1 + n)
		case step < 145:
			m.alloc(1 + n*16)
		case step < 250:
			if len(m.blocks) > 0 {
				m.free(n % len(m.blocks))
			}
		default:
			m.tighten(func() {
				if n%3 == 0 && len(m.blocks) > 0 {
					m.free(n % len(m.blocks))
					m.alloc(1 + n%300)
				}
			})
			m.check()
		}
	}
	m.tighten(still)
	m.check()
	if len(m.blocks)%2 == 0 {
		m.arena.Begin() // and is not over when everything is released
	}
	m.arena.Release()
	p.behind.Wait()
	checkPool(t, p, 0)
}

// FuzzArena lets the fuzzer write the script.
func FuzzArena(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 8 {
		script := make([]byte, 3*(100+r.IntN(900)))
		for i := range script {
			script[i] = byte(r.Uint32())
		}
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) { drive(t, script) })
}

// TestSizesThatChangeLeaveNoHoles frees blocks of one size at random while those of another come: what is held must stay near what
// is used.
func TestSizesThatChangeLeaveNoHoles(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	p := NewPool()
	defer p.Close()
	m := newModel(t, p)
	used := func() (n int64) {
		for _, h := range m.blocks {
			n += int64(h.size)
		}
		return n
	}
	for range 6000 {
		m.alloc(100)
	}
	full := used()
	for _, size := range []int{250, 120, 700, 60} {
		for range 20_000 {
			if used := int64(len(m.blocks)); used > 0 {
				m.free(r.IntN(int(used)))
			}
			m.tighten(still)
			if r.IntN(size) < 100 && used() < full {
				m.alloc(size)
			}
		}
		m.check()
		p.mu.Lock()
		held := p.held
		p.mu.Unlock()
		if n := used(); float64(held) > 1.15*float64(n)+4*PageSize*4 {
			t.Errorf("blocks of %d bytes: %d bytes used, %d held", size, n, held)
		}
	}
	if m.moves > m.frees {
		t.Errorf("%d blocks were moved for %d that were freed", m.moves, m.frees)
	}
	t.Logf("%d moved, %d freed", m.moves, m.frees)
	p.Close()
	m.arena.Release()
	checkPool(t, p, 0)
}

// TestFreedBlocksAreOverwritten with the race detector, whatever the system, and only then.
func TestFreedBlocksAreOverwritten(t *testing.T) {
	p := NewPool()
	defer p.Close()
	for _, n := range []int{40, 100, BlockMax} {
		m := newModel(t, p)
		m.alloc(n)
		m.alloc(n) // keeps the span
		freed := m.blocks[0]
		m.free(0)
		overwritten := bytes.Equal(freed.bytes(), bytes.Repeat([]byte{0xdb}, freed.size))
		if overwritten != poisoned || freed.intact() == poisoned {
			t.Errorf("a block of %d bytes: overwritten is %v, should be %v", freed.size, overwritten, poisoned)
		}
		m.arena.Release()
	}
}

// TestShapes holds what the package doc says of the classes.
func TestShapes(t *testing.T) {
	for i, s := range layouts {
		per, bytes := s.per, s.pages*PageSize
		if per < 1 || per > 128 || s.size%8 != 0 {
			t.Errorf("class of %d bytes: %d blocks a span", s.size, per)
		}
		if waste := bytes - s.first - per*s.size; float64(waste) > 0.05*float64(bytes) {
			t.Errorf("class of %d bytes: %d of %d bytes of a span are wasted", s.size, waste, bytes)
		}
		if i == 0 {
			continue
		}
		before := shapes[i-1].size
		if step := s.size - before; before < 216 && step != 8 || before >= 216 && float64(step) > 0.21*float64(before) {
			t.Errorf("from %d to %d bytes is too far", before, s.size)
		}
	}
	if unsafe.Sizeof(span{}) != spanHeader || shapes[len(shapes)-1].size != BlockMax || len(shapes) > 64 {
		t.Error("the constants do not fit each other")
	}
}

func BenchmarkAllocFree(b *testing.B) {
	for _, n := range []int{100, 1500, 20_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := NewPool()
			a := NewArena(p)
			var blocks [1024]held
			for i := range blocks {
				blocks[i].block, blocks[i].at = a.Alloc(0, n)
			}
			for i := 0; b.Loop(); i++ {
				h := &blocks[i*7919%len(blocks)]
				a.Free(h.block, h.at)
				h.block, h.at = a.Alloc(0, n)
			}
		})
	}
}
