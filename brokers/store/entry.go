package store

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
)

// copyLimit is the capacity up to which values are overwritten in place and copied out under the lock.
const copyLimit = ShortValue

// ShortValue is how much scratch memory a reader needs so that no Get allocates.
const ShortValue = 1024

// entry is one key. It is 64 bytes: the deadline lives in the shard's heap.
type entry struct {
	next     *entry // in its bucket
	key      string
	value    []byte
	hash     uint32
	access   uint32 // LRU: coarse second of the last use; LFU: minute<<8 | logarithmic counter
	deadline uint32 // 1 + position in its heap; 0 when the key does not expire
	kind     Kind
	flags    uint8
}

// The account of an entry: its own 64 bytes and about two bucket slots.
const (
	entryOverhead    = 64 + 16
	deadlineOverhead = 16
	orderedOverhead  = 24
)

func (e *entry) size() int64 {
	return int64(entryOverhead + (len(e.key)+7)&^7 + cap(e.value))
}

// replace makes value the entry's value, copying it.
func (e *entry) replace(value []byte) {
	room := cap(e.value)
	if room <= copyLimit && len(value) <= room && room <= 2*len(value)+32 {
		e.value = append(e.value[:0], value...)
		return
	}
	e.value = append(make([]byte, 0, len(value)), value...)
}

// read gives the value to a reader that will use it without the lock: a copy in scratch, or the value itself when it is
// one whose bytes never change.
func (e *entry) read(scratch []byte) []byte {
	if cap(e.value) <= copyLimit {
		return append(scratch[:0], e.value...)
	}
	return e.value[:len(e.value):len(e.value)]
}
