package queue

import "testing"

// TestFrontBeforeScatteredJobs: what lies in the tree behind the first run makes the front no longer. Else a tree that takes more than the
// budget would have the whole front cut, and each pop fetch a run and write it again.
func TestFrontBeforeScatteredJobs(t *testing.T) {
	var b bucket
	b.insert(&run{first: 101, last: 200})
	b.insert(&run{first: 301, last: 400})
	for _, id := range []uint64{1, 2, 3} {
		b.add(&job{id: id})
	}
	for id := uint64(150); id < 350; id++ {
		b.add(&job{id: id})
	}
	want := func(jobs int64) {
		t.Helper()
		for _, most := range []int64{1, 2, jobs, 1000} {
			if got := b.frontCost(most * jobOverheadBytes); got != min(most, jobs)*jobOverheadBytes {
				t.Fatalf("the front takes %d jobs up to %d, want %d", got/jobOverheadBytes, most, jobs)
			}
		}
	}
	want(3)
	b.drop(b.runs()[0])
	want(3 + 151)
	b.drop(b.runs()[0])
	want(3 + 200)
}

// TestALookInVainIsNotRepeated: a look at the tree passes thousands of jobs, and every push and pop past the budget asks for one.
func TestALookInVainIsNotRepeated(t *testing.T) {
	const least = 100 * jobOverheadBytes
	var b bucket
	b.insert(&run{first: 101, last: 10_000})
	next := uint64(200)
	add := func(jobs int) {
		for range jobs {
			b.add(&job{id: next})
			next++
		}
	}
	look := func(fetches, want bool) {
		t.Helper()
		jobs, merge := b.scattered(10*least, least, fetches)
		if jobs != nil || (merge != nil) != want {
			t.Fatalf("%d jobs, %v, with %d in the tree", len(jobs), merge, b.returned().Len())
		}
	}
	add(1000)
	look(false, true)
	look(false, false)
	look(true, true)
	add(99)
	look(false, false)
	add(1)
	look(false, true)
	for range 100 {
		_, j, _ := b.returned().Min()
		b.remove(j)
	}
	look(false, true)
	look(false, false)
}
