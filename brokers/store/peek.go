package store

// Peek is Get for who looks on: it counts neither as a hit nor as a use of the key, so it changes nothing that eviction goes by.
func (b *Broker) Peek(db int, key []byte) (value []byte, found bool, err error) {
	sh, hash := b.shardOf(db, key)
	var l loan
	defer func() { value = l.settle(value) }()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := b.lookup(sh, hash, key)
	if e == nil {
		return nil, false, nil
	}
	if e.kind != String {
		return nil, false, ErrKind
	}
	return sh.read(e, nil, &l), true, nil
}
