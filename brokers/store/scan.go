package store

import (
	"encoding/hex"
	"hash/maphash"
	"strconv"
	"strings"
)

// Item is a key that a scan passes. Key and Value are valid only during the visit.
type Item struct {
	Key   []byte
	Kind  Kind
	Value []byte
	TTL   int64 // milliseconds, -1 when the key does not expire
}

// Verdict is what a visitor says about a key.
type Verdict uint8

const (
	Taken  Verdict = iota // it is on the page
	Passed                // it is not, a filter is against it
	Full                  // it is on the page, and there is no room for more
)

// These bound the work of one Scan over tables with few keys: it visits at most scanBucketsPerKey buckets per key that was asked
// for, but scanBucketsMin at least, which is every bucket of a small store.
const (
	scanBucketsPerKey = 10
	scanBucketsMin    = 4096
)

// Scan visits some of the keys of a database and returns the cursor to go on with, 0 at the end. The first cursor is 0.
// About count keys are visited, fewer when visit returns Full: the rest of a hash bucket is still visited then. visit
// runs under a lock: it may only copy.
func (b *Broker) Scan(db int, cursor uint64, count int, visit func(Item) Verdict) uint64 {
	shards := b.databases[db].Load()
	if shards == nil {
		return 0
	}
	passed := 0
	buckets := max(scanBucketsMin, count*scanBucketsPerKey)
	at := int(cursor & (shardCount - 1))
	bucket := cursor >> 8
	for ; at < shardCount; at++ {
		sh := &shards[at]
		sh.mu.Lock()
		for sh.table.count > 0 {
			if passed >= count || buckets == 0 {
				sh.mu.Unlock()
				return bucket<<8 | uint64(at)
			}
			buckets--
			bucket = sh.table.scan(bucket, func(e *entry) {
				passed++
				if alive, verdict := b.pass(sh, e, visit); alive && verdict == Full {
					passed = count
				}
			})
			if bucket == 0 {
				break
			}
		}
		sh.mu.Unlock()
		bucket = 0
	}
	return 0
}

// pass shows an entry to the visitor, if it is alive.
func (b *Broker) pass(sh *shard, e *entry, visit func(Item) Verdict) (alive bool, verdict Verdict) {
	item := Item{Key: e.key(), Kind: e.kind, Value: sh.value(e), TTL: -1}
	if e.deadline != 0 {
		if b.overdue(sh, e) {
			return false, Passed
		}
		item.TTL = b.ttl(sh, e)
	}
	return true, visit(item)
}

// Keys visits all keys of a database, shard by shard. A key is valid only during the visit.
func (b *Broker) Keys(db int, visit func(key []byte)) {
	shards := b.databases[db].Load()
	if shards == nil {
		return
	}
	for i := range shards {
		sh := &shards[i]
		sh.mu.Lock()
		sh.table.each(func(e *entry) {
			if e.deadline == 0 || !b.overdue(sh, e) {
				visit(e.key())
			}
		})
		sh.mu.Unlock()
	}
}

// PrefixCursor is where a prefix scan stands: in a shard, behind a key. The zero value is the start.
type PrefixCursor struct {
	shard   int
	started bool // after is meaningful: the empty string is a key, too
	after   string
}

// String is the cursor as clients carry it: "0" at the start, else shard and key, the key in hex.
func (c PrefixCursor) String() string {
	if !c.started {
		return "0"
	}
	return strconv.Itoa(c.shard) + "-" + hex.EncodeToString([]byte(c.after))
}

// ParsePrefixCursor reads what String wrote.
func ParsePrefixCursor(text string) (PrefixCursor, bool) {
	if text == "0" {
		return PrefixCursor{}, true
	}
	shard, after, ok := strings.Cut(text, "-")
	if !ok {
		return PrefixCursor{}, false
	}
	n, err := strconv.ParseUint(shard, 10, 8)
	if err != nil {
		return PrefixCursor{}, false
	}
	key, err := hex.DecodeString(after)
	if err != nil {
		return PrefixCursor{}, false
	}
	return PrefixCursor{shard: int(n), started: true, after: string(key)}, true
}

// ScanPrefix visits the next count keys that start with prefix. Every page but the last is full, and a cursor other than
// the zero one is returned only when more keys follow. Two things end a page early: visit says Full, or prefixPassedMax
// keys were Passed. visit runs under a lock: it may only copy.
func (b *Broker) ScanPrefix(db int, prefix string, cursor PrefixCursor, count int, visit func(Item) Verdict) PrefixCursor {
	shards := b.databases[db].Load()
	if shards == nil {
		return PrefixCursor{}
	}
	page := prefixPage{prefix: prefix, from: cursor, left: count, visit: visit}
	for at := cursor.shard; at < shardCount; at++ {
		if b.scanPrefixShard(&shards[at], &page); page.more {
			return page.last
		}
	}
	return PrefixCursor{}
}

// prefixPassedMax bounds the work for one page whose filter takes next to nothing.
const prefixPassedMax = 100_000

type prefixPage struct {
	prefix string
	from   PrefixCursor
	last   PrefixCursor // the last key visited
	left   int
	more   bool // a key follows that has no room on the page
	passed int
	visit  func(Item) Verdict
}

func (b *Broker) scanPrefixShard(sh *shard, page *prefixPage) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.table.count == 0 {
		return
	}
	pivot := page.prefix
	resumed := page.from.started && page.from.shard == int(sh.index)
	if resumed {
		pivot = max(pivot, page.from.after)
	}
	b.order(sh).Ascend(pivot, func(key string, _ struct{}) bool {
		if !strings.HasPrefix(key, page.prefix) {
			return false
		}
		if resumed && key <= page.from.after {
			return true
		}
		e := b.find(sh, key)
		if page.left == 0 {
			page.more = e.deadline == 0 || !b.overdue(sh, e)
			return !page.more
		}
		if alive, verdict := b.pass(sh, e, page.visit); alive {
			page.last = PrefixCursor{shard: int(sh.index), started: true, after: key}
			page.note(verdict)
		}
		return true
	})
}

// note counts a key that was visited.
func (p *prefixPage) note(verdict Verdict) {
	if verdict != Passed {
		p.left--
	} else {
		p.passed++
	}
	if verdict == Full || p.passed == prefixPassedMax {
		p.left = 0
	}
}

// find is the entry of a key that is among the ordered ones.
func (b *Broker) find(sh *shard, key string) *entry {
	e := sh.table.find(uint32(maphash.String(b.seed, key)), []byte(key))
	if e == nil {
		panic("BUG: store: an ordered key that is not in the table")
	}
	return e
}
