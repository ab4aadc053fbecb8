package queue

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestListAgainstASortedSlice adds and removes jobs anywhere in a list, and does the same to a sorted slice.
func TestListAgainstASortedSlice(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	var list jobList
	var want []*job
	next := uint64(1_000_000)
	add := func(id uint64) {
		at := firstAbove(want, id)
		if at > 0 && want[at-1].id == id {
			return
		}
		j := &job{id: id, body: "some body"}
		list.add(j)
		want = slices.Insert(want, at, j)
	}
	remove := func(at int) {
		list.remove(want[at])
		want = slices.Delete(want, at, at+1)
	}
	for round := range 200 {
		grow := round/20%2 == 0
		for range 200 {
			switch kind := random.IntN(10); {
			case len(want) == 0 || grow && kind < 6:
				next += 1 + random.Uint64N(3)
				add(next)
			case grow:
				add(1 + random.Uint64N(next))
			case kind < 4:
				remove(0)
			case kind < 6:
				remove(len(want) - 1)
			case kind < 9:
				remove(random.IntN(len(want)))
			default:
				add(want[0].id - 1)
			}
		}
		checkList(t, &list, want)
		id := random.Uint64N(next)
		out := list.after(id, make([]*job, 0, 300))
		if from := firstAbove(want, id); !slices.Equal(out, want[from:min(from+300, len(want))]) {
			t.Fatalf("after %d: %d jobs", id, len(out))
		}
	}
	for len(want) > 0 {
		remove(random.IntN(len(want)))
	}
	checkList(t, &list, want)
}

func checkList(t *testing.T, list *jobList, want []*job) {
	t.Helper()
	if list.count != len(want) || list.cost != int64(len(want))*(&job{body: "some body"}).cost() {
		t.Fatalf("the list says %d jobs of %d bytes, want %d", list.count, list.cost, len(want))
	}
	if !slices.Equal(list.after(0, make([]*job, 0, len(want)+1)), want) {
		t.Fatal("the list has other jobs, or another order")
	}
	if len(want) > 0 && (list.first() != want[0] || list.last() != want[len(want)-1]) {
		t.Fatal("the list has other ends")
	}
	if limit := 4*len(want)/blockJobs + 2; len(list.blocks) > limit {
		t.Fatalf("%d jobs lie in %d blocks", len(want), len(list.blocks))
	}
}

// TestShortListAllocatesNothing: most queues are short, and jobs come and go at the ends.
func TestShortListAllocatesNothing(t *testing.T) {
	jobs := make([]job, 40)
	var list jobList
	id := uint64(0)
	turn := func() {
		for i := range jobs {
			id++
			jobs[i].id = id
			list.add(&jobs[i])
		}
		for list.count > 1 {
			list.remove(list.first())
		}
		list.remove(list.last())
	}
	turn()
	if n := testing.AllocsPerRun(100, turn); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
