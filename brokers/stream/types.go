package stream

import (
	"fmt"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/stream/segment"
)

// Config is what XCREATE and XCONF set; zero limits are none.
type Config struct {
	MaxAge      time.Duration
	MaxBytes    int64
	MaxLen      int64 // offsets: entries that a repair has lost count until they are trimmed
	Sync        brokers.Durability
	Chain       bool // INTEGRITY CHAIN
	DedupWindow time.Duration
}

// DefaultConfig is a stream's made without options.
func DefaultConfig(sync brokers.Durability) Config {
	return Config{MaxAge: 7 * 24 * time.Hour, MaxBytes: 1 << 30, Sync: sync, DedupWindow: 2 * time.Minute}
}

// GroupConfig is what XGCREATE sets.
type GroupConfig struct {
	AckWait    time.Duration // 0: no automatic redelivery
	MaxDeliver int           // deliveries before an entry is parked; 0 is no limit
	MaxPending int
}

// DefaultGroupConfig is a group's made without options.
func DefaultGroupConfig() GroupConfig {
	return GroupConfig{AckWait: 30 * time.Second, MaxDeliver: 5, MaxPending: 10_000}
}

// Entry is one entry. The payload is never changed.
type Entry = segment.Entry

// Delivery is an entry given to a consumer, with how often it was.
type Delivery struct {
	Entry
	Deliveries int
}

// Parked is an entry that a group gave up.
type Parked struct {
	Entry
	Deliveries int
	ParkedMs   int64
	Reason     string
}

// PositionKind says how a Position is meant.
type PositionKind uint8

const (
	AtOffset PositionKind = iota
	AtID                  // the first entry with this id or a later one
	AtTime                // the first entry at or after Ms
	First
	Last
	Next // what will be appended next
)

// Position is a place in a stream.
type Position struct {
	Kind   PositionKind
	Offset uint64
	Ms     int64
	Seq    uint64
}

// Range is an inclusive range of offsets.
type Range struct{ From, To uint64 }

// Expect is the condition of an append.
type Expect struct {
	Kind   ExpectKind
	Offset uint64 // the last offset, of ExpectOffset
}

// ExpectKind says what an append expects.
type ExpectKind uint8

const (
	ExpectAny ExpectKind = iota
	ExpectNone
	ExpectExists
	ExpectOffset
)

func noStream(name string) error { return brokers.Errorf("NOSTREAM", "no such stream '%s'", name) }
func noGroup(name, group string) error {
	return brokers.Errorf("NOGROUP", "no such group '%s' of stream '%s'", group, name)
}

// CheckName refuses names that are empty, over 200 bytes or hold control bytes.
func CheckName(kind string, name []byte) error {
	if len(name) == 0 || len(name) > 200 {
		return brokers.Errorf("BADNAME", "a %s name has 1 to 200 bytes", kind)
	}
	for _, b := range name {
		if b < 0x20 || b == 0x7f {
			return brokers.Errorf("BADNAME", "a %s name holds no control bytes", kind)
		}
	}
	return nil
}

// conflict tells the first difference between two configs; "" when there is none.
func (c Config) conflict(asked Config) string {
	differ := func(name string, have, want any) string { return fmt.Sprintf("%s %v, asked %v", name, have, want) }
	switch {
	case c.MaxAge != asked.MaxAge:
		return differ("MAXAGE", c.MaxAge.Milliseconds(), asked.MaxAge.Milliseconds())
	case c.MaxBytes != asked.MaxBytes:
		return differ("MAXBYTES", c.MaxBytes, asked.MaxBytes)
	case c.MaxLen != asked.MaxLen:
		return differ("MAXLEN", c.MaxLen, asked.MaxLen)
	case c.Sync != asked.Sync:
		return differ("SYNC", c.Sync, asked.Sync)
	case c.Chain != asked.Chain:
		return differ("CHAIN", c.Chain, asked.Chain)
	case c.DedupWindow != asked.DedupWindow:
		return differ("DEDUPWINDOW", c.DedupWindow.Milliseconds(), asked.DedupWindow.Milliseconds())
	}
	return ""
}
