package stream

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/stream/segment"
)

// Salvage reads what a repair of the log keeps, and the segment files beside it. What is in a segment file is kept
// although the record that listed the file, or the one that named the stream, is lost.
type Salvage struct {
	broker    *Broker // only replays
	directory string
	nameless  map[uint64]bool // streams that got a name here
	stated    map[uint64]bool // their state is kept
	dropped   map[uint64]bool
	files     []*segment.File // those that can be opened, the newest first
	first     [][]byte
	covered   map[uint64]uint64 // last offset in a segment file that is put on the list, by stream
}

// Salvaged is what a Salvage has found.
type Salvaged struct {
	Damage error             // the log is whole, and older than the files beside it
	First  [][]byte          // records to put in front of the kept ones
	Skip   func([]byte) bool // kept records to leave out: a segment file has the same
	Kept   []string          // a line for each stream
	Files  []string          // the segment files
	Aside  []string          // those of them that hold what others hold too
}

// NewSalvage begins to read.
func NewSalvage(directory string) *Salvage {
	return &Salvage{directory: directory, nameless: map[uint64]bool{}, stated: map[uint64]bool{}, dropped: map[uint64]bool{}, covered: map[uint64]uint64{},
		broker: &Broker{time: brokers.NewTimeline(brokers.SystemClock{}), streams: map[string]*Stream{}, replaying: map[uint64]*Stream{},
			files: map[uint64]*sealed{}, listed: map[uint64]bool{}}}
}

// Keep reads one record.
func (s *Salvage) Keep(body []byte) error {
	if len(body) > 0 {
		r := &reader{b: body[1:]}
		switch id := r.number(); body[0] {
		case opCreate, opBrokerState, opSegments, opReplaced:
		case opDrop:
			s.dropped[id] = true
		default:
			s.stated[id] = s.stated[id] || body[0] == opStreamState
			if s.broker.replaying[id] == nil && !s.dropped[id] {
				s.name(id, false)
			}
		}
	}
	return s.broker.replay(body)
}

// name gives a stream a name that has lost its own, and no limits: nothing of it shall go before somebody has looked.
func (s *Salvage) name(id uint64, chained bool) *Stream {
	name := fmt.Sprintf("recovered-%d", id)
	for s.broker.streams[name] != nil {
		name += "-again"
	}
	own := newStream(s.broker, id, name, Config{Sync: brokers.Always, Chain: chained})
	s.broker.streams[name], s.broker.replaying[id] = own, own
	s.nameless[id] = true
	return own
}

// Finish decides over the segment files; lossy tells that records of the log are lost.
func (s *Salvage) Finish(lossy bool) (found Salvaged, err error) {
	ids, _, err := segment.List(s.directory)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return found, err
	}
	defer s.closeFiles()
	slices.SortFunc(ids, func(a, b uint64) int { return cmp.Compare(b, a) })
	var adopted, unread []uint64
	for _, id := range ids {
		path := filepath.Join(s.directory, segment.Name(id))
		found.Files = append(found.Files, path)
		file, err := segment.Open(s.directory, id)
		if err != nil {
			unread = append(unread, id) // its own repair comes before that of the log
			continue
		}
		s.files = append(s.files, file)
		if s.broker.listed[id] {
			continue
		}
		block := s.broker.unknownBlock(file)
		if block == nil && !(lossy && s.orphaned(file)) {
			continue // what a crash has left: a start removes it
		}
		if s.overlaps(file) {
			found.Aside = append(found.Aside, path)
			continue
		}
		adopted = append(adopted, id)
		s.broker.listed[id] = true
		if found.Damage == nil && block != nil {
			found.Damage = &segment.Damage{Path: path, Position: block.Position, Problem: olderJournal}
		}
	}
	if !s.broker.listing && lossy {
		adopted = append(adopted, unread...)
	}
	if len(adopted) > 0 || lossy {
		if err := s.amend(adopted); err != nil {
			return found, err
		}
	}
	found.First, found.Kept = s.first, s.describe()
	found.Skip = s.skip
	return found, nil
}

func (s *Salvage) closeFiles() {
	for _, file := range s.files {
		file.Close()
	}
}

// orphaned tells that a file has entries of a stream of which the log has no record that it was dropped.
func (s *Salvage) orphaned(file *segment.File) bool {
	for _, b := range file.Blocks() {
		if s.broker.replaying[b.Stream] == nil && !s.dropped[b.Stream] || s.nameless[b.Stream] || !s.broker.listing {
			return true
		}
	}
	return false
}

