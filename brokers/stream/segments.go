package stream

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync/atomic"

	"github.com/nexobroker/nexo/brokers/stream/segment"
)

// sealed is a segment file and how much of it is in use.
type sealed struct {
	*segment.File
	broker *Broker
	live   atomic.Int64 // bytes of the blocks that a stream refers to
	// unreadable: a merge could not read a block. It is left out of merges until nothing of it is in use.
	unreadable atomic.Bool
}

// replaced are the files that a merge has put a new one in place of, by the record with this sequence.
type replaced struct {
	seq   uint64
	files []*sealed
}

func (b *Broker) newSealed(f *segment.File) *sealed {
	own := &sealed{File: f, broker: b}
	own.live.Store(f.Bytes())
	f.ReadRandomly()
	return own
}

// coldBlock is a run of entries of one stream in a segment file.
type coldBlock struct {
	file  *sealed
	block *segment.Block
}

// weight is what the entries of the block count against MAXBYTES.
func (c *coldBlock) weight() int64 { return c.block.Payload + int64(c.block.Count)*entryOverhead }

// release tells the file that nothing refers to the block any more.
func (c *coldBlock) release() {
	if live := c.file.live.Add(-c.block.Size()); live*2 < c.file.Bytes() {
		c.file.broker.untidy.Store(true)
	}
}

// openSegments opens the files that the journal lists, gives the streams their blocks, and removes what a crash has left.
func (b *Broker) openSegments() error {
	directory := b.options.Directory
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return err
	}
	ids, unfinished, err := segment.List(directory)
	if err != nil {
		return err
	}
	for _, name := range unfinished {
		if err := os.Remove(filepath.Join(directory, name)); err != nil {
			return err
		}
	}
	for id := range b.listed {
		file, err := segment.Open(directory, id, b.options.Log)
		if errors.Is(err, fs.ErrNotExist) {
			return &segment.Damage{Path: filepath.Join(directory, segment.Name(id)), Missing: id, Problem: "the journal lists it, and it is missing"}
		}
		if err != nil {
			return err
		}
		b.files[id] = b.newSealed(file)
	}
	if err := b.removeLeftovers(ids); err != nil {
		return err
	}
	return b.attachSegments()
}

