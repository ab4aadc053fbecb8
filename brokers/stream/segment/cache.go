package segment

import "sync"

const (
	cacheSlots    = 64
	cacheBlockMax = 256 << 10 // larger blocks are read each time
)

// Cache keeps the blocks that were read last, so that pages smaller than a block, and the groups that follow each other
// through a stream, read each of them once. At most 16 MiB of blocks, and 48 bytes for each entry in them: blocks of 64 KiB
// full of empty payloads make it about 70 MiB.
type Cache struct {
	mu    sync.Mutex
	slots map[place]*Content
	order [cacheSlots]place // a ring: the oldest goes first
	next  int
}

type place struct {
	file     *File
	position int64
}

// Load is File.Load through the cache.
func (c *Cache) Load(f *File, b *Block) (*Content, error) {
	key := place{f, b.Position}
	c.mu.Lock()
	content := c.slots[key]
	c.mu.Unlock()
	if content != nil {
		return content, nil
	}
	content, err := f.Load(b)
	if err != nil || b.Length > cacheBlockMax {
		return content, err
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
	return content, nil
}
