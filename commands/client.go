package commands

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nexobroker/nexo/brokers"
)

func (f *Administration) clientSpec() Spec {
	const (
		own    = NoScript | Loading | Stale // of the connection itself
		others = Admin | own
	)
	sub := func(name, summary, reply string, arity int, flags Flag, handler Handler, arguments ...Argument) Spec {
		return Spec{Name: name, Summary: summary, Reply: reply, Arity: arity, Flags: flags, Handler: handler, Arguments: arguments}
	}
	inLoop := func(spec Spec) Spec {
		spec.Runs = InLoop
		return spec
	}
	list := sub("list", "Describes the connections, a line each", "=text", -2, others|Harmless, f.clientList,
		Argument{Name: "client-type", Type: "string", Token: "TYPE", Optional: true},
		Argument{Name: "client-id", Type: "integer", Token: "ID", Optional: true, Multiple: true})
	info := sub("info", "Describes the connection", "=text", 2, own, f.clientInfo)
	list.Tips, info.Tips = VariesByItself, VariesByItself
	unpause := sub("unpause", "Ends a pause", "+OK", 2, others, f.clientUnpause)
	unpause.Unpaused = true
	return Spec{Name: "client", Summary: "Looks after connections", Arity: -2, Reply: "depends on the subcommand", Subcommands: []Spec{
		inLoop(sub("id", "Answers the connection's id", ":id", 2, own, func(ctx *Context, _ [][]byte) { ctx.W.Int(int64(ctx.Conn.ID())) })),
		inLoop(sub("setname", "Names the connection", "+OK", 3, own, f.clientSetName, Argument{Name: "connection-name", Type: "string"})),
		inLoop(sub("getname", "Answers the connection's name", "$name | null", 2, own, f.clientGetName)),
		inLoop(sub("setinfo", "Tells the server the client library and its version", "+OK", 4, own, f.clientSetInfo,
			OneWord("LIB-NAME", "LIB-VER"), Argument{Name: "value", Type: "string"})),
		info, list,
		sub("kill", "Closes connections", ":killed | +OK for the old form", -3, others, f.clientKill,
			Argument{Name: "filter", Type: "string", Multiple: true}),
		sub("no-evict", "Keeps the connection from being closed when the memory for all clients is used up", "+OK", 3, others, f.clientNoEvict,
			OneWord("ON", "OFF")),
		sub("no-touch", "Lets the connection read keys without that counting as a use of them, for eviction and OBJECT IDLETIME", "+OK", 3, own,
			f.clientNoTouch, OneWord("ON", "OFF")),
		sub("unblock", "Ends another connection's blocking command", ":0 | :1", -3, others, f.clientUnblock,
			Argument{Name: "client-id", Type: "integer"}, OneOf("unblock-type", Token("TIMEOUT", "timeout"), Token("ERROR", "error"))),
		sub("pause", "Lets commands of all connections wait for a while", "+OK", -3, others, f.clientPause,
			Argument{Name: "timeout", Type: "integer"}, OneOf("mode", Token("WRITE", "write"), Token("ALL", "all"))),
		unpause,
		sub("reply", "Turns replies to this connection on or off", "+OK | nothing", 3, own, f.clientReply, OneWord("ON", "OFF", "SKIP")),
		sub("tracking", "Refused: keys are not tracked", "-ERR", -3, own, func(ctx *Context, _ [][]byte) {
			ctx.W.Error("ERR client side caching is not supported: keys are not tracked")
		}, OneWord("ON", "OFF")),
		sub("caching", "Refused: keys are not tracked", "-ERR", 3, own, func(ctx *Context, _ [][]byte) {
			ctx.W.Error("ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled")
		}, OneWord("YES", "NO")),
		sub("getredir", "Answers -1: keys are not tracked", ":-1", 2, own, func(ctx *Context, _ [][]byte) { ctx.W.Int(-1) }),
		sub("trackinginfo", "Answers that keys are not tracked", "%3", 2, own, f.clientTrackingInfo),
		sub("help", "Lists the subcommands", "*n +line", 2, Loading|Stale, HelpOf("client")),
	}}
}

func (f *Administration) clientSetName(ctx *Context, args [][]byte) {
	if problem := clientNameProblem("Client names", args[2]); problem != "" {
		ctx.W.Error(problem)
		return
	}
	ctx.SetName(args[2])
	ctx.W.OK()
}

// onOff reads a switch and answers OK, or an error.
func (f *Administration) onOff(ctx *Context, word []byte) (on, ok bool) {
	if on = Is(word, "ON"); !on && !Is(word, "OFF") {
		ctx.Fail(ErrSyntax)
		return false, false
	}
	ctx.W.OK()
	return on, true
}

func (f *Administration) clientNoEvict(ctx *Context, args [][]byte) {
	if on, ok := f.onOff(ctx, args[2]); ok {
		ctx.Conn.Spare(on)
	}
}

func (f *Administration) clientNoTouch(ctx *Context, args [][]byte) {
	if on, ok := f.onOff(ctx, args[2]); ok {
		ctx.Session.NoTouch.Store(on)
	}
}

