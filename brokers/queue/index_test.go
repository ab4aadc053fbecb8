package queue

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// TestIndex compares an index, and the copies made of it, with plain maps, across the change from few jobs to many and back.
func TestIndex(t *testing.T) {
	type pinned struct {
		index index
		jobs  map[uint64]*job
	}
	random := rand.New(rand.NewPCG(1, 2))
	var x index
	jobs := map[uint64]*job{}
	var pins []pinned
	check := func(x *index, jobs map[uint64]*job) {
		t.Helper()
		ids := slices.Sorted(maps.Keys(jobs))
		from := uint64(random.IntN(130))
		ids = slices.DeleteFunc(ids, func(id uint64) bool { return id < from })
		var got []uint64
		x.ascend(from, func(id uint64, j *job) bool {
			if j != jobs[id] {
				t.Fatalf("job %d is another", id)
			}
			got = append(got, id)
			return len(got) < 50
		})
		if want := ids[:min(len(ids), 50)]; !slices.Equal(got, want) || x.count() != len(jobs) {
			t.Fatalf("from %d: %v of %d, want %v of %d", from, got, x.count(), want, len(jobs))
		}
	}
	for step := range 20_000 {
		id := uint64(1 + random.IntN(120))
		if grows := step/400%2 == 0; random.IntN(4) == 0 != grows {
			j := &job{id: id}
			jobs[id] = j
			x.set(j)
		} else {
			delete(jobs, id)
			x.remove(id)
		}
		if j, ok := x.get(id); ok != (jobs[id] != nil) || j != jobs[id] {
			t.Fatalf("step %d: %v %v", step, j, ok)
		}
		check(&x, jobs)
		if step%100 == 0 {
			pins = append(pins[max(len(pins)-5, 0):], pinned{x.copy(), maps.Clone(jobs)})
		}
		if len(pins) > 0 {
			p := &pins[random.IntN(len(pins))]
			check(&p.index, p.jobs)
		}
	}
}

// TestMemoryPerQueue measures what short queues take, of which there may be very many: what a queue does not use it must not hold.
func TestMemoryPerQueue(t *testing.T) {
	broker, j := benchBroker(t)
	body := bytes.Repeat([]byte("x"), 100)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const queues, jobs = 10_000, 10
	for range jobs {
		for i := range queues {
			if _, _, err := broker.Push(fmt.Appendf(nil, "queue-%d", i), [][]byte{body}, &PushOptions{}, nil); err != nil {
				t.Fatal(err)
			}
		}
		j.sync()
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	perQueue := int64(after.HeapAlloc-before.HeapAlloc) / queues
	t.Logf("%d bytes per queue of %d jobs of 100 bytes", perQueue, jobs)
	if limit := int64(950 + jobs*(80+112)); perQueue > limit {
		t.Fatalf("a queue of %d jobs takes %d bytes, more than %d", jobs, perQueue, limit)
	}
	runtime.KeepAlive(broker)
}
