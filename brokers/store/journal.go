package store

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/nexobroker/nexo/brokers"
)

// A record is a sequence of effects, applied together; FORMAT.md draws them.
const (
	effectSet    = 1 // database, kind, flags, deadline, key, value
	effectDelete = 2 // database, key
	effectExpire = 3 // database, deadline, key
	effectFlush  = 4 // database, or allDatabases
	effectNone   = 5 // nothing: a record to wait for
)

const allDatabases = 0xff

func appendBytes(rec, b []byte) []byte {
	return append(binary.AppendUvarint(rec, uint64(len(b))), b...)
}

// recordSet writes the whole state of a key. The deadline is a wall clock time in milliseconds, 0 for none.
func recordSet(rec []byte, sh *shard, e *entry, deadline int64) []byte {
	rec = append(rec, effectSet, sh.database, byte(e.kind), e.flags&flagsRecorded)
	rec = binary.AppendVarint(rec, deadline)
	return appendBytes(appendBytes(rec, e.key()), sh.value(e))
}

func recordDelete(rec []byte, db uint8, key []byte) []byte {
	return appendBytes(append(rec, effectDelete, db), key)
}

func recordExpire(rec []byte, db uint8, key []byte, deadline int64, dated bool) []byte {
	rec = append(rec, effectExpire, db)
	flags := byte(0)
	if dated {
		flags = flagDated
	}
	rec = append(rec, flags)
	return appendBytes(binary.AppendVarint(rec, deadline), key)
}

// appendRecord writes one record under the locks of the change. The scratch belongs to a shard that the caller has
// locked.
func (b *Broker) appendRecord(sh *shard, build func(rec []byte) []byte) brokers.Receipt {
	if b.journal == nil {
		return brokers.Receipt{}
	}
	const scratchMax = 4 << 10
	rec := build(sh.record[:0])
	if len(rec) == 0 {
		return brokers.Receipt{}
	}
	if cap(rec) <= scratchMax {
		sh.record = rec
	}
	seq := b.journal.Append(rec, b.durability == brokers.Always)
	return brokers.Receipt{Journal: b.journal, Seq: seq, Durability: b.durability}
}

// logged records the state of one key after its change.
func (b *Broker) logged(sh *shard, e *entry) brokers.Receipt {
	if b.journal == nil {
		return brokers.Receipt{}
	}
	return b.appendRecord(sh, func(rec []byte) []byte { return b.recordEntry(rec, sh, e) })
}

func (b *Broker) recordEntry(rec []byte, sh *shard, e *entry) []byte {
	deadline := int64(0)
	if e.deadline != 0 {
		deadline = sh.wallDeadline(e, b.now())
	}
	return recordSet(rec, sh, e, deadline)
}

// recordReader takes a record apart; after the first fault all it returns is empty.
type recordReader struct {
	rest []byte
	err  error
}

func (r *recordReader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("store: damaged record: %s", what)
	}
	r.rest = nil
}

func (r *recordReader) byte() byte {
	if len(r.rest) == 0 {
		r.fail("it ends early")
		return 0
	}
	c := r.rest[0]
	r.rest = r.rest[1:]
	return c
}

func (r *recordReader) database() int {
	db := int(r.byte())
	if db >= Databases {
		r.fail("no such database")
		return 0
	}
	return db
}

