package queue

import (
	"testing"
	"time"
)

// TestWhatStaysInRAMKeepsNoOthersThere cuts the jobs of a shelf, of which the last are some that no run takes, or that belong in a run of
// their own: few as they are, or many, the others leave.
func TestWhatStaysInRAMKeepsNoOthersThere(t *testing.T) {
	const others, limit = 20_000, 100 * jobOverheadBytes
	for name, c := range map[string]struct {
		stays int
		state state
		alter func(j *job)
	}{
		"one that is due at a date":        {1, stateDelayed, func(j *job) { j.dated = true }},
		"leases that end with connections": {5 * runJobs, stateInflight, func(j *job) { j.bound = true }},
	} {
		t.Run(name, func(t *testing.T) {
			var s shelf
			for i := range others + c.stays {
				j := &job{id: uint64(i + 1), state: c.state, at: 1000 + int64(i)}
				if i >= others {
					c.alter(j)
				}
				s.add(j)
			}
			for tries := 0; s.hot.count() > c.stays+100; tries++ {
				jobs := s.collect(limit, limit, 0)
				if tries > others/100+10 {
					t.Fatalf("%d of %d jobs stay in RAM", s.hot.count(), others+c.stays)
				}
				for i, j := range jobs {
					if j.held() || j.dated != jobs[0].dated || i > 0 && !(timed{at: jobs[i-1].at, id: jobs[i-1].id}).before(timed{at: j.at, id: j.id}) {
						t.Fatalf("a run holds %+v", j)
					}
				}
			}
			if s.cost > int64(c.stays+100)*jobOverheadBytes {
				t.Fatalf("the jobs in RAM cost %d", s.cost)
			}
		})
	}
}

// TestAStartAfterTheLeases reads a log of leases that ended while nobody ran: it keeps the budget, as the life before did.
func TestAStartAfterTheLeases(t *testing.T) {
	const jobs = 1000
	b, j, clock := spilling(t, nil)
	create(t, b, "q", nil)
	backlog(t, b, j, 0, jobs, PushOptions{})
	stored(t, b)
	compacted(t, b, j)
	for taken := 0; taken < jobs; taken += len(take(t, b, "q", 100)) {
	}
	j.syncAll()
	stored(t, b)
	clock.Step(time.Minute)
	b, _ = startedAgain(t, b, j, clock)
	if now := info(t, b, "q"); now.Inflight != jobs || now.ColdTimed < jobs*3/4 {
		t.Fatalf("%d of %d jobs in flight are on disk", now.ColdTimed, now.Inflight)
	}
	dueBack(b, clock)
	if now := info(t, b, "q"); now.Ready != jobs || now.Cold < jobs*3/4 || now.Counters.LeaseExpired != jobs {
		t.Fatalf("%+v", now)
	}
	checkInvariants(t, b, "q")
}
