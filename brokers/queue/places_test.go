package queue

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestPlaces adds and drops runs whose ids lie close together, far apart and in between, beside a map.
func TestPlaces(t *testing.T) {
	for _, span := range []uint64{3000, 100_000, 1 << 40} {
		random := rand.New(rand.NewPCG(span, 1))
		p, want := &places{}, map[uint64]*run{}
		var runs []*run
		for range 400 {
			if len(runs) > 40 || len(runs) > 0 && random.IntN(3) == 0 {
				i := random.IntN(len(runs))
				p.drop(runs[i])
				runs[i].ids(func(id uint64) { delete(want, id) })
				runs = slices.Delete(runs, i, i+1)
				continue
			}
			base, ids := 1+random.Uint64N(span), map[uint64]bool{}
			for range 1 + random.IntN(100) {
				if id := base + random.Uint64N(min(span, 1<<31)); want[id] == nil {
					ids[id] = true
				}
			}
			list := slices.Collect(maps.Keys(ids)) // in no order
			if len(list) == 0 {
				continue
			}
			r := &run{first: slices.Min(list), last: slices.Max(list), count: len(list), times: &times{}}
			for _, id := range list {
				r.offsets = append(r.offsets, uint32(id-r.first))
				want[id] = r
			}
			p.add(r)
			runs = append(runs, r)
		}
		ids, block := slices.Sorted(maps.Keys(want)), 0
		for i := range p.blocks {
			if n := len(p.blocks[i].ids); n == 0 || n > placesBlock || p.blocks[i].ids[0].above != 0 && i > 0 && p.blocks[i].first <= p.blocks[i-1].first {
				t.Fatalf("span %d: block %d has %d ids", span, i, n)
			}
			block += len(p.blocks[i].ids)
		}
		if block != len(ids) || p.count != len(ids) || len(p.all()) != len(runs) {
			t.Fatalf("span %d: %d ids, counted %d, want %d", span, block, p.count, len(ids))
		}
		for _, from := range []uint64{0, ids[len(ids)/2], ids[len(ids)-1] + 1} {
			at, _ := slices.BinarySearch(ids, from)
			p.ascend(from, func(id uint64, r *run) bool {
				if id != ids[at] || r != want[id] {
					t.Fatalf("span %d: %d after %d, want %d", span, id, from, ids[at])
				}
				at++
				return true
			})
			if at != len(ids) {
				t.Fatalf("span %d: from %d on there are %d ids, want %d", span, from, at, len(ids))
			}
		}
		for _, id := range ids {
			if p.with(id) != want[id] || want[id+1] == nil && p.with(id+1) != nil {
				t.Fatalf("span %d: job %d has another run", span, id)
			}
		}
	}
}

// TestPlacesOfIdsThatComeDownward behind a full block share blocks, as others do.
func TestPlacesOfIdsThatComeDownward(t *testing.T) {
	const ids = 8 * placesBlock
	p := &places{}
	for id := uint64(1); id <= placesBlock; id++ {
		p.set(id, 0)
	}
	for id := uint64(ids); id > placesBlock; id-- {
		p.set(id, 0)
	}
	if len(p.blocks) > 2*ids/placesBlock {
		t.Fatalf("%d blocks for %d ids", len(p.blocks), ids)
	}
	for id := uint64(1); id <= ids; id++ {
		if _, _, found := p.find(id); !found {
			t.Fatalf("id %d has no place", id)
		}
	}
}
