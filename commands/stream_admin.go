package commands

import (
	"fmt"
	"math"
	"strings"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/stream"
)

// streamConfig takes an option of XCREATE or XCONF SET and tells whether the current word was one.
func (o *Options) streamConfig(c *stream.Config) bool {
	switch {
	case o.Word("MAXAGE", 1<<0):
		c.MaxAge = o.Duration()
	case o.Word("MAXBYTES", 1<<1):
		c.MaxBytes = o.Integer(0, math.MaxInt64)
	case o.Word("MAXLEN", 1<<2):
		c.MaxLen = o.Integer(0, math.MaxInt64)
	case o.Word("SYNC", 1<<3):
		word := o.Value()
		if o.Err == nil {
			d, err := brokers.ParseDurability(string(Shorten(word)))
			if err != nil {
				o.Err = SyntaxErrorNear(word)
			}
			c.Sync = d
		}
	case o.Word("INTEGRITY", 1<<4):
		word := o.Value()
		switch {
		case o.Err != nil:
		case Is(word, "CHAIN"):
			c.Chain = true
		case Is(word, "NONE"):
			c.Chain = false
		default:
			o.Err = SyntaxErrorNear(word)
		}
	case o.Word("DEDUPWINDOW", 1<<5):
		c.DedupWindow = o.Duration()
	default:
		return false
	}
	return true
}

func (f *Streams) xcreate(ctx *Context, args [][]byte) {
	c := f.broker.Defaults()
	ifNew := false
	o := OptionsFrom(args, 2)
	for o.Next() {
		switch {
		case o.streamConfig(&c):
		case o.Word("IFNX", 1<<6):
			ifNew = true
		default:
			o.Unknown()
		}
	}
	if o.Err != nil {
		ctx.Fail(o.Err)
		return
	}
	r, err := f.broker.Create(args[1], c, ifNew)
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.Await(r)
	ctx.W.OK()
}

// streamFields are the parts of a config by their names in XCONF GET and XSTAT.
func streamFields(c stream.Config) []Field {
	integrity := "NONE"
	if c.Chain {
		integrity = "CHAIN"
	}
	return []Field{
		{"maxage", c.MaxAge.Milliseconds()}, {"maxbytes", c.MaxBytes}, {"maxlen", c.MaxLen},
		{"sync", strings.ToUpper(c.Sync.String())}, {"integrity", integrity}, {"dedupwindow", c.DedupWindow.Milliseconds()},
	}
}

func (f *Streams) xconfGet(ctx *Context, args [][]byte) {
	st, err := f.broker.Stats(args[1])
	if err != nil {
		ctx.Fail(err)
		return
	}
	all := streamFields(st.Config)
	if len(args) == 3 {
		ctx.WriteFields(all)
		return
	}
	var asked []Field
	for _, word := range args[3:] {
		for _, f := range all {
			if strings.EqualFold(string(word), f.Name) {
				asked = append(asked, f)
			}
		}
	}
	ctx.WriteFields(asked)
}

func (f *Streams) xconf(ctx *Context, args [][]byte) {
	switch {
	case Is(args[2], "GET"):
		f.xconfGet(ctx, args)
	case Is(args[2], "SET") && len(args) >= 5:
		r, err := f.broker.Configure(args[1], func(c *stream.Config) error {
			o := OptionsFrom(args, 3)
			for o.Next() {
				if !o.streamConfig(c) {
					o.Unknown()
				}
			}
			return o.Err
		})
		if err != nil {
			ctx.Fail(err)
			return
		}
		ctx.Await(r)
		ctx.W.OK()
	default:
		ctx.Fail(SyntaxErrorNear(args[2]))
	}
}

func (f *Streams) xdrop(ctx *Context, args [][]byte) {
	n, r := f.broker.Drop(args[1:])
	ctx.Number(int64(n), r, nil)
}

func (f *Streams) xlist(ctx *Context, args [][]byte) {
	pattern, after, count := "*", "", 100
	o := OptionsFrom(args, 1)
	for o.Next() {
		switch {
		case o.Word("MATCH", 1<<0):
			pattern = string(o.Value())
		case o.Word("COUNT", 1<<1):
			count = int(o.Integer(1, streamCountMax))
		case o.Word("CURSOR", 1<<2):
			// The cursor is the last name of the page before, behind a sign that no end of the list has.
			word := string(o.Value())
			if word != "0" && !strings.HasPrefix(word, ">") {
				o.Err = brokers.Errorf("ERR", "invalid cursor")
			}
			after = strings.TrimPrefix(strings.TrimPrefix(word, "0"), ">")
		default:
			o.Unknown()
		}
	}
	if o.Err != nil {
		ctx.Fail(o.Err)
		return
	}
	glob := brokers.NewGlob(pattern)
	names, more := f.broker.Names(after, count, glob.Match)
	if err := glob.Err(); err != nil {
		ctx.Fail(err)
		return
	}
	cursor := "0"
	if more {
		cursor = ">" + names[len(names)-1]
	}
	ctx.W.Array(2)
	ctx.W.BulkString(cursor)
	ctx.W.Array(len(names))
	for _, name := range names {
		ctx.W.BulkString(name)
	}
}

