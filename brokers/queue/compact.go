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
	log, live := b.journal.LogBytes(), b.liveBytes()
	died := max(b.snapshotLive.Load()-live, 0)
	grown := log+died > b.options.CompactBytes && log > b.compactAbove.Load() && b.snapshotBytes.Load()+log > live/4*7
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

// liveBytes is about what a snapshot of the present state would take. Snapshot and log together may be 7/4 of it before
// they are compacted, so with the new snapshot beside them the disk holds less than three times what lives; a log that
// is mostly live, that of a growing backlog, is left alone.
func (b *Broker) liveBytes() int64 {
	return b.bytes.Load() - b.jobs.Load()*(jobOverheadBytes-runJobBytes)
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
	err = finish(func(emit brokers.Emit) error {
		return b.dump(func(body []byte) error {
			size += int64(len(body))
			return emit(body)
		}, first, queues)
	})
	b.relief.Ended(live, err)
	if err == nil {
		b.snapshotBytes.Store(size)
		b.snapshotLive.Store(live)
	}
	for _, q := range queues {
		q.mu.Lock()
		for _, r := range q.snapshot.runs {
			b.spill.unpin(r)
		}
		q.snapshot = nil
		q.mu.Unlock()
	}
	return err
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
		}
		s.header = [][]byte{encodeCreate(nil, opCreate, q.number, q.name, *q.config)}
		if q.pausedIn != 0 || q.pausedOut != 0 {
			s.header = append(s.header, q.encodePause(nil))
		}
		s.header = append(s.header, q.counters.encode(q.number))
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
		if err := q.dump(emit); err != nil {
			return err
		}
	}
	return nil
}

func (q *queue) dump(emit brokers.Emit) error {
	s := q.snapshot
	for _, record := range s.header {
		if err := emit(record); err != nil {
			return err
		}
	}
	var record []byte
	runs := s.runs
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

// dumpRun writes the jobs of a run: as they are, unless the wall clock was set and shows other times than the run holds.
func (q *queue) dumpRun(r *run, emit brokers.Emit) error {
	bytes, err := q.broker.spill.read(r)
	if err != nil {
		return err
	}
	var record []byte
	return r.each(bytes, func(_ int, encoded []byte) error {
		record = appendUint(header(record[:0], opJob), q.number)
		if q.snapshot.drift == 0 {
			return emit(append(record, encoded...))
		}
		reader := &reader{body: encoded}
		j := decodeJob(reader)
		if reader.err != nil {
			return reader.err
		}
		j.shift(q.snapshot.drift)
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
