package commands

import (
	"slices"
	"strings"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/resp"
)

// keySpec says where some keys of a command are, as Redis' key specifications do.
type keySpec struct {
	flags []string
	note  string
	first int // place of the first key, or of the number of keys
	last  int // of the last, relative to the first, or to the end of the command when negative; not for counted keys
	step  int
	count bool // the number of keys comes first
}

// keySpecs are those of the command. The places count from its name; those of a subcommand from the name of its command.
func (spec *Spec) keySpecs() (all []keySpec) {
	one := keySpec{flags: strings.Fields(spec.detail.keys), note: spec.detail.note, first: spec.FirstKey, last: spec.LastKey}
	switch parts := strings.Split(spec.detail.keys, "|"); {
	case spec.KeyCount > 0:
		one.first, one.last, one.step, one.count = spec.KeyCount, 0, spec.KeyStep, true
		return []keySpec{one}
	case spec.FirstKey == 0:
		return nil
	case len(parts) > 1:
		for i, part := range parts {
			all = append(all, keySpec{flags: strings.Fields(part), first: spec.FirstKey + i, step: 1})
		}
		return all
	}
	if one.step = max(1, spec.KeyStep); one.last > 0 {
		one.last -= one.first
	}
	return []keySpec{one}
}

func (k *keySpec) write(w *resp.Writer) {
	pair := func(name string, value int) {
		w.BulkString(name)
		w.Int(int64(value))
	}
	w.Map(3 + int(boolInt(k.note != "")))
	if k.note != "" {
		w.BulkString("notes")
		w.BulkString(k.note)
	}
	w.BulkString("flags")
	writeWords(w, k.flags)
	w.BulkString("begin_search")
	w.Map(2)
	w.BulkString("type")
	w.BulkString("index")
	w.BulkString("spec")
	w.Map(1)
	pair("index", k.first)
	w.BulkString("find_keys")
	w.Map(2)
	w.BulkString("type")
	if k.count {
		w.BulkString("keynum")
		w.BulkString("spec")
		w.Map(3)
		pair("keynumidx", 0)
		pair("firstkey", 1)
		pair("keystep", k.step)
		return
	}
	w.BulkString("range")
	w.BulkString("spec")
	w.Map(3)
	pair("lastkey", k.last)
	pair("keystep", k.step)
	pair("limit", 0)
}

var (
	errCommandUnknown   = brokers.Errorf("ERR", "Invalid command specified")
	errCommandArity     = brokers.Errorf("ERR", "Invalid number of arguments specified for command")
	errCommandArguments = brokers.Errorf("ERR", "Invalid arguments specified for command")
	errCommandKeys      = brokers.Errorf("ERR", "The command has no key arguments")
)

// foundKey is a key among the words of a command, and what becomes of it.
type foundKey struct {
	key   []byte
	flags []string
}

// keysOf finds the keys of a whole command.
func (s *Server) keysOf(command [][]byte) ([]foundKey, error) {
	spec := find(s.table, command[0])
	if spec != nil && spec.Subcommands != nil && len(command) > 1 {
		if sub := spec.subcommand(command[1]); sub != nil {
			spec = sub
		} else if spec.Handler == nil {
			spec = nil
		}
	}
	switch {
	case spec == nil:
		return nil, errCommandUnknown
	case spec.FirstKey == 0 && spec.KeyCount == 0 || slices.Contains(strings.Fields(spec.detail.keys), "not_key"):
		return nil, errCommandKeys
	case (spec.Arity > 0 && len(command) != spec.Arity) || len(command) < -spec.Arity:
		return nil, errCommandArity
	}
	var found []foundKey
	for _, k := range spec.keySpecs() {
		first, last := k.first, k.first+k.last
		if k.last < 0 {
			last = len(command) + k.last
		}
		if k.count {
			n, ok := parseInt(command[k.first])
			if !ok || n < 1 || n > int64(len(command)-k.first-1)/int64(k.step) {
				return nil, errCommandArguments
			}
			first, last = k.first+1, k.first+int(n)*k.step
		}
		for i := first; i <= last && i < len(command); i += k.step {
			found = append(found, foundKey{command[i], k.flagsFor(command)})
		}
	}
	return found, nil
}

// flagsFor are the flags of the keys in this very command: a SET reads what it overwrites only with GET.
func (k *keySpec) flagsFor(command [][]byte) []string {
	if !slices.Contains(k.flags, "variable_flags") {
		return k.flags
	}
	for _, word := range command[min(3, len(command)):] {
		if is(word, "GET") {
			return []string{"RW", "access", "update"}
		}
	}
	return []string{"OW", "update"}
}

func (s *Server) commandGetKeys(ctx *Context, args [][]byte) {
	found, err := s.keysOf(args[2:])
	if err != nil {
		ctx.fail(err)
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
		ctx.fail(err)
		return
	}
	ctx.W.Array(len(found))
	for _, one := range found {
		ctx.W.Array(2)
		ctx.W.Bulk(one.key)
		writeWords(ctx.W, one.flags)
	}
}
