package store

import (
	"encoding/binary"
	"math/bits"
	"time"

	"github.com/nexobroker/nexo/brokers"
)

// LimitMax is the most that a rate limiter can allow per window: an event then takes at least some nanoseconds of it.
const LimitMax = 1_000_000_000

// ErrLimit is returned by Limit for numbers that make no limiter.
var ErrLimit = &brokers.Error{Code: "ERR",
	Message: "a limiter needs 1 <= max <= 1000000000, 0 <= COST <= max and a window of at least max nanoseconds"}

// LimitResult is the answer of a rate limiter. Times are in milliseconds, rounded up.
type LimitResult struct {
	Allowed   bool
	Remaining int64 // what could be spent right now
	Retry     int64 // until the same cost would be allowed; -1 when it was
	Reset     int64 // until the whole of max could be spent
}

// Limit asks a rate limiter for cost out of max per window, by the generic cell rate algorithm: max may come at once,
// and what was spent comes back evenly. The key holds one number, the theoretical arrival time at which nothing is spent
// any more, and expires then. A refusal spends nothing; cost 0 only looks.
//
//	          spent = arrival - now
//	now |------------------------------| arrival            a cost fits when spent + its share <= window
//	now |----------------------------------------------| now + window
func (b *Broker) Limit(db int, key []byte, limit int64, window time.Duration, cost int64) (LimitResult, brokers.Receipt, error) {
	if limit < 1 || limit > LimitMax || cost < 0 || cost > limit || int64(window) < limit {
		return LimitResult{}, brokers.Receipt{}, ErrLimit
	}
	if err := b.admit(); err != nil {
		return LimitResult{}, brokers.Receipt{}, err
	}
	sh, hash := b.shardOf(db, key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := b.lookup(sh, hash, key)
	if e != nil && e.kind != Limit {
		return LimitResult{}, brokers.Receipt{}, ErrKind
	}
	now := b.now().elapsed
	arrival := now
	if e != nil {
		arrival = max(now, int64(binary.BigEndian.Uint64(sh.value(e))))
	}
	// A smaller window than the one the key was filled with must not wait for the larger one.
	arrival = min(arrival, now+int64(window))
	spent, share := arrival-now, multiplyDivide(cost, int64(window), limit)
	result := LimitResult{Allowed: spent+share <= int64(window), Retry: -1}
	if !result.Allowed {
		result.Retry = ceilMillis(spent + share - int64(window))
		share = 0
	}
	spent += share
	result.Remaining = multiplyDivide(int64(window)-spent, limit, int64(window))
	result.Reset = ceilMillis(spent)
	if share == 0 {
		return result, brokers.Receipt{}, nil
	}
	var value [8]byte
	binary.BigEndian.PutUint64(value[:], uint64(now+spent))
	if e == nil {
		e = b.create(sh, hash, key, value[:], Limit)
	} else {
		e = b.assign(sh, e, value[:])
	}
	b.setDeadline(sh, e, ceilMillis(now+spent), false)
	return result, b.logged(sh, e), nil
}

func ceilMillis(nanoseconds int64) int64 {
	return (nanoseconds + int64(time.Millisecond) - 1) / int64(time.Millisecond)
}

// multiplyDivide is a*m/d without overflow between; a/d is at most 1, so the result fits.
func multiplyDivide(a, m, d int64) int64 {
	high, low := bits.Mul64(uint64(a), uint64(m))
	quotient, _ := bits.Div64(high, low, uint64(d))
	return int64(quotient)
}
