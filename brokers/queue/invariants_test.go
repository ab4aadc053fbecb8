package queue

import (
	"math"
	"testing"
)

// checkInvariants looks at a queue from all sides: every job in exactly one container, order kept, numbers adding up.
func checkInvariants(t *testing.T, b *Broker, name string) {
	t.Helper()
	b.directory.mu.RLock()
	q := b.directory.byName[name]
	b.directory.mu.RUnlock()
	if q == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	checkContainers(t, q)
	c := q.counters.all()
	gone := c.Acked + c.Deleted + c.Expired + c.Dropped + c.MovedOut
	if jobs := q.index.count() + q.coldJobsLocked(); uint64(jobs) != c.Pushed+c.MovedIn-gone {
		t.Fatalf("%d jobs, counters %+v", jobs, c)
	}
}

func has[T any](t *tree[T], value T) bool {
	if t.made == nil {
		return false
	}
	_, ok := t.made.Get(value)
	return ok
}

// checkContainers looks at where the jobs of a locked queue are.
func checkContainers(t *testing.T, q *queue) {
	t.Helper()
	counts := map[state]int{}
	bytes := int64(0)
	q.index.ascend(0, func(id uint64, j *job) bool {
		counts[j.state]++
		bytes += j.cost()
		key := timed{at: j.at, id: id}
		delayed := has(&q.delayed.hot, key)
		inflight := has(&q.inflight.hot, key)
		dead := has(&q.dead.hot, key)
		expiring := has(&q.expiring, timed{at: j.expiresAt, id: id})
		if delayed != (j.state == stateDelayed) || inflight != (j.state == stateInflight) || dead != (j.state == stateDead) {
			t.Fatalf("job %d is %v but delayed=%v inflight=%v dead=%v", id, j.state, delayed, inflight, dead)
		}
		waits := j.state == stateReady || j.state == stateDelayed
		if expiring != (waits && j.expiresAt != 0) {
			t.Fatalf("job %d is %v with TTL end %d, expiring=%v", id, j.state, j.expiresAt, expiring)
		}
		return true
	})
	if counts[stateReady] != q.ready.count-q.ready.cold || counts[stateDelayed] != q.delayed.hot.count() ||
		counts[stateInflight] != q.inflight.hot.count() || counts[stateDead] != q.dead.hot.count() || bytes != q.bytes-q.cold ||
		counts[statePending] != len(q.pending)-q.pendingAt {
		t.Fatalf("counts %v, containers %d %d %d %d", counts, q.ready.count, q.delayed.count(), q.inflight.count(), q.dead.count())
	}
	inBuckets, cold, coldBytes := 0, 0, int64(0)
	for p := 255; p >= 0; p-- {
		bucket := q.ready.bucket(uint8(p))
		n, above := 0, uint64(0)
		list := func(l *jobList) {
			count, cost := 0, int64(0)
			for i := range l.blocks {
				block := &l.blocks[i]
				if len(block.jobs()) == 0 && l.count > 0 || len(block.places) > blockJobs || i > 0 && block.from <= above {
					t.Fatalf("bucket %d has a block of %d jobs from %d behind %d", p, len(block.jobs()), block.from, above)
				}
				for _, j := range block.jobs() {
					if j.state != stateReady || !j.listed || j.id <= above || j.id < block.from || bucket.list(j.id) != l {
						t.Fatalf("bucket %d is out of order at %d", p, j.id)
					}
					above = j.id
					count++
					cost += j.cost()
				}
			}
			if count != l.count || cost != l.cost {
				t.Fatalf("a list of bucket %d says %d jobs of %d bytes, has %d of %d", p, l.count, l.cost, count, cost)
			}
			n += count
		}
		list(&bucket.front)
		for _, r := range bucket.runs() {
			if r.first <= above || r.last < r.first || int(r.priority) != p {
				t.Fatalf("bucket %d is out of order at run %d to %d", p, r.first, r.last)
			}
			above = r.last
			n += r.count
			cold += r.count
			coldBytes += r.cost
		}
		if back := bucket.back(); back != nil {
			list(back)
		}
		if back := bucket.back(); back != nil && back.count > 0 && len(bucket.runs()) == 0 {
			t.Fatalf("bucket %d has a back list and no runs", p)
		}
		if bucket.returned() != nil {
			n += bucket.returned().Len()
			returned := int64(0)
			bucket.returned().Scan(func(_ uint64, j *job) bool { returned += j.cost(); return true })
			if returned != bucket.behind.returnedCost {
				t.Fatalf("bucket %d has returned jobs of %d bytes, says %d", p, returned, bucket.behind.returnedCost)
			}
		}
		if n != bucket.count || (q.ready.bitmap[p>>6]&(1<<(p&63)) != 0) != (n > 0) {
			t.Fatalf("bucket %d holds %d, says %d", p, n, bucket.count)
		}
		inBuckets += n
	}
	if inBuckets != q.ready.count {
		t.Fatalf("%d jobs in buckets, %d counted", inBuckets, q.ready.count)
	}
	coldBytes += checkShelves(t, q)
	if cold != q.ready.cold || coldBytes != q.cold {
		t.Fatalf("%d ready jobs in runs, and %d bytes of all, counted %d, %d", cold, coldBytes, q.ready.cold, q.cold)
	}
	soonest, any := q.inflight.hot.min()
	if any && q.timerAt > soonest.at {
		t.Fatalf("a lease ends at %d, the timer is set for %d", soonest.at, q.timerAt)
	}
}

