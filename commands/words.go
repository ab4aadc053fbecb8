package commands

import (
	"math"
	"strconv"
	"time"

	"github.com/nexobroker/nexo/brokers"
)

var (
	ErrNotInteger = &brokers.Error{Code: "ERR", Message: "value is not an integer or out of range"}
	ErrNotFloat   = &brokers.Error{Code: "ERR", Message: "value is not a valid float"}
	ErrSyntax     = &brokers.Error{Code: "ERR", Message: "syntax error"}
)

// SyntaxErrorNear is the answer to an unknown, repeated or valueless option of a native command; Redis-named commands
// answer ErrSyntax.
func SyntaxErrorNear(word []byte) error {
	const shown = 64
	if len(word) > shown {
		word = word[:shown]
	}
	return brokers.Errorf("ERR", "syntax error near '%s'", word)
}

// Shorten cuts a word of a client to what an error may tell of it.
func Shorten(word []byte) []byte { return word[:min(len(word), 128)] }

// Is tells whether a word equals the upper-case option name, in any case.
func Is(word []byte, upper string) bool {
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

// ParseInt reads a decimal integer exactly as Redis does: no plus sign, no leading zeros, no spaces.
func ParseInt(word []byte) (int64, bool) {
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

// ParseUint reads a decimal u64 without sign or leading zeros, as ids and offsets are written.
func ParseUint(word []byte) (uint64, bool) {
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

// ParseFloat reads a finite or infinite double, as Redis' string2d does.
func ParseFloat(word []byte) (float64, bool) {
	if len(word) == 0 || word[0] == ' ' || word[len(word)-1] == ' ' {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(word), 64)
	if err != nil || math.IsNaN(f) {
		return 0, false
	}
	return f, true
}

// DurationMax keeps every time computed from a duration inside int64 nanoseconds.
const DurationMax = 100 * 365 * 24 * time.Hour

// ItemsMax is above what --max-arguments lets a command have.
const ItemsMax = 1 << 30

// Counted is a number in a command that says how many items stand behind it.
type Counted struct {
	N        int
	From, To int // where the items are among the arguments

	name string // of the number: n, or the option's word
}

// ReadCounted reads a number at args[at] that counts items of so many words each, at most so many items.
func ReadCounted(args [][]byte, at, words, most int, name string) (c Counted, err error) {
	n, ok := ParseInt(args[at])
	if !ok || n < 1 || n > int64(most) {
		return c, brokers.Errorf("ERR", "%s is not an integer between 1 and %d", name, most)
	}
	c = Counted{name: name, N: int(n), From: at + 1, To: at + 1 + words*int(n)}
	if c.To > len(args) {
		return c, brokers.Errorf("ERR", "%s is %d: at least %d arguments must follow, not %d", name, n, c.To-c.From, len(args)-c.From)
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
	case len(suffix) == 0 || Is(suffix, "MS"):
	case Is(suffix, "S"):
		unit = time.Second
	case Is(suffix, "M"):
		unit = time.Minute
	case Is(suffix, "H"):
		unit = time.Hour
	case Is(suffix, "D"):
		unit = 24 * time.Hour
	case Is(suffix, "W"):
		unit = 7 * 24 * time.Hour
	default:
		return bad()
	}
	n, ok := ParseInt(word[:end])
	if !ok || n < 0 || n > int64(DurationMax/unit) {
		return bad()
	}
	return time.Duration(n) * unit, nil
}
