package queue

// Ready jobs that return into the span of the runs, as delayed ones do that come due in another order than that of their ids, wait in
// a tree. When these take too much, those between one run and the next become a run there. Where most lie inside the span of a run, that
// is fetched, and they and it are cut again: in halves when they are more than a run holds, so that each time fewer are left.

// scatter is one look at some thousand jobs of the tree, from where the last one ended.
type scatter struct {
	bucket *bucket
	least  int64 // cost of the jobs of a run
	limit  int64 // and how many bytes are as good as two

	looked int
	slot   int    // of the jobs looked at last: they lie inside the span of this run or behind it
	weight int64  // their cost
	gap    []*job // those behind it
	cost   int64  // of these

	heaviest int // the slot with most
	most     int64
}

// scattered takes the jobs for a run between two others out of the tree, or names the run to fetch for them; neither when the tree has
// less than twice the least. While no run may be fetched for them, a look that was in vain is not repeated before the tree has changed
// by a run: it passes some thousand jobs.
func (b *bucket) scattered(limit, least int64, fetches bool) (jobs []*job, merge *run) {
	x := b.behind
	if x == nil || x.returned == nil || x.returnedCost < 2*least || len(x.runs) == 0 {
		return nil, nil
	}
	if changed := x.returnedCost - x.barren; !fetches && max(changed, -changed) < least && x.barren != 0 {
		return nil, nil
	}
	s := scatter{bucket: b, least: least, limit: limit, slot: -1, heaviest: -1}
	first := x.runs[0].first
	if begin := max(x.hand, first); !s.from(begin) && begin > first {
		s.weigh()
		s.slot, s.weight, s.gap, s.cost = -1, 0, nil, 0
		s.from(first)
	}
	if s.cost >= least {
		jobs = s.take()
		x.hand, x.barren = jobs[len(jobs)-1].id+1, 0
		return jobs, nil
	}
	x.barren = x.returnedCost
	if s.weigh(); s.heaviest < 0 {
		return nil, nil
	}
	x.hand = x.runs[s.heaviest].first
	return nil, x.runs[s.heaviest]
}

// from looks from an id on, and tells whether it has found enough before the end.
func (s *scatter) from(id uint64) (enough bool) {
	s.bucket.behind.returned.Ascend(id, func(id uint64, j *job) bool {
		enough = s.full() || !s.look(id, j) && s.cost >= s.least
		return !enough && id <= s.end()
	})
	return enough || s.cost >= s.least
}

// end is the last id that is not behind all runs.
func (s *scatter) end() uint64 { return s.bucket.behind.runs[len(s.bucket.behind.runs)-1].last }

func (s *scatter) full() bool {
	return s.looked == 2*runJobs || s.cost >= 2*s.limit || len(s.gap) == 2*runJobs
}

// look looks at the next job, unless those looked at make a run.
func (s *scatter) look(id uint64, j *job) bool {
	runs := s.bucket.behind.runs
	if id > s.end() {
		return false // the list behind the runs takes these
	}
	slot := s.bucket.slot(id)
	if slot != s.slot {
		if s.cost >= s.least {
			return false
		}
		s.weigh()
		s.slot, s.weight, s.gap, s.cost = slot, 0, nil, 0
	}
	s.looked++
	s.weight += j.cost()
	if id > runs[slot].last {
		s.gap = append(s.gap, j)
		s.cost += j.cost()
	}
	return true
}

// weigh remembers the slot if it has most.
func (s *scatter) weigh() {
	if s.slot >= 0 && s.weight > s.most {
		s.heaviest, s.most = s.slot, s.weight
	}
}

// take takes the jobs behind a run out of the tree: as many as a run holds, or half when they are fewer than two hold.
func (s *scatter) take() []*job {
	limit := s.limit
	if s.cost > limit && s.cost < 2*limit {
		limit = s.cost / 2
	}
	next := 0
	return s.bucket.collect(func() *job {
		if next == len(s.gap) {
			return nil
		}
		next++
		return s.gap[next-1]
	}, limit)
}
