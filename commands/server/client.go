package server

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/commands"
)

func (f *Family) clientSpec() commands.Spec {
	const (
		own    = commands.NoScript | commands.Loading | commands.Stale // of the connection itself
		others = commands.Admin | own
	)
	sub := func(name, summary, reply string, arity int, flags commands.Flag, handler commands.Handler,
		arguments ...commands.Argument) commands.Spec {
		return commands.Spec{Name: name, Summary: summary, Reply: reply, Arity: arity, Flags: flags, Handler: handler, Arguments: arguments}
	}
	inLoop := func(spec commands.Spec) commands.Spec {
		spec.Runs = commands.InLoop
		return spec
	}
	list := sub("list", "Describes the connections, a line each", "=text", -2, others|commands.Harmless, f.clientList,
		commands.Argument{Name: "client-type", Type: "string", Token: "TYPE", Optional: true},
		commands.Argument{Name: "client-id", Type: "integer", Token: "ID", Optional: true, Multiple: true})
	info := sub("info", "Describes the connection", "=text", 2, own, f.clientInfo)
	list.Tips, info.Tips = commands.VariesByItself, commands.VariesByItself
	unpause := sub("unpause", "Ends a pause", "+OK", 2, others, f.clientUnpause)
	unpause.Unpaused = true
	return commands.Spec{Name: "client", Summary: "Looks after connections", Arity: -2, Reply: "depends on the subcommand",
		Subcommands: []commands.Spec{
			inLoop(sub("id", "Answers the connection's id", ":id", 2, own, func(ctx *commands.Context,
				_ [][]byte) {
				ctx.W.Int(int64(ctx.Conn.ID()))
			})),
			inLoop(sub("setname", "Names the connection", "+OK", 3, own, f.clientSetName,
				commands.Argument{Name: "connection-name", Type: "string"})),
			inLoop(sub("getname", "Answers the connection's name", "$name | null", 2, own, f.clientGetName)),
			inLoop(sub("setinfo", "Tells the server the client library and its version", "+OK", 4, own, f.clientSetInfo,
				commands.OneWord("LIB-NAME", "LIB-VER"), commands.Argument{Name: "value", Type: "string"})),
			info, list,
			sub("kill", "Closes connections", ":killed | +OK for the old form", -3, others, f.clientKill,
				commands.Argument{Name: "filter", Type: "string", Multiple: true}),
			sub("no-evict", "Keeps the connection from being closed when the memory for all clients is used up", "+OK", 3, others, f.clientNoEvict,
				commands.OneWord("ON", "OFF")),
			sub("no-touch", "Lets the connection read keys without that counting as a use of them, for eviction and OBJECT IDLETIME", "+OK", 3, own,
				f.clientNoTouch, commands.OneWord("ON", "OFF")),
			sub("unblock", "Ends another connection's blocking command", ":0 | :1", -3, others, f.clientUnblock,
				commands.Argument{Name: "client-id", Type: "integer"}, commands.OneOf("unblock-type", commands.Token("TIMEOUT", "timeout"),
					commands.Token("ERROR", "error"))),
			sub("pause", "Lets commands of all connections wait for a while", "+OK", -3, others, f.clientPause,
				commands.Argument{Name: "timeout", Type: "integer"}, commands.OneOf("mode", commands.Token("WRITE", "write"),
					commands.Token("ALL", "all"))),
			unpause,
			sub("reply", "Turns replies to this connection on or off", "+OK | nothing", 3, own, f.clientReply,
				commands.OneWord("ON", "OFF", "SKIP")),
			sub("tracking", "Refused: keys are not tracked", "-ERR", -3, own, func(ctx *commands.Context, _ [][]byte) {
				ctx.W.Error("ERR client side caching is not supported: keys are not tracked")
			}, commands.OneWord("ON", "OFF")),
			sub("caching", "Refused: keys are not tracked", "-ERR", 3, own, func(ctx *commands.Context, _ [][]byte) {
				ctx.W.Error("ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled")
			}, commands.OneWord("YES", "NO")),
			sub("getredir", "Answers -1: keys are not tracked", ":-1", 2, own, func(ctx *commands.Context, _ [][]byte) { ctx.W.Int(-1) }),
			sub("trackinginfo", "Answers that keys are not tracked", "%3", 2, own, f.clientTrackingInfo),
			sub("help", "Lists the subcommands", "*n +line", 2, commands.Loading|commands.Stale, commands.HelpOf("client")),
		}}
}

