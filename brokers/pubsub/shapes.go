package pubsub

import (
	"bytes"
	"hash/maphash"
	"math/bits"
	"slices"
	"strings"
)

// shapes tells of nearly every topic that no filter matches it, before the trie is walked. A walk waits for memory at each level, in a
// map of as many nodes as there are devices, which beside a million filters costs far more than everything else that a publish does.
//
// The shape of a filter is how many levels it has, which of them are '+', and whether it goes on with '#'. All filters of one shape
// that match a topic have its literal levels, so one look at a table by the hash of these tells whether there is such a filter:
//
//	site/17/+/state   shape  lit lit + lit   kept under  hash(site, 17, state)
//	topic site/17/door/lock                  asks for    hash(site, 17, lock)
//
// Two filters with one hash only make the answer a "maybe" more often: it is never a wrong "no". Few shapes are in use at a time, whatever
// the number of filters; when there are more than shapesMax, or a filter is deeper than shapeLevels, the answer is "maybe" for every topic.
type shapes struct {
	seed   maphash.Seed
	list   []shapeCount
	others int // filters that are of none of the list
	parts  [shapeParts]shapeNames
}

const (
	shapesMax   = 8
	shapeLevels = 16
	shapeParts  = 256
)

type shape struct {
	levels int    // without a final '#'
	plus   uint16 // the levels that are '+', a bit each
	hash   bool   // there is a final '#'
}

type shapeCount struct {
	shape
	filters int
}

// shapeNames is a part of the filters, by the hash of shape and literal levels. The map would be a cache miss or two for each look, so bits
// stand before it, 16 for a filter, in a word of which three are set: small enough for a cache. A filter that goes leaves its bits until as
// many have gone as there are. Making them anew takes as long as a part is large, which is why there are parts.
type shapeNames struct {
	names map[uint64]uint32 // how many filters have the hash
	bits  []uint64          // a power of two of words
	gone  int
}

const filtersPerWord = 4

func (p *shapeNames) add(name uint64) {
	if p.names == nil {
		p.names = map[uint64]uint32{}
	}
	p.names[name]++
	if len(p.names) > len(p.bits)*filtersPerWord {
		p.mark(len(p.names) * 2)
		return
	}
	*p.word(name) |= bitsOf(name)
}

func (p *shapeNames) remove(name uint64) {
	if p.names[name]--; p.names[name] > 0 {
		return
	}
	delete(p.names, name)
	if p.gone++; p.gone > len(p.names) {
		p.mark(len(p.names))
	}
}

// mark makes the bits anew, with room for so many filters.
func (p *shapeNames) mark(room int) {
	words := 1
	for words*filtersPerWord < room {
		words *= 2
	}
	if p.gone = 0; len(p.names) == 0 {
		p.names, p.bits = nil, nil // a map does not shrink
		return
	}
	p.bits = make([]uint64, words)
	for name := range p.names {
		*p.word(name) |= bitsOf(name)
	}
}

func (p *shapeNames) has(name uint64) bool {
	if len(p.bits) == 0 {
		return false
	}
	set := bitsOf(name)
	return *p.word(name)&set == set && p.names[name] > 0
}

// word is the one in which a name has its bits. There are some.
func (p *shapeNames) word(name uint64) *uint64 { return &p.bits[name&uint64(len(p.bits)-1)] }

// bitsOf are three bits of a word, from parts of the hash that choose neither the word nor the part.
func bitsOf(name uint64) uint64 { return 1<<(name>>32&63) | 1<<(name>>38&63) | 1<<(name>>44&63) }

func partOf(name uint64) uint64 { return name >> 56 }

// shapeOf returns the shape of a filter, and its name: the hash of that and of its literal levels. ok is false when it is too deep.
func (s *shapes) shapeOf(filter string) (of shape, name uint64, ok bool) {
	var hashes [shapeLevels]uint64
	for rest, more := filter, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		if level == "#" {
			of.hash = true
			break
		}
		if of.levels == shapeLevels {
			return of, 0, false
		}
		if level == "+" {
			of.plus |= 1 << of.levels
		}
		hashes[of.levels] = maphash.String(s.seed, level)
		of.levels++
	}
	return of, of.name(&hashes), true
}

// name is the hash of a shape and of the literal levels, given the hashes of all.
func (s *shape) name(levels *[shapeLevels]uint64) uint64 {
	name := uint64(s.plus)<<8 | uint64(s.levels)<<1
	if s.hash {
		name |= 1
	}
	for at, level := range levels[:s.levels] {
		if s.plus&(1<<at) == 0 {
			name = mixLevel(name, level)
		}
	}
	return mixLevel(name, name>>32)
}

func mixLevel(name, level uint64) uint64 {
	return (bits.RotateLeft64(name, 23) ^ level) * 0x9e3779b97f4a7c15 // odd, so nothing of the name is lost
}

// add takes in a filter that was not there.
func (s *shapes) add(filter string) {
	if s.seed == (maphash.Seed{}) {
		s.seed = maphash.MakeSeed()
	}
	of, name, ok := s.shapeOf(filter)
	at := slices.IndexFunc(s.list, func(known shapeCount) bool { return known.shape == of })
	if !ok || at < 0 && len(s.list) == shapesMax {
		s.others++
		return
	}
	if at < 0 {
		at = len(s.list)
		s.list = append(s.list, shapeCount{shape: of})
	}
	s.list[at].filters++
	s.parts[partOf(name)].add(name)
}

// remove takes out a filter that was added. One that is not found is among the others, even when its shape has found a place since.
func (s *shapes) remove(filter string) {
	of, name, ok := s.shapeOf(filter)
	at := slices.IndexFunc(s.list, func(known shapeCount) bool { return known.shape == of })
	part := &s.parts[partOf(name)]
	if !ok || at < 0 || part.names[name] == 0 {
		s.others--
		return
	}
	part.remove(name)
	if s.list[at].filters--; s.list[at].filters == 0 {
		s.list = slices.Delete(s.list, at, at+1)
	}
}

// mayMatch is false only when no filter matches the topic.
func (s *shapes) mayMatch(topic []byte) bool {
	if s.others > 0 {
		return true
	}
	if len(s.list) == 0 {
		return false
	}
	var hashes [shapeLevels]uint64
	levels := 0
	for rest, more := topic, true; more; levels++ {
		var level []byte
		level, rest, more = bytes.Cut(rest, separator)
		if levels < shapeLevels {
			hashes[levels] = maphash.Bytes(s.seed, level)
		}
	}
	for i := range s.list {
		known := &s.list[i]
		if levels != known.levels && (levels < known.levels || !known.hash) {
			continue
		}
		if name := known.name(&hashes); s.parts[partOf(name)].has(name) {
			return true
		}
	}
	return false
}
