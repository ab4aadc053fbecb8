package brokers

const (
	// globStepsMax bounds the work of one match by trial. It is far beyond what a pattern that somebody means needs for a name of
	// ordinary length.
	globStepsMax = 1 << 20
	// globWordsMax bounds the work of one match by all positions at once, which takes over: words of 64 positions times bytes.
	globWordsMax = 1 << 22
	// GlobExactMax is the longest pattern that MatchGlob decides for every name of up to 64 KiB.
	GlobExactMax = 1024
)

// ErrGlobSteps is returned by Glob.Err when a name could not be decided.
var ErrGlobSteps = &Error{Code: "ERR", Message: "the pattern takes more than 1048576 steps to match: use a shorter one, or fewer stars"}

// MatchGlob tells whether a name matches a Redis glob: * ? [abc] [^abc] [a-z] and \ to take the next byte as it is; a class
// that is never closed ends with the pattern. As in Redis nothing but the empty pattern matches the empty name, not even
// a star. The pattern has at most GlobExactMax bytes and the name 64 KiB, or the answer may be a false no: who cannot be sure of
// that uses a Glob, which tells.
func MatchGlob[T string | []byte](pattern string, name T) bool {
	g := Glob{pattern: pattern}
	return globMatches(&g, name)
}

// Glob is a pattern that many names are held against, by one goroutine.
type Glob struct {
	pattern   string
	steps     int
	positions *globPositions // nil until a name takes too many steps
	err       error
}

// NewGlob reads a pattern; every text is one.
func NewGlob(pattern string) *Glob { return &Glob{pattern: pattern} }

// Match tells whether the name matches, as MatchGlob does. Once a name took too much work it says no to all; see Err.
func (g *Glob) Match(name string) bool { return g.err == nil && globMatches(g, name) }

// Err is ErrGlobSteps when a name could not be decided: what Match said of it, and after it, is not to be used.
func (g *Glob) Err() error { return g.err }

// globMatches tries the pattern from the left. Only the last star is ever retried, so the work is at most the product of the
// lengths; beyond globStepsMax all positions of the pattern are followed at once, which takes a 64th of that.
func globMatches[T string | []byte](g *Glob, name T) bool {
	if len(name) == 0 {
		return g.pattern == ""
	}
	g.steps = globStepsMax
	at := 0               // in the pattern
	star, resume := -1, 0 // behind the last star, and where in the name it ends for now
	for i := 0; i < len(name); {
		if at < len(g.pattern) && g.pattern[at] == '*' {
			for at < len(g.pattern) && g.pattern[at] == '*' {
				at++
			}
			if at == len(g.pattern) {
				return true
			}
			star, resume = at, i
			continue
		}
		next, ok := g.one(at, name[i])
		if g.steps < 0 {
			return followGlob(g, name)
		}
		switch {
		case ok:
			at = next
			i++
		case star >= 0:
			resume++
			at, i = star, resume
		default:
			return false
		}
	}
	for at < len(g.pattern) && g.pattern[at] == '*' {
		at++
	}
	return at == len(g.pattern)
}

// globPositions are the positions of a pattern, one bit each: position k is behind k elements that are not stars.
//
//	a*[bc]    0 -a-> 1 -[bc]-> 2        loops: position 1, where the star is
type globPositions struct {
	elements []int // where each begins in the pattern
	loops    []uint64
	accepts  [256][]uint64 // by byte, the positions whose next element takes it; nil until the byte is met
}

func newGlobPositions(g *Glob) *globPositions {
	p := &globPositions{}
	var loops []int
	for at := 0; at < len(g.pattern); {
		if g.pattern[at] == '*' {
			loops = append(loops, len(p.elements))
			at++
			continue
		}
		p.elements = append(p.elements, at)
		at, _ = g.one(at, 0)
	}
	p.loops = make([]uint64, len(p.elements)/64+1)
	for _, k := range loops {
		p.loops[k/64] |= 1 << (k % 64)
	}
	return p
}

// accepting are the positions whose next element takes the byte.
func (p *globPositions) accepting(g *Glob, c byte) []uint64 {
	if p.accepts[c] == nil {
		p.accepts[c] = make([]uint64, len(p.loops))
		for k, at := range p.elements {
			if _, ok := g.one(at, c); ok {
				p.accepts[c][k/64] |= 1 << (k % 64)
			}
		}
	}
	return p.accepts[c]
}

// followGlob decides by all positions at once, unless even that is too much.
func followGlob[T string | []byte](g *Glob, name T) bool {
	if len(g.pattern) > globWordsMax/64 || (len(g.pattern)/64+1)*len(name) > globWordsMax {
		g.err = ErrGlobSteps
		return false
	}
	if g.positions == nil {
		g.positions = newGlobPositions(g)
	}
	p := g.positions
	now := make([]uint64, len(p.loops))
	now[0] = 1
	for i := range len(name) {
		accepts := p.accepting(g, name[i])
		carry, any := uint64(0), uint64(0)
		for w, positions := range now {
			moved := positions & accepts[w]
			now[w] = positions&p.loops[w] | moved<<1 | carry
			carry = moved >> 63
			any |= now[w]
		}
		if any == 0 {
			return false
		}
	}
	last := len(p.elements)
	return now[last/64]>>(last%64)&1 == 1
}

// one matches the pattern's element at a position, which is not a star, with one byte.
func (g *Glob) one(at int, c byte) (next int, ok bool) {
	g.steps--
	if at >= len(g.pattern) {
		return at, false
	}
	switch p := g.pattern[at]; {
	case p == '?':
		return at + 1, true
	case p == '[':
		return g.class(at+1, c)
	case p == '\\' && at+1 < len(g.pattern):
		return at + 2, g.pattern[at+1] == c
	default:
		return at + 1, p == c
	}
}

// class matches a bracket expression, whose text begins at a position; one that is never closed ends with the pattern.
func (g *Glob) class(at int, c byte) (next int, ok bool) {
	negated := at < len(g.pattern) && g.pattern[at] == '^'
	if negated {
		at++
	}
	found := false
	for ; at < len(g.pattern) && g.pattern[at] != ']'; at++ {
		g.steps--
		left := len(g.pattern) - at
		switch {
		case g.pattern[at] == '\\' && left >= 2:
			at++
			found = found || g.pattern[at] == c
		case left >= 3 && g.pattern[at+1] == '-':
			low, high := g.pattern[at], g.pattern[at+2]
			if low > high {
				low, high = high, low
			}
			found = found || (low <= c && c <= high)
			at += 2
		default:
			found = found || g.pattern[at] == c
		}
	}
	if at < len(g.pattern) {
		at++
	}
	return at, found != negated
}
