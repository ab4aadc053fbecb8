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
	const flags = Loading | Stale | Harmless
	sub := func(name, summary, reply string, arity int, tips string, handler Handler, arguments ...Argument) Spec {
		return Spec{Name: name, Summary: summary, Reply: reply, Arity: arity, Flags: flags, Tips: tips, Handler: handler, Arguments: arguments}
	}
	command, arguments := Argument{Name: "command", Type: "string"}, Argument{Name: "arg", Type: "string", Optional: true, Multiple: true}
	names := Argument{Name: "command-name", Type: "string", Optional: true, Multiple: true}
	filter := Argument{Name: "filterby", Type: "block", Token: "FILTERBY", Optional: true, Arguments: []Argument{
		{Name: "kind", Type: "oneof", Arguments: []Argument{Token("MODULE", "module"), Token("ACLCAT", "aclcat"), Token("PATTERN", "pattern")}},
		{Name: "value", Type: "string"},
	}}
	return Described([]Spec{{
		Name: "command", Summary: "Describes the commands", Reply: "*n command", Arity: -1, Flags: flags, Tips: VariesInOrder,
		Handler: s.commandAll, Subcommands: []Spec{
			sub("count", "Answers the number of commands", ":n", 2, "", func(ctx *Context, _ [][]byte) { ctx.W.Int(int64(len(s.table))) }),
			sub("list", "Lists the names of the commands", "*n $name", -2, VariesInOrder, s.commandList, filter),
			sub("info", "Describes commands: arity, flags, keys", "*n command | null", -2, VariesInOrder, s.commandInfo, names),
			sub("docs", "Documents commands: summary and arguments", "map of name and documentation", -2, VariesInOrder, s.commandDocs, names),
			sub("getkeys", "Answers the keys in a command", "*n $key", -3, "", s.commandGetKeys, command, arguments),
			sub("getkeysandflags", "Answers the keys in a command, and what it does with each", "*n *2 $key *k +flag", -3, "",
				s.commandGetKeysAndFlags, command, arguments),
			sub("help", "Lists the subcommands", "*n +line", 2, "", HelpOf("command")),
		},
	}}, "server", "0.1.0", "connection")
}

// HelpOf lists the subcommands of a command.
func HelpOf(name string) Handler {
	return func(ctx *Context, _ [][]byte) {
		spec := ctx.Server.table[name]
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

// eachSpec visits every command by name, and its subcommands behind it.
func (s *Server) eachSpec(visit func(spec *Spec)) {
	for _, spec := range s.sorted() {
		visit(spec)
		for i := range spec.Subcommands {
			visit(&spec.Subcommands[i])
		}
	}
}

func (s *Server) commandAll(ctx *Context, args [][]byte) {
	if len(args) > 1 {
		ctx.W.Error(fmt.Sprintf("ERR unknown subcommand '%s'. Try COMMAND HELP.", Shorten(args[1])))
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
	case len(args) == 5 && Is(args[2], "FILTERBY") && Is(args[3], "PATTERN"):
		glob = brokers.NewGlob(strings.ToLower(string(args[4])))
		keep = func(spec *Spec) bool { return glob.Match(spec.full) }
	case len(args) == 5 && Is(args[2], "FILTERBY") && Is(args[3], "ACLCAT"):
		category := strings.ToLower(string(args[4]))
		keep = func(spec *Spec) bool { return slices.Contains(spec.categories(), category) }
	case len(args) == 5 && Is(args[2], "FILTERBY") && Is(args[3], "MODULE"):
		keep = func(*Spec) bool { return false }
	default:
		ctx.Fail(ErrSyntax)
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
		ctx.Fail(err)
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

// flagNames are Redis' words, in the order in which it tells them.
var flagNames = []struct {
	flag Flag
	name string
}{
	{Write, "write"}, {ReadOnly, "readonly"}, {DenyOOM, "denyoom"}, {Admin, "admin"}, {PubSub, "pubsub"}, {NoScript, "noscript"},
	{Blocking, "blocking"}, {Loading, "loading"}, {Stale, "stale"}, {Fast, "fast"}, {NoAuth, "no_auth"}, {NoMulti, "no_multi"},
	{AllowBusy, "allow_busy"},
}

func (spec *Spec) flagWords(movableKeys bool) (words []string) {
	for _, f := range flagNames {
		if spec.Flags&f.flag != 0 {
			words = append(words, f.name)
		}
	}
	if movableKeys {
		words = append(words, "movablekeys")
	}
	return words
}

// categories are those of ACL, without the sign in front.
func (spec *Spec) categories() []string {
	all := strings.Fields(spec.Categories)
	for _, implied := range []struct {
		flag  Flag
		words string
	}{{Write, "write"}, {ReadOnly, "read"}, {Admin, "admin dangerous"}, {PubSub, "pubsub"}, {Blocking, "blocking"}, {Fast, "fast"}} {
		if spec.Flags&implied.flag != 0 {
			all = append(all, strings.Fields(implied.words)...)
		}
	}
	if spec.Flags&Fast == 0 {
		all = append(all, "slow")
	}
	return all
}

func writeInfo(w *resp.Writer, spec *Spec) {
	first, last, step, movable := threeIntegers(spec.Keys)
	w.Array(10)
	w.BulkString(spec.full)
	w.Int(int64(spec.Arity))
	writeWords(w, spec.flagWords(movable))
	w.Int(int64(first))
	w.Int(int64(last))
	w.Int(int64(step))
	categories := spec.categories()
	for i := range categories {
		categories[i] = "@" + categories[i]
	}
	writeWords(w, categories)
	tips := strings.Fields(spec.Tips)
	w.Set(len(tips))
	for _, tip := range tips {
		w.BulkString(tip)
	}
	w.Set(len(spec.Keys))
	for i := range spec.Keys {
		spec.Keys[i].write(w)
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
	fields := 3 + BoolInt(len(spec.Arguments) > 0) + BoolInt(len(spec.Subcommands) > 0)
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
		w.Map(2 + int(BoolInt(display)+BoolInt(a.Token != "")+BoolInt(len(flags) > 0)+BoolInt(len(a.Arguments) > 0)))
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
