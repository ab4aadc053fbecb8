package store

import (
	"math"
	"strconv"

	"github.com/nexobroker/nexo/brokers"
)

// Get reads a string and shows it to visit, which may only copy it: a short value is shown under a lock, and valid only during the
// visit.
func (b *Broker) Get(db int, key []byte, touch Touch, visit func(value []byte)) (found bool, err error) {
	sh, hash := b.shardOf(db, key)
	sh.mu.Lock()
	e := b.read(sh, hash, key, touch)
	switch {
	case e == nil:
		sh.mu.Unlock()
		return false, nil
	case e.kind != String:
		sh.mu.Unlock()
		return false, ErrKind
	case e.flags&flagApart == 0:
		visit(e.inBlock())
		sh.mu.Unlock()
	default:
		var l loan
		value := sh.read(e, nil, &l)
		sh.mu.Unlock()
		defer l.held.release()
		visit(value)
	}
	return true, nil
}

// GetWithTTL reads a string and its time to live in milliseconds, -1 when the key does not expire. scratch is memory that a short value
// is copied into.
func (b *Broker) GetWithTTL(db int, key, scratch []byte, touch Touch) (value []byte, ttl int64, found bool, err error) {
	sh, hash := b.shardOf(db, key)
	var l loan
	defer func() { value = l.settle(value) }()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := b.read(sh, hash, key, touch)
	if e == nil {
		return nil, 0, false, nil
	}
	if e.kind != String {
		return nil, 0, false, ErrKind
	}
	return sh.read(e, scratch, &l), b.ttl(sh, e), true, nil
}

func (b *Broker) ttl(sh *shard, e *entry) int64 {
	if e.deadline == 0 {
		return -1
	}
	ms, _ := sh.remaining(e, b.now())
	return ms
}

// GetMany reads strings as they are at one instant. emit is called for each key in order, under the locks: it may only
// copy the value. Keys of another kind count as missing.
func (b *Broker) GetMany(db int, keys [][]byte, touch Touch, emit func(value []byte, found bool)) {
	shards, locked := b.lockAll(db, keys, 1)
	defer unlockAll(shards, locked)
	for _, key := range keys {
		sh, hash := b.shardOf(db, key)
		e := b.read(sh, hash, key, touch)
		if e == nil || e.kind != String {
			emit(nil, false)
			continue
		}
		emit(sh.value(e), true)
	}
}

// Condition says when Set sets.
type Condition uint8

const (
	Always Condition = iota
	IfMissing
	IfPresent
	IfEqual    // the key holds Compare
	IfNotEqual // the key is missing or holds something else
)

// Expiry is what a change does to the key's deadline.
type Expiry struct {
	Mode ExpiryMode
	// At is milliseconds from now (ExpireIn) or a wall clock time in Unix milliseconds (ExpireAt).
	At int64
}

type ExpiryMode uint8

const (
	ExpireNever ExpiryMode = iota // the key does not expire
	ExpireKeep                    // as it was
	ExpireIn
	ExpireAt
)

// SetOptions qualify a Set.
type SetOptions struct {
	Condition Condition
	Compare   []byte
	Expiry    Expiry
	Old       bool   // return the old value
	Scratch   []byte // memory for it, as in GetWithTTL
}

// SetResult tells what Set did.
type SetResult struct {
	Set      bool   // the condition held
	Existed  bool   // there was a value
	Previous []byte // it, when Old was asked
}

// Set stores a string over whatever the key holds.
func (b *Broker) Set(db int, key, value []byte, o SetOptions) (result SetResult, r brokers.Receipt, err error) {
	if err := b.admit(); err != nil {
		return SetResult{}, brokers.Receipt{}, err
	}
	sh, hash := b.shardOf(db, key)
	var l loan
	defer func() { result.Previous = l.settle(result.Previous) }()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := b.lookup(sh, hash, key)
	result = SetResult{Existed: e != nil}
	if e != nil && o.Old {
		if e.kind != String {
			return SetResult{}, brokers.Receipt{}, ErrKind
		}
		result.Previous = sh.read(e, o.Scratch, &l)
	}
	if holds, err := o.holds(sh, e); err != nil || !holds {
		return result, brokers.Receipt{}, err
	}
	result.Set = true
	return result, b.store(sh, e, hash, key, value, o.Expiry, 0), nil
}

