package streams

import (
	"fmt"
	"math"
	"strings"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/stream"
	"github.com/nexobroker/nexo/commands"
)

// configWord takes an option of XCREATE or XCONF SET and tells whether the current word was one.
func configWord(o *commands.Options, c *stream.Config) bool {
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
			d, err := brokers.ParseDurability(string(commands.Shorten(word)))
			if err != nil {
				o.Err = commands.SyntaxErrorNear(word)
			}
			c.Sync = d
		}
	case o.Word("INTEGRITY", 1<<4):
		word := o.Value()
		switch {
		case o.Err != nil:
		case commands.Is(word, "CHAIN"):
			c.Chain = true
		case commands.Is(word, "NONE"):
			c.Chain = false
		default:
			o.Err = commands.SyntaxErrorNear(word)
		}
	case o.Word("DEDUPWINDOW", 1<<5):
		c.DedupWindow = o.Duration()
	default:
		return false
	}
	return true
}

func (f *Family) xcreate(ctx *commands.Context, args [][]byte) {
	c := f.broker.Defaults()
	ifNew := false
	o := commands.OptionsFrom(args, 2)
	for o.Next() {
		switch {
		case configWord(o, &c):
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

// configFields are the parts of a config by their names in XCONF GET and XSTAT.
func configFields(c stream.Config) []commands.Field {
	integrity := "NONE"
	if c.Chain {
		integrity = "CHAIN"
	}
	return []commands.Field{
		commands.FieldOf("maxage", c.MaxAge.Milliseconds()), commands.FieldOf("maxbytes", c.MaxBytes), commands.FieldOf("maxlen", c.MaxLen),
		commands.FieldOf("sync", strings.ToUpper(c.Sync.String())), commands.FieldOf("integrity", integrity),
		commands.FieldOf("dedupwindow", c.DedupWindow.Milliseconds()),
	}
}

func (f *Family) xconfGet(ctx *commands.Context, args [][]byte) {
	st, err := f.broker.Stats(args[1])
	if err != nil {
		ctx.Fail(err)
		return
	}
	all := configFields(st.Config)
	if len(args) == 3 {
		ctx.WriteFields(all)
		return
	}
	var asked []commands.Field
	for _, word := range args[3:] {
		for _, f := range all {
			if strings.EqualFold(string(word), f.Name) {
				asked = append(asked, f)
			}
		}
	}
	ctx.WriteFields(asked)
}

func (f *Family) xconf(ctx *commands.Context, args [][]byte) {
	switch {
	case commands.Is(args[2], "GET"):
		f.xconfGet(ctx, args)
	case commands.Is(args[2], "SET") && len(args) >= 5:
		r, err := f.broker.Configure(args[1], func(c *stream.Config) error {
			o := commands.OptionsFrom(args, 3)
			for o.Next() {
				if !configWord(o, c) {
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
		ctx.Fail(commands.SyntaxErrorNear(args[2]))
	}
}

func (f *Family) xdrop(ctx *commands.Context, args [][]byte) {
	n, r := f.broker.Drop(args[1:])
	ctx.Number(int64(n), r, nil)
}

func (f *Family) xlist(ctx *commands.Context, args [][]byte) {
	pattern, after, count := "*", "", 100
	o := commands.OptionsFrom(args, 1)
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

func (f *Family) xgcreate(ctx *commands.Context, args [][]byte) {
	c, start, ifNew := f.broker.GroupDefaults(), stream.Position{Kind: stream.First}, false
	o := commands.OptionsFrom(args, 3)
	for o.Next() {
		switch {
		case o.Word("START", 1<<0):
			start = position(o)
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

func (f *Family) xgdrop(ctx *commands.Context, args [][]byte) {
	dropped, r, err := f.broker.DropGroup(args[1], args[2])
	ctx.Number(commands.BoolInt(dropped), r, err)
}

func (f *Family) xstat(ctx *commands.Context, args [][]byte) {
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
		ctx.WriteFields([]commands.Field{
			commands.FieldOf("floor", int64(g.Floor)), commands.FieldOf("next", int64(g.Next)), commands.FieldOf("pending", int64(g.Pending)),
			commands.FieldOf("held", int64(g.Held)),
			commands.FieldOf("parked", int64(g.Parked)), commands.FieldOf("lag", int64(g.Lag)),
			commands.FieldOf("epoch", int64(g.Epoch)), commands.FieldOf("consumers", int64(g.Consumers)),
			commands.FieldOf("waiters", int64(g.Waiters)), commands.FieldOf("skipped", int64(g.Skipped)),
			commands.FieldOf("oldest-pending-ms", oldest), commands.FieldOf("ackwait", g.Config.AckWait.Milliseconds()),
			commands.FieldOf("maxdeliver", int64(g.Config.MaxDeliver)),
			commands.FieldOf("maxpending", int64(g.Config.MaxPending)), commands.FieldOf("workers",
				int64(f.Workers()[GroupName{string(args[1]), string(args[2])}])),
		})
		return
	}
	st, err := f.broker.Stats(args[1])
	if err != nil {
		ctx.Fail(err)
		return
	}
	fields := []commands.Field{
		commands.FieldOf("first", int64(st.First)), commands.FieldOf("next", int64(st.Next)), commands.FieldOf("high", int64(st.High)),
		commands.FieldOf("entries", st.Entries), commands.FieldOf("bytes", st.Bytes),
		commands.FieldOf("first-ms", st.FirstMs), commands.FieldOf("last-ms", st.LastMs), commands.FieldOf("appended", int64(st.Appended)),
		commands.FieldOf("dup", int64(st.Duplicates)),
		commands.FieldOf("groups", int64(len(st.Groups))), commands.FieldOf("group-names", st.Groups),
	}
	ctx.WriteFields(append(fields, configFields(st.Config)...))
}

// ParsePosition reads a place in a stream as the native commands take it.
func ParsePosition(text string) (stream.Position, error) { return parsePosition([]byte(text)) }

// ConfigFields are the names and values of a stream's configuration, as XCONF GET tells them.
func ConfigFields(c stream.Config) (list [][2]string) {
	for _, f := range configFields(c) {
		list = append(list, [2]string{f.Name, fmt.Sprint(f.Value)})
	}
	return list
}
