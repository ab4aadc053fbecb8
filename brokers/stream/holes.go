package stream

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/nexobroker/nexo/brokers/stream/segment"
)

// A hole is a run of offsets of which a repair had to give up the entries. What is told here may be missing between the
// blocks of a stream; anything else that is missing is damage. Snapshots hold the holes, so that they stay known when the
// files around them are merged.
type hole struct{ first, last uint64 }

// hole notes that offsets are missing.
func (s *Stream) hole(first, last uint64) {
	if first > last || s.known(first, last) {
		return
	}
	n := len(s.holes)
	s.holes = append(s.holes, hole{first, last})
	if n > 0 && s.holes[n-1].first > first {
		slices.SortFunc(s.holes, func(a, b hole) int { return cmp.Compare(a.first, b.first) })
	}
}

// known tells that the offsets are in holes.
func (s *Stream) known(first, last uint64) bool {
	for _, h := range s.holes {
		if h.first <= first && first <= h.last {
			first = h.last + 1
		}
	}
	return first > last
}

func (s *Stream) replayHole(r *reader) error {
	first, count := r.number(), r.number()
	if first == 0 || count == 0 || first > offsetMax || count > offsetMax {
		return errors.New("a hole out of range")
	}
	s.hole(first, first+count-1)
	return nil
}

func (s *Stream) encodeHole(b []byte, h hole) []byte {
	return numbers(append(b, opHole), s.id, h.first, h.last-h.first+1)
}

// gap is a hole that nobody has told of.
type gap struct {
	hole
	file  *sealed // behind it, or before it at the end
	block *segment.Block
	told  bool // by a file in which a repair has given up entries, or that cannot tell
}

// gaps finds what is missing in the cold entries of a stream, sorted, after a replay.
func (b *Broker) gaps(s *Stream) (list []gap) {
	mended := false
	for _, file := range b.files {
		mended = mended || file.Mended()
	}
	next := s.first
	for i := range s.cold {
		c := &s.cold[i]
		if next < c.block.First && !s.known(next, c.block.First-1) {
			told := mended || c.file.First() || i > 0 && s.cold[i-1].file.First()
			list = append(list, gap{hole{next, c.block.First - 1}, c.file, c.block, told})
		}
		next = max(next, c.block.Last()+1)
	}
	if next < s.coldEnd && !s.known(next, s.coldEnd-1) {
		end := gap{hole: hole{next, s.coldEnd - 1}, told: mended}
		if n := len(s.cold); n > 0 {
			end.file, end.block = s.cold[n-1].file, s.cold[n-1].block
			end.told = end.told || end.file.First()
		}
		list = append(list, end)
	}
	return list
}

// fillGaps refuses what is missing, and notes what a file of the first version or one that was repaired leaves open.
func (b *Broker) fillGaps(s *Stream) error {
	for _, g := range b.gaps(s) {
		if !g.told {
			return b.gapDamage(s, g)
		}
		s.hole(g.first, g.last)
		b.told = append(b.told, s.encodeHole(nil, g.hole))
	}
	return nil
}

func (b *Broker) gapDamage(s *Stream, g gap) error {
	problem := fmt.Sprintf("the entries %d to %d of stream '%s' are in none of the files", g.first, g.last, s.name)
	damage := &segment.Damage{Path: b.options.Directory, Problem: problem}
	if g.file != nil {
		damage.Path, damage.Position = g.file.Path(), g.block.Position
	}
	return damage
}
