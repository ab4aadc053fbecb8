package commands

import (
	"slices"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/resp"
)

// Access is what a command does with a key: one of RO, RW, OW and RM, and what that means for its value.
type Access uint16

const (
	RO      Access = 1 << iota // reads the value, or what is known of it
	RW                         // changes it, by what it was
	OW                         // overwrites it
	RM                         // removes the key
	Reads                      // tells, or works with, what is in the value
	Updates                    // changes it
	Inserts                    // adds to it
	Deletes                    // takes away from it
	NotKey                     // is no key, though it is routed as one: a shard channel
	Varies                     // depends on the options
)

// accessNames are Redis' words, in the order in which it tells them.
var accessNames = [...]string{"RO", "RW", "OW", "RM", "access", "update", "insert", "delete", "not_key", "variable_flags"}

func (a Access) words() (all []string) {
	for i, name := range accessNames {
		if a&(1<<i) != 0 {
			all = append(all, name)
		}
	}
	return all
}

// KeySpec says where some of the words of a command are keys, as Redis' key specifications do. The places count from the name; those
// of a subcommand from the name of its command.
type KeySpec struct {
	Access Access
	Note   string
	// At is where the keys begin. With a Keyword it is where that is looked for, and they begin behind it; there are none without it.
	At      int
	Keyword string
	// Last is the place of the last key: counted from the first, or from the end of the command when negative. Every Step-th word is a
	// key; 0 stands for each.
	Last, Step int
	// Counted keys stand behind their number, which is where they would begin. Last says nothing then.
	Counted bool
	// Exactly is the specification of one command, when the options say which words are keys or what becomes of them; nil when not.
	Exactly func(command [][]byte) KeySpec
}

// Key is a single key.
func Key(access Access, at int) KeySpec { return KeySpec{Access: access, At: at} }

// OneKey is that of a command with a single key behind its name.
func OneKey(access Access) []KeySpec { return []KeySpec{Key(access, 1)} }

// EveryKey is that of a command on all of whose words are keys, or with a step every second word.
func EveryKey(access Access, step int) []KeySpec {
	return []KeySpec{{Access: access, At: 1, Last: -1, Step: step}}
}

func (k *KeySpec) step() int { return max(k.Step, 1) }

// plain keys are those that three integers can tell.
func (k *KeySpec) plain() bool { return k.Keyword == "" && !k.Counted }

// threeIntegers are what COMMAND told of keys before there were key specifications: the first, the last and the step, of as many of
// them as stand behind each other. Keys that they do not tell are movable.
func threeIntegers(specs []KeySpec) (first, last, step int, movable bool) {
	for i := range specs {
		k := &specs[i]
		if !k.plain() || len(specs) > 1 && (k.step() != 1 || first > 0 && last != k.At-1) {
			movable = true
			continue
		}
		if first == 0 {
			first, step = k.At, k.step()
		}
		if last = k.Last; last >= 0 {
			last += k.At
		}
	}
	return first, last, step, movable
}

func (k *KeySpec) write(w *resp.Writer) {
	field := func(name string, write func()) {
		w.BulkString(name)
		write()
	}
	number := func(name string, value int) { field(name, func() { w.Int(int64(value)) }) }
	kind := func(name string, fields int) {
		w.Map(2)
		field("type", func() { w.BulkString(name) })
		w.BulkString("spec")
		w.Map(fields)
	}
	w.Map(3 + int(BoolInt(k.Note != "")))
	if k.Note != "" {
		field("notes", func() { w.BulkString(k.Note) })
	}
	field("flags", func() { writeWords(w, k.Access.words()) })
	w.BulkString("begin_search")
	if k.Keyword != "" {
		kind("keyword", 2)
		field("keyword", func() { w.BulkString(k.Keyword) })
		number("startfrom", k.At)
	} else {
		kind("index", 1)
		number("index", k.At)
	}
	w.BulkString("find_keys")
	if k.Counted {
		kind("keynum", 3)
		number("keynumidx", 0)
		number("firstkey", 1)
		number("keystep", k.step())
		return
	}
	kind("range", 3)
	number("lastkey", k.Last)
	number("keystep", k.step())
	number("limit", 0)
}

var (
	errCommandUnknown   = brokers.Errorf("ERR", "Invalid command specified")
	errCommandArity     = brokers.Errorf("ERR", "Invalid number of arguments specified for command")
	errCommandArguments = brokers.Errorf("ERR", "Invalid arguments specified for command")
	errCommandKeys      = brokers.Errorf("ERR", "The command has no key arguments")
)

// foundKey is a key among the words of a command, and what becomes of it.
type foundKey struct {
	key    []byte
	access Access
}

// keysOf finds the keys of a whole command.
func (s *Server) keysOf(command [][]byte) ([]foundKey, error) {
	spec := s.resolve(command)
	switch {
	case spec == nil:
		return nil, errCommandUnknown
	case !slices.ContainsFunc(spec.Keys, func(k KeySpec) bool { return k.Access&NotKey == 0 }):
		return nil, errCommandKeys
	case !spec.takes(len(command)):
		return nil, errCommandArity
	}
	var found []foundKey
	for i := range spec.Keys {
		var err error
		if found, err = spec.Keys[i].find(command, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// find appends the keys that the specification names in a whole command.
func (k *KeySpec) find(command [][]byte, found []foundKey) ([]foundKey, error) {
	if k.Exactly != nil {
		one := k.Exactly(command)
		k = &one
	}
	first := k.At
	if k.Keyword != "" {
		at := slices.IndexFunc(command[min(first, len(command)):], func(word []byte) bool { return Is(word, k.Keyword) })
		if at < 0 {
			return found, nil
		}
		first += at + 1
	}
	last := first + k.Last
	switch {
	case k.Counted:
		if first >= len(command) {
			return nil, errCommandArguments
		}
		n, ok := ParseInt(command[first])
		if !ok || n < 1 || n > int64(len(command)-first-1)/int64(k.step()) {
			return nil, errCommandArguments
		}
		last = first + 1 + (int(n)-1)*k.step()
		first++
	case k.Last < 0:
		last = len(command) + k.Last
	}
	if last >= len(command) {
		return nil, errCommandArguments
	}
	for i := first; i <= last; i += k.step() {
		found = append(found, foundKey{command[i], k.Access})
	}
	return found, nil
}

func (s *Server) commandGetKeys(ctx *Context, args [][]byte) {
	found, err := s.keysOf(args[2:])
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.Array(len(found))
	for _, one := range found {
		ctx.W.Bulk(one.key)
	}
}

func (s *Server) commandGetKeysAndFlags(ctx *Context, args [][]byte) {
	found, err := s.keysOf(args[2:])
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.Array(len(found))
	for _, one := range found {
		ctx.W.Array(2)
		ctx.W.Bulk(one.key)
		writeWords(ctx.W, one.access.words())
	}
}