func (f *Administration) clientGetName(ctx *Context, _ [][]byte) {
	if ctx.Session.Name == "" {
		ctx.W.Null()
		return
	}
	ctx.W.BulkString(ctx.Session.Name)
}

func (f *Administration) clientSetInfo(ctx *Context, args [][]byte) {
	if problem := clientNameProblem(strings.ToLower(string(Shorten(args[2]))), args[3]); problem != "" {
		ctx.W.Error(problem)
		return
	}
	switch {
	case Is(args[2], "LIB-NAME"):
		ctx.SetLibrary(args[3])
	case Is(args[2], "LIB-VER"):
		ctx.SetLibraryVersion(args[3])
	default:
		ctx.W.Error(fmt.Sprintf("ERR Unrecognized option '%s'", Shorten(args[2])))
		return
	}
	ctx.W.OK()
}

// connectionMemory is about what a connection takes that has nothing to do: its read buffer, its goroutine, its session. Beyond that
// tot-mem tells what the connection holds of the memory of all.
const connectionMemory = 12 << 10

// describe is one line of CLIENT LIST, with Redis' fields in Redis' order. Of what Redis counts by the byte and this server does not,
// 0 is told.
func describe(c *Client, now time.Time) string {
	flags := ""
	for _, flag := range []struct {
		letter string
		holds  bool
	}{{"P", c.Subscriptions() > 0}, {"b", c.Blocked()}, {"U", c.RemoteAddr().Network() == "unix"}, {"e", c.Spared()}, {"T", c.NoTouch}} {
		if flag.holds {
			flags += flag.letter
		}
	}
	if flags == "" {
		flags = "N"
	}
	input, output := c.QueryBuffer(), c.Outbox()
	events := "r"
	if output > 0 {
		events = "rw"
	}
	total := connectionMemory + max(c.Memory(), input+output) + len(c.Name) + len(c.LibraryName) + len(c.LibraryVersion)
	return fmt.Sprintf("id=%d addr=%s laddr=%s fd=-1 name=%s age=%d idle=%d flags=%s db=%d sub=%d psub=%d ssub=%d multi=-1 "+
		"qbuf=%d qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=%d omem=%d tot-mem=%d events=%s cmd=%s "+
		"user=%s redir=-1 resp=%d lib-name=%s lib-ver=%s\n",
		c.ID(), c.RemoteAddr(), c.LocalAddr(), c.Name, int(now.Sub(c.Created()).Seconds()), max(0, int(now.Sub(c.LastCommand()).Seconds())),
		flags, c.Database, c.Channels, c.Patterns, c.Shards, input, BoolInt(output > 0), output, total, events, cmp.Or(c.Command, "NULL"),
		c.User, c.Protocol, c.LibraryName, c.LibraryVersion)
}

func (f *Administration) clientInfo(ctx *Context, _ [][]byte) {
	ctx.W.Verbatim(describe(ctx.Client(), ctx.Server.Clock.Now()))
}

func (f *Administration) clientList(ctx *Context, args [][]byte) {
	listed := func(*Client) bool { return true }
	if len(args) > 2 {
		switch {
		case Is(args[2], "ID") && len(args) > 3:
			wanted := map[uint64]bool{}
			for _, word := range args[3:] {
				id, ok := ParseUint(word)
				if !ok {
					ctx.W.Error("ERR Invalid client ID")
					return
				}
				wanted[id] = true
			}
			listed = func(c *Client) bool { return wanted[c.ID()] }
		case Is(args[2], "TYPE") && len(args) == 4:
			if listed = ofType(args[3]); listed == nil {
				ctx.W.Error(fmt.Sprintf("ERR Unknown client type '%s'", Shorten(args[3])))
				return
			}
		default:
			ctx.Fail(ErrSyntax)
			return
		}
	}
	var text strings.Builder
	now := ctx.Server.Clock.Now()
	for _, c := range ctx.Server.Clients() {
		if c.Conn == ctx.Conn {
			c = ctx.Client()
		} else if c.Own {
			continue
		}
		if listed(c) {
			text.WriteString(describe(c, now))
		}
	}
	ctx.W.Verbatim(text.String())
}

// ofType is the test for one of Redis' types of clients: subscribers are pubsub, others are normal, nobody is a replica or a
// master. It is nil when there is no such type.
func ofType(word []byte) func(c *Client) bool {
	switch {
	case Is(word, "NORMAL"):
		return func(c *Client) bool { return c.Subscriptions() == 0 }
	case Is(word, "PUBSUB"):
		return func(c *Client) bool { return c.Subscriptions() > 0 }
	case Is(word, "MASTER"), Is(word, "REPLICA"), Is(word, "SLAVE"):
		return func(*Client) bool { return false }
	}
	return nil
}