func (r *recordReader) varint() int64 {
	n, size := binary.Varint(r.rest)
	if size <= 0 {
		r.fail("bad number")
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *recordReader) bytes() []byte {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || n > uint64(len(r.rest)-size) {
		r.fail("bad length")
		return nil
	}
	b := r.rest[size : size+int(n)]
	r.rest = r.rest[size+int(n):]
	return b
}

// replay applies one record. It runs in Open, before anybody else knows of the broker.
func (b *Broker) replay(body []byte) error {
	r := recordReader{rest: body}
	for len(r.rest) > 0 && r.err == nil {
		switch kind := r.byte(); kind {
		case effectSet:
			b.replaySet(&r)
		case effectDelete:
			db, key := r.database(), r.bytes()
			if r.err == nil {
				b.replayDelete(db, key)
			}
		case effectExpire:
			db, flags, at, key := r.database(), r.byte(), r.varint(), r.bytes()
			if r.err == nil {
				b.replayExpire(db, key, at, flags)
			}
		case effectFlush:
			if db := r.byte(); db == allDatabases {
				b.flushAll()
			} else if int(db) < Databases {
				b.flush(int(db))
			} else {
				r.fail("no such database")
			}
		case effectNone:
		default:
			r.fail(fmt.Sprintf("unknown effect %d", kind))
		}
	}
	return r.err
}

func (b *Broker) replaySet(r *recordReader) {
	db, kind, flags := r.database(), Kind(r.byte()), r.byte()
	at, key, value := r.varint(), r.bytes(), r.bytes()
	if r.err != nil {
		return
	}
	if kind > Limit {
		r.fail("unknown kind of value")
		return
	}
	sh, hash := b.shardOf(db, key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := sh.table.find(hash, key)
	if e == nil {
		e = b.create(sh, hash, key, value, kind)
	} else {
		e = b.assign(sh, e, value)
		e.kind = kind
	}
	e.flags = e.flags&^(flagRaw|flagText) | flags&(flagRaw|flagText)
	b.replayDeadline(sh, e, at, flags)
}

// replayDeadline sets or clears a deadline from the log: relative ones go back to the monotonic clock. One that has
// passed is set all the same, a later record may take it away; what is overdue in the end goes when the replay is over.
func (b *Broker) replayDeadline(sh *shard, e *entry, at int64, flags byte) {
	switch {
	case at == 0:
		b.clearDeadline(sh, e)
	case flags&flagDated != 0:
		b.setDeadline(sh, e, at, true)
	default:
		b.setDeadline(sh, e, at-b.now().drift(), false)
	}
}

func (b *Broker) replayDelete(db int, key []byte) {
	sh, hash := b.shardOf(db, key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if e := sh.table.find(hash, key); e != nil {
		b.remove(sh, e)
	}
}

func (b *Broker) replayExpire(db int, key []byte, at int64, flags byte) {
	sh, hash := b.shardOf(db, key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := sh.table.find(hash, key)
	if e == nil {
		return // a fuzzy snapshot already knows that it was deleted later
	}
	b.replayDeadline(sh, e, at, flags)
}

// compaction is the rewriting of the log that is under way, if any.
type compaction struct {
	mu      sync.Mutex
	running bool
	closed  bool
	last    error // of the last compaction; nil when it went well
	retryAt int64 // after a failure: the log size from which to try again
	done    sync.WaitGroup
}

func (c *compaction) close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.done.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// failure is the text of what went wrong with the last compaction.
func (c *compaction) failure() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		return ""
	}
	return c.last.Error()
}

// compactAt is the log from which compaction is worth its while: logs shorter than this, or than twice the live data,
// are left alone.
const compactAt = 32 << 20

// notified is called by the journal's writer after each batch, and again and again while the disk is full.
func (b *Broker) notified(written, synced uint64) {
	if b.journal == nil {
		return
	}
	log := b.journal.LogBytes()
	grown := log >= max(compactAt, 2*b.memory.Load()) && b.compaction.mayTry(log)
	if grown || b.relief.Due(b.journal, b.dumpBytes) {
		b.startCompaction()
	}
}

// mayTry tells whether the log has grown enough since a compaction failed.
func (c *compaction) mayTry(log int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return log >= c.retryAt
}

// dumpBytes is about what a snapshot of the present keys takes.
func (b *Broker) dumpBytes() int64 {
	const perKey = int64(entrySize) // of the account; a record has some 16 bytes besides key and value, as a bucket does
	size := b.memory.Load()
	for db := range b.tallies {
		size -= perKey * b.tallies[db].keys.Load()
	}
	return size
}

func (b *Broker) startCompaction() {
	c := &b.compaction
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running || c.closed {
		return
	}
	c.running = true
	c.done.Add(1)
	go func() {
		defer c.done.Done()
		err := b.Compact()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.running, c.last, c.retryAt = false, err, 0
		if err != nil {
			c.retryAt = b.journal.LogBytes() + compactAt // not at once again: a full disk stays full for a while
		}
	}()
}

// Compact rewrites the log as a snapshot of the live keys. It serves meanwhile; see the package doc for why the snapshot
// need not be of one instant.
func (b *Broker) Compact() error {
	if b.journal == nil {
		return nil
	}
	// No lock is needed here: a record before the cut was appended by somebody who holds the locks of its shards until
	// its effects are in them, and the dump takes each lock.
	finish, err := b.journal.Cut()
	if err != nil {
		return fmt.Errorf("store: beginning a compaction: %w", err)
	}
	live := b.dumpBytes()
	err = finish(b.dump)
	b.relief.Ended(live, err)
	if err != nil {
		return fmt.Errorf("store: compacting: %w", err)
	}
	return nil
}

func (b *Broker) dump(emit brokers.Emit) error {
	var rec []byte
	for sh := range b.allShards() {
		rec = b.dumpShard(rec[:0], sh)
		if err := emitEffects(emit, rec); err != nil {
			return err
		}
	}
	// The dump may hold effects that are not on disk yet. It must not become the truth before they are.
	return b.journal.WaitSynced(b.journal.Append([]byte{effectNone}, true))
}

// dumpShard copies the state of one shard under its lock.
func (b *Broker) dumpShard(rec []byte, sh *shard) []byte {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	now := b.now()
	sh.table.each(func(e *entry) { rec = recordSet(rec, sh, e, sh.wallDeadline(e, now)) })
	return rec
}

// emitEffects cuts a dump into records of bearable size, at the borders of its effects.
func emitEffects(emit brokers.Emit, dump []byte) error {
	const recordSize = 256 << 10
	r := recordReader{rest: dump}
	start := 0
	for len(r.rest) > 0 {
		r.byte() // effectSet: a dump holds nothing else
		r.database()
		r.byte()
		r.byte()
		r.varint()
		r.bytes()
		r.bytes()
		if r.err != nil {
			panic("BUG: store: a dump that cannot be read back: " + r.err.Error())
		}
		end := len(dump) - len(r.rest)
		if end-start >= recordSize || len(r.rest) == 0 {
			if err := emit(dump[start:end]); err != nil {
				return err
			}
			start = end
		}
	}
	return nil
}
