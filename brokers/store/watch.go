package store

import "sync/atomic"

// Watch notices changes of some keys, for optimistic transactions. It belongs to one goroutine.
type Watch struct {
	broker *Broker
	keys   []watchedKey
	dirty  atomic.Bool
}

type watchedKey struct {
	database int
	key      string
}

// NewWatch returns a Watch of nothing.
func (b *Broker) NewWatch() *Watch { return &Watch{broker: b} }

// Add begins to watch a key.
func (w *Watch) Add(db int, key []byte) {
	for _, k := range w.keys {
		if k.database == db && k.key == string(key) {
			return
		}
	}
	sh, hash := w.broker.shardOf(db, key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	w.broker.lookup(sh, hash, key) // a key past its deadline goes now, not while it is watched
	if sh.watched == nil {
		sh.watched = map[string]map[*Watch]struct{}{}
	}
	watches := sh.watched[string(key)]
	if watches == nil {
		watches = map[*Watch]struct{}{}
		sh.watched[string(key)] = watches
	}
	watches[w] = struct{}{}
	w.keys = append(w.keys, watchedKey{db, string(key)})
}

// Len is how many keys are watched.
func (w *Watch) Len() int { return len(w.keys) }

// Dirty tells whether a watched key was changed, deleted, evicted or has expired since its Add.
func (w *Watch) Dirty() bool {
	for _, k := range w.keys {
		if w.dirty.Load() {
			return true
		}
		key := []byte(k.key)
		sh, hash := w.broker.shardOf(k.database, key)
		sh.mu.Lock()
		w.broker.lookup(sh, hash, key)
		sh.mu.Unlock()
	}
	return w.dirty.Load()
}

// Close ends the watching; the Watch can be used anew.
func (w *Watch) Close() {
	for _, k := range w.keys {
		sh, _ := w.broker.shardOf(k.database, []byte(k.key))
		sh.mu.Lock()
		delete(sh.watched[k.key], w)
		if len(sh.watched[k.key]) == 0 {
			delete(sh.watched, k.key)
		}
		sh.mu.Unlock()
	}
	w.keys = nil
	w.dirty.Store(false)
}

// touched tells those who watch the key that it has changed.
func (sh *shard) touched(key string) {
	if len(sh.watched) == 0 {
		return
	}
	for w := range sh.watched[key] {
		w.dirty.Store(true)
	}
}
