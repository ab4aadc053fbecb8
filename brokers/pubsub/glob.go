package pubsub

import (
	"strings"

	"github.com/nexobroker/nexo/brokers"
)

// globSpecial holds the bytes that begin something other than themselves.
const globSpecial = "*?[\\"

// globIndex finds the glob patterns that match a text without trying each: a pattern is filed under the literal bytes in
// front of its first special byte, or, when it begins with a special byte, under those behind its last one. A lookup probes one
// key per distinct length. Only patterns with neither (such as "*a*") are tried for every text.
type globIndex struct {
	prefixes globBuckets
	suffixes globBuckets
}

type globBuckets struct {
	byLiteral map[string]map[string]*roster // literal -> pattern -> roster
	lengths   map[int]int                   // length of a literal -> how many literals have it
}

func (x *globIndex) bucket(pattern string) (buckets *globBuckets, literal string) {
	first := strings.IndexAny(pattern, globSpecial)
	if first < 0 {
		return &x.prefixes, pattern
	}
	// Behind a class or an escape the tail may not be literal, so only stars and question marks give a suffix.
	if last := strings.LastIndexAny(pattern, globSpecial); first == 0 && !strings.ContainsAny(pattern, "[\\") {
		return &x.suffixes, pattern[last+1:]
	}
	return &x.prefixes, pattern[:first]
}

func (x *globIndex) roster(pattern string) *roster {
	buckets, literal := x.bucket(pattern)
	return buckets.byLiteral[literal][pattern]
}

func (x *globIndex) ensure(pattern string) *roster {
	buckets, literal := x.bucket(pattern)
	if buckets.byLiteral == nil {
		buckets.byLiteral, buckets.lengths = map[string]map[string]*roster{}, map[int]int{}
	}
	patterns := buckets.byLiteral[literal]
	if patterns == nil {
		patterns = map[string]*roster{}
		buckets.byLiteral[literal] = patterns
		buckets.lengths[len(literal)]++
	}
	r := patterns[pattern]
	if r == nil {
		r = &roster{filter: pattern}
		patterns[pattern] = r
	}
	return r
}

func (x *globIndex) drop(pattern string) {
	buckets, literal := x.bucket(pattern)
	patterns := buckets.byLiteral[literal]
	delete(patterns, pattern)
	if len(patterns) > 0 {
		return
	}
	delete(buckets.byLiteral, literal)
	if buckets.lengths[len(literal)]--; buckets.lengths[len(literal)] == 0 {
		delete(buckets.lengths, len(literal))
	}
}

// match appends every pattern that matches.
func (x *globIndex) match(text []byte, parts []part) []part {
	for n := range x.prefixes.lengths {
		if n <= len(text) {
			parts = tryGlobs(x.prefixes.byLiteral[string(text[:n])], text, parts)
		}
	}
	for n := range x.suffixes.lengths {
		if n <= len(text) {
			parts = tryGlobs(x.suffixes.byLiteral[string(text[len(text)-n:])], text, parts)
		}
	}
	return parts
}

func tryGlobs(patterns map[string]*roster, text []byte, parts []part) []part {
	for pattern, r := range patterns {
		if brokers.MatchGlob(pattern, text) {
			parts = append(parts, r.view())
		}
	}
	return parts
}

// each calls visit with every roster until it returns false.
func (x *globIndex) each(visit func(*roster) bool) {
	for _, buckets := range []*globBuckets{&x.prefixes, &x.suffixes} {
		for _, patterns := range buckets.byLiteral {
			for _, r := range patterns {
				if !visit(r) {
					return
				}
			}
		}
	}
}