func (f *Streams) xgcreate(ctx *Context, args [][]byte) {
	c, start, ifNew := f.broker.GroupDefaults(), stream.Position{Kind: stream.First}, false
	o := OptionsFrom(args, 3)
	for o.Next() {
		switch {
		case o.Word("START", 1<<0):
			start = o.position()
		case o.Word("ACKWAIT", 1<<1):
			c.AckWait = o.Duration()
		case o.Word("MAXDELIVER", 1<<2):
			c.MaxDeliver = int(o.Integer(0, math.MaxInt32))
		case o.Word("MAXPENDING", 1<<3):
			c.MaxPending = int(o.Integer(1, 1_000_000))
		case o.Word("IFNX", 1<<4):
			ifNew = true
		default:
			o.Unknown()
		}
	}
	if o.Err != nil {
		ctx.Fail(o.Err)
		return
	}
	r, err := f.broker.CreateGroup(args[1], args[2], c, start, ifNew)
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.Await(r)
	ctx.W.OK()
}

func (f *Streams) xgdrop(ctx *Context, args [][]byte) {
	dropped, r, err := f.broker.DropGroup(args[1], args[2])
	ctx.Number(BoolInt(dropped), r, err)
}

func (f *Streams) xstat(ctx *Context, args [][]byte) {
	if len(args) == 3 {
		g, err := f.broker.GroupStats(args[1], args[2])
		if err != nil {
			ctx.Fail(err)
			return
		}
		ctx.Await(g.EpochReceipt)
		oldest := int64(-1)
		if g.OldestPendingMs > 0 {
			oldest = max(0, ctx.Server.Clock.Now().UnixMilli()+g.Config.AckWait.Milliseconds()-g.OldestPendingMs)
		}
		ctx.WriteFields([]Field{
			{"floor", int64(g.Floor)}, {"next", int64(g.Next)}, {"pending", int64(g.Pending)}, {"held", int64(g.Held)},
			{"parked", int64(g.Parked)}, {"lag", int64(g.Lag)},
			{"epoch", int64(g.Epoch)}, {"consumers", int64(g.Consumers)}, {"waiters", int64(g.Waiters)}, {"skipped", int64(g.Skipped)},
			{"oldest-pending-ms", oldest}, {"ackwait", g.Config.AckWait.Milliseconds()}, {"maxdeliver", int64(g.Config.MaxDeliver)},
			{"maxpending", int64(g.Config.MaxPending)}, {"workers", int64(f.Workers()[GroupName{string(args[1]), string(args[2])}])},
		})
		return
	}
	st, err := f.broker.Stats(args[1])
	if err != nil {
		ctx.Fail(err)
		return
	}
	fields := []Field{
		{"first", int64(st.First)}, {"next", int64(st.Next)}, {"high", int64(st.High)}, {"entries", st.Entries}, {"bytes", st.Bytes},
		{"first-ms", st.FirstMs}, {"last-ms", st.LastMs}, {"appended", int64(st.Appended)}, {"dup", int64(st.Duplicates)},
		{"groups", int64(len(st.Groups))}, {"group-names", st.Groups},
	}
	ctx.WriteFields(append(fields, streamFields(st.Config)...))
}

func (f *Streams) xlen(ctx *Context, args [][]byte) {
	n, err := f.broker.Length(args[1])
	if err != nil && !missingStream(err) { // which is empty, as in Redis
		ctx.Fail(err)
		return
	}
	ctx.W.Int(int64(n))
}

// xtrim is XTRIM s MAXLEN|MINID [=|~] threshold [LIMIT n]; trimming is always exact.
func (f *Streams) xtrim(ctx *Context, args [][]byte) {
	at := 3
	if len(args[at]) == 1 && (args[at][0] == '=' || args[at][0] == '~') && len(args) > at+1 {
		at++
	}
	if len(args) != at+1 && !(len(args) == at+3 && Is(args[at+1], "LIMIT")) {
		ctx.Fail(ErrSyntax)
		return
	}
	var maxLen *int64
	var before *stream.Position
	switch {
	case Is(args[2], "MAXLEN"):
		n, ok := ParseInt(args[at])
		if !ok || n < 0 {
			ctx.W.Error("ERR The MAXLEN argument must be >= 0.")
			return
		}
		maxLen = &n
	case Is(args[2], "MINID"):
		// A bare number is an incomplete id, that is a time, as in Redis.
		word := args[at]
		if ms, ok := ParseInt(word); ok && ms >= 0 {
			before = &stream.Position{Kind: stream.AtID, Ms: ms}
			break
		}
		p, err := parsePosition(word)
		if err != nil {
			ctx.W.Error("ERR Invalid stream ID specified as stream command argument")
			return
		}
		before = &p
	default:
		ctx.Fail(ErrSyntax)
		return
	}
	n, r, err := f.broker.Trim(args[1], maxLen, before)
	if missingStream(err) { // there is nothing to trim, as in Redis
		err = nil
	}
	ctx.Number(int64(n), r, err)
}

