package queue

import (
	"github.com/tidwall/btree"
)

type dedupEntry struct {
	id    uint64
	until int64
}

type dedupEnd struct {
	until int64
	key   string
}

func (e dedupEnd) before(other dedupEnd) bool {
	if e.until != other.until {
		return e.until < other.until
	}
	return e.key < other.key
}

// window holds the dedup keys of a queue and when they end. It is made with the first key; a queue without one has nil.
type window struct {
	keys btree.Map[string, dedupEntry]
	ends tree[dedupEnd]
}

func (w *window) count() int {
	if w == nil {
		return 0
	}
	return w.keys.Len()
}

func (w *window) get(key string) (entry dedupEntry, ok bool) {
	if w == nil {
		return entry, false
	}
	return w.keys.Get(key)
}

func (w *window) set(key string, entry dedupEntry) {
	if old, ok := w.keys.Set(key, entry); ok {
		w.ends.remove(dedupEnd{old.until, key})
	}
	w.ends.set(dedupEnd.before, dedupEnd{entry.until, key})
}

func (w *window) remove(key string, entry dedupEntry) {
	w.keys.Delete(key)
	w.ends.remove(dedupEnd{entry.until, key})
}

// soonest is the key whose time ends first.
func (w *window) soonest() (end dedupEnd, ok bool) {
	if w == nil {
		return end, false
	}
	return w.ends.min()
}

// copy is the keys as they are now, nil when there are none.
func (w *window) copy() *btree.Map[string, dedupEntry] {
	if w == nil {
		return nil
	}
	return w.keys.Copy()
}