// overlaps tells that a file holds what a listed one holds, too: one was merged into the other.
func (s *Salvage) overlaps(file *segment.File) bool {
	for _, other := range s.files {
		if other == file || !s.broker.listed[other.ID()] {
			continue
		}
		for _, a := range file.Blocks() {
			for _, b := range other.Blocks() {
				if a.Stream == b.Stream && a.First <= b.Last() && b.First <= a.Last() {
					return true
				}
			}
		}
	}
	return false
}

// amend makes the records that go in front: the list with the adopted files, the streams that have lost theirs.
func (s *Salvage) amend(adopted []uint64) error {
	ends := map[uint64][2]*segment.Block{} // first and last block of each stream
	tails := map[uint64]*segment.File{}
	for _, file := range s.files {
		if !s.broker.listed[file.ID()] {
			continue
		}
		blocks := file.Blocks()
		for i := range blocks {
			b := &blocks[i]
			pair := ends[b.Stream]
			if pair[0] == nil || b.First < pair[0].First {
				pair[0] = b
			}
			if pair[1] == nil || b.First > pair[1].First {
				pair[1], tails[b.Stream] = b, file
			}
			ends[b.Stream] = pair
			if slices.Contains(adopted, file.ID()) {
				s.covered[b.Stream] = max(s.covered[b.Stream], b.Last())
			}
		}
	}
	for id := range s.nameless {
		own := s.broker.replaying[id]
		if own == nil || s.broker.streams[own.name] == own {
			continue
		}
		for s.broker.streams[own.name] != nil {
			own.name += "-again" // another got the name meanwhile
		}
		s.broker.streams[own.name] = own
	}
	last := s.broker.nextID
	for id := range ends {
		last = max(last, id)
	}
	for id := range s.nameless {
		last = max(last, id)
	}
	s.first = append(s.first, numbers([]byte{opBrokerState}, last))
	s.first = append(s.first, numbers(numbers([]byte{opSegments}, uint64(len(adopted))), adopted...))
	for id, pair := range ends {
		if s.broker.replaying[id] == nil && !s.dropped[id] {
			s.name(id, false)
		}
		if !s.nameless[id] || s.broker.replaying[id] == nil {
			continue
		}
		content, err := tails[id].Load(pair[1])
		if err != nil {
			content = &segment.Content{} // a repair of that file has to lose the block
		}
		own := s.broker.replaying[id]
		own.config.Chain = len(content.Hashes) > 0
		s.first = append(s.first, own.encodeCreate(nil))
		if s.stated[id] {
			continue
		}
		state := &Stream{id: id, first: pair[0].First, next: pair[1].Last() + 1, lastMs: pair[1].LastMs, lastSeq: pair[1].LastSeq}
		if own.config.Chain {
			state.head = content.Hashes[len(content.Hashes)-1]
		}
		state.appended = state.next - state.first
		s.first = append(s.first, state.encodeState(nil))
	}
	for id := range s.nameless {
		if _, cold := ends[id]; !cold && s.broker.replaying[id] != nil {
			s.first = append(s.first, s.broker.replaying[id].encodeCreate(nil))
		}
	}
	return nil
}

// skip tells that the entries of a record are in a file that is put on the list: the record is older than the file.
func (s *Salvage) skip(body []byte) bool {
	if len(body) == 0 || body[0] != opAppend {
		return false
	}
	r := &reader{b: body[1:]}
	id, offset := r.number(), r.number()
	end, covered := s.covered[id]
	return covered && r.err == nil && offset <= end
}

func (s *Salvage) describe() (lines []string) {
	cold := map[uint64]uint64{}
	for _, file := range s.files {
		if s.broker.listed[file.ID()] {
			for _, b := range file.Blocks() {
				cold[b.Stream] += uint64(b.Count)
			}
		}
	}
	for _, own := range s.broker.byID() {
		hot := 0
		for i := range own.hot {
			if own.hot[i].Offset > s.covered[own.id] {
				hot++
			}
		}
		line := fmt.Sprintf("stream '%s' with %d entries in the log, %d in segment files", own.name, hot, cold[own.id])
		if s.nameless[own.id] {
			line += ", which has lost its name and settings"
		}
		lines = append(lines, line)
	}
	return lines
}