// removeLeftovers removes the files that a crash has left: one that was not yet listed, whose entries are in the journal, or
// one that was replaced. One with entries that the journal does not know tells that the journal is lost or older than the
// file: nothing is touched then.
func (b *Broker) removeLeftovers(ids []uint64) error {
	var paths []string
	for _, id := range ids {
		b.nextSegment = max(b.nextSegment, id+1)
		if b.files[id] != nil {
			continue
		}
		file, err := segment.Open(b.options.Directory, id, b.options.Log)
		if err != nil {
			return err // a file has its name only once it is whole
		}
		block := b.unknownBlock(file)
		if err := file.Close(); err != nil {
			return err
		}
		if block != nil {
			return &segment.Damage{Path: file.Path(), Position: block.Position, Problem: olderJournal}
		}
		paths = append(paths, file.Path())
	}
	for _, path := range paths {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

const olderJournal = "it has entries that the journal does not know: the stream log is lost, or older than this file"

// unknownBlock is a block of an unlisted file with entries of which the replayed journal knows nothing, nil when there is
// none. Streams that are not there any more were dropped, if their number was given: no start replays a journal that has lost
// records, and a repair looks at such files by itself.
func (b *Broker) unknownBlock(file *segment.File) *segment.Block {
	blocks := file.Blocks()
	for i := range blocks {
		block := &blocks[i]
		s := b.replaying[block.Stream]
		if s == nil && block.Stream > b.nextID || s != nil && block.Last() >= s.next {
			return block
		}
	}
	return nil
}

func (b *Broker) attachSegments() error {
	for _, file := range b.files {
		blocks := file.Blocks()
		for i := range blocks {
			c := coldBlock{file, &blocks[i]}
			b.nextID = max(b.nextID, c.block.Stream) // should a repair have lost that it was given
			s := b.replaying[c.block.Stream]
			if s == nil || c.block.Last() < s.first {
				c.release()
				continue
			}
			s.cold = append(s.cold, c)
			s.countColdLocked(&c, 1)
		}
	}
	for _, s := range b.replaying {
		s.sortCold()
		s.goOnBehindCold()
		end := s.next
		if len(s.hot) > 0 {
			end = s.hot[0].Offset
		}
		for i := range s.cold {
			c := &s.cold[i]
			if i > 0 && c.block.First <= s.cold[i-1].block.Last() || c.block.Last() >= end {
				return &segment.Damage{Path: c.file.Path(), Position: c.block.Position,
					Problem: fmt.Sprintf("stream '%s' has the offsets from %d on twice", s.name, c.block.First)}
			}
		}
		if err := b.fillGaps(s); err != nil {
			return err
		}
	}
	return nil
}

// goOnBehindCold is for a stream whose state a repair of the log has lost: it goes on behind the entries it has.
func (s *Stream) goOnBehindCold() {
	n := len(s.cold)
	if n == 0 || len(s.hot) > 0 || s.cold[n-1].block.Last() < s.next {
		return
	}
	last := s.cold[n-1]
	s.next, s.lastMs, s.lastSeq = last.block.Last()+1, last.block.LastMs, last.block.LastSeq
	if content, err := last.file.Load(last.block); err == nil && len(content.Hashes) > 0 {
		s.head = content.Hashes[len(content.Hashes)-1]
	}
}

func (s *Stream) sortCold() {
	sort.Slice(s.cold, func(i, k int) bool { return s.cold[i].block.First < s.cold[k].block.First })
}

// Segment files are merged when eight of a size class have gathered, so that the files stay few, and when less than half
// of them is in use, so that the disk does. A merge copies the blocks in use of some files into a new one, sorted again
// by stream; a record in the journal replaces the old by the new; then the old files are removed. A crash before the
// record is durable leaves the new file unlisted, one after it the old ones.
const (
	mergeFan      = 8
	mergeBytesMax = 512 << 20 // in use, of the files of one merge
)

// sizeClass is 0 below 1 MiB and grows by one with each factor of eight; files of class 3 are no longer merged for their
// size.
func sizeClass(bytes int64) (class int) {
	for size := int64(1 << 20); bytes >= size && class < 3; size *= 8 {
		class++
	}
	return class
}

// chooseMerge picks files to merge, nil when all is tidy.
func (b *Broker) chooseMerge() (chosen []*sealed) {
	b.world.RLock()
	files := make([]*sealed, 0, len(b.files))
	for _, file := range b.files {
		files = append(files, file)
	}
	b.world.RUnlock()
	sort.Slice(files, func(i, k int) bool { return files[i].ID() < files[k].ID() })
	total := int64(0)
	take := func(file *sealed) {
		if live := file.live.Load(); total == 0 || total+live <= mergeBytesMax {
			total += live
			chosen = append(chosen, file)
		}
	}
	var classes [3][]*sealed
	for _, file := range files {
		if file.unreadable.Load() && file.live.Load() > 0 {
			continue
		}
		if file.live.Load()*2 < file.Bytes() {
			take(file)
		} else if class := sizeClass(file.Bytes()); class < len(classes) {
			classes[class] = append(classes[class], file)
		}
	}
	if len(chosen) > 0 {
		return chosen
	}
	for _, class := range classes {
		if len(class) >= mergeFan {
			for _, file := range class[:mergeFan] {
				take(file)
			}
			return chosen
		}
	}
	return nil
}

// tidy merges until there is nothing to merge. One goroutine at a time.
func (b *Broker) tidy() error {
	b.tidying.Lock()
	defer b.tidying.Unlock()
	for !b.closed.Load() {
		if err := b.removeReplaced(); err != nil {
			return err
		}
		b.untidy.Store(false)
		chosen := b.chooseMerge()
		if len(chosen) == 0 {
			return nil
		}
		if err := b.merge(chosen); err != nil {
			return fmt.Errorf("merge segment files: %w", err)
		}
	}
	return nil
}

func (b *Broker) merge(chosen []*sealed) error {
	merged, err := b.writeMerged(chosen)
	if err != nil {
		return err
	}
	b.world.Lock()
	record := numbers([]byte{opReplaced}, 0)
	if merged != nil {
		record = numbers([]byte{opReplaced}, merged.ID())
		b.files[merged.ID()] = merged
	}
	record = numbers(record, uint64(len(chosen)))
	for _, file := range chosen {
		record = numbers(record, file.ID())
		delete(b.files, file.ID())
	}
	seq := b.journal.Append(record, true)
	b.world.Unlock()
	b.replaceBlocks(chosen, merged)
	b.replaced = append(b.replaced, replaced{seq, chosen})
	return b.removeReplaced()
}

// removeReplaced removes the files whose replacement is durable. When a full disk keeps the journal from writing they
// wait for the next time; when it has failed, for a start, which finds what the journal says of them.
func (b *Broker) removeReplaced() error {
	for len(b.replaced) > 0 {
		if err := b.journal.WaitSynced(b.replaced[0].seq); err != nil {
			return err
		}
		var problems []error
		for _, file := range b.replaced[0].files {
			problems = append(problems, file.Remove())
		}
		b.replaced = b.replaced[1:]
		if err := errors.Join(problems...); err != nil {
			return err
		}
	}
	return nil
}

// writeMerged writes what is in use of the files; nil when that is nothing.
func (b *Broker) writeMerged(chosen []*sealed) (*sealed, error) {
	w, err := segment.Create(b.options.Directory, b.takeSegmentID(), b.options.Log, b.options.BlockBytes)
	if err != nil {
		return nil, err
	}
	for _, s := range b.byID() {
		s.mu.Lock()
		first, chained := s.first, s.config.Chain
		var blocks []coldBlock
		for _, c := range s.cold {
			if slices.Contains(chosen, c.file) {
				blocks = append(blocks, c)
			}
		}
		s.mu.Unlock()
		for _, c := range blocks {
			if err := copyBlock(w, c, first, chained); err != nil {
				return nil, errors.Join(err, w.Abort())
			}
		}
		if b.closed.Load() {
			return nil, errors.Join(errClosed, w.Abort())
		}
	}
	if w.Empty() {
		return nil, w.Abort()
	}
	file, err := w.Commit()
	if err != nil {
		return nil, err
	}
	return b.newSealed(file), nil
}

func copyBlock(w *segment.Writer, c coldBlock, first uint64, chained bool) error {
	content, err := c.file.Load(c.block)
	if err != nil {
		c.file.unreadable.Store(true)
		return err
	}
	before := content.Before
	for i := range content.Entries {
		e := content.Entries[i]
		var link *segment.Link
		if chained {
			link = &segment.Link{Before: before, Hash: content.Hashes[i]}
			before = link.Hash
		}
		if e.Offset < first {
			continue
		}
		if err := w.Add(c.block.Stream, e, link); err != nil {
			return err
		}
	}
	return nil
}

// replaceBlocks points the streams to the new file.
func (b *Broker) replaceBlocks(chosen []*sealed, merged *sealed) {
	var blocks []segment.Block
	if merged != nil {
		blocks = merged.Blocks()
	}
	for _, s := range b.byID() {
		for len(blocks) > 0 && blocks[0].Stream < s.id {
			(&coldBlock{merged, &blocks[0]}).release() // dropped meanwhile
			blocks = blocks[1:]
		}
		n := 0
		for n < len(blocks) && blocks[n].Stream == s.id {
			n++
		}
		s.mu.Lock()
		s.replaceBlocksLocked(chosen, merged, blocks[:n])
		s.mu.Unlock()
		blocks = blocks[n:]
	}
	for i := range blocks {
		(&coldBlock{merged, &blocks[i]}).release()
	}
}

func (s *Stream) replaceBlocksLocked(chosen []*sealed, merged *sealed, blocks []segment.Block) {
	kept := make([]coldBlock, 0, len(s.cold))
	for _, c := range s.cold {
		if slices.Contains(chosen, c.file) {
			s.countColdLocked(&c, -1)
			continue
		}
		kept = append(kept, c)
	}
	for i := range blocks {
		c := coldBlock{merged, &blocks[i]}
		if s.dropped || c.block.Last() < s.first {
			c.release()
			continue
		}
		kept = append(kept, c)
		s.countColdLocked(&c, 1)
	}
	if s.dropped || len(kept) == len(s.cold) && len(blocks) == 0 {
		return
	}
	sameFront := len(s.cold) > 0 && len(kept) > 0 && s.cold[0] == kept[0]
	front, broken, gone := s.front, s.frontBroken, s.gone
	s.setColdLocked(kept)
	s.sortCold()
	if sameFront && s.cold[0] == kept[0] {
		s.front, s.frontBroken, s.gone = front, broken, gone
	}
}

// takeSegmentID gives out a number for a file.
func (b *Broker) takeSegmentID() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := b.nextSegment
	b.nextSegment++
	return id
}

// byID returns the streams by number.
func (b *Broker) byID() []*Stream {
	list := b.all()
	sort.Slice(list, func(i, k int) bool { return list[i].id < list[k].id })
	return list
}
