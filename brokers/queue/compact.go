package queue

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/nexobroker/nexo/brokers"
	"github.com/tidwall/btree"
)

const dumpSlice = 512

// snapshot is the state of a queue at the moment of a Cut. The index is a copy-on-write copy made in O(1); the state of a
// job that changes before it has been dumped is saved by touchLocked.
type snapshot struct {
	generation uint32
	drift      int64 // the wall's lead over the steady time at the Cut: what is dumped holds the times that the wall had then
	index      index
	runs       []*run // by first id, pinned until release
	dedup      *btree.Map[string, dedupEntry]
	saved      map[*job]job
	header     [][]byte // records made at the Cut: the queue, its pause, its counters
}

// touchLocked is called before a job changes: it saves the state that a snapshot under way still has to write.
func (q *queue) touchLocked(j *job) {
	if q.snapshot == nil || j.generation == q.snapshot.generation {
		return
	}
	q.snapshot.saved[j] = *j
	j.generation = q.snapshot.generation
}

// compactIfDue starts a compaction in the background when the log has grown enough. It is asked after every batch of the
// journal: a few records may have pushed, or ended, gigabytes.
func (b *Broker) compactIfDue() {
	if b.loading.Load() || b.closed.Load() || b.compacting.Load() {
		return
	}
	log, live, deadRuns := b.journal.LogBytes(), b.liveBytes(), b.deadRuns.Load()
	died := max(b.snapshotLive.Load()-live, 0) + deadRuns
	most := live / 4 * 7
	if b.cold.Load() > 0 {
		most += live
	}
	grown := !b.spill.behind() &&
		log+died > b.options.CompactBytes && log > b.compactAbove.Load() && b.snapshotBytes.Load()+log+deadRuns > most
	if !grown && !b.relief.Due(b.journal, b.liveBytes) {
		return
	}
	if !b.compacting.CompareAndSwap(false, true) {
		return
	}
	go func() {
		// Close waits for what has begun; what has not begun by then does not begin.
		b.compaction.Lock()
		if b.closed.Load() {
			b.compaction.Unlock()
			b.compacting.Store(false)
			return
		}
		b.background.Add(1)
		b.compaction.Unlock()
		defer b.background.Done()
		defer b.compacting.Store(false)
		err := b.Compact()
		if err == nil {
			b.failures = 0
			b.compactAbove.Store(0)
			return
		}
		// What failed now will likely fail again at once; a full disk is not helped by trying all the time.
		b.compactAbove.Store(b.journal.LogBytes() + b.options.CompactBytes<<min(b.failures, 4))
		b.failures++
		if b.options.Failed != nil {
			b.options.Failed(fmt.Errorf("compaction of the queue log: %w", err))
		}
	}()
}

// liveBytes is about what a snapshot of the present state would take, which lists the jobs on disk and holds the others. Snapshot and
// log together may be 7/4 of it before they are compacted, so with the new snapshot beside them the disk holds less than three
// times what lives. While jobs are on disk it may be 11/4: what is pushed leaves the log for a run, and each snapshot of a
// growing backlog writes the same jobs in front again.
func (b *Broker) liveBytes() int64 {
	return b.bytes.Load() - b.cold.Load() - (b.jobs.Load()-b.coldJobs.Load())*(jobOverheadBytes-runJobBytes)
}

// Compact replaces the log by a snapshot of the present state. Everything is served meanwhile.
func (b *Broker) Compact() error {
	b.world.Lock()
	finish, err := b.journal.Cut()
	if err != nil {
		b.world.Unlock()
		return err
	}
	queues, first := b.pinLocked()
	live := b.liveBytes()
	b.world.Unlock()
	size := int64(0)
	complete := false
	err = finish(func(emit brokers.Emit) error {
		err := b.dump(func(body []byte) error {
			size += int64(len(body))
			return emit(body)
		}, first, queues)
		complete = err == nil
		return err
	})
	b.relief.Ended(live, err)
	if err == nil {
		b.snapshotBytes.Store(size)
		b.snapshotLive.Store(live)
	}
	b.unpin(queues, err == nil, err != nil && complete)
	return err
}

