package commands

import (
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/nexobroker/nexo/brokers"
)

var (
	errNotInteger = &brokers.Error{Code: "ERR", Message: "value is not an integer or out of range"}
	errNotFloat   = &brokers.Error{Code: "ERR", Message: "value is not a valid float"}
	errSyntax     = &brokers.Error{Code: "ERR", Message: "syntax error"}
)

// syntaxErrorNear is the answer to an unknown, repeated or valueless option of a native command; Redis-named commands
// answer errSyntax.
func syntaxErrorNear(word []byte) error {
	const shown = 64
	if len(word) > shown {
		word = word[:shown]
	}
	return brokers.Errorf("ERR", "syntax error near '%s'", word)
}

// is tells whether a word equals the upper-case option name, in any case.
func is(word []byte, upper string) bool {
	if len(word) != len(upper) {
		return false
	}
	for i := 0; i < len(word); i++ {
		b := word[i]
		if b >= 'a' && b <= 'z' {
			b -= 'a' - 'A'
		}
		if b != upper[i] {
			return false
		}
	}
	return true
}

// parseInt reads a decimal integer exactly as Redis does: no plus sign, no leading zeros, no spaces.
func parseInt(word []byte) (int64, bool) {
	if len(word) == 0 || len(word) > 20 {
		return 0, false
	}
	digits := word
	negative := word[0] == '-'
	if negative {
		digits = word[1:]
	}
	if len(digits) == 0 || (digits[0] == '0' && (len(digits) > 1 || negative)) {
		return 0, false
	}
	var n uint64
	for _, b := range digits {
		if b < '0' || b > '9' {
			return 0, false
		}
		next := n*10 + uint64(b-'0')
		if n > math.MaxUint64/10 || next < n*10 {
			return 0, false
		}
		n = next
	}
	if negative {
		if n > 1<<63 {
			return 0, false
		}
		return -int64(n), true
	}
	if n > math.MaxInt64 {
		return 0, false
	}
	return int64(n), true
}

// parseUint reads a decimal u64 without sign or leading zeros, as ids and offsets are written.
func parseUint(word []byte) (uint64, bool) {
	if len(word) == 0 || len(word) > 20 || (word[0] == '0' && len(word) > 1) {
		return 0, false
	}
	var n uint64
	for _, b := range word {
		if b < '0' || b > '9' {
			return 0, false
		}
		digit := uint64(b - '0')
		if n > (math.MaxUint64-digit)/10 {
			return 0, false
		}
		n = n*10 + digit
	}
	return n, true
}

// parseFloat reads a finite or infinite double, as Redis' string2d does.
func parseFloat(word []byte) (float64, bool) {
	if len(word) == 0 || word[0] == ' ' || word[len(word)-1] == ' ' {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(word), 64)
	if err != nil || math.IsNaN(f) {
		return 0, false
	}
	return f, true
}

// durationMax keeps every time computed from a duration inside int64 nanoseconds.
const durationMax = 100 * 365 * 24 * time.Hour

// itemsMax is above what --max-arguments lets a command have.
const itemsMax = 1 << 30

// counted is a number in a command that says how many items stand behind it.
type counted struct {
	name     string // of the number: n, or the option's word
	n        int
	from, to int // where the items are among the arguments
}

// readCounted reads a number at args[at] that counts items of so many words each, at most so many items.
func readCounted(args [][]byte, at, words, most int, name string) (c counted, err error) {
	n, ok := parseInt(args[at])
	if !ok || n < 1 || n > int64(most) {
		return c, brokers.Errorf("ERR", "%s is not an integer between 1 and %d", name, most)
	}
	c = counted{name: name, n: int(n), from: at + 1, to: at + 1 + words*int(n)}
	if c.to > len(args) {
		return c, brokers.Errorf("ERR", "%s is %d: at least %d arguments must follow, not %d", name, n, c.to-c.from, len(args)-c.from)
	}
	return c, nil
}