func (f *Administration) clientKill(ctx *Context, args [][]byte) {
	if len(args) == 3 { // the old form: an address
		if f.killWhere(ctx, func(c *Client) bool { return c.RemoteAddr().String() == string(args[2]) }, false) == 0 {
			ctx.W.Error("ERR No such client")
			return
		}
		ctx.W.OK()
		return
	}
	if len(args)%2 != 0 {
		ctx.Fail(ErrSyntax)
		return
	}
	var tests []func(c *Client) bool
	skipMe := true
	for i := 2; i < len(args); i += 2 {
		switch {
		case Is(args[i], "SKIPME") && Is(args[i+1], "YES"):
			skipMe = true
		case Is(args[i], "SKIPME") && Is(args[i+1], "NO"):
			skipMe = false
		default:
			test, problem := killFilter(args[i], args[i+1])
			if problem != nil {
				ctx.Fail(problem)
				return
			}
			tests = append(tests, test)
		}
	}
	ctx.W.Int(int64(f.killWhere(ctx, func(c *Client) bool {
		return !slices.ContainsFunc(tests, func(test func(c *Client) bool) bool { return !test(c) })
	}, skipMe)))
}

// killFilter is the test that one option of CLIENT KILL asks for.
func killFilter(option, word []byte) (func(c *Client) bool, error) {
	value := string(word)
	switch {
	case Is(option, "ID"):
		id, ok := ParseUint(word)
		if !ok || id == 0 {
			return nil, brokers.Errorf("ERR", "client-id should be greater than 0")
		}
		return func(c *Client) bool { return c.ID() == id }, nil
	case Is(option, "ADDR"):
		return func(c *Client) bool { return c.RemoteAddr().String() == value }, nil
	case Is(option, "LADDR"):
		return func(c *Client) bool { return c.LocalAddr().String() == value }, nil
	case Is(option, "USER"):
		if value != DefaultUser {
			return nil, brokers.Errorf("ERR", "No such user '%s'", Shorten(word))
		}
		return func(*Client) bool { return true }, nil
	case Is(option, "TYPE"):
		if test := ofType(word); test != nil {
			return test, nil
		}
		return nil, brokers.Errorf("ERR", "Unknown client type '%s'", Shorten(word))
	}
	return nil, ErrSyntax
}

func (f *Administration) killWhere(ctx *Context, matches func(c *Client) bool, skipMe bool) (killed int) {
	for _, c := range ctx.Server.Clients() {
		switch {
		case !matches(c):
		case c.Conn == ctx.Conn && skipMe:
		case c.Conn == ctx.Conn:
			killed++
			c.CloseAfterReply()
		default:
			killed++
			c.Kill()
		}
	}
	return killed
}

func (f *Administration) clientUnblock(ctx *Context, args [][]byte) {
	id, ok := ParseUint(args[2])
	if !ok {
		ctx.Fail(ErrNotInteger)
		return
	}
	withError := false
	switch {
	case len(args) == 3 || len(args) == 4 && Is(args[3], "TIMEOUT"):
	case len(args) == 4 && Is(args[3], "ERROR"):
		withError = true
	default:
		ctx.W.Error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
		return
	}
	unblocked := false
	for _, c := range ctx.Server.Clients() {
		if c.ID() == id {
			unblocked = c.Unblock(withError)
		}
	}
	ctx.W.Int(BoolInt(unblocked))
}

func (f *Administration) clientPause(ctx *Context, args [][]byte) {
	ms, ok := ParseInt(args[2])
	if ok && ms < 0 {
		ctx.W.Error("ERR timeout is negative")
		return
	}
	if !ok || ms > int64(durationMax/time.Millisecond) {
		ctx.W.Error("ERR timeout is not an integer or out of range")
		return
	}
	writes := false
	switch {
	case len(args) == 3 || len(args) == 4 && Is(args[3], "ALL"):
	case len(args) == 4 && Is(args[3], "WRITE"):
		writes = true
	default:
		ctx.W.Error("ERR CLIENT PAUSE mode must be WRITE or ALL")
		return
	}
	ctx.Server.Pause(ctx.Server.Clock.Now().Add(time.Duration(ms)*time.Millisecond), writes)
	ctx.W.OK()
}

func (f *Administration) clientUnpause(ctx *Context, _ [][]byte) {
	ctx.Server.Unpause()
	ctx.W.OK()
}

func (f *Administration) clientReply(ctx *Context, args [][]byte) {
	switch {
	case Is(args[2], "ON"):
		ctx.SetReplies(AllReplies)
		ctx.W.OK()
	case Is(args[2], "OFF"):
		ctx.SetReplies(NoReplies)
	case Is(args[2], "SKIP"):
		ctx.SetReplies(SkipReplies)
	default:
		ctx.Fail(ErrSyntax)
	}
}

func (f *Administration) clientTrackingInfo(ctx *Context, _ [][]byte) {
	ctx.W.Map(3)
	ctx.W.BulkString("flags")
	ctx.W.Set(1)
	ctx.W.BulkString("off")
	ctx.W.BulkString("redirect")
	ctx.W.Int(-1)
	ctx.W.BulkString("prefixes")
	ctx.W.Array(0)
}
