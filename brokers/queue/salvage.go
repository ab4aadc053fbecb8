package queue

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/nexobroker/nexo/brokers"
)

// Salvage reads what a repair of the log keeps. Jobs whose queue has lost the record that named it are not passed over:
// their queue gets a new name.
type Salvage struct {
	directory string // of the jobs on disk
	queues    map[uint64]*salvaged
	jobs      map[uint64]*salvaged // by id
	dropped   map[uint64]bool
	seen      idSet           // every id that a record told of
	ended     idSet           // ids of jobs that nothing had told of before they ended
	listed    map[uint64]bool // numbers of the files that records list
	givenUp   map[uint64]bool // those of them that are missing or damaged
	damage    error           // the first of those
	lines     []string        // one for each
	kept      bool            // there is a record
}

// Salvaged is what a Salvage has found.
type Salvaged struct {
	Damage error                  // the log is whole, and a file that it lists is not
	First  [][]byte               // records to put in front of the kept ones
	Skip   func(body []byte) bool // kept records to leave out: they are among the first, or list a file that is given up
	Kept   []string               // a line for each queue, and for each file that is given up
	Files  []string               // the files of jobs on disk
	Aside  []string               // those of them that are given up
}

// salvaged is a queue of which records are kept.
type salvaged struct {
	number uint64
	name   string
	made   bool // by a record that is kept
	named  bool // by a file
	jobs   int

	create []byte // the record that made it
	runs   []describedRun
	loose  [][]byte // the records of jobs in files that cannot be listed beside the others
	found  int      // jobs in files that only the repair has listed
}

// describedRun is a run and its record.
type describedRun struct {
	run    *run
	record []byte
}

// NewSalvage begins to read. The directory is that of the jobs on disk.
func NewSalvage(directory string) *Salvage {
	return &Salvage{
		directory: directory, queues: map[uint64]*salvaged{}, jobs: map[uint64]*salvaged{}, dropped: map[uint64]bool{},
		seen: idSet{}, ended: idSet{}, listed: map[uint64]bool{}, givenUp: map[uint64]bool{},
	}
}

// Keep reads one record, of which nothing is kept.
func (s *Salvage) Keep(body []byte) error {
	if len(body) < 2 || body[0] != formatVersion {
		return fmt.Errorf("%w: unknown version", errDamaged)
	}
	op, r := body[1], &reader{body: body[2:]}
	if s.kept = true; op == opMark {
		return nil
	}
	number := r.uint()
	switch op {
	case opCreate:
		q := s.queue(number)
		q.name, q.made, q.create = r.text(), true, slices.Clone(body)
	case opDrop:
		delete(s.queues, number)
		s.dropped[number] = true
	case opPush, opPushAt:
		p, n := decodePush(r)
		for i := range n {
			if p.dedupUntil != 0 {
				r.text()
			}
			r.text()
			s.add(p.firstID+uint64(i), number)
		}
	case opJob:
		s.add(decodeJob(r).id, number)
	case opRun, opTimedRun:
		if x := decodeRunOf(op, r); r.err == nil && s.whole(x) {
			x.ids(func(id uint64) { s.add(id, number) })
			s.listed[x.number] = true
			s.queue(number).runs = append(s.queue(number).runs, describedRun{x, slices.Clone(body)})
		}
	case opMove:
		to := r.uint()
		for range r.many() {
			if id := r.uint(); s.jobs[id] != nil {
				s.end(id)
				s.add(id, to)
			}
		}
	case opChange:
		now := r.time()
		r.text()
		for len(r.body) > 0 {
			switch id, c := decodeChange(r, now); c.verb {
			case verbAck, verbDelete, verbExpire, verbDrop:
				s.end(id)
			}
		}
	}
	if r.err != nil {
		return damaged(op, "cut short or inconsistent")
	}
	return nil
}

// whole looks at the file of a run as a start does, and as those who read it then.
func (s *Salvage) whole(r *run) bool {
	files := &spill{directory: s.directory}
	lost, err := files.present(r)
	if lost {
		return true // given up already: a start passes over it
	}
	if err == nil {
		var bytes []byte
		if bytes, err = files.read(r); err == nil {
			err = r.check(bytes)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", files.path(r.number), err)
		}
	}
	if err == nil {
		return true
	}
	if s.listed[r.number], s.givenUp[r.number] = true, true; s.damage == nil {
		s.damage = err
	}
	s.lines = append(s.lines, fmt.Sprintf("nothing of %d jobs that were in %s%d", r.count, runPrefix, r.number))
	return false
}

func (s *Salvage) queue(number uint64) *salvaged {
	q := s.queues[number]
	if q == nil {
		q = &salvaged{number: number, name: fmt.Sprintf("recovered-%d", number)}
		s.queues[number] = q
	}
	return q
}

