package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const keyClients = 4

// key is 16 bytes, and the same for the same number.
func key(buf []byte, i int) string { return string(fmt.Appendf(buf[:0], "key:%012d", i)) }

// scaleStorm writes four times as much as maxmemory allows, and the same to a server that has no limit.
func (b *bench) scaleStorm() error {
	const payload = 1024
	limitBytes := b.sized(1<<30, 256*mebibyte)
	n := 4 * limitBytes / payload
	rows := []scaleRow{
		{work: fmt.Sprintf("%s SETs of 1 KiB at maxmemory %s, allkeys-lru: RSS by maxmemory", thousands(n), mebibytes(float64(limitBytes))),
			format: times, bar: atMost(1.15)},
		{work: "- server CPU of a SET by that without a limit", format: times, bar: atMost(1.3)},
		{work: "- server CPU of a SET", format: microseconds},
	}
	storm := func(c contender, flags ...string) (resident, each float64, err error) {
		f, err := b.open(c, flags...)
		if err != nil {
			return 0, 0, err
		}
		defer f.close()
		body := strings.Repeat("x", payload)
		used, err := f.during(func() error {
			return f.pour(keyClients, n, 64, func(buf []byte, i int) []byte { return encode(buf, "SET", key(nil, i), body) })
		})
		if err != nil {
			return 0, 0, err
		}
		resident, err = f.settledMemory(2 * time.Second)
		return resident / float64(limitBytes), float64(used.Microseconds()) / float64(n), err
	}
	measure := func(c contender) ([]float64, error) {
		resident, limited, err := storm(c, "--maxmemory", strconv.Itoa(limitBytes), "--maxmemory-policy", "allkeys-lru")
		if err != nil {
			return nil, err
		}
		_, free, err := storm(c)
		return []float64{resident, limited / free, limited}, err
	}
	return b.contest(rows, measure, measure)
}

// perKey is the memory of a key: what the server grows by.
func (f *field) perKey(n int, fill func() error) (float64, error) {
	empty, err := f.settledMemory(time.Second)
	if err != nil {
		return 0, err
	}
	if err := fill(); err != nil {
		return 0, err
	}
	resident, err := f.settledMemory(3 * time.Second)
	return (resident - empty) / float64(n), err
}

// scaleExpiring has keys that were set and then given a time to live, as they are at rest.
func (b *bench) scaleExpiring() error {
	n := b.sized(10_000_000, 1_000_000)
	rows := []scaleRow{{work: thousands(n) + " keys of 16 B with 64 B and a TTL: a key, at rest", format: plainBytes,
		bar: atMost(1).named("<= 1.0 of redis"), ofRatio: true}}
	measure := func(c contender) ([]float64, error) {
		f, err := b.open(c)
		if err != nil {
			return nil, err
		}
		defer f.close()
		body := strings.Repeat("x", 64)
		each, err := f.perKey(n, func() error {
			set := func(buf []byte, i int) []byte { return encode(buf, "SET", key(nil, i), body) }
			if err := f.pour(keyClients, n, 100, set); err != nil {
				return err
			}
			return f.pour(keyClients, n, 100, func(buf []byte, i int) []byte { return encode(buf, "EXPIRE", key(nil, i), "3600") })
		})
		return []float64{each}, err
	}
	return b.contest(rows, measure, measure)
}

// scaleFlush forgets all keys while somebody else reads.
func (b *bench) scaleFlush() error {
	n := b.sized(10_000_000, 1_000_000)
	rows := []scaleRow{
		{work: fmt.Sprintf("FLUSHALL of %s keys: p99 of GET beside it", thousands(n)), format: milliseconds, bar: below(5).named("< 5 ms")},
		{work: "- the longest GET", format: milliseconds},
		{work: "- server CPU while a GET waits, p99", format: milliseconds},
		{work: "- FLUSHALL", format: seconds},
	}
	measure := func(c contender) ([]float64, error) {
		f, err := b.open(c)
		if err != nil {
			return nil, err
		}
		defer f.close()
		body := strings.Repeat("x", 64)
		set := func(buf []byte, i int) []byte { return encode(buf, "SET", key(nil, i), body) }
		if err := f.pour(keyClients, n, 100, set); err != nil {
			return nil, err
		}
		var took time.Duration
		seen, err := watch(f.server, "get", func() error {
			began := time.Now()
			err := f.send("FLUSHALL")
			took = time.Since(began)
			// What is freed behind it counts, and a fast FLUSHALL has few GETs beside it.
			time.Sleep(max(took, 500*time.Millisecond))
			return err
		})
		return []float64{seen.p99, seen.most, seen.busy, took.Seconds()}, err
	}
	return b.contest(rows, measure, measure)
}
