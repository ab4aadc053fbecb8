package store

import (
	"unsafe"

	"github.com/nexobroker/nexo/brokers/store/slab"
)

// Kind is the type of a value.
type Kind uint8

const (
	// String is a byte string.
	String Kind = iota
	// Limit is the state of a rate limiter: see Broker.Limit.
	Limit
)

func (k Kind) String() string {
	if k == Limit {
		return "ratelimit"
	}
	return "string"
}

const (
	flagDated uint8 = 1 << iota // the deadline is in shard.dated, not in shard.elapsing
	flagRaw                     // made by APPEND or SETRANGE: Redis reports such strings as raw
	flagText                    // made by INCRBYFLOAT: never reported as int
	flagApart                   // the value is large, in shard.apart

	flagsRecorded = flagDated | flagRaw | flagText // those that FORMAT.md knows
)

// blockValueMax is the longest value that lies in the block of its entry.
const blockValueMax = 32 << 10

// ShortValue is how much scratch memory a reader needs so that the usual short values are copied without an allocation.
const ShortValue = 1024

// entry is the head of a block of its group's arena; the key follows, then the value unless it is apart.
//
//	| entry 32 B | key | value ... room |
//
// A block is outside of the collector's heap, so nothing here is a pointer, and nobody may use it without the lock of the shard.
type entry struct {
	next     link // in its bucket
	hash     uint32
	access   uint32 // LRU: coarse second of the last use; LFU: minute<<8 | logarithmic counter
	deadline uint32 // 1 + position in its heap; 0 when the key does not expire
	keySize  uint32
	value    uint32 // bytes of the value in the block, or its number among those apart
	kind     Kind
	flags    uint8
	place    slab.Place
}

const entrySize = int(unsafe.Sizeof(entry{}))

// link is the address of an entry, 0 for none. It is not a pointer to the collector; see package slab.
type link uintptr

func (l *link) entry() *entry { return *(**entry)(unsafe.Pointer(l)) }

func linkTo(e *entry) link { return link(unsafe.Pointer(e)) }

// The account of an entry besides its block: about two bucket slots.
const (
	bucketOverhead   = 16
	deadlineOverhead = 16
	orderedOverhead  = 40 // and the key, which the ordered keys have a copy of
)

// key is the key as it lies in the block.
func (e *entry) key() []byte { return e.bytes(0, int(e.keySize)) }

// inBlock is the value of an entry that has it in its block.
func (e *entry) inBlock() []byte { return e.bytes(int(e.keySize), int(e.value)) }

func (e *entry) bytes(from, n int) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(e), entrySize+from)), n)
}

// value is the value of an entry, valid under the lock until the next change of the entry.
func (sh *shard) value(e *entry) []byte {
	if e.flags&flagApart != 0 {
		return sh.apart.values[e.value].bytes
	}
	return e.inBlock()
}

// read gives the value to a reader that will use it without the lock: a copy in scratch, or, when it is large, itself, which is lent until
// the reader settles it.
func (sh *shard) read(e *entry, scratch []byte, l *loan) []byte {
	value := sh.value(e)
	if e.flags&flagApart == 0 {
		return append(scratch[:0], value...)
	}
	l.held = sh.apart.values[e.value]
	l.held.hold()
	return value
}

// size is the account of the entry, without deadline and ordered key.
func (sh *shard) size(e *entry) int64 {
	n := int64(bucketOverhead + slab.SizeOf(unsafe.Pointer(e), e.place))
	if e.flags&flagApart != 0 {
		n += int64(sh.apart.values[e.value].run.Size())
	}
	return n
}

// orderedSize is the account of the entry's ordered key, if there is one.
func (sh *shard) orderedSize(e *entry) int64 {
	if sh.ordered == nil {
		return 0
	}
	return orderedOverhead + int64(e.keySize)
}

// newEntry makes an entry that is nowhere yet, with room for a value in its block.
func (sh *shard) newEntry(hash uint32, key []byte, room int, kind Kind) *entry {
	block, at := sh.group.arena.Alloc(sh.index, entrySize+len(key)+room)
	e := (*entry)(block)
	*e = entry{hash: hash, keySize: uint32(len(key)), value: uint32(room), kind: kind, place: at}
	copy(e.key(), key)
	return e
}