func (s *Salvage) add(id, number uint64) {
	s.seen.add(id)
	if s.dropped[number] {
		return // a change that was on its way when the queue was dropped
	}
	q := s.queue(number)
	q.jobs++
	s.jobs[id] = q
}

func (s *Salvage) end(id uint64) {
	if q := s.jobs[id]; q != nil {
		q.jobs--
		delete(s.jobs, id)
		return
	}
	s.ended.add(id)
}

// Finish answers the records that name the queues which have lost their names, and what there is of each queue. When records of the
// snapshot are lost, which alone says what is on disk, files that nobody lists are put on the list again, unless a record tells of
// one of their jobs: then they were written after the snapshot, and the log has their jobs, or had them.
func (s *Salvage) Finish(lossy, snapshotLost bool) (found Salvaged, err error) {
	snapshotLost = snapshotLost || lossy && !s.kept // of a log that is lost as a whole
	files, err := runNumbers(s.directory)
	if err != nil {
		return found, err
	}
	for _, number := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(s.directory, files[number])
		found.Files = append(found.Files, path)
		if s.givenUp[number] {
			found.Aside = append(found.Aside, path)
		}
		if snapshotLost && !s.listed[number] {
			if err := s.adopt(number, path); err != nil {
				return found, err
			}
		}
	}
	list := slices.SortedFunc(maps.Values(s.queues), func(a, b *salvaged) int { return cmp.Compare(a.number, b.number) })
	taken := map[string]bool{}
	for _, q := range list {
		taken[q.name] = taken[q.name] || q.made
	}
	moved := map[uint64]bool{} // queues whose records of this kind are among the first
	for _, q := range list {
		what := ""
		if !q.made {
			for taken[q.name] {
				q.name += "-again"
			}
			taken[q.name] = true
			q.create = encodeCreate(nil, opCreate, q.number, q.name, DefaultConfig(brokers.Always))
			if what = ", which has lost its name and settings"; q.named {
				what = ", which has lost its settings"
			}
		}
		if q.found > 0 {
			what = fmt.Sprintf(", %d of them in files that the log has lost%s", q.found, what)
		}
		if !q.made || q.found > 0 {
			moved[q.number] = true
			found.First = append(found.First, q.create)
			for _, r := range q.inOrder() {
				found.First = append(found.First, r.record)
			}
			found.First = append(found.First, q.loose...)
		}
		found.Kept = append(found.Kept, fmt.Sprintf("queue '%s' with %d jobs%s", q.name, q.jobs, what))
	}
	found.Skip = func(body []byte) bool {
		if len(body) < 2 || body[1] != opCreate && body[1] != opRun && body[1] != opTimedRun {
			return false
		}
		r := &reader{body: body[2:]}
		return moved[r.uint()] || body[1] != opCreate && s.givenUp[decodeRunOf(body[1], r).number]
	}
	found.Damage, found.Kept = s.damage, append(found.Kept, s.lines...)
	return found, nil
}

// adopt lists a file that no record lists, if it can be.
func (s *Salvage) adopt(number uint64, path string) error {
	bytes, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	o, err := readOrphan(number, bytes)
	if err != nil || s.dropped[o.queue] || CheckName([]byte(o.name)) != nil {
		return nil // it proves nothing, or its queue is gone
	}
	r := o.run
	known := false
	r.ids(func(id uint64) { known = known || s.seen.has(id) })
	if known {
		return nil
	}
	q := s.queue(o.queue)
	if !q.made {
		q.name, q.named = o.name, true
	}
	r.ids(func(id uint64) {
		if !s.ended.has(id) {
			s.add(id, o.queue)
			q.found++
		}
	})
	if !slices.ContainsFunc(q.runs, func(other describedRun) bool { return other.run.overlaps(r) }) {
		q.runs = append(q.runs, describedRun{r, r.record(nil, o.queue, o.drift, o.drift)})
		return nil
	}
	jobs, err := r.decode(bytes)
	for _, j := range jobs {
		j.shift(o.drift)
		q.loose = append(q.loose, encodeJob(appendUint(header(nil, opJob), o.queue), j, stateReady))
	}
	return err
}

func (r *run) overlaps(other *run) bool {
	return r.times == nil && other.times == nil && r.priority == other.priority && r.first <= other.last && other.first <= r.last
}

// inOrder is the runs of a queue as a start expects them.
func (q *salvaged) inOrder() []describedRun {
	slices.SortFunc(q.runs, func(a, b describedRun) int {
		return cmp.Or(cmp.Compare(a.run.priority, b.run.priority), cmp.Compare(a.run.first, b.run.first))
	})
	return q.runs
}
