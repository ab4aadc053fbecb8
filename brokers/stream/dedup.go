package stream

// dedupMax is how many keys a stream remembers; past it the oldest are forgotten early.
const dedupMax = 100_000

// dedup remembers the keys of the appends in the window.
type dedup struct {
	byKey map[string]dedupEntry
	order []dedupKey // by time of append
}

type dedupEntry struct {
	offset  uint64
	expires int64 // steady time
}

type dedupKey struct {
	key     string
	expires int64
}

func newDedup() dedup { return dedup{byKey: map[string]dedupEntry{}} }

func (d *dedup) find(key []byte, now int64) (offset uint64, found bool) {
	e, ok := d.byKey[string(key)]
	return e.offset, ok && e.expires > now
}

func (d *dedup) add(key string, offset uint64, expires int64) {
	d.byKey[key] = dedupEntry{offset: offset, expires: expires}
	d.order = append(d.order, dedupKey{key: key, expires: expires})
	d.sweep(len(d.order) - dedupMax)
}

// sweep forgets at least n of the oldest keys.
func (d *dedup) sweep(n int) {
	for ; n > 0 && len(d.order) > 0; n-- {
		oldest := d.order[0]
		d.order = d.order[1:]
		if e, ok := d.byKey[oldest.key]; ok && e.expires == oldest.expires {
			delete(d.byKey, oldest.key)
		}
	}
}

// expire forgets the keys whose window has ended.
func (d *dedup) expire(now int64) {
	for len(d.order) > 0 && d.order[0].expires <= now {
		d.sweep(1)
	}
}
