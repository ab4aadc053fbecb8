package store

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
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
	scratch := make([]byte, 0, ShortValue)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		broker.Get(0, keys[i%len(keys)], scratch, Touches)
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

func BenchmarkGetParallel(b *testing.B) {
	broker, keys := filled(b, 100_000)
	b.RunParallel(func(pb *testing.PB) {
		scratch := make([]byte, 0, ShortValue)
		for i := 0; pb.Next(); i++ {
			broker.Get(0, keys[i%len(keys)], scratch, Touches)
		}
	})
}

// residentBytes is what the kernel says this process occupies.
func residentBytes(t *testing.T) int64 {
	status, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("no /proc here: ", err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(status))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// TestBytesPerKey holds the cost of a key: 16 byte keys and 64 byte values, of which Redis needs 152 bytes each. The
// account must not be far from the heap, it is what maxmemory bounds.
func TestBytesPerKey(t *testing.T) {
	if testing.Short() {
		t.Skip("fills a million keys")
	}
	const n = 1_000_000
	broker, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	var before, after runtime.MemStats
	debug.FreeOSMemory()
	residentBefore := residentBytes(t)
	runtime.ReadMemStats(&before)
	key, value := make([]byte, 0, 32), make([]byte, 64)
	for i := range n {
		key = fmt.Appendf(key[:0], "key:%012d", i)
		if _, err := broker.Put(0, key, value); err != nil {
			t.Fatal(err)
		}
	}
	residentPeak := residentBytes(t) - residentBefore
	debug.FreeOSMemory()
	runtime.ReadMemStats(&after)
	heap := float64(after.HeapAlloc-before.HeapAlloc) / n
	account := float64(broker.memory.Load()) / n
	t.Logf("per key: heap %.0f B, account %.0f B, resident %.0f B after a collection, %.0f B while filling", heap, account,
		float64(residentBytes(t)-residentBefore)/n, float64(residentPeak)/n)
	if heap > 180 {
		t.Errorf("a key costs %.0f bytes of heap", heap)
	}
	if account < 0.9*heap || account > 1.2*heap {
		t.Errorf("the account says %.0f bytes per key, the heap %.0f", account, heap)
	}
	runtime.KeepAlive(broker)
}
