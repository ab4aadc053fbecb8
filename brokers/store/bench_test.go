package store

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
)

func filled(b *testing.B, n int) (*Broker, [][]byte) {
	broker, err := Open(Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { broker.Close() })
	keys := make([][]byte, n)
	value := make([]byte, 64)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "key:%012d", i*7919%n)
		broker.Put(0, keys[i], value)
	}
	return broker, keys
}

func BenchmarkGet(b *testing.B) {
	broker, keys := filled(b, 100_000)
	reply := make([]byte, 0, 1024)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		broker.Get(0, keys[i%len(keys)], Touches, func(value []byte) { reply = append(reply[:0], value...) })
	}
}

func BenchmarkPutExisting(b *testing.B) {
	broker, keys := filled(b, 100_000)
	value := make([]byte, 64)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		broker.Put(0, keys[i%len(keys)], value)
	}
}

func BenchmarkPutNew(b *testing.B) {
	broker, _ := filled(b, 1)
	value := make([]byte, 64)
	key := make([]byte, 0, 32)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		key = strconv.AppendInt(append(key[:0], "key:"...), int64(i), 10)
		broker.Put(0, key, value)
	}
}

func BenchmarkPutWithTTL(b *testing.B) {
	broker, keys := filled(b, 100_000)
	value := make([]byte, 64)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		broker.Set(0, keys[i%len(keys)], value, SetOptions{Expiry: Expiry{Mode: ExpireIn, At: 60_000}})
	}
}

func BenchmarkIncrement(b *testing.B) {
	broker, _ := filled(b, 1000)
	key := []byte("counter")
	b.ReportAllocs()
	for b.Loop() {
		broker.Increment(0, key, 1, KeepExpiry)
	}
}

// BenchmarkPutOverLimit evicts a key for each new one.
func BenchmarkPutOverLimit(b *testing.B) {
	broker, err := Open(Options{MaxMemory: 200 << 20, MaxMemoryPolicy: "allkeys-lru"})
	if err != nil {
		b.Fatal(err)
	}
	defer broker.Close()
	value, key := make([]byte, 3000), make([]byte, 0, 32)
	put := func(i int) {
		key = strconv.AppendInt(append(key[:0], "key:"...), int64(i), 10)
		broker.Put(0, key, value[:100+rand.IntN(2901)])
	}
	i := 0
	for ; i < 140_000; i++ {
		put(i)
	}
	b.ReportAllocs()
	for ; b.Loop(); i++ {
		put(i)
	}
}

func BenchmarkGetParallel(b *testing.B) {
	broker, keys := filled(b, 100_000)
	b.RunParallel(func(pb *testing.PB) {
		reply := make([]byte, 0, 1024)
		for i := 0; pb.Next(); i++ {
			broker.Get(0, keys[i%len(keys)], Touches, func(value []byte) { reply = append(reply[:0], value...) })
		}
	})
}

// BenchmarkFlush shows what a flush costs: nearly the same however many keys there are.
func BenchmarkFlush(b *testing.B) {
	for _, n := range []int{1000, 300_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				broker, _ := filled(b, n)
				b.StartTimer()
				broker.Flush(0)
			}
		})
	}
}
