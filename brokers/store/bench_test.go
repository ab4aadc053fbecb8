package store

import (
	"fmt"
	"math/rand/v2"
	"os"
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
// account must not be far from what is resident, it is what maxmemory bounds.
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
	debug.FreeOSMemory()
	before := residentBytes(t)
	key, value := make([]byte, 0, 32), make([]byte, 64)
	for i := range n {
		key = fmt.Appendf(key[:0], "key:%012d", i)
		if _, err := broker.Put(0, key, value); err != nil {
			t.Fatal(err)
		}
	}
	resident, account := float64(residentBytes(t)-before)/n, float64(broker.memory.Load())/n
	outside := broker.Resident()
	t.Logf("per key: account %.0f B, outside of the heap %.0f B, resident %.0f B", account, float64(outside)/n, resident)
	if outside > 140*n {
		t.Errorf("a key costs %d bytes", outside/n)
	}
	if held := float64(outside) / n; account < 0.9*held || account > 1.1*held {
		t.Errorf("the account says %.0f bytes per key, and %.0f are held", account, held)
	}
}
