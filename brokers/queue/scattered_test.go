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