func (f *Family) clientSetName(ctx *commands.Context, args [][]byte) {
	if problem := clientNameProblem("Client names", args[2]); problem != "" {
		ctx.W.Error(problem)
		return
	}
	ctx.SetName(args[2])
	ctx.W.OK()
}

// onOff reads a switch and answers OK, or an error.
func (f *Family) onOff(ctx *commands.Context, word []byte) (on, ok bool) {
	if on = commands.Is(word, "ON"); !on && !commands.Is(word, "OFF") {
		ctx.Fail(commands.ErrSyntax)
		return false, false
	}
	ctx.W.OK()
	return on, true
}

func (f *Family) clientNoEvict(ctx *commands.Context, args [][]byte) {
	if on, ok := f.onOff(ctx, args[2]); ok {
		ctx.Conn.Spare(on)
	}
}

func (f *Family) clientNoTouch(ctx *commands.Context, args [][]byte) {
	if on, ok := f.onOff(ctx, args[2]); ok {
		ctx.Session.NoTouch.Store(on)
	}
}

func (f *Family) clientGetName(ctx *commands.Context, _ [][]byte) {
	if ctx.Session.Name == "" {
		ctx.W.Null()
		return
	}
	ctx.W.BulkString(ctx.Session.Name)
}

func (f *Family) clientSetInfo(ctx *commands.Context, args [][]byte) {
	if problem := clientNameProblem(strings.ToLower(string(commands.Shorten(args[2]))), args[3]); problem != "" {
		ctx.W.Error(problem)
		return
	}
	switch {
	case commands.Is(args[2], "LIB-NAME"):
		ctx.SetLibrary(args[3])
	case commands.Is(args[2], "LIB-VER"):
		ctx.SetLibraryVersion(args[3])
	default:
		ctx.W.Error(fmt.Sprintf("ERR Unrecognized option '%s'", commands.Shorten(args[2])))
		return
	}
	ctx.W.OK()
}

// connectionMemory is about what a connection takes that has nothing to do: its read buffer, its goroutine, its session. Beyond that
// tot-mem tells what the connection holds of the memory of all.
const connectionMemory = 12 << 10

// describe is one line of CLIENT LIST, with Redis' fields in Redis' order. Of what Redis counts by the byte and this server does not,
// 0 is told.
func describe(c *commands.Client, now time.Time) string {
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
		flags, c.Database, c.Channels, c.Patterns, c.Shards, input, commands.BoolInt(output > 0), output, total, events,
		cmp.Or(c.Command, "NULL"),
		c.User, c.Protocol, c.LibraryName, c.LibraryVersion)
}

func (f *Family) clientInfo(ctx *commands.Context, _ [][]byte) {
	ctx.W.Verbatim(describe(ctx.Client(), ctx.Server.Clock.Now()))
}