// checkShelves looks at the delayed, in-flight and dead jobs of a locked queue, and returns what those on disk cost.
func checkShelves(t *testing.T, q *queue) (coldBytes int64) {
	t.Helper()
	runs, jobs := 0, 0
	for _, s := range []state{stateDelayed, stateInflight, stateDead} {
		shelf := q.shelf(s)
		hot, cost := 0, int64(0)
		shelf.hot.scan(func(at timed) bool {
			if hot++; !at.job.held() {
				cost += at.job.cost()
			}
			return true
		})
		if cost != shelf.cost || shelf.away != nil && shelf.away.count == 0 && shelf.away.hand == (timed{}) {
			t.Fatalf("the %v jobs in RAM take %d bytes, counted %d", s, cost, shelf.cost)
		}
		if shelf.away == nil {
			continue
		}
		cold, before := 0, (*run)(nil)
		shelf.away.runs.scan(func(r *run) bool {
			if r.times.state != s || before != nil && !before.earlier(r) || q.shelved.runs[r.times.slot] != r {
				t.Fatalf("run %d of %v jobs is out of place", r.number, s)
			}
			for i := range r.count {
				id := r.key(i).id
				if with := q.shelved.with(id); with != r {
					t.Fatalf("job %d of run %d is said to be in %+v", id, r.number, with)
				}
				if _, ok := q.index.get(id); ok {
					t.Fatalf("job %d of run %d is in RAM too", id, r.number)
				}
			}
			cold, before, coldBytes = cold+r.count, r, coldBytes+r.cost
			runs++
			return true
		})
		if cold != shelf.away.count {
			t.Fatalf("%d %v jobs in runs, counted %d", cold, s, shelf.away.count)
		}
		jobs += cold
		var places []timed
		shelf.walk(timed{}, false, math.MaxInt, func(p placed) bool {
			places = append(places, p.timed)
			return true
		})
		for i, p := range places {
			if i > 0 && !places[i-1].before(p) {
				t.Fatalf("the %v jobs are out of order at %d", s, i)
			}
			if i%16 > 0 {
				continue
			}
			if shelf.rank(p) != i || shelf.at(i, q.broker.numbers.lastID.Load()) != (timed{at: p.at, id: p.id}) {
				t.Fatalf("the %v job at %d is %d, by position %+v", s, i, p.id, shelf.at(i, q.broker.numbers.lastID.Load()))
			}
		}
		if len(places) != shelf.count() {
			t.Fatalf("%d of %d %v jobs were visited", len(places), shelf.count(), s)
		}
	}
	if jobs > 0 && (runs != len(q.shelved.all()) || jobs != q.shelved.count) || jobs == 0 && q.shelved != nil {
		t.Fatalf("%d runs of %d jobs on shelves", runs, jobs)
	}
	return coldBytes
}
