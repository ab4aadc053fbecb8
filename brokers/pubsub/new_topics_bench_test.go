package pubsub

import (
	"strconv"
	"syscall"
	"testing"
)

// BenchmarkNewTopics publishes to topics that nobody has published to before, beside a million wildcard filters and beside
// none. A subscriber of one topic is there in both.
func BenchmarkNewTopics(b *testing.B) {
	for _, filters := range []int{0, 1_000_000} {
		b.Run(strconv.Itoa(filters), func(b *testing.B) {
			broker, err := Open(Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer broker.Close()
			broker.Subscribe(&Subscription{Subscriber: discard{}, Kind: Channel, Name: "one"}, nil)
			for i := range filters {
				broker.Subscribe(&Subscription{Subscriber: discard{}, Kind: Filter, Name: "site/" + strconv.Itoa(i) + "/+/state"}, nil)
			}
			batch := broker.NewBatch(1)
			topic, payload := []byte("site/"), []byte("payload")
			b.ReportAllocs()
			began := processorTime(b)
			for i := 0; b.Loop(); i++ {
				topic = append(strconv.AppendInt(topic[:5], int64(i%1_000_000), 10), "/door/"...)
				topic = strconv.AppendInt(topic, int64(i), 10)
				batch.Publish(topic, payload, false)
			}
			batch.Flush()
			b.ReportMetric(float64(processorTime(b)-began)/float64(b.N), "cpu-ns/op")
		})
	}
}

// processorTime is what the process has used, in nanoseconds: other work on the machine changes it least.
func processorTime(b *testing.B) int64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return used.Utime.Nano() + used.Stime.Nano()
}