func (f *Family) clientList(ctx *commands.Context, args [][]byte) {
	listed := func(*commands.Client) bool { return true }
	if len(args) > 2 {
		switch {
		case commands.Is(args[2], "ID") && len(args) > 3:
			wanted := map[uint64]bool{}
			for _, word := range args[3:] {
				id, ok := commands.ParseUint(word)
				if !ok {
					ctx.W.Error("ERR Invalid client ID")
					return
				}
				wanted[id] = true
			}
			listed = func(c *commands.Client) bool { return wanted[c.ID()] }
		case commands.Is(args[2], "TYPE") && len(args) == 4:
			if listed = ofType(args[3]); listed == nil {
				ctx.W.Error(fmt.Sprintf("ERR Unknown client type '%s'", commands.Shorten(args[3])))
				return
			}
		default:
			ctx.Fail(commands.ErrSyntax)
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
func ofType(word []byte) func(c *commands.Client) bool {
	switch {
	case commands.Is(word, "NORMAL"):
		return func(c *commands.Client) bool { return c.Subscriptions() == 0 }
	case commands.Is(word, "PUBSUB"):
		return func(c *commands.Client) bool { return c.Subscriptions() > 0 }
	case commands.Is(word, "MASTER"), commands.Is(word, "REPLICA"), commands.Is(word, "SLAVE"):
		return func(*commands.Client) bool { return false }
	}
	return nil
}

func (f *Family) clientKill(ctx *commands.Context, args [][]byte) {
	if len(args) == 3 { // the old form: an address
		if f.killWhere(ctx, func(c *commands.Client) bool { return c.RemoteAddr().String() == string(args[2]) }, false) == 0 {
			ctx.W.Error("ERR No such client")
			return
		}
		ctx.W.OK()
		return
	}
	if len(args)%2 != 0 {
		ctx.Fail(commands.ErrSyntax)
		return
	}
	var tests []func(c *commands.Client) bool
	skipMe := true
	for i := 2; i < len(args); i += 2 {
		switch {
		case commands.Is(args[i], "SKIPME") && commands.Is(args[i+1], "YES"):
			skipMe = true
		case commands.Is(args[i], "SKIPME") && commands.Is(args[i+1], "NO"):
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
	ctx.W.Int(int64(f.killWhere(ctx, func(c *commands.Client) bool {
		return !slices.ContainsFunc(tests, func(test func(c *commands.Client) bool) bool { return !test(c) })
	}, skipMe)))
}

// killFilter is the test that one option of CLIENT KILL asks for.
func killFilter(option, word []byte) (func(c *commands.Client) bool, error) {
	value := string(word)
	switch {
	case commands.Is(option, "ID"):
		id, ok := commands.ParseUint(word)
		if !ok || id == 0 {
			return nil, brokers.Errorf("ERR", "client-id should be greater than 0")
		}
		return func(c *commands.Client) bool { return c.ID() == id }, nil
	case commands.Is(option, "ADDR"):
		return func(c *commands.Client) bool { return c.RemoteAddr().String() == value }, nil
	case commands.Is(option, "LADDR"):
		return func(c *commands.Client) bool { return c.LocalAddr().String() == value }, nil
	case commands.Is(option, "USER"):
		if value != commands.DefaultUser {
			return nil, brokers.Errorf("ERR", "No such user '%s'", commands.Shorten(word))
		}
		return func(*commands.Client) bool { return true }, nil
	case commands.Is(option, "TYPE"):
		if test := ofType(word); test != nil {
			return test, nil
		}
		return nil, brokers.Errorf("ERR", "Unknown client type '%s'", commands.Shorten(word))
	}
	return nil, commands.ErrSyntax
}

func (f *Family) killWhere(ctx *commands.Context, matches func(c *commands.Client) bool, skipMe bool) (killed int) {
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

func (f *Family) clientUnblock(ctx *commands.Context, args [][]byte) {
	id, ok := commands.ParseUint(args[2])
	if !ok {
		ctx.Fail(commands.ErrNotInteger)
		return
	}
	withError := false
	switch {
	case len(args) == 3 || len(args) == 4 && commands.Is(args[3], "TIMEOUT"):
	case len(args) == 4 && commands.Is(args[3], "ERROR"):
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
	ctx.W.Int(commands.BoolInt(unblocked))
}

func (f *Family) clientPause(ctx *commands.Context, args [][]byte) {
	ms, ok := commands.ParseInt(args[2])
	if ok && ms < 0 {
		ctx.W.Error("ERR timeout is negative")
		return
	}
	if !ok || ms > int64(commands.DurationMax/time.Millisecond) {
		ctx.W.Error("ERR timeout is not an integer or out of range")
		return
	}
	writes := false
	switch {
	case len(args) == 3 || len(args) == 4 && commands.Is(args[3], "ALL"):
	case len(args) == 4 && commands.Is(args[3], "WRITE"):
		writes = true
	default:
		ctx.W.Error("ERR CLIENT PAUSE mode must be WRITE or ALL")
		return
	}
	ctx.Server.Pause(ctx.Server.Clock.Now().Add(time.Duration(ms)*time.Millisecond), writes)
	ctx.W.OK()
}

func (f *Family) clientUnpause(ctx *commands.Context, _ [][]byte) {
	ctx.Server.Unpause()
	ctx.W.OK()
}

func (f *Family) clientReply(ctx *commands.Context, args [][]byte) {
	switch {
	case commands.Is(args[2], "ON"):
		ctx.SetReplies(commands.AllReplies)
		ctx.W.OK()
	case commands.Is(args[2], "OFF"):
		ctx.SetReplies(commands.NoReplies)
	case commands.Is(args[2], "SKIP"):
		ctx.SetReplies(commands.SkipReplies)
	default:
		ctx.Fail(commands.ErrSyntax)
	}
}

func (f *Family) clientTrackingInfo(ctx *commands.Context, _ [][]byte) {
	ctx.W.Map(3)
	ctx.W.BulkString("flags")
	ctx.W.Set(1)
	ctx.W.BulkString("off")
	ctx.W.BulkString("redirect")
	ctx.W.Int(-1)
	ctx.W.BulkString("prefixes")
	ctx.W.Array(0)
}
