package slab

import (
	"math/bits"
	"runtime"
	"sync"
	"unsafe"
)

const (
	// PageSize is the unit of runs. Where the system's pages are larger, only those that are free as a whole are handed back.
	PageSize = 4096

	chunkPages = 1024
	runMax     = 64 // pages of the longest run that shares its chunk with others

	keptLeast = 2 << 20 // bytes of free runs that are not handed back, at least
	keptShare = 32      // ... and as this part of what is held
)

// Run is a number of adjacent pages. What they hold at first is undefined.
type Run struct {
	Base  unsafe.Pointer
	chunk uint32
	pages uint32
}

// Size is how many bytes the run has.
func (r Run) Size() int { return int(r.pages) * PageSize }

// Clear zeroes the run.
func (r Run) Clear() { clear(unsafe.Slice((*byte)(r.Base), r.Size())) }

// Pool is where the runs come from. All its methods may be called from any goroutine.
type Pool struct {
	mu     sync.Mutex // a leaf: nothing else is locked under it, and no system call is made but to map a chunk
	chunks []*chunk
	open   [runMax + 1][]*chunk // by the length of their runs: those with a free one
	long   map[uint32]*[]*chunk // the same for runs that are chunks
	empty  []*chunk             // cut for no length: free and handed back
	held   int64                // bytes of runs that somebody has
	kept   int64                // bytes of free runs that are not handed back
	next   int                  // where in chunks to look for runs to hand back
	pinned bool                 // the system refuses to take pages back
	all    *mappings            // of chunks, for who cleans up behind the pool
	trims  trims
	behind sync.WaitGroup // handing back
}

// trims is the handing back of free runs. One goroutine does it at a time: what it has in hand is kept, and in no chunk.
type trims struct {
	busy, closed bool
	purge        int // chunks that are still to be looked at however little is kept
}

// chunk is a mapping that is cut into runs.
type chunk struct {
	memory []byte
	index  uint32 // in Pool.chunks
	pages  uint32 // of a run; 0 when it is cut for none
	runs   int
	openAt int // in its list of chunks with a free run, -1 when it is not there
	// A bit for each run.
	free  [chunkPages / 64]uint64 // nobody has it
	dirty [chunkPages / 64]uint64 // free, and not handed back
	// How many bits are set.
	freeCount, dirtyCount int
}

// mappings are what a pool has mapped. They do not point to it.
type mappings struct{ chunks [][]byte }

// NewPool makes an empty pool.
func NewPool() *Pool {
	p := &Pool{long: map[uint32]*[]*chunk{}, all: &mappings{}}
	runtime.AddCleanup(p, func(all *mappings) {
		for _, memory := range all.chunks {
			handBack(memory)
		}
	}, p.all)
	return p
}

// Close waits for what is being handed back, and ends that. The memory stays valid as long as the pool is known.
func (p *Pool) Close() {
	p.mu.Lock()
	p.trims.closed = true
	p.mu.Unlock()
	p.behind.Wait()
}

// Resident is about how many bytes the pool takes of the machine's memory, where that can be handed back.
func (p *Pool) Resident() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held + p.kept
}

// Get takes a run of at least one page.
func (p *Pool) Get(pages int) Run {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.chunkFor(uint32(pages))
	at := c.take(p)
	if c.freeCount == 0 {
		p.close(c)
	}
	p.held += int64(pages) * PageSize
	return Run{unsafe.Pointer(&c.memory[at*pages*PageSize]), c.index, uint32(pages)}
}

// Put gives runs back.
func (p *Pool) Put(runs ...Run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range runs {
		c := p.chunks[r.chunk]
		at := int(uintptr(r.Base)-uintptr(unsafe.Pointer(&c.memory[0]))) / (int(c.pages) * PageSize)
		if r.pages != c.pages || c.free[at/64]&(1<<(at%64)) != 0 {
			panic("BUG: slab: a run that is not held is given back")
		}
		c.free[at/64] |= 1 << (at % 64)
		c.dirty[at/64] |= 1 << (at % 64)
		c.freeCount++
		c.dirtyCount++
		p.held -= int64(r.Size())
		p.kept += int64(r.Size())
		if c.openAt < 0 {
			p.reopen(c)
		}
	}
	if p.kept > p.keptMax() && p.beginTrim() {
		p.behind.Go(p.trim)
	}
}

// beginTrim tells whether whoever asks is to trim now.
func (p *Pool) beginTrim() bool {
	if p.trims.busy || p.trims.closed || p.pinned {
		return false
	}
	p.trims.busy = true
	return true
}

// HandBack hands the free runs back to the system that are kept for whoever needs one next. When some are being handed back
// already, the others follow in the background.
func (p *Pool) HandBack() {
	p.mu.Lock()
	p.trims.purge = len(p.chunks)
	begin := p.beginTrim()
	if begin {
		p.behind.Add(1)
	}
	p.mu.Unlock()
	if begin {
		defer p.behind.Done()
		p.trim()
	}
}

func (p *Pool) keptMax() int64 { return max(keptLeast, p.held/keptShare) }

