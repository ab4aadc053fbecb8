package store

import "github.com/nexobroker/nexo/brokers"

// Delete removes keys and returns how many there were. It is one change.
func (b *Broker) Delete(db int, keys [][]byte) (n int, r brokers.Receipt) {
	b.tightenUpTo(len(keys))
	if len(keys) == 1 {
		sh, hash := b.shardOf(db, keys[0])
		sh.mu.Lock()
		defer sh.mu.Unlock()
		e := b.lookup(sh, hash, keys[0])
		if e == nil {
			return 0, r
		}
		return 1, b.deleted(sh, e)
	}
	shards, locked := b.lockAll(db, keys, 1)
	defer unlockAll(shards, locked)
	var rec []byte
	for _, key := range keys {
		sh, hash := b.shardOf(db, key)
		e := b.lookup(sh, hash, key)
		if e == nil {
			continue
		}
		n++
		if b.journal != nil {
			rec = recordDelete(rec, sh.database, key)
		}
		b.remove(sh, e)
	}
	first, _ := b.shardOf(db, keys[0])
	return n, b.appendRecord(first, func([]byte) []byte { return rec })
}

// DeleteIfEqual removes a key that holds just this string.
func (b *Broker) DeleteIfEqual(db int, key, value []byte) (deleted bool, r brokers.Receipt, err error) {
	sh, hash := b.shardOf(db, key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := b.lookup(sh, hash, key)
	if e == nil {
		return false, r, nil
	}
	if e.kind != String {
		return false, r, ErrKind
	}
	if string(sh.value(e)) != string(value) {
		return false, r, nil
	}
	return true, b.deleted(sh, e), nil
}

// Exists counts the keys that are there; one named twice counts twice. It is a hit or a miss, but no use of them.
func (b *Broker) Exists(db int, keys [][]byte) int { return b.count(db, keys, false) }

// Touch is Exists, and counts as a use of each key that is there.
func (b *Broker) Touch(db int, keys [][]byte) int { return b.count(db, keys, true) }

func (b *Broker) count(db int, keys [][]byte, use bool) (n int) {
	for _, key := range keys {
		sh, hash := b.shardOf(db, key)
		sh.mu.Lock()
		if e := b.lookup(sh, hash, key); e == nil {
			sh.counts.misses++
		} else {
			n++
			sh.counts.hits++
			if use {
				b.used(e)
			}
		}
		sh.mu.Unlock()
	}
	return n
}

// KeyInfo describes a key, for TYPE, TTL and OBJECT.
type KeyInfo struct {
	Kind      Kind
	TTL       int64  // milliseconds, -1 when the key does not expire
	ExpiresAt int64  // Unix milliseconds, -1 when the key does not expire
	Encoding  string // what Redis calls a value like this one: int, embstr or raw
	Idle      int64  // seconds since its last use; not kept under an LFU policy
	Frequency uint32 // the LFU counter
	Bytes     int64  // of the account
}

// Inspect describes a key without counting as a use of it.
func (b *Broker) Inspect(db int, key []byte) (info KeyInfo, found bool) {
	sh, hash := b.shardOf(db, key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := b.lookup(sh, hash, key)
	if e == nil {
		return KeyInfo{}, false
	}
	info = KeyInfo{Kind: e.kind, TTL: -1, ExpiresAt: -1, Encoding: sh.encoding(e), Bytes: sh.size(e) + sh.orderedSize(e)}
	if e.deadline != 0 {
		now := b.now()
		info.TTL, _ = sh.remaining(e, now)
		info.ExpiresAt = sh.wallDeadline(e, now)
		info.Bytes += deadlineOverhead
	}
	if b.frequency.Load() {
		info.Frequency = b.frequencyOf(e.access)
	} else {
		info.Idle = max(0, int64(b.coarse.Load())-int64(e.access))
	}
	return info, true
}

func (sh *shard) encoding(e *entry) string {
	const embeddedMax = 44
	value := sh.value(e)
	switch _, integer := parseInteger(value); {
	case e.flags&flagRaw != 0:
		return "raw"
	case integer && e.flags&flagText == 0:
		return "int"
	case len(value) <= embeddedMax:
		return "embstr"
	}
	return "raw"
}

// ExpireCondition says when Expire changes the deadline. A key that does not expire counts as expiring last of all.
type ExpireCondition uint8

const (
	ExpireIfNone    ExpireCondition = 1 << iota // NX: the key does not expire yet
	ExpireIfAny                                 // XX: it does
	ExpireIfLater                               // GT: the new deadline is later
	ExpireIfEarlier                             // LT: it is earlier
)

// Expire sets the deadline of a key; one in the past deletes it. It returns false when the key is missing or a condition
// does not hold.
func (b *Broker) Expire(db int, key []byte, x Expiry, c ExpireCondition) (changed bool, r brokers.Receipt) {
	sh, hash := b.shardOf(db, key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := b.lookup(sh, hash, key)
	if e == nil || !b.mayExpire(sh, e, x, c) {
		return false, r
	}
	at, dated, past := b.resolve(x)
	if past {
		return true, b.deleted(sh, e)
	}
	b.setDeadline(sh, e, at, dated)
	return true, b.loggedDeadline(sh, e)
}

func (b *Broker) mayExpire(sh *shard, e *entry, x Expiry, c ExpireCondition) bool {
	if c == 0 {
		return true
	}
	if (c&ExpireIfNone != 0 && e.deadline != 0) || (c&ExpireIfAny != 0 && e.deadline == 0) {
		return false
	}
	now := b.now()
	current := sh.wallDeadline(e, now)
	if current == 0 {
		current = noDeadline
	}
	asked := x.At
	if x.Mode == ExpireIn {
		asked += now.wallMillis()
	}
	return !(c&ExpireIfLater != 0 && asked <= current) && !(c&ExpireIfEarlier != 0 && asked >= current)
}

// Persist takes a key's deadline away and tells whether there was one.
func (b *Broker) Persist(db int, key []byte) (changed bool, r brokers.Receipt) {
	sh, hash := b.shardOf(db, key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := b.lookup(sh, hash, key)
	if e == nil || e.deadline == 0 {
		return false, r
	}
	b.clearDeadline(sh, e)
	return true, b.loggedDeadline(sh, e)
}

// Rename moves a value and its deadline to another key, over what that holds unless onlyMissing. It returns ErrNoKey
// when there is no source.
func (b *Broker) Rename(db int, from, to []byte, onlyMissing bool) (renamed bool, r brokers.Receipt, err error) {
	source, sourceHash := b.shardOf(db, from)
	target, targetHash := b.shardOf(db, to)
	defer lockTwo(source, target)()
	e := b.lookup(source, sourceHash, from)
	if e == nil {
		return false, r, ErrNoKey
	}
	if string(from) == string(to) {
		return !onlyMissing, r, nil
	}
	if old := b.lookup(target, targetHash, to); old != nil {
		if onlyMissing {
			return false, r, nil
		}
		b.remove(target, old)
	}
	made := b.duplicate(source, e, target, targetHash, to, false)
	b.remove(source, e)
	return true, b.appendRecord(source, func(rec []byte) []byte {
		rec = recordDelete(rec, source.database, from)
		return b.recordEntry(rec, target, made)
	}), nil
}

// duplicate makes a key with the value and deadline of another. A large value is shared unless it is to be copied: an entry
// that goes away gives its value up.
func (b *Broker) duplicate(source *shard, e *entry, target *shard, hash uint32, key []byte, copied bool) *entry {
	var made *entry
	if e.flags&flagApart != 0 && !copied {
		l := source.apart.values[e.value]
		l.hold()
		made = target.makeApart(hash, key, l, e.kind)
	} else {
		made = target.make(hash, key, source.value(e), e.kind)
	}
	made.flags |= e.flags & (flagRaw | flagText)
	b.attach(target, made)
	made.access = e.access
	if e.deadline != 0 {
		at := source.heap(e).items[e.deadline-1].at
		b.setDeadline(target, made, at, e.flags&flagDated != 0)
	}
	return made
}

// Copy copies a key, to another database when asked. It returns false when the source is missing, or the target is
// there and not to be replaced.
func (b *Broker) Copy(fromDB int, from []byte, toDB int, to []byte, replace bool) (copied bool, r brokers.Receipt, err error) {
	if err := b.admit(); err != nil {
		return false, r, err
	}
	source, sourceHash := b.shardOf(fromDB, from)
	target, targetHash := b.shardOf(toDB, to)
	defer lockTwo(source, target)()
	e := b.lookup(source, sourceHash, from)
	if e == nil {
		return false, r, nil
	}
	if old := b.lookup(target, targetHash, to); old != nil {
		if !replace || old == e {
			return false, r, nil
		}
		b.remove(target, old)
	}
	made := b.duplicate(source, e, target, targetHash, to, true)
	return true, b.logged(target, made), nil
}

// Size is how many keys the database holds, those past their deadline and not yet removed included.
func (b *Broker) Size(db int) (n int) {
	shards := b.databases[db].Load()
	if shards == nil {
		return 0
	}
	for i := range shards {
		shards[i].mu.Lock()
		n += shards[i].table.count
		shards[i].mu.Unlock()
	}
	return n
}

// Flush empties a database.
func (b *Broker) Flush(db int) brokers.Receipt { return b.emptied(byte(db), b.shards(db)) }

// FlushAll empties all databases, in one change.
func (b *Broker) FlushAll() brokers.Receipt {
	b.creating.Lock() // no database appears between the locks and the record
	defer b.creating.Unlock()
	var used []*[shardCount]shard
	for db := range b.databases {
		if shards := b.databases[db].Load(); shards != nil {
			used = append(used, shards)
		}
	}
	return b.emptied(allDatabases, used...)
}

// emptied empties databases and records the flush as that of which.
func (b *Broker) emptied(which byte, databases ...*[shardCount]shard) brokers.Receipt {
	left, before := &remains{pool: b.blocks.pool}, b.memory.Load()
	for _, shards := range databases {
		for i := range shards {
			shards[i].mu.Lock()
		}
	}
	for _, shards := range databases {
		b.empty(shards, left)
	}
	r := b.appendRecord(&databases[0][0], func(rec []byte) []byte { return append(rec, effectFlush, which) })
	for _, shards := range databases {
		for i := range shards {
			shards[i].mu.Unlock()
		}
	}
	b.flushed(left, before)
	return r
}

// empty empties a database whose shards are all locked, or which nobody else knows of yet.
func (b *Broker) empty(shards *[shardCount]shard, left *remains) {
	for i := range shards {
		b.clear(&shards[i], left)
	}
	left.arenas = append(left.arenas, b.regroup(shards)...)
}

// flush and flushAll replay a flush; nobody else knows of the broker yet, so nothing is locked.
func (b *Broker) flush(db int) {
	if shards := b.databases[db].Load(); shards != nil {
		left := &remains{pool: b.blocks.pool}
		b.empty(shards, left)
		left.free()
	}
}

func (b *Broker) flushAll() {
	for db := range b.databases {
		b.flush(db)
	}
}