func (o *SetOptions) holds(sh *shard, e *entry) (bool, error) {
	switch o.Condition {
	case IfMissing:
		return e == nil, nil
	case IfPresent:
		return e != nil, nil
	case IfEqual, IfNotEqual:
		if e != nil && e.kind != String {
			return false, ErrKind
		}
		equal := e != nil && string(sh.value(e)) == string(o.Compare)
		return equal == (o.Condition == IfEqual), nil
	}
	return true, nil
}

// Put is Set without options, the commonest write.
func (b *Broker) Put(db int, key, value []byte) (brokers.Receipt, error) {
	if err := b.admit(); err != nil {
		return brokers.Receipt{}, err
	}
	sh, hash := b.shardOf(db, key)
	sh.mu.Lock()
	e := sh.table.find(hash, key)
	if e == nil {
		e = b.create(sh, hash, key, value, String)
	} else {
		if e.deadline != 0 {
			b.clearDeadline(sh, e)
		}
		e = b.assign(sh, e, value)
		e.kind = String
	}
	receipt := b.logged(sh, e)
	sh.mu.Unlock()
	return receipt, nil
}

// store makes the key hold a string, marked with flags; e is its entry or nil.
func (b *Broker) store(sh *shard, e *entry, hash uint32, key, value []byte, x Expiry, flags uint8) brokers.Receipt {
	at, dated, past := b.resolve(x)
	if past {
		if e == nil {
			return brokers.Receipt{}
		}
		return b.deleted(sh, e)
	}
	if e == nil {
		e = b.create(sh, hash, key, value, String)
	} else {
		e = b.assign(sh, e, value)
		e.kind = String
	}
	e.flags |= flags
	b.applyExpiry(sh, e, x.Mode, at, dated)
	return b.logged(sh, e)
}

// resolve turns an Expiry into a deadline; past is true when that has been reached already.
func (b *Broker) resolve(x Expiry) (at int64, dated, past bool) {
	switch x.Mode {
	case ExpireIn:
		return b.now().elapsedMillis() + x.At, false, x.At <= 0
	case ExpireAt:
		return x.At, true, x.At <= b.now().wallMillis()
	}
	return 0, false, false
}

func (b *Broker) applyExpiry(sh *shard, e *entry, mode ExpiryMode, at int64, dated bool) {
	switch mode {
	case ExpireNever:
		b.clearDeadline(sh, e)
	case ExpireIn, ExpireAt:
		b.setDeadline(sh, e, at, dated)
	}
}

// deleted removes a key on a client's behalf and records it.
func (b *Broker) deleted(sh *shard, e *entry) brokers.Receipt {
	r := b.appendRecord(sh, func(rec []byte) []byte { return recordDelete(rec, sh.database, e.key()) })
	b.remove(sh, e)
	return r
}

// GetDelete reads a string and deletes it.
func (b *Broker) GetDelete(db int, key, scratch []byte) (value []byte, found bool, r brokers.Receipt, err error) {
	sh, hash := b.shardOf(db, key)
	var l loan
	defer func() { value = l.settle(value) }()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := b.read(sh, hash, key, Leaves)
	if e == nil {
		return nil, false, r, nil
	}
	if e.kind != String {
		return nil, false, r, ErrKind
	}
	value = sh.read(e, scratch, &l)
	return value, true, b.deleted(sh, e), nil
}

