// Package latency counts durations in buckets, so that a quantile of what happened between two readings can be told. Adding is
// one atomic addition and never waits; what is counted is never reset, and a reader subtracts its last reading.
//
// There are two buckets to a doubling, from one microsecond to about a minute: a quantile is at most half too high.
package latency

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Buckets is how many there are. The last one holds everything longer.
const Buckets = 52

// Counts are durations by bucket.
type Counts [Buckets]uint64

// Histogram counts durations. The zero value is empty and ready.
type Histogram [Buckets]atomic.Uint64

// Add counts one duration.
func (h *Histogram) Add(took time.Duration) { h[bucketOf(took)].Add(1) }

// Counts reads what has been counted since the start.
func (h *Histogram) Counts() (counts Counts) {
	for i := range h {
		counts[i] = h[i].Load()
	}
	return counts
}

func bucketOf(took time.Duration) int {
	micros := uint64(max(took.Microseconds(), 0))
	if micros == 0 {
		return 0
	}
	doubling := bits.Len64(micros) // 1 for 1, 2 for 2 and 3
	half := 0
	if doubling > 1 && micros&(1<<(doubling-2)) != 0 {
		half = 1
	}
	return min(2*doubling-1+half, Buckets-1)
}

// Bound is the upper bound of a bucket in microseconds.
func Bound(bucket int) int64 {
	if bucket == 0 {
		return 1
	}
	doubling, half := (bucket+1)/2, (bucket+1)%2
	lower := int64(1) << (doubling - 1)
	if half == 1 {
		return 2 * lower
	}
	return lower + max(lower/2, 1)
}
