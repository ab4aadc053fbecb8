package commands

import (
	"math/bits"
	"strings"
	"time"

	"github.com/nexobroker/nexo/brokers"
)

// Options walks the option words behind the positionals: in any order, each at most once.
//
//	o := OptionsFrom(args, 3)
//	for o.Next() {
//		switch {
//		case o.Word("COUNT", 1<<0):
//			count = o.Integer(1, countMax)
//		case o.Word("NOECHO", 1<<1):
//			noEcho = true
//		default:
//			o.Unknown()
//		}
//	}
//	if o.Err != nil { ... }
type Options struct {
	Current []byte // the option word under way
	Err     error  // of the first word that is wrong

	args [][]byte
	at   int
	seen uint64

	behind  Counted               // what stands before the options, if that is counted items
	repeats bool                  // an option may be given again
	taken   [repeatsBitMax]string // by bit, the word that took it
}

// repeatsBitMax is above every bit that an option of a command of Redis has.
const repeatsBitMax = 4

// OptionsFrom walks the words from args[first] on.
func OptionsFrom(args [][]byte, first int) *Options { return &Options{args: args, at: first} }

// OptionsBehind are the options behind counted items.
func OptionsBehind(args [][]byte, c Counted) *Options {
	return &Options{args: args, at: c.To, behind: c}
}

// Repeatedly lets options be given again.
func (o *Options) Repeatedly() *Options {
	o.repeats = true
	return o
}

// Next moves to the next option word; false at the end or after an error.
func (o *Options) Next() bool {
	if o.Err != nil || o.at >= len(o.args) {
		return false
	}
	o.Current = o.args[o.at]
	o.at++
	return true
}

// Word tells whether the current word is this option; bit names it among the options of the command, so that a second
// one, or another option that shares the bit (NX and XX), is an error. Commands of Redis take the same word again, as Redis does:
// the last one counts.
func (o *Options) Word(upper string, bit uint64) bool {
	if o.Err != nil || !Is(o.Current, upper) {
		return false
	}
	if o.seen&bit != 0 && !(o.repeats && o.taken[bits.TrailingZeros64(bit)] == upper) {
		o.Err = SyntaxErrorNear(o.Current)
		return true
	}
	o.seen |= bit
	if o.repeats {
		o.taken[bits.TrailingZeros64(bit)] = upper
	}
	return true
}

// Unknown records that no option took the current word. It may be an item more than was counted.
func (o *Options) Unknown() {
	if o.Err != nil {
		return
	}
	o.Err = SyntaxErrorNear(o.Current)
	if c := o.behind; c.N > 0 && o.at == c.To+1 {
		o.Err = brokers.Errorf("ERR", "%s: %s is %d", strings.TrimPrefix(o.Err.Error(), "ERR "), c.name, c.N)
	}
}

// Several is the n words behind the current option.
func (o *Options) Several(n int, what string) [][]byte {
	if o.Err != nil {
		return nil
	}
	if n > 1 && n > len(o.args)-o.at {
		o.Err = brokers.Errorf("ERR", "%s takes %d %s: at least %d arguments must follow, not %d", o.Current, n, what, n, len(o.args)-o.at)
		return nil
	}
	first := o.at
	for range n {
		o.Value()
	}
	return o.args[first:o.at]
}

// End records that nothing may follow.
func (o *Options) End() {
	if o.Next() {
		o.Unknown()
	}
}

// Value is the word behind the current option.
func (o *Options) Value() []byte {
	if o.Err != nil {
		return nil
	}
	if o.at >= len(o.args) {
		o.Err = SyntaxErrorNear(o.Current)
		return nil
	}
	word := o.args[o.at]
	o.at++
	return word
}

// Integer is the option's value, between low and high.
func (o *Options) Integer(low, high int64) int64 {
	name := o.Current
	word := o.Value()
	if o.Err != nil {
		return 0
	}
	n, ok := ParseInt(word)
	if !ok || n < low || n > high {
		o.Err = brokers.Errorf("ERR", "%s is not an integer between %d and %d", name, low, high)
		return 0
	}
	return n
}

// Duration is the option's value as a dur.
func (o *Options) Duration() time.Duration {
	word := o.Value()
	if o.Err != nil {
		return 0
	}
	d, err := ParseDuration(word)
	if err != nil {
		o.Err = err
	}
	return d
}

// Choice is the option's value as the place of one of the words, -1 after an error.
func (o *Options) Choice(words ...string) int {
	value := o.Value()
	for i, word := range words {
		if o.Err == nil && Is(value, word) {
			return i
		}
	}
	if o.Err == nil {
		o.Err = SyntaxErrorNear(value)
	}
	return -1
}
