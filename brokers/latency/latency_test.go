package latency

import (
	"testing"
	"time"
)

func TestBuckets(t *testing.T) {
	for i := 1; i < Buckets; i++ {
		if Bound(i) < Bound(i-1) {
			t.Errorf("bucket %d ends at %d, the one before at %d", i, Bound(i), Bound(i-1))
		}
	}
	for _, micros := range []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 100, 999, 1000, 65_535, 65_536, 1_000_000, 30_000_000} {
		bucket := bucketOf(time.Duration(micros) * time.Microsecond)
		if upper := Bound(bucket); micros >= upper {
			t.Errorf("%d us is in bucket %d, which ends at %d", micros, bucket, upper)
		}
		if bucket > 0 {
			if lower := Bound(bucket - 1); micros > 3 && micros < lower {
				t.Errorf("%d us is in bucket %d, which begins at %d", micros, bucket, lower)
			}
		}
	}
	if got := bucketOf(time.Hour); got != Buckets-1 {
		t.Errorf("an hour is in bucket %d", got)
	}
}

func TestHistogram(t *testing.T) {
	var h Histogram
	h.Add(time.Millisecond)
	h.Add(time.Millisecond)
	h.Add(-time.Second) // of a clock that was set back
	counts := h.Counts()
	if counts[bucketOf(time.Millisecond)] != 2 || counts[0] != 1 {
		t.Errorf("counted %v", counts)
	}
}