// unpin lets go of what a snapshot has pinned, but for the runs that it lists: their files must stay as long as a start may read it.
// After a success that is until the next one, and those of the last one may go. unclear tells that a start may find either.
func (b *Broker) unpin(queues []*queue, success, unclear bool) {
	var listed []*run
	for _, q := range queues {
		q.mu.Lock()
		s := q.snapshot
		for _, r := range s.runs {
			if !r.kept || !success && !unclear {
				b.spill.unpin(r)
				continue
			}
			if unclear && r.listed != 0 {
				b.spill.unpin(r) // it is pinned as one of the last snapshot
				continue
			}
			listed = append(listed, r)
			if r.listed == 0 && r.gone {
				b.deadRuns.Add(r.size)
			}
			r.listed = b.generation
		}
		q.snapshot = nil
		q.mu.Unlock()
	}
	switch {
	case success:
		older := b.listed
		b.listed = listed
		b.spill.list(b.listed)
		for _, r := range older {
			if r.listed != b.generation {
				b.deadRuns.Add(-r.size)
			}
			b.spill.unpin(r)
		}
	case unclear:
		b.listed = append(b.listed, listed...)
		b.spill.list(b.listed)
	}
}

// pinLocked pins the state of every queue. The world is write-held, so no change is under way.
func (b *Broker) pinLocked() (queues []*queue, first []byte) {
	b.generation++
	n, now := &b.numbers, b.time.Now()
	n.mu.Lock()
	first = mark{
		reservedID: n.reservedID.Load(), reservedDelivery: n.reservedDelivery.Load(), floor: n.floor,
		lifeFirstID: n.lifeFirstID, at: now.Wall,
	}.encode(nil)
	n.mu.Unlock()
	queues = b.queues()
	for _, q := range queues {
		q.mu.Lock()
		s := &snapshot{
			generation: b.generation, drift: now.Drift(), index: q.index.copy(), dedup: q.dedup.copy(), saved: map[*job]job{},
			runs: q.runsLocked(),
		}
		slices.SortFunc(s.runs, func(a, b *run) int { return cmp.Compare(a.first, b.first) })
		for _, r := range s.runs {
			b.spill.pin(r)
			r.kept = false
		}
		s.header = [][]byte{encodeCreate(nil, opCreate, q.number, q.name, *q.config)}
		if q.pausedIn != 0 || q.pausedOut != 0 {
			s.header = append(s.header, q.encodePause(nil))
		}
		s.header = append(s.header, q.counters.all().encode(q.number))
		q.snapshot = s
		q.mu.Unlock()
	}
	return queues, first
}

func (b *Broker) dump(emit brokers.Emit, first []byte, queues []*queue) error {
	if err := emit(first); err != nil {
		return err
	}
	for _, q := range queues {
		if err := q.dumpRuns(emit); err != nil {
			return err
		}
	}
	for _, q := range queues {
		if err := q.dumpJobs(emit); err != nil {
			return err
		}
	}
	return nil
}

// dumpRuns writes what a queue is, and lists its runs that are durable.
func (q *queue) dumpRuns(emit brokers.Emit) error {
	s := q.snapshot
	for _, record := range s.header {
		if err := emit(record); err != nil {
			return err
		}
	}
	var record []byte
	for _, r := range s.runs {
		if r.kept = q.broker.spill.durable(r); !r.kept {
			continue
		}
		if r.listed == 0 {
			// From now on nothing else has these jobs: the file must say what was written.
			if err := q.verify(r); err != nil {
				return err
			}
		}
		q.mu.Lock()
		record = r.record(record[:0], q.number, s.drift, q.drift) // of those the dates stay, and what they are reckoned with moves
		q.mu.Unlock()
		if err := emit(record); err != nil {
			return err
		}
	}
	return nil
}

func (q *queue) verify(r *run) error {
	bytes, err := q.broker.spill.read(r)
	if err != nil {
		return err
	}
	return r.check(bytes)
}