func (f *Streams) xdel(ctx *Context, args [][]byte) {
	if f.broker.Exists(args[1:2]) == 0 {
		ctx.W.Int(0) // as in Redis
		return
	}
	ctx.W.Error("IMMUTABLE entries of a stream are never deleted one by one; XTRIM and retention remove from the front")
}

func (f *Streams) streamSpecs() []Spec {
	word := Word
	option := Option
	many := Many
	key := word("stream", "key")
	group, position := word("group", "string"), "string"
	acknowledged := many(word("acks", "string"))
	limits := []Argument{
		option("MAXAGE", "dur", "string"), option("MAXBYTES", "bytes", "integer"), option("MAXLEN", "entries", "integer"),
		Choice("SYNC", "sync", "ALWAYS", "INTERVAL", "NEVER"), Choice("INTEGRITY", "integrity", "NONE", "CHAIN"),
		option("DEDUPWINDOW", "dur", "string"), Toggle("IFNX"),
	}
	expect := Argument{Name: "expect", Type: "oneof", Token: "EXPECT", Optional: true, Arguments: []Argument{
		{Name: "any", Type: "pure-token", Token: "ANY"}, {Name: "none", Type: "pure-token", Token: "NONE"},
		{Name: "exists", Type: "pure-token", Token: "EXISTS"}, {Name: "offset", Type: "integer"}}}
	count, block := option("COUNT", "count", "integer"), option("BLOCK", "dur", "string")
	size := option("MAXBYTES", "bytes", "integer")
	spec := func(name, summary, reply string, arity int, flags Flag, access Access, handler Handler, arguments ...Argument) Spec {
		return Spec{Name: name, Summary: summary, Reply: reply, Arity: arity, Flags: flags, Keys: OneKey(access),
			Handler: handler, Arguments: append([]Argument{key}, arguments...)}
	}
	inLoop := func(spec Spec) Spec {
		spec.Runs = InLoop
		return spec
	}
	untimed := func(spec Spec) Spec {
		spec.Untimed = true
		return spec
	}
	tipped := func(tips string, spec Spec) Spec {
		spec.Tips = tips
		return spec
	}
	every := func(access Access, spec Spec) Spec {
		spec.Keys, spec.Arguments = EveryKey(access, 1), []Argument{many(key)}
		return spec
	}
	all := []Spec{
		untimed(spec("xcreate", "Makes a stream", "+OK", -2, Write, RW|Inserts, f.xcreate, limits...)),
		spec("xconf", "Reads or changes the config of a stream", "map | +OK", -3, Write, RW|Updates, f.xconf, Argument{Name: "action", Type: "oneof", Arguments: []Argument{
			{Name: "get", Type: "block", Token: "GET", Arguments: []Argument{{Name: "name", Type: "string", Optional: true, Multiple: true}}},
			{Name: "set", Type: "block", Token: "SET", Arguments: []Argument{{Name: "setting", Type: "block", Multiple: true, Arguments: []Argument{word("name", "string"), word("value", "string")}}}}}}),
		every(RM|Deletes, spec("xdrop", "Removes streams with their entries and groups", ":n", -2, Write, RM, f.xdrop)),
		every(RO, spec("xexists", "Counts the names that are streams", ":n", -2, ReadOnly|Fast, RO, func(ctx *Context, args [][]byte) {
			ctx.W.Int(int64(f.broker.Exists(args[1:])))
		})),
		{Name: "xlist", Summary: "Lists the names of streams", Reply: "*2 $cursor *k $name", Arity: -1, Flags: ReadOnly, Handler: f.xlist,
			Arguments: []Argument{option("MATCH", "glob", "pattern"), count, option("CURSOR", "cursor", "string")}},
		spec("xappend", "Appends an entry", ":offset, with DEDUP *2 :offset :1|:0", -3, Write|Fast, RW|Inserts, f.xappend,
			word("payload", "string"), expect, option("DEDUP", "key", "string"), Toggle("NOMK")),
		untimed(inLoop(spec("xmappend", "Appends several entries, all or none", "*2 :first :last", -4, Write, RW|Inserts, f.xmappend,
			word("n", "integer"), many(word("payload", "string")), expect))),
		inLoop(spec("xfetch", "Reads entries from a position", "*4 :next :high :skipped *k entry; entry = *3 :offset :ms $payload", -3, ReadOnly|Blocking, RO|Reads, f.xfetch,
			word("pos", position), option("TO", "pos", position), count, size, block, Toggle("REV"), Toggle("STRICT"))),
		spec("xgcreate", "Makes a consumer group", "+OK", -3, Write, RW|Updates, f.xgcreate, group, option("START", "pos", position), option("ACKWAIT", "dur", "string"),
			option("MAXDELIVER", "n", "integer"), option("MAXPENDING", "n", "integer"), Toggle("IFNX")),
		spec("xgdrop", "Removes a consumer group", ":0|:1", 3, Write, RW|Updates, f.xgdrop, group),
		inLoop(spec("xconsume", "Takes entries for a consumer of a group", "*3 :epoch :lag *k entry; entry = *4 :offset :ms :deliveries $payload", -4, Write|Blocking, RW|Reads|Updates, f.xconsume,
			group, word("consumer", "string"), count, size, block, Toggle("NOACK"), Toggle("MK"))),
		spec("xack", "Acknowledges entries of a group", ":n", -4, Write|Fast, RW|Updates, f.xack, group, acknowledged, option("EPOCH", "epoch", "integer")),
		inLoop(spec("xnack", "Gives entries of a group back, or parks them", ":n", -7, Write, RW|Updates, f.xnack, group,
			Argument{Name: "mode", Type: "oneof", Arguments: []Argument{{Name: "silent", Type: "pure-token", Token: "SILENT"}, {Name: "fail", Type: "pure-token", Token: "FAIL"}, {Name: "fatal", Type: "pure-token", Token: "FATAL"}}},
			Argument{Name: "n", Type: "integer", Token: "IDS"}, acknowledged, option("DELAY", "dur", "string"), option("REASON", "text", "string"))),
		inLoop(spec("xextend", "Moves the redelivery of entries to a time from now", ":n", -5, Write, RW|Updates, f.xextend, group, word("dur", "string"), acknowledged)),
		spec("xleave", "Gives back everything that a consumer holds", ":released", 4, Write, RW|Updates, f.xleave, group, word("consumer", "string")),
		spec("xseek", "Moves a group to a position, and makes one that is missing; what is parked stays", "*2 :epoch :next", 4, Write, RW|Updates, f.xseek, group, word("pos", position)),
		spec("xparked", "Lists the parked entries of a group", "*k *5 :offset :deliveries :parked-ms $reason $payload", -3, ReadOnly, RO|Reads, f.xparked, group,
			count, option("FROM", "pos", position)),
		spec("xunpark", "Lets parked entries be delivered again, or drops them", ":n", -4, Write, RW|Updates, f.xunpark, group,
			Argument{Name: "which", Type: "oneof", Arguments: []Argument{{Name: "all", Type: "pure-token", Token: "ALL"}, acknowledged}}, Toggle("DROP")),
		spec("xstat", "Describes a stream, with the names of its groups in order, or one group: consumers are those that hold entries, workers those with an open connection", "map", -2, ReadOnly, RO, f.xstat, Argument{Name: "group", Type: "string", Optional: true}),
		spec("xverify", "Computes the hash chain of a stream again", "map ok from to head first-bad", -2, ReadOnly, RO|Reads, f.xverify,
			option("FROM", "pos", position), option("TO", "pos", position)),
		spec("xhead", "Answers the last entry of a stream and its hash", "*3 :offset $id $sha256", 2, ReadOnly|Fast, RO, f.xhead),
		spec("xlen", "Answers the number of entries", ":n", 2, ReadOnly|Fast, RO, f.xlen),
		tipped(VariesByItself, spec("xtrim", "Removes entries from the front", ":n", -4, Write, RW|Deletes, f.xtrim, Argument{Name: "strategy", Type: "oneof", Arguments: []Argument{
			{Name: "maxlen", Type: "pure-token", Token: "MAXLEN"}, {Name: "minid", Type: "pure-token", Token: "MINID"}}}, word("threshold", "string"))),
		spec("xdel", "Refused: entries are immutable; of a missing stream there are none", "-IMMUTABLE | :0", -3, Write|Fast, RW|Deletes, f.xdel, many(word("id", "string"))),
	}
	return Described(GatedUnlessSaid(all), "stream", "0.1.0", "stream")
}

// ParsePosition reads a place in a stream as the native commands take it.
func ParsePosition(text string) (stream.Position, error) { return parsePosition([]byte(text)) }

// StreamFields are the names and values of a stream's configuration, as XCONF GET tells them.
func StreamFields(c stream.Config) (list [][2]string) {
	for _, f := range streamFields(c) {
		list = append(list, [2]string{f.Name, fmt.Sprint(f.Value)})
	}
	return list
}
