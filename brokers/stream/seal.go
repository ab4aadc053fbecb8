package stream

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/stream/segment"
)

// Sealing replaces the log by a segment file with the entries that were in it, and a snapshot of everything else: the
// streams, their groups, and the list of segment files. The snapshot is what counts: before its commit a restart finds the
// old log and removes the new file, after it the new file is listed. Then the entries leave memory.

var errClosed = errors.New("the broker is closed")

// streamCopy is one stream at the cut.
type streamCopy struct {
	stream  *Stream
	records [][]byte // all that is not an entry, in the order of replay
	hot     []Entry
	hashes  []segment.Hash
	before  segment.Hash
	last    uint64 // offset
}

func (s *Stream) copyLocked(now brokers.Instant) *streamCopy {
	c := &streamCopy{stream: s, hot: s.hot[:len(s.hot):len(s.hot)], hashes: s.hotHashes, before: s.hotBefore, last: s.next - 1}
	c.records = append(c.records, s.encodeCreate(nil), s.encodeState(nil))
	s.holes = slices.DeleteFunc(s.holes, func(h hole) bool { return h.last < s.first })
	for _, h := range s.holes {
		c.records = append(c.records, s.encodeHole(nil, h))
	}
	for _, k := range s.dedup.order {
		if e, ok := s.dedup.byKey[k.key]; ok && e.expires == k.expires {
			b := appendBytes(numbers([]byte{opDedupKey}, s.id), k.key)
			c.records = append(c.records, numbers(b, e.offset, uint64(now.WallOf(e.expires)), uint64(now.Wall)))
		}
	}
	for _, g := range s.groups {
		c.records = append(c.records, g.encodeCreate(nil), g.encodeGiven(nil, now, g.pending.Values()))
		g.parked.Scan(func(offset uint64, p *parkedEntry) bool {
			c.records = append(c.records, g.encodeParked(nil, offset, p))
			return true
		})
	}
	return c
}

// Compact replaces the log by a segment file and a snapshot.
func (b *Broker) Compact() error {
	b.sealing.Lock()
	defer b.sealing.Unlock()
	b.world.Lock()
	finish, err := b.journal.Cut()
	if err != nil {
		b.world.Unlock()
		return err
	}
	// The journal is alive, so the snapshot that was to list this file has failed before it counted.
	if b.leftover != nil {
		if err := b.leftover.Remove(); err != nil {
			b.failed(err)
		}
		b.leftover = nil
	}
	nextID, droppedEpoch, now := b.nextID, b.droppedEpoch.Load(), b.time.Now()
	copies := make([]*streamCopy, 0)
	for _, s := range b.byID() {
		s.mu.Lock()
		copies = append(copies, s.copyLocked(now))
		s.mu.Unlock()
	}
	files := make([]uint64, 0, len(b.files)+1)
	for id := range b.files {
		files = append(files, id)
	}
	b.world.Unlock()

	var file *segment.File
	err = finish(func(emit brokers.Emit) (err error) {
		if file, err = b.writeHot(copies); err != nil {
			return fmt.Errorf("write segment file: %w", err)
		}
		if file != nil {
			files = append(files, file.ID())
		}
		return b.dump(copies, numbers([]byte{opBrokerState}, nextID, droppedEpoch), files, emit)
	})
	b.relief.Ended(0, err) // what was hot is no longer the log's
	if err != nil {
		b.leftover = file
		return err
	}
	b.showSealed(copies, file)
	return nil
}

// hotBytes is about what the entries in the log take in a segment file.
func (b *Broker) hotBytes() (bytes int64) {
	for _, s := range b.all() {
		s.mu.Lock()
		hot := s.hot
		s.mu.Unlock()
		for i := range hot {
			bytes += weight(&hot[i])
		}
	}
	return bytes
}

// writeHot writes the hot entries of all copies; nil when there are none.
func (b *Broker) writeHot(copies []*streamCopy) (*segment.File, error) {
	w, err := segment.Create(b.options.Directory, b.takeSegmentID(), b.options.Log, b.options.BlockBytes)
	if err != nil {
		return nil, err
	}
	for _, c := range copies {
		link := segment.Link{Hash: c.before}
		for i := range c.hot {
			var own *segment.Link
			if len(c.hashes) > 0 {
				link.Before, link.Hash = link.Hash, c.hashes[i]
				own = &link
			}
			if err := w.Add(c.stream.id, c.hot[i], own); err != nil {
				return nil, errors.Join(err, w.Abort())
			}
		}
	}
	if w.Empty() {
		return nil, w.Abort()
	}
	return w.Commit()
}

// dump writes the snapshot as records that replay applies in order.
func (b *Broker) dump(copies []*streamCopy, state []byte, files []uint64, emit brokers.Emit) error {
	size := int64(0)
	put := func(body []byte) error {
		size += int64(len(body))
		return emit(body)
	}
	if err := put(state); err != nil {
		return err
	}
	sort.Slice(files, func(i, k int) bool { return files[i] < files[k] })
	if err := put(numbers(numbers([]byte{opSegments}, uint64(len(files))), files...)); err != nil {
		return err
	}
	for _, c := range copies {
		for _, body := range c.records {
			if err := put(body); err != nil {
				return err
			}
		}
	}
	b.snapshotBytes.Store(size)
	return nil
}

// showSealed lets the streams read from the new file what they had in memory.
func (b *Broker) showSealed(copies []*streamCopy, file *segment.File) {
	if file == nil {
		return
	}
	own := b.newSealed(file)
	blocks := file.Blocks()
	for _, c := range copies {
		n := 0
		for n < len(blocks) && blocks[n].Stream == c.stream.id {
			n++
		}
		c.stream.mu.Lock()
		c.stream.showSealedLocked(own, blocks[:n], c.last)
		c.stream.mu.Unlock()
		blocks = blocks[n:]
	}
	// Only now: a merge of the file takes what the streams refer to, and the rest would be lost with it.
	b.world.Lock()
	b.files[file.ID()] = own
	b.world.Unlock()
}

func (s *Stream) showSealedLocked(file *sealed, blocks []segment.Block, last uint64) {
	if len(blocks) == 0 {
		return
	}
	if !s.dropped {
		// What the snapshot holds is durable, whether the journal has told so or not.
		shown := 0
		for shown < len(s.unseen) && s.unseen[shown].last <= last {
			shown++
		}
		s.showBatchesLocked(shown)
		n := s.hotIndexLocked(last + 1)
		for i := range s.hot[:n] {
			s.bytes -= weight(&s.hot[i])
		}
		if n > 0 {
			s.cutHotLocked(n)
		}
		s.hot = append([]Entry(nil), s.hot...) // lets go of the memory of what is now in the file
		s.hotHashes = append([]segment.Hash(nil), s.hotHashes...)
	}
	for i := range blocks {
		c := coldBlock{file, &blocks[i]}
		if s.dropped || c.block.Last() < s.first {
			c.release()
			continue
		}
		s.cold = append(s.cold[:len(s.cold):len(s.cold)], c)
		s.countColdLocked(&c, 1)
	}
}

func (s *Stream) encodeState(b []byte) []byte {
	b = numbers(append(b, opStreamState), s.id, s.first, s.next, uint64(s.lastMs), s.lastSeq)
	b = appendBytes(b, s.head[:])
	return numbers(b, s.appended, s.duplicates)
}
