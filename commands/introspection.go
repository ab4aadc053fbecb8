package commands

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/resp"
)

// docsCache is the whole reply of COMMAND DOCS, built when first asked: redis-cli asks at every start.
type docsCache struct {
	once  sync.Once
	reply []byte
}

func (s *Server) introspectionSpecs() []Spec {
	spec := func(name, summary, reply string, arity int, handler Handler, arguments ...Argument) Spec {
		return Spec{Name: name, Group: "server", Summary: summary, Since: "0.1.0", Reply: reply, Arity: arity, Flags: Loading, Handler: handler, Arguments: arguments}
	}
	command, arguments := Argument{Name: "command", Type: "string"}, Argument{Name: "arg", Type: "string", Optional: true, Multiple: true}
	names := Argument{Name: "command-name", Type: "string", Optional: true, Multiple: true}
	return []Spec{{Name: "command", Group: "server", Summary: "Describes the commands", Since: "0.1.0", Reply: "*n command", Arity: -1, Flags: Loading,
		Handler: s.commandAll, Subcommands: []Spec{
			spec("count", "Answers the number of commands", ":n", 2, func(ctx *Context, _ [][]byte) { ctx.W.Int(int64(len(s.table))) }),
			spec("list", "Lists the names of the commands", "*n $name", -2, s.commandList, Argument{Name: "filterby", Type: "block", Token: "FILTERBY", Optional: true,
				Arguments: []Argument{{Name: "kind", Type: "oneof", Arguments: []Argument{{Name: "module", Type: "pure-token", Token: "MODULE"},
					{Name: "aclcat", Type: "pure-token", Token: "ACLCAT"}, {Name: "pattern", Type: "pure-token", Token: "PATTERN"}}}, {Name: "value", Type: "string"}}}),
			spec("info", "Describes commands: arity, flags, keys", "*n command | null", -2, s.commandInfo, names),
			spec("docs", "Documents commands: summary and arguments", "map of name and documentation", -2, s.commandDocs, names),
			spec("getkeys", "Answers the keys in a command", "*n $key", -3, s.commandGetKeys,
				command, arguments),
			spec("getkeysandflags", "Answers the keys in a command, and what it does with each", "*n *2 $key *k +flag", -3, s.commandGetKeysAndFlags, command, arguments),
			spec("help", "Lists the subcommands", "*n +line", 2, s.help("command")),
		}}}
}

// help lists the subcommands of a command.
func (s *Server) help(name string) Handler {
	return func(ctx *Context, _ [][]byte) {
		spec := s.table[name]
		ctx.W.Array(2*len(spec.Subcommands) + 1)
		ctx.W.SimpleString(strings.ToUpper(name) + " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")
		for i := range spec.Subcommands {
			sub := &spec.Subcommands[i]
			ctx.W.SimpleString(strings.ToUpper(sub.Name) + usage(sub.Arguments))
			ctx.W.SimpleString("    " + sub.Summary + ".")
		}
	}
}

// sorted returns the specs by name.
func (s *Server) sorted() []*Spec {
	all := make([]*Spec, 0, len(s.table))
	for _, spec := range s.table {
		all = append(all, spec)
	}
	sort.Slice(all, func(i, k int) bool { return all[i].Name < all[k].Name })
	return all
}

func (s *Server) commandAll(ctx *Context, args [][]byte) {
	if len(args) > 1 {
		ctx.W.Error(fmt.Sprintf("ERR unknown subcommand '%s'. Try COMMAND HELP.", shorten(args[1])))
		return
	}
	ctx.W.Array(len(s.table))
	for _, spec := range s.sorted() {
		writeInfo(ctx.W, spec)
	}
}

// commandList lists the commands and their subcommands, as Redis does.
func (s *Server) commandList(ctx *Context, args [][]byte) {
	keep := func(*Spec) bool { return true }
	glob := brokers.NewGlob("*")
	switch {
	case len(args) == 2:
	case len(args) == 5 && is(args[2], "FILTERBY") && is(args[3], "PATTERN"):
		glob = brokers.NewGlob(strings.ToLower(string(args[4])))
		keep = func(spec *Spec) bool { return glob.Match(spec.full) }
	case len(args) == 5 && is(args[2], "FILTERBY") && is(args[3], "ACLCAT"):
		category := strings.ToLower(string(args[4]))
		keep = func(spec *Spec) bool { return slices.Contains(spec.allCategories(), category) }
	case len(args) == 5 && is(args[2], "FILTERBY") && is(args[3], "MODULE"):
		keep = func(*Spec) bool { return false }
	default:
		ctx.fail(errSyntax)
		return
	}
	var names []string
	for _, spec := range s.sorted() {
		if keep(spec) {
			names = append(names, spec.full)
		}
		for i := range spec.Subcommands {
			if keep(&spec.Subcommands[i]) {
				names = append(names, spec.Subcommands[i].full)
			}
		}
	}
	if err := glob.Err(); err != nil {
		ctx.fail(err)
		return
	}
	ctx.W.Array(len(names))
	for _, name := range names {
		ctx.W.BulkString(name)
	}
}

// named finds "get" or "config|get", in any case.
func (s *Server) named(word []byte) *Spec {
	name, sub, split := strings.Cut(string(word), "|")
	spec := find(s.table, []byte(name))
	if spec == nil || !split {
		return spec
	}
	return spec.subcommand([]byte(sub))
}

func (s *Server) commandInfo(ctx *Context, args [][]byte) {
	if len(args) == 2 {
		s.commandAll(ctx, args[:1])
		return
	}
	ctx.W.Array(len(args) - 2)
	for _, word := range args[2:] {
		if spec := s.named(word); spec != nil {
			writeInfo(ctx.W, spec)
		} else {
			ctx.W.Null()
		}
	}
}