// GetExpire reads a string and changes its deadline. A deadline in the past deletes it.
func (b *Broker) GetExpire(db int, key, scratch []byte, x Expiry, touch Touch) (value []byte, found bool, r brokers.Receipt, err error) {
	sh, hash := b.shardOf(db, key)
	var l loan
	defer func() { value = l.settle(value) }()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := b.read(sh, hash, key, touch)
	if e == nil {
		return nil, false, r, nil
	}
	if e.kind != String {
		return nil, false, r, ErrKind
	}
	value = sh.read(e, scratch, &l)
	if x.Mode == ExpireKeep {
		return value, true, r, nil
	}
	at, dated, past := b.resolve(x)
	if past {
		return value, true, b.deleted(sh, e), nil
	}
	if x.Mode == ExpireNever && e.deadline == 0 {
		return value, true, r, nil
	}
	b.applyExpiry(sh, e, x.Mode, at, dated)
	return value, true, b.loggedDeadline(sh, e), nil
}

// loggedDeadline records the deadline of a key after its change.
func (b *Broker) loggedDeadline(sh *shard, e *entry) brokers.Receipt {
	if b.journal == nil {
		return brokers.Receipt{}
	}
	return b.appendRecord(sh, func(rec []byte) []byte {
		return recordExpire(rec, sh.database, e.key(), sh.wallDeadline(e, b.now()), e.flags&flagDated != 0)
	})
}

// SetMany stores key, value, key, value ... as one change. With a condition (IfMissing, IfPresent) either all keys meet
// it or nothing is changed and set is false. A key named twice ends with its last value.
func (b *Broker) SetMany(db int, pairs [][]byte, c Condition, x Expiry) (set bool, r brokers.Receipt, err error) {
	if err := b.admit(); err != nil {
		return false, r, err
	}
	shards, locked := b.lockAll(db, pairs, 2)
	defer unlockAll(shards, locked)
	if c == IfMissing || c == IfPresent {
		for i := 0; i < len(pairs); i += 2 {
			sh, hash := b.shardOf(db, pairs[i])
			if (b.lookup(sh, hash, pairs[i]) != nil) != (c == IfPresent) {
				return false, r, nil
			}
		}
	}
	at, dated, past := b.resolve(x)
	for i := 0; i < len(pairs); i += 2 {
		b.storeOne(db, pairs[i], pairs[i+1], x.Mode, at, dated, past)
	}
	first, _ := b.shardOf(db, pairs[0])
	return true, b.appendRecord(first, func(rec []byte) []byte {
		for i := 0; i < len(pairs); i += 2 {
			rec = b.recordCurrent(rec, db, pairs[i])
		}
		return rec
	}), nil
}

// storeOne is store without a record, for changes of several keys.
func (b *Broker) storeOne(db int, key, value []byte, mode ExpiryMode, at int64, dated, past bool) {
	sh, hash := b.shardOf(db, key)
	e := b.lookup(sh, hash, key)
	switch {
	case past && e != nil:
		b.remove(sh, e)
		return
	case past:
		return
	case e == nil:
		e = b.create(sh, hash, key, value, String)
	default:
		e = b.assign(sh, e, value)
		e.kind = String
	}
	b.applyExpiry(sh, e, mode, at, dated)
}

// recordCurrent records what the key holds now.
func (b *Broker) recordCurrent(rec []byte, db int, key []byte) []byte {
	sh, hash := b.shardOf(db, key)
	if e := sh.table.find(hash, key); e != nil {
		return b.recordEntry(rec, sh, e)
	}
	return recordDelete(rec, sh.database, key)
}