// chunkFor is a chunk with a free run of so many pages.
func (p *Pool) chunkFor(pages uint32) *chunk {
	if list := *p.list(pages); len(list) > 0 {
		return list[len(list)-1]
	}
	var c *chunk
	if last := len(p.empty) - 1; pages <= runMax && last >= 0 {
		c = p.empty[last]
		p.empty = p.empty[:last]
	} else {
		size := chunkPages * PageSize
		if pages > runMax {
			size = int(pages) * PageSize
		}
		memory, err := mapMemory(size)
		if err != nil {
			panic("slab: the system gives no more memory: " + err.Error())
		}
		c = &chunk{memory: memory, index: uint32(len(p.chunks))}
		p.chunks = append(p.chunks, c)
		p.all.chunks = append(p.all.chunks, memory)
	}
	c.cut(pages)
	p.reopen(c)
	return c
}

// list is where the chunks are that have a free run of so many pages.
func (p *Pool) list(pages uint32) *[]*chunk {
	if pages <= runMax {
		return &p.open[pages]
	}
	list := p.long[pages]
	if list == nil {
		list = new([]*chunk)
		p.long[pages] = list
	}
	return list
}

func (p *Pool) reopen(c *chunk) {
	list := p.list(c.pages)
	c.openAt = len(*list)
	*list = append(*list, c)
}

// close takes a chunk out of the list of those with a free run.
func (p *Pool) close(c *chunk) {
	list := p.list(c.pages)
	last := len(*list) - 1
	(*list)[c.openAt] = (*list)[last]
	(*list)[c.openAt].openAt = c.openAt
	(*list)[last] = nil
	*list = (*list)[:last]
	c.openAt = -1
}

// cut makes a chunk one of runs of so many pages, all free and none of them resident.
func (c *chunk) cut(pages uint32) {
	c.pages = pages
	c.runs = len(c.memory) / (int(pages) * PageSize)
	c.freeCount = c.runs
	c.openAt = -1
	clear(c.free[:])
	for at := range c.runs {
		c.free[at/64] |= 1 << (at % 64)
	}
}

// take takes a free run, one that is resident before one that is not, and returns its number.
func (c *chunk) take(p *Pool) int {
	from := &c.free
	if c.dirtyCount > 0 {
		from = &c.dirty
		c.dirtyCount--
		p.kept -= int64(c.pages) * PageSize
	}
	for word, set := range from {
		if set == 0 {
			continue
		}
		bit := uint64(1) << bits.TrailingZeros64(set)
		c.free[word] &^= bit
		c.dirty[word] &^= bit
		c.freeCount--
		return word*64 + bits.TrailingZeros64(bit)
	}
	panic("BUG: slab: a chunk has fewer free runs than it counts")
}

// trim hands free runs back to the system until few are kept, chunk by chunk.
func (p *Pool) trim() {
	for {
		c, taken := p.takeDirty()
		if c == nil {
			return
		}
		refused := c.handBack(&taken)
		p.putClean(c, &taken, refused)
	}
}

// takeDirty takes all free runs of a chunk that are resident, as if somebody held them; nil when enough is handed back.
func (p *Pool) takeDirty() (c *chunk, taken [chunkPages / 64]uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	enough := p.keptMax() / 2
	if p.trims.purge > 0 {
		p.trims.purge--
		enough = 0
	}
	if p.kept <= enough || p.pinned || p.trims.closed {
		p.trims.busy, p.trims.purge = false, 0
		return nil, taken
	}
	for p.next %= len(p.chunks); p.chunks[p.next].dirtyCount == 0; {
		p.next = (p.next + 1) % len(p.chunks) // something is kept, so there is one
	}
	c = p.chunks[p.next]
	p.next++
	taken = c.dirty
	for word, set := range taken {
		c.free[word] &^= set
	}
	clear(c.dirty[:])
	c.freeCount -= c.dirtyCount
	c.dirtyCount = 0
	if c.freeCount == 0 {
		p.close(c)
	}
	return c, taken
}

// handBack hands the runs back to the system, neighbours together.
func (c *chunk) handBack(runs *[chunkPages / 64]uint64) (refused bool) {
	size := int(c.pages) * PageSize
	for at := 0; at < c.runs; at++ {
		first := at
		for at < c.runs && runs[at/64]&(1<<(at%64)) != 0 {
			at++
		}
		if at > first && !handBack(c.memory[first*size:at*size]) {
			refused = true
		}
	}
	return refused
}

// putClean gives back what takeDirty took.
func (p *Pool) putClean(c *chunk, runs *[chunkPages / 64]uint64, refused bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	count := 0
	for word, set := range runs {
		c.free[word] |= set
		count += bits.OnesCount64(set)
		if refused {
			c.dirty[word] |= set
		}
	}
	c.freeCount += count
	if refused {
		p.pinned = true
		c.dirtyCount += count
	} else {
		p.kept -= int64(count) * int64(c.pages) * PageSize
	}
	if c.openAt < 0 {
		p.reopen(c)
	}
	if c.freeCount == c.runs && c.dirtyCount == 0 && c.pages <= runMax {
		p.close(c)
		c.pages = 0
		p.empty = append(p.empty, c)
	}
}