// ParseDuration reads a dur: whole milliseconds, or a whole number with the unit ms, s, m, h, d or w. It is never negative
// and at most 100 years.
func ParseDuration(word []byte) (time.Duration, error) {
	bad := func() (time.Duration, error) {
		shown := word
		if len(shown) > 64 {
			shown = shown[:64]
		}
		return 0, brokers.Errorf("ERR", "invalid duration '%s': use milliseconds, or a number with ms, s, m, h, d or w", shown)
	}
	end := len(word)
	for end > 0 && (word[end-1] < '0' || word[end-1] > '9') {
		end--
	}
	unit := time.Millisecond
	switch suffix := word[end:]; {
	case len(suffix) == 0 || is(suffix, "MS"):
	case is(suffix, "S"):
		unit = time.Second
	case is(suffix, "M"):
		unit = time.Minute
	case is(suffix, "H"):
		unit = time.Hour
	case is(suffix, "D"):
		unit = 24 * time.Hour
	case is(suffix, "W"):
		unit = 7 * 24 * time.Hour
	default:
		return bad()
	}
	n, ok := parseInt(word[:end])
	if !ok || n < 0 || n > int64(durationMax/unit) {
		return bad()
	}
	return time.Duration(n) * unit, nil
}

// Options walks the option words behind the positionals: in any order, each at most once.
//
//	for o := optionsFrom(args, 3); o.next(); {
//		switch {
//		case o.word("COUNT", 1<<0):
//			count = o.positiveInt()
//		case o.word("NOECHO", 1<<1):
//			noEcho = true
//		default:
//			o.unknown()
//		}
//	}
//	if o.err != nil { ... }
type options struct {
	args    [][]byte
	at      int
	seen    uint64
	current []byte
	err     error

	behind  counted               // what stands before the options, if that is counted items
	repeats bool                  // an option may be given again
	taken   [repeatsBitMax]string // by bit, the word that took it
}

// repeatsBitMax is above every bit that an option of a command of Redis has.
const repeatsBitMax = 4

func optionsFrom(args [][]byte, first int) *options { return &options{args: args, at: first} }

// optionsBehind are the options behind counted items.
func optionsBehind(args [][]byte, c counted) *options {
	return &options{args: args, at: c.to, behind: c}
}

// repeatedly lets options be given again.
func (o *options) repeatedly() *options {
	o.repeats = true
	return o
}

// next moves to the next option word; false at the end or after an error.
func (o *options) next() bool {
	if o.err != nil || o.at >= len(o.args) {
		return false
	}
	o.current = o.args[o.at]
	o.at++
	return true
}

// word tells whether the current word is this option; bit names it among the options of the command, so that a second
// one, or another option that shares the bit (NX and XX), is an error. Commands of Redis take the same word again, as Redis does:
// the last one counts.
func (o *options) word(upper string, bit uint64) bool {
	if o.err != nil || !is(o.current, upper) {
		return false
	}
	if o.seen&bit != 0 && !(o.repeats && o.taken[bits.TrailingZeros64(bit)] == upper) {
		o.err = syntaxErrorNear(o.current)
		return true
	}
	o.seen |= bit
	if o.repeats {
		o.taken[bits.TrailingZeros64(bit)] = upper
	}
	return true
}

// unknown records that no option took the current word. It may be an item more than was counted.
func (o *options) unknown() {
	if o.err != nil {
		return
	}
	o.err = syntaxErrorNear(o.current)
	if c := o.behind; c.n > 0 && o.at == c.to+1 {
		o.err = brokers.Errorf("ERR", "%s: %s is %d", strings.TrimPrefix(o.err.Error(), "ERR "), c.name, c.n)
	}
}

// several is the n words behind the current option.
func (o *options) several(n int, what string) [][]byte {
	if o.err != nil {
		return nil
	}
	if n > 1 && n > len(o.args)-o.at {
		o.err = brokers.Errorf("ERR", "%s takes %d %s: at least %d arguments must follow, not %d", o.current, n, what, n, len(o.args)-o.at)
		return nil
	}
	first := o.at
	for range n {
		o.value()
	}
	return o.args[first:o.at]
}

// value is the word behind the current option.
func (o *options) value() []byte {
	if o.err != nil {
		return nil
	}
	if o.at >= len(o.args) {
		o.err = syntaxErrorNear(o.current)
		return nil
	}
	word := o.args[o.at]
	o.at++
	return word
}

// integer is the option's value, between low and high.
func (o *options) integer(low, high int64) int64 {
	name := o.current
	word := o.value()
	if o.err != nil {
		return 0
	}
	n, ok := parseInt(word)
	if !ok || n < low || n > high {
		o.err = brokers.Errorf("ERR", "%s is not an integer between %d and %d", name, low, high)
		return 0
	}
	return n
}

// duration is the option's value as a dur.
func (o *options) duration() time.Duration {
	word := o.value()
	if o.err != nil {
		return 0
	}
	d, err := ParseDuration(word)
	if err != nil {
		o.err = err
	}
	return d
}