// dumpJobs writes the jobs of a queue that are not in a run which is listed.
func (q *queue) dumpJobs(emit brokers.Emit) error {
	s := q.snapshot
	var record []byte
	runs := slices.DeleteFunc(slices.Clone(s.runs), func(r *run) bool { return r.kept })
	copies := make([]job, 0, dumpSlice)
	for cursor, more := uint64(0), true; more; {
		var jobs []*job
		more = false
		s.index.ascend(cursor, func(id uint64, j *job) bool {
			if len(jobs) == dumpSlice {
				more = true
				return false
			}
			jobs = append(jobs, j)
			cursor = id + 1
			return true
		})
		copies = q.copyJobs(s, jobs, copies[:0])
		for i := range copies {
			j := &copies[i]
			for ; len(runs) > 0 && runs[0].first < j.id; runs = runs[1:] {
				if err := q.dumpRun(runs[0], emit); err != nil {
					return err
				}
			}
			record = appendUint(header(record[:0], opJob), q.number)
			if err := emit(encodeJob(record, j, j.state)); err != nil {
				return err
			}
		}
	}
	for _, r := range runs {
		if err := q.dumpRun(r, emit); err != nil {
			return err
		}
	}
	return s.dumpDedup(q.number, emit)
}

// dumpRun writes the jobs of a run: as they are, unless the wall shows other times than the file holds.
func (q *queue) dumpRun(r *run, emit brokers.Emit) error {
	bytes, err := q.broker.spill.read(r)
	if err != nil {
		return err
	}
	q.mu.Lock()
	dateShift := r.dateShift() + q.drift // what is due at a date keeps it
	q.mu.Unlock()
	dated := r.times != nil && r.times.dated
	var record []byte
	return r.each(bytes, func(_ int, encoded []byte) error {
		record = appendUint(header(record[:0], opJob), q.number)
		if q.snapshot.drift+r.shift == 0 && (!dated || dateShift == 0) {
			return emit(append(record, encoded...))
		}
		reader := &reader{body: encoded}
		j := decodeJob(reader)
		if reader.err != nil {
			return reader.err
		}
		at := j.at
		if j.shift(q.snapshot.drift + r.shift); dated {
			j.at = at + dateShift
		}
		return emit(encodeJob(record, j, j.state))
	})
}

// copyJobs copies the pinned state of some jobs, with the times as the wall shows them.
func (q *queue) copyJobs(s *snapshot, jobs []*job, out []job) []job {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, j := range jobs {
		pinned, saved := s.saved[j]
		if saved {
			delete(s.saved, j)
		} else {
			pinned = *j
			j.generation = s.generation
		}
		pinned.shift(s.drift)
		if pinned.state == statePending {
			// Its push record is in front of the Cut; the snapshot takes its place.
			pinned.state = stateReady
		}
		out = append(out, pinned)
	}
	return out
}

func (s *snapshot) dumpDedup(number uint64, emit brokers.Emit) error {
	if s.dedup == nil {
		return nil
	}
	var err error
	var record []byte
	s.dedup.Scan(func(key string, entry dedupEntry) bool {
		record = appendUint(header(record[:0], opDedup), number)
		record = appendText(record, key)
		record = appendUint(record, entry.id)
		record = appendTime(record, entry.until+s.drift)
		err = emit(record)
		return err == nil
	})
	return err
}

func (c *Counters) fields() []*uint64 {
	return []*uint64{
		&c.Pushed, &c.Acked, &c.Nacked, &c.Released, &c.LeaseExpired, &c.Dead, &c.Replayed, &c.Deduped,
		&c.Deleted, &c.Expired, &c.Dropped, &c.MovedIn, &c.MovedOut, &c.Delivered, &c.Blocked, &c.Woken,
	}
}

func (c Counters) encode(number uint64) []byte {
	record := appendUint(header(nil, opCounters), number)
	for _, n := range c.fields() {
		record = appendUint(record, *n)
	}
	return record
}

func decodeCounters(r *reader) (c Counters) {
	for _, n := range c.fields() {
		*n = r.uint()
	}
	return c
}