// make makes an entry with a value.
func (sh *shard) make(hash uint32, key, value []byte, kind Kind) *entry {
	if len(value) > blockValueMax {
		return sh.makeApart(hash, key, sh.newLarge(value), kind)
	}
	e := sh.newEntry(hash, key, len(value), kind)
	copy(e.inBlock(), value)
	return e
}

func (sh *shard) newLarge(value []byte) *large {
	l := newLarge(sh.blocks.pool, len(value), len(value))
	copy(l.bytes, value)
	return l
}

func (sh *shard) makeApart(hash uint32, key []byte, l *large, kind Kind) *entry {
	e := sh.newEntry(hash, key, 0, kind)
	e.flags = flagApart
	e.value = sh.apart.add(l)
	return e
}

// put makes value the entry's value, copying it, and returns where the entry is now.
func (sh *shard) put(e *entry, value []byte) *entry {
	if len(value) <= blockValueMax {
		e = sh.resize(e, len(value), 0)
		copy(e.inBlock(), value)
		return e
	}
	if e.flags&flagApart != 0 {
		if l := sh.apart.values[e.value]; l.writable(len(value)) {
			l.bytes = append(l.bytes[:0], value...)
			return e
		}
	}
	return sh.putApart(e, sh.newLarge(value))
}

// putApart makes the large value the entry's.
func (sh *shard) putApart(e *entry, l *large) *entry {
	if e.flags&flagApart != 0 {
		sh.apart.values[e.value].release()
		sh.apart.values[e.value] = l
		return e
	}
	e = sh.resize(e, 0, 0)
	e.flags |= flagApart
	e.value = sh.apart.add(l)
	return e
}

// extend makes the value n bytes, no fewer than it has, which are kept; what follows them is undefined. changing says that some of them
// will be overwritten. It returns where the entry is now.
func (sh *shard) extend(e *entry, n int, changing bool) *entry {
	old := sh.value(e)
	if n <= blockValueMax {
		return sh.resize(e, n, len(old))
	}
	if e.flags&flagApart != 0 {
		if l := sh.apart.values[e.value]; n <= cap(l.bytes) && (!changing || l.writable(n)) {
			l.bytes = l.bytes[:n]
			return e
		}
	}
	room := n
	if n > len(old) {
		room += n / 8 // another piece is likely to follow
	}
	l := newLarge(sh.blocks.pool, n, room)
	copy(l.bytes, old)
	return sh.putApart(e, l)
}

// resize makes the value n bytes in the entry's block, of which the first keep are as they were, and returns where the entry is now.
func (sh *shard) resize(e *entry, n, keep int) *entry {
	need := entrySize + int(e.keySize) + n
	if room := slab.SizeOf(unsafe.Pointer(e), e.place); room == slab.Size(need) || room >= need && room <= need+need/4+16 {
		if e.flags&flagApart == 0 {
			e.value = uint32(n)
			return e
		}
	}
	made := sh.newEntry(e.hash, e.key(), n, e.kind)
	copy(made.inBlock(), sh.value(e)[:keep])
	made.next, made.access, made.deadline, made.flags = e.next, e.access, e.deadline, e.flags&^flagApart
	sh.moved(e, made)
	sh.freeBlock(e)
	return made
}

// moved puts the new address of an entry where the old one is kept. to is a copy of from, links and all.
func (sh *shard) moved(from, to *entry) {
	sh.table.replace(from, to)
	if to.deadline != 0 {
		sh.heap(to).items[to.deadline-1].e = linkTo(to)
	}
}

// freeBlock gives up an entry that is nowhere any more.
func (sh *shard) freeBlock(e *entry) {
	if e.flags&flagApart != 0 {
		sh.apart.remove(e.value)
	}
	if sh.group.arena.Free(unsafe.Pointer(e), e.place) {
		sh.blocks.loose.add(sh.group)
	}
}