// Append adds to the end of a string, which is made when missing, and returns its new length.
func (b *Broker) Append(db int, key, suffix []byte) (length int, r brokers.Receipt, err error) {
	if err := b.admit(); err != nil {
		return 0, r, err
	}
	sh, hash := b.shardOf(db, key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := b.lookup(sh, hash, key)
	if e == nil {
		e = b.create(sh, hash, key, suffix, String)
		return len(suffix), b.logged(sh, e), nil
	}
	if e.kind != String {
		return 0, r, ErrKind
	}
	old := sh.value(e)
	length = len(old) + len(suffix)
	if length > ValueMax {
		return 0, r, ErrTooLong
	}
	before := sh.size(e)
	e = sh.extend(e, length, false)
	// Bytes that a reader may hold are not changed: what is written lies behind them.
	copy(sh.value(e)[length-len(suffix):], suffix)
	e.flags |= flagRaw
	b.changed(sh, e, before)
	return length, b.logged(sh, e), nil
}

// SetRange overwrites part of a string from offset on, filling a gap with zero bytes, and returns its length. A missing
// key is made, unless the part is empty.
func (b *Broker) SetRange(db int, key []byte, offset int, part []byte) (length int, r brokers.Receipt, err error) {
	if err := b.admit(); err != nil {
		return 0, r, err
	}
	sh, hash := b.shardOf(db, key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := b.lookup(sh, hash, key)
	was := 0
	if e != nil {
		if e.kind != String {
			return 0, r, ErrKind
		}
		was = len(sh.value(e))
	}
	if len(part) == 0 {
		return was, r, nil
	}
	if offset > ValueMax-len(part) {
		return 0, r, ErrTooLong
	}
	if e == nil {
		e = b.create(sh, hash, key, nil, String)
	}
	before := sh.size(e)
	length = max(was, offset+len(part))
	e = sh.extend(e, length, true)
	changed := sh.value(e)
	clear(changed[min(was, offset):offset])
	copy(changed[offset:], part)
	e.flags |= flagRaw
	b.changed(sh, e, before)
	return length, b.logged(sh, e), nil
}

// Length is the length of a string, 0 when missing.
func (b *Broker) Length(db int, key []byte, touch Touch) (int, error) {
	sh, hash := b.shardOf(db, key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := b.read(sh, hash, key, touch)
	if e == nil {
		return 0, nil
	}
	if e.kind != String {
		return 0, ErrKind
	}
	return len(sh.value(e)), nil
}

// CounterExpiry is what an increment does to the deadline.
type CounterExpiry struct {
	Expiry      Expiry
	OnlyCreated bool // only when the increment makes the key
}

// KeepExpiry leaves the deadline as it is.
var KeepExpiry = CounterExpiry{Expiry: Expiry{Mode: ExpireKeep}}

// Increment adds to the integer that the key holds; a missing key holds 0.
func (b *Broker) Increment(db int, key []byte, by int64, x CounterExpiry) (n int64, r brokers.Receipt, err error) {
	if err := b.admit(); err != nil {
		return 0, r, err
	}
	sh, hash := b.shardOf(db, key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := b.lookup(sh, hash, key)
	if e != nil {
		if e.kind != String {
			return 0, r, ErrKind
		}
		var ok bool
		if n, ok = parseInteger(sh.value(e)); !ok {
			return 0, r, ErrNotInteger
		}
	}
	if (by > 0 && n > math.MaxInt64-by) || (by < 0 && n < math.MinInt64-by) {
		return 0, r, ErrOverflow
	}
	n += by
	var digits [20]byte
	value := strconv.AppendInt(digits[:0], n, 10)
	return n, b.store(sh, e, hash, key, value, x.of(e), 0), nil
}

func (x *CounterExpiry) of(e *entry) Expiry {
	if x.OnlyCreated && e != nil {
		return Expiry{Mode: ExpireKeep}
	}
	return x.Expiry
}

// IncrementFloat adds to the number that the key holds; a missing key holds 0. The arithmetic is that of an 80-bit long
// double with up to 17 decimals in the result, as in Redis.
func (b *Broker) IncrementFloat(db int, key, by []byte, x CounterExpiry) (value []byte, r brokers.Receipt, err error) {
	if err := b.admit(); err != nil {
		return nil, r, err
	}
	sh, hash := b.shardOf(db, key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := b.lookup(sh, hash, key)
	old := []byte("0")
	if e != nil {
		if e.kind != String {
			return nil, r, ErrKind
		}
		old = sh.value(e)
	}
	value, err = addLongDouble(old, by)
	if err != nil {
		return nil, r, err
	}
	return value, b.store(sh, e, hash, key, value, x.of(e), flagText), nil
}