var flagNames = []struct {
	flag Flag
	name string
}{{Write, "write"}, {ReadOnly, "readonly"}, {DenyOOM, "denyoom"}, {Admin, "admin"}, {PubSub, "pubsub"}, {Loading, "loading"},
	{NoAuth, "no_auth"}, {Blocking, "blocking"}, {Fast, "fast"}}

func writeInfo(w *resp.Writer, spec *Spec) {
	w.Array(10)
	w.BulkString(spec.full)
	w.Int(int64(spec.Arity))
	var flags []string
	for _, f := range flagNames {
		if spec.Flags&f.flag != 0 {
			flags = append(flags, f.name)
		}
	}
	if spec.KeyCount > 0 {
		flags = append(flags, "movablekeys")
	}
	writeWords(w, flags)
	w.Int(int64(spec.FirstKey))
	w.Int(int64(spec.LastKey))
	w.Int(int64(boolInt(spec.FirstKey > 0)) * int64(spec.KeyStep))
	categories := spec.allCategories()
	for i := range categories {
		categories[i] = "@" + categories[i]
	}
	writeWords(w, categories)
	tips := strings.Fields(spec.detail.tips)
	w.Set(len(tips))
	for _, tip := range tips {
		w.BulkString(tip)
	}
	keys := spec.keySpecs()
	w.Set(len(keys))
	for i := range keys {
		keys[i].write(w)
	}
	w.Set(len(spec.Subcommands))
	for i := range spec.Subcommands {
		writeInfo(w, &spec.Subcommands[i])
	}
}

// writeWords writes simple strings: redis-cli ends itself on bulk strings here.
func writeWords(w *resp.Writer, words []string) {
	w.Set(len(words))
	for _, word := range words {
		w.SimpleString(word)
	}
}

func (s *Server) commandDocs(ctx *Context, args [][]byte) {
	if len(args) == 2 {
		cache := &s.docs[ctx.W.Proto()-2]
		cache.once.Do(func() {
			w := resp.NewWriter(ctx.W.Proto())
			all := s.sorted()
			w.Map(len(all))
			for _, spec := range all {
				writeDocs(w, spec)
			}
			cache.reply = w.Bytes()
		})
		ctx.W.Raw(cache.reply)
		return
	}
	var all []*Spec
	for _, word := range args[2:] {
		if spec := s.named(word); spec != nil {
			all = append(all, spec)
		}
	}
	ctx.W.Map(len(all))
	for _, spec := range all {
		writeDocs(ctx.W, spec)
	}
}

func writeDocs(w *resp.Writer, spec *Spec) {
	w.BulkString(spec.full)
	fields := 3 + boolInt(len(spec.Arguments) > 0) + boolInt(len(spec.Subcommands) > 0)
	w.Map(int(fields))
	for _, pair := range [][2]string{{"summary", spec.Summary}, {"since", spec.Since}, {"group", spec.Group}} {
		w.BulkString(pair[0])
		w.BulkString(pair[1])
	}
	if len(spec.Arguments) > 0 {
		w.BulkString("arguments")
		writeArguments(w, spec.Arguments)
	}
	if len(spec.Subcommands) > 0 {
		w.BulkString("subcommands")
		w.Map(len(spec.Subcommands))
		for i := range spec.Subcommands {
			writeDocs(w, &spec.Subcommands[i])
		}
	}
}

func writeArguments(w *resp.Writer, arguments []Argument) {
	w.Array(len(arguments))
	for i := range arguments {
		a := &arguments[i]
		var flags []string
		if a.Optional {
			flags = append(flags, "optional")
		}
		if a.Multiple {
			flags = append(flags, "multiple")
		}
		display := a.Type != "oneof" && a.Type != "block" && a.Type != "pure-token"
		w.Map(2 + int(boolInt(display)+boolInt(a.Token != "")+boolInt(len(flags) > 0)+boolInt(len(a.Arguments) > 0)))
		w.BulkString("name")
		w.BulkString(a.Name)
		w.BulkString("type")
		w.BulkString(a.Type)
		if display {
			w.BulkString("display_text")
			w.BulkString(a.Name)
		}
		if a.Token != "" {
			w.BulkString("token")
			w.BulkString(a.Token)
		}
		if len(flags) > 0 {
			w.BulkString("flags")
			writeWords(w, flags)
		}
		if len(a.Arguments) > 0 {
			w.BulkString("arguments")
			writeArguments(w, a.Arguments)
		}
	}
}

// usage writes arguments as a person types them: [BLOCK dur] key [key ...].
func usage(arguments []Argument) string {
	var text strings.Builder
	for i := range arguments {
		text.WriteByte(' ')
		text.WriteString(arguments[i].usage())
	}
	return text.String()
}

func (a *Argument) usage() string {
	var inner string
	switch a.Type {
	case "pure-token":
		inner = a.Token
	case "oneof":
		var choices []string
		for i := range a.Arguments {
			choices = append(choices, a.Arguments[i].usage())
		}
		inner = strings.Join(choices, "|")
		if !a.Optional {
			inner = "<" + inner + ">"
		}
	case "block":
		inner = strings.TrimSpace(usage(a.Arguments))
	default:
		inner = a.Name
	}
	if a.Multiple {
		inner += " [" + inner + " ...]"
	}
	if a.Token != "" && a.Type != "pure-token" {
		inner = a.Token + " " + inner // once, in front of all
	}
	if a.Optional {
		return "[" + inner + "]"
	}
	return inner
}
