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
	log       segment.Log
	nameless  map[uint64]bool // streams that got a name here
	stated    map[uint64]bool // their state is kept
	dropped   map[uint64]bool
	blind     bool            // what is not named may have been
	files     []*segment.File // those that can be opened, the newest first
	first     [][]byte
	last      [][]byte
	covered   map[uint64]uint64 // last offset in a segment file that is put on the list, by stream
}

// Salvaged is what a Salvage has found.
type Salvaged struct {
	Damage error             // the log is whole, and older than the files beside it
	First  [][]byte          // records to put in front of the kept ones
	Last   [][]byte          // and behind them
	Skip   func([]byte) bool // kept records to leave out: a segment file has the same
	Kept   []string          // a line for each stream
	Files  []string          // the segment files
	Aside  []string          // those of them that hold what others hold too
}

// NewSalvage begins to read.
func NewSalvage(directory string, log segment.Log) *Salvage {
	return &Salvage{directory: directory, log: log,
		nameless: map[uint64]bool{}, stated: map[uint64]bool{}, dropped: map[uint64]bool{}, covered: map[uint64]uint64{},
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

// Finish decides over the segment files; lossy tells that records of the log are lost, snapshot that some of them are of
// its snapshot.
func (s *Salvage) Finish(lossy, snapshot bool) (found Salvaged, err error) {
	s.blind = snapshot || !s.broker.listing
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
		file, err := segment.Open(s.directory, id, s.log)
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
		s.amend(adopted)
	}
	if damage := s.findGaps(); found.Damage == nil {
		found.Damage = damage
	}
	found.First, found.Last, found.Kept = s.first, s.last, s.describe()
	found.Skip = s.skip
	return found, nil
}

// findGaps gives up what is missing between the files, so that a start no longer asks for it.
func (s *Salvage) findGaps() (damage error) {
	b := s.broker
	for _, file := range s.files {
		if b.listed[file.ID()] {
			b.files[file.ID()] = b.newSealed(file)
		}
	}
	for _, own := range b.byID() {
		if s.nameless[own.id] && !s.stated[own.id] {
			own.first = offsetMax // as the state says that is put in front
		}
		for _, file := range b.files {
			blocks := file.Blocks()
			for i := range blocks {
				if blocks[i].Stream != own.id {
					continue
				}
				own.cold = append(own.cold, coldBlock{file, &blocks[i]})
				if own.first == offsetMax || s.nameless[own.id] && !s.stated[own.id] {
					own.first = min(own.first, blocks[i].First)
				}
			}
		}
		own.sortCold()
		own.cold = slices.DeleteFunc(own.cold, func(c coldBlock) bool { return c.block.Last() < own.first })
		for _, g := range b.gaps(own) {
			s.last = append(s.last, own.encodeHole(nil, g.hole))
			if !g.told && damage == nil {
				damage = b.gapDamage(own, g)
			}
		}
	}
	return damage
}

func (s *Salvage) closeFiles() {
	for _, file := range s.files {
		file.Close()
	}
}

// unnamed tells that a stream may have lost the record that named it. One that a whole snapshot does not name was dropped,
// unless its number is one that the log has not yet given.
func (s *Salvage) unnamed(id uint64) bool {
	return s.broker.replaying[id] == nil && !s.dropped[id] && (s.blind || id > s.broker.nextID)
}

// orphaned tells that a file has entries of a stream that may have lost its records.
func (s *Salvage) orphaned(file *segment.File) bool {
	for _, b := range file.Blocks() {
		if s.unnamed(b.Stream) || s.nameless[b.Stream] || !s.broker.listing {
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

// extent is what the listed files have of a stream.
type extent struct {
	first, last *segment.Block
	tail        *segment.File // that has last
}

func (s *Salvage) extents(adopted []uint64) map[uint64]extent {
	list := map[uint64]extent{}
	for _, file := range s.files {
		if !s.broker.listed[file.ID()] {
			continue
		}
		blocks := file.Blocks()
		for i := range blocks {
			b := &blocks[i]
			x := list[b.Stream]
			if x.first == nil || b.First < x.first.First {
				x.first = b
			}
			if x.last == nil || b.First > x.last.First {
				x.last, x.tail = b, file
			}
			list[b.Stream] = x
			if slices.Contains(adopted, file.ID()) {
				s.covered[b.Stream] = max(s.covered[b.Stream], b.Last())
			}
		}
	}
	return list
}

// amend makes the records that go in front: the list with the adopted files, the streams that have lost theirs.
func (s *Salvage) amend(adopted []uint64) {
	extents := s.extents(adopted)
	for id := range extents {
		if s.unnamed(id) {
			s.name(id, false)
		}
	}
	last := s.broker.nextID
	for id := range s.nameless {
		last = max(last, id)
	}
	s.first = append(s.first, numbers([]byte{opBrokerState}, last))
	s.first = append(s.first, numbers(numbers([]byte{opSegments}, uint64(len(adopted))), adopted...))
	for id := range s.nameless {
		own := s.broker.replaying[id]
		if own == nil {
			continue // dropped later
		}
		s.settleName(own)
		x, cold := extents[id]
		if !cold {
			s.first = append(s.first, own.encodeCreate(nil))
			continue
		}
		content, err := x.tail.Load(x.last)
		if err != nil {
			content = &segment.Content{} // a repair of that file has to lose the block
		}
		own.config.Chain = len(content.Hashes) > 0
		s.first = append(s.first, own.encodeCreate(nil))
		if s.stated[id] {
			continue
		}
		state := &Stream{id: id, first: x.first.First, next: x.last.Last() + 1, lastMs: x.last.LastMs, lastSeq: x.last.LastSeq}
		if own.config.Chain {
			state.head = content.Hashes[len(content.Hashes)-1]
		}
		state.appended = state.next - state.first
		s.first = append(s.first, state.encodeState(nil))
	}
}

// settleName changes a name that another stream got meanwhile.
func (s *Salvage) settleName(own *Stream) {
	if s.broker.streams[own.name] == own {
		return
	}
	for s.broker.streams[own.name] != nil {
		own.name += "-again"
	}
	s.broker.streams[own.name] = own
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
