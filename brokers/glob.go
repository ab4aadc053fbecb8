package brokers

// globStepsMax bounds the work of one match. It is far beyond what a pattern that somebody means needs for a key of
// ordinary length; a pattern built to burn time is taken for one that does not match.
const globStepsMax = 1 << 20

// MatchGlob tells whether a name matches a Redis glob: * ? [abc] [^abc] [a-z] and \ to take the next byte as it is; a class
// that is never closed ends with the pattern. As in Redis nothing but the empty pattern matches the empty name, not even
// a star. Only the last star is ever retried, so the work is at most the product of the lengths, and bounded besides.
func MatchGlob[T string | []byte](pattern string, name T) bool {
	if len(name) == 0 {
		return pattern == ""
	}
	g := glob{pattern: pattern, steps: globStepsMax}
	return matchGlob(&g, name)
}

type glob struct {
	pattern string
	steps   int
}

func matchGlob[T string | []byte](g *glob, name T) bool {
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
			return false
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

// one matches the pattern's element at a position, which is not a star, with one byte.
func (g *glob) one(at int, c byte) (next int, ok bool) {
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
func (g *glob) class(at int, c byte) (next int, ok bool) {
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
