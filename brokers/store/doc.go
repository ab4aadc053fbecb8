// Package store is the in-memory keyspace: 16 databases of byte-string keys with expiry, a memory limit, cursors and
// counters. It knows nothing of RESP; package commands calls its typed methods.
//
// # Shape
//
//	Broker
//	  databases [16]            SELECT 0..15; the shards of 1..15 are made on first use
//	    shards [256]            by the top 8 bits of the key's hash
//	      table                 hash buckets of entry chains, power of two, grown and shrunk whole
//	      group                 16 shards; has the blocks of their entries, outside of the collector's heap: package slab
//	      apart                 large values, over 32 KiB: in pages of their own
//	      ordered               btree of the shard's keys; exists from the first prefix scan on
//	      elapsing, dated       heaps of deadlines: relative TTLs (monotonic time), EXAT/PXAT (wall time)
//
// An entry is one block: 32 bytes, the key, the value. SET of an existing key writes over the value when it fits, and
// moves the entry to another block when it does not; it touches neither heap nor ordered keys but for the entry's address. Buckets and
// heaps of deadlines are outside of the collector's heap, too, once they fill a page.
//
// # Who may read what
//
// Everything inside a shard belongs to shard.mu, and nothing of a block may be kept when it is unlocked: its memory is another key's in the
// next moment, and the collector knows nothing of it. So keys are copied out, always, and values follow one rule:
//
//   - up to blockValueMax bytes they lie in the block, and are copied out under the lock: Get shows one to a function that appends
//     it to the replies, which is the one copy there has to be;
//   - above they are large: a reader holds the value while it copies it without the lock, and bytes that somebody holds do not change (the
//     value is replaced or appended to). Who lets go last gives the pages back. Reading 10 MiB takes the lock no longer than 32 KiB;
//     but GetMany and the scans show every value under it, as do the records of a journal.
//
// Replies, records of the journal, snapshots, pages of a scan, the pool of eviction candidates and the ordered keys hold copies (the pool
// holds hashes). A function that is shown keys or values may only copy.
//
// An *entry is good under the lock until the entry is removed or its value changes: what changes it returns where it is now. Nothing
// else moves entries but tighten, which locks the shard by itself, so a change of many keys may hold many.
//
// # Locks, in their order
//
//	Broker.ticker.mu    one tick at a time, which tightens; Broker.timing.running the same of the expiry of keys
//	Broker.eviction.mu  the pool of candidates; shards are locked under it, one at a time
//	Broker.creating     adds the shards of a database; FlushAll holds it so that none is added meanwhile
//	shard.mu            one shard; several are locked in order of database, then index
//	Broker.timing.mu    the one expiry timer
//	slab.Arena          of a group, for the change of some bits
//	blocks.loose.mu     the list of groups to tighten; a leaf
//	slab.Pool           a leaf
//	Journal             its own
//
// Nothing blocks under a shard lock: Journal.Append does not, and eviction locks one shard at a time with none held.
//
// # Time
//
// A relative TTL is a deadline on the monotonic clock and survives a step of the wall clock; EXAT and PXAT deadlines
// follow the wall clock. Both are kept in Unix milliseconds, the monotonic clock being set to the wall clock once, in
// Open. A key is gone from the millisecond of its deadline on: reads check it (the clock is read only for keys with a
// deadline), and one timer per broker removes keys nobody reads. The idle times of the LRU and LFU policies come from a
// coarse clock of one second.
//
// # Memory
//
// The account is the blocks of the entries, the pages of large values, and a fixed overhead for bucket, deadline and ordered key.
// It is what maxmemory bounds, and what is resident follows it: a block that is freed is used for the next key at once. When sizes
// change, free blocks gather in spans that are in use; who adds, deletes or expires keys then first tightens a group that has too many, by
// moving the entries of one span together, and the timer of each second does what is left. The account does not know of spans that are
// not full: they are some 5 MiB, and a thirty-second of it. Ordered keys are on the heap.
//
// A flush leaves new groups and empty tables, and gives up the old ones behind it, with no lock held.
//
// An operation that adds data first evicts by the policy until the account is below the limit, or is refused with OOM. No list is kept in
// order of use: as in Redis a few keys are sampled for each victim, and a pool remembers the best candidates from one to the next. Shards
// are picked in proportion to their keys, so that of few keys each is as likely to be looked at as another; RandomKey picks in the same
// way. volatile-ttl needs no sample, the shards' heaps tell which key is first.
//
// # SCAN
//
// Cursor = reverse-binary bucket number << 8 | shard. A key present during the whole iteration is returned, whatever the
// tables do meanwhile; one absent during all of it is not; repeats are possible after a table shrinks. Shards without keys are
// passed over, so that the iteration of a small store takes few rounds. A prefix scan walks the ordered keys: its pages are full
// until the end, and its cursor names the shard and the last key.
//
// # Durability and crashes
//
// Without a journal (the default) the store is volatile. With one, every change appends a record of its effects, with
// absolute times, under the locks it was made under; FORMAT.md draws the bytes. A change of several keys is one record.
// An expiry needs no record, its deadline is in the record that set it; an eviction is recorded as a delete.
//
// Compaction dumps shard by shard while the store serves. The snapshot may thus hold effects of records behind the cut;
// records are idempotent, so replaying them over it gives the same state, and the dump ends by waiting until the log has
// all it may have seen on disk, so a crash cannot keep half of a change. It begins at 32 MiB and twice the live data of
// log, and whenever it frees a disk that is full (brokers.Relief).
package store
