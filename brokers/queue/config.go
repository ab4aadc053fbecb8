package queue

import (
	"errors"
	"strconv"

	"github.com/nexobroker/nexo/brokers"
)

// Limits of a queue's configuration and of what clients may send.
const (
	MaxNameBytes   = 200
	MaxBatch       = 1000
	MaxCount       = 1000
	MaxHandles     = 65536
	MaxReasonBytes = 1000
	MaxDedupBytes  = 512
	MaxAttempts    = 1_000_000
	// MaxDuration is the longest time a queue accepts, in milliseconds: 100 years.
	MaxDuration = int64(100 * 365 * 24 * 3600 * 1000)
)

// Backoff says how the delay before a retry grows.
type Backoff uint8

const (
	BackoffNone Backoff = iota
	BackoffFixed
	BackoffExponential
)

// Config is the configuration of one queue. Times are milliseconds; 0 means none where that makes sense. Configs are
// compared with ==.
type Config struct {
	Lease       int64
	MaxAttempts int64
	Backoff     Backoff
	BackoffBase int64
	BackoffMax  int64
	Jitter      int64 // percent, either way
	Delay       int64
	TTL         int64
	DeadLetters bool
	DeadTTL     int64
	MaxLen      int64
	DropOldest  bool
	DedupWindow int64
	Sync        brokers.Durability
}

// DefaultConfig is what a queue gets when nothing is said.
func DefaultConfig(durability brokers.Durability) Config {
	return Config{
		Lease:       30_000,
		MaxAttempts: 5,
		Backoff:     BackoffExponential,
		BackoffBase: 1_000,
		BackoffMax:  300_000,
		Jitter:      20,
		DeadLetters: true,
		DedupWindow: 300_000,
		Sync:        durability,
	}
}

// Field is one configuration value as text.
type Field struct {
	Name, Value string
}

// Fields lists the configuration in a fixed order, with the option words of QCREATE in lower case.
func (c Config) Fields() []Field {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	backoff := "none"
	switch c.Backoff {
	case BackoffFixed:
		backoff = "fixed " + number(c.BackoffBase)
	case BackoffExponential:
		backoff = "exp " + number(c.BackoffBase) + " " + number(c.BackoffMax)
	}
	deadLetters := "off"
	if c.DeadLetters {
		deadLetters = "on"
	}
	overflow := "reject"
	if c.DropOldest {
		overflow = "dropoldest"
	}
	return []Field{
		{"lease", number(c.Lease)},
		{"maxattempts", number(c.MaxAttempts)},
		{"backoff", backoff},
		{"jitter", number(c.Jitter)},
		{"delay", number(c.Delay)},
		{"ttl", number(c.TTL)},
		{"dlq", deadLetters},
		{"dlqttl", number(c.DeadTTL)},
		{"maxlen", number(c.MaxLen)},
		{"overflow", overflow},
		{"dedupwindow", number(c.DedupWindow)},
		{"sync", c.Sync.String()},
	}
}

// check refuses values that no queue may have, whether they come from a client or from a journal.
func (c Config) check() error {
	durations := []int64{c.Lease, c.BackoffBase, c.BackoffMax, c.Delay, c.TTL, c.DeadTTL, c.DedupWindow}
	for _, d := range durations {
		if d < 0 || d > MaxDuration {
			return brokers.Errorf("ERR", "a duration is out of range")
		}
	}
	switch {
	case c.Lease < 1:
		return brokers.Errorf("ERR", "LEASE must be at least 1 ms")
	case c.MaxAttempts < 1 || c.MaxAttempts > MaxAttempts:
		return brokers.Errorf("ERR", "MAXATTEMPTS is not an integer between 1 and %d", MaxAttempts)
	case c.Jitter < 0 || c.Jitter > 100:
		return brokers.Errorf("ERR", "JITTER is not an integer between 0 and 100")
	case c.MaxLen < 0:
		return brokers.Errorf("ERR", "MAXLEN must not be negative")
	case c.Backoff > BackoffExponential || c.Sync > brokers.Always:
		return brokers.Errorf("ERR", "unknown backoff or sync level")
	}
	return nil
}

// backoffDelay is how long a job waits after its attempt failed, before jitter.
func (c Config) backoffDelay(attempt uint32) int64 {
	switch c.Backoff {
	case BackoffFixed:
		return c.BackoffBase
	case BackoffExponential:
		delay := c.BackoffBase
		for i := uint32(1); i < attempt && delay < c.BackoffMax; i++ {
			delay *= 2
		}
		return min(delay, c.BackoffMax)
	}
	return 0
}

// CheckName holds the rule for names: 1 to 200 bytes, no control bytes.
func CheckName(name []byte) error {
	if len(name) == 0 || len(name) > MaxNameBytes {
		return errBadName
	}
	for _, b := range name {
		if b < 0x20 || b == 0x7f {
			return errBadName
		}
	}
	return nil
}

var (
	errBadName = &brokers.Error{Code: "BADNAME", Message: "invalid queue name: use 1 to 200 bytes without control bytes"}
	errClosed  = &brokers.Error{Code: "ERR", Message: "the queue broker is closed"}
)

// errNoQueue is returned when the queue named does not exist.
func errNoQueue(name []byte) error {
	return brokers.Errorf("NOQUEUE", "no such queue '%s'", name)
}

func isNoQueue(err error) bool { return errors.Is(err, &brokers.Error{Code: "NOQUEUE"}) }
