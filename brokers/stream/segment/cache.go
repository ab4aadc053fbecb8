package segment

import "sync"

const (
	cacheSlots    = 64
	cacheBlockMax = 256 << 10 // larger blocks are read each time
	sideMax       = 1 << 20   // how much one read takes at most, unless a single block is larger

	// aheadMax is how many blocks are read ahead of a reader, aheadStep after how many it is looked at again.
	aheadMax  = 64
	aheadStep = 16
)

// Cache keeps the blocks that were read last, so that pages smaller than a block, and the groups that follow each other
// through a stream, read each of them once. At most 16 MiB of blocks, and 48 bytes for each entry in them: blocks of 64 KiB
// full of empty payloads make it about 70 MiB. A reader of several blocks holds a buffer of 1 MiB meanwhile.
type Cache struct {
	mu    sync.Mutex
	slots map[place]*Content
	order [cacheSlots]place // a ring: the oldest goes first
	next  int

	buffers sync.Pool // *[sideMax]byte, to read into
}

type place struct {
	file     *File
	position int64
}

// Run are blocks of a stream that follow each other.
type Run []*Content

// At is the content that holds an offset, nil when there is none.
func (r Run) At(offset uint64) *Content {
	for _, content := range r {
		if content.At(offset) != nil {
			return content
		}
	}
	return nil
}

// Load is File.Load through the cache.
func (c *Cache) Load(f *File, b *Block) (*Content, error) {
	if content := c.get(place{f, b.Position}); content != nil {
		return content, nil
	}
	content, err := f.Load(b)
	if err == nil {
		c.put(place{f, b.Position}, content)
	}
	return content, err
}

// LoadRun is Load of a block and of those behind it, as far as a reader takes that many entries or bytes of payload: what lies
// side by side is read together. They are appended to run.
func (c *Cache) LoadRun(f *File, b *Block, entries int, bytes int64, run Run) (Run, error) {
	blocks := f.sideBySide(b, entries, bytes)
	for len(blocks) > 1 && c.get(place{f, blocks[len(blocks)-1].Position}) != nil {
		blocks = blocks[:len(blocks)-1]
	}
	if content := c.get(place{f, b.Position}); content != nil || len(blocks) == 1 {
		first, err := c.Load(f, b)
		if err != nil {
			return run, err
		}
		if content == nil {
			c.goOn(f, blocks)
		}
		return append(run, first), nil
	}
	buffer, _ := c.buffers.Get().(*[sideMax]byte)
	if buffer == nil {
		buffer = new([sideMax]byte)
	}
	defer c.buffers.Put(buffer)
	before := len(run)
	run, err := f.loadSide(blocks, buffer[:], run)
	for i, content := range run[before:] {
		c.put(place{f, blocks[i].Position}, content)
	}
	if err == nil {
		c.goOn(f, blocks)
	}
	return run, err
}

// goOn has the kernel read what a reader that goes through a stream will ask for next: the blocks of the stream that are
// side by side in this file, aheadMax at most, asked for each aheadStep. One that comes to a place of its own reads no more than
// it asks for.
func (c *Cache) goOn(f *File, read []Block) {
	if f.flows(&read[0]) {
		return
	}
	i := f.index(&read[0])
	nth := i - f.firstOf(read[0].Stream)
	end := nth + len(read)
	begins := len(read) > 1 && nth == 0 || nth == 1
	if !begins && nth/aheadStep == end/aheadStep {
		return
	}
	if len(read) == 1 && (nth == 0 || c.get(place{f, f.blocks[i-1].Position}) == nil) {
		return
	}
	next := f.blocks[i+len(read):]
	n := 0
	for n < min(len(next), aheadMax) && next[n].Stream == read[0].Stream {
		n++
	}
	f.ahead(next[:n])
}

func (c *Cache) get(key place) *Content {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.slots[key]
}

func (c *Cache) put(key place, content *Content) {
	if content.size > cacheBlockMax {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slots == nil {
		c.slots = make(map[place]*Content, cacheSlots)
	}
	if c.slots[key] == nil {
		delete(c.slots, c.order[c.next])
		c.order[c.next] = key
		c.slots[key] = content
		c.next = (c.next + 1) % cacheSlots
	}
}
