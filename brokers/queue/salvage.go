package queue

import (
	"fmt"
	"slices"

	"github.com/nexobroker/nexo/brokers"
)

// Salvage reads what a repair of the log keeps. Jobs whose queue has lost the record that named it are not passed over:
// their queue gets a new name.
type Salvage struct {
	queues  map[uint64]*salvaged
	jobs    map[uint64]*salvaged // by id
	dropped map[uint64]bool
}

// salvaged is a queue of which records are kept.
type salvaged struct {
	number uint64
	name   string
	made   bool // by a record that is kept
	jobs   int
}

// NewSalvage begins to read.
func NewSalvage() *Salvage {
	return &Salvage{queues: map[uint64]*salvaged{}, jobs: map[uint64]*salvaged{}, dropped: map[uint64]bool{}}
}

// Keep reads one record, of which nothing is kept.
func (s *Salvage) Keep(body []byte) error {
	if len(body) < 2 || body[0] != formatVersion {
		return fmt.Errorf("%w: unknown version", errDamaged)
	}
	op, r := body[1], &reader{body: body[2:]}
	if op == opMark {
		return nil
	}
	number := r.uint()
	switch op {
	case opCreate:
		q := s.queue(number)
		q.name, q.made = r.text(), true
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
	case opRun:
		if x := decodeRun(r); r.err == nil {
			x.ids(func(id uint64) { s.add(id, number) })
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

func (s *Salvage) queue(number uint64) *salvaged {
	q := s.queues[number]
	if q == nil {
		q = &salvaged{number: number, name: fmt.Sprintf("recovered-%d", number)}
		s.queues[number] = q
	}
	return q
}

func (s *Salvage) add(id, number uint64) {
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
	}
}

// Finish answers the records that name the queues which have lost their names, and what there is of each queue.
func (s *Salvage) Finish() (first [][]byte, kept []string) {
	list := make([]*salvaged, 0, len(s.queues))
	taken := map[string]bool{}
	for _, q := range s.queues {
		list = append(list, q)
		taken[q.name] = taken[q.name] || q.made
	}
	slices.SortFunc(list, func(a, b *salvaged) int { return int(a.number) - int(b.number) })
	for _, q := range list {
		what := ""
		if !q.made {
			for taken[q.name] {
				q.name += "-again"
			}
			taken[q.name] = true
			first = append(first, encodeCreate(nil, opCreate, q.number, q.name, DefaultConfig(brokers.Always)))
			what = ", which has lost its name and settings"
		}
		kept = append(kept, fmt.Sprintf("queue '%s' with %d jobs%s", q.name, q.jobs, what))
	}
	return first, kept
}
