package commands

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/nexobroker/nexo/resp"
)

func (s *Server) clientSpec() Spec {
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
	list := sub("list", "Describes the connections, a line each", "=text", -2, others|Harmless, clientList,
		Argument{Name: "client-type", Type: "string", Token: "TYPE", Optional: true},
		Argument{Name: "client-id", Type: "integer", Token: "ID", Optional: true, Multiple: true})
	info := sub("info", "Describes the connection", "=text", 2, own, clientInfo)
	list.Tips, info.Tips = VariesByItself, VariesByItself
	unpause := sub("unpause", "Ends a pause", "+OK", 2, others, clientUnpause)
	unpause.Unpaused = true
	return Spec{Name: "client", Summary: "Looks after connections", Arity: -2, Reply: "depends on the subcommand", Subcommands: []Spec{
		inLoop(sub("id", "Answers the connection's id", ":id", 2, own, func(ctx *Context, _ [][]byte) { ctx.W.Int(int64(ctx.Conn.ID())) })),
		inLoop(sub("setname", "Names the connection", "+OK", 3, own, clientSetName, Argument{Name: "connection-name", Type: "string"})),
		inLoop(sub("getname", "Answers the connection's name", "$name | null", 2, own, clientGetName)),
		inLoop(sub("setinfo", "Tells the server the client library and its version", "+OK", 4, own, clientSetInfo,
			oneWord("LIB-NAME", "LIB-VER"), Argument{Name: "value", Type: "string"})),
		info, list,
		sub("kill", "Closes connections", ":killed | +OK for the old form", -3, others, clientKill,
			Argument{Name: "filter", Type: "string", Multiple: true}),
		sub("no-evict", "Keeps the connection from being closed when the memory for all clients is used up", "+OK", 3, others, clientNoEvict,
			oneWord("ON", "OFF")),
		sub("no-touch", "Lets the connection read keys without that counting as a use of them, for eviction and OBJECT IDLETIME", "+OK", 3, own,
			clientNoTouch, oneWord("ON", "OFF")),
		sub("unblock", "Ends another connection's blocking command", ":0 | :1", -3, others, clientUnblock,
			Argument{Name: "client-id", Type: "integer"}, oneOf("unblock-type", token("TIMEOUT", "timeout"), token("ERROR", "error"))),
		sub("pause", "Lets commands of all connections wait for a while", "+OK", -3, others, clientPause,
			Argument{Name: "timeout", Type: "integer"}, oneOf("mode", token("WRITE", "write"), token("ALL", "all"))),
		unpause,
		sub("reply", "Turns replies to this connection on or off", "+OK | nothing", 3, own, clientReply, oneWord("ON", "OFF", "SKIP")),
		sub("tracking", "Refused: keys are not tracked", "-ERR", -3, own, func(ctx *Context, _ [][]byte) {
			ctx.W.Error("ERR client side caching is not supported: keys are not tracked")
		}, oneWord("ON", "OFF")),
		sub("caching", "Refused: keys are not tracked", "-ERR", 3, own, func(ctx *Context, _ [][]byte) {
			ctx.W.Error("ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled")
		}, oneWord("YES", "NO")),
		sub("getredir", "Answers -1: keys are not tracked", ":-1", 2, own, func(ctx *Context, _ [][]byte) { ctx.W.Int(-1) }),
		sub("trackinginfo", "Answers that keys are not tracked", "%3", 2, own, clientTrackingInfo),
		sub("help", "Lists the subcommands", "*n +line", 2, Loading|Stale, s.help("client")),
	}}
}

// oneWord is a choice of words, named after the first.
func oneWord(words ...string) Argument {
	choice := Argument{Name: strings.ToLower(words[0]), Type: "oneof"}
	for _, word := range words {
		choice.Arguments = append(choice.Arguments, token(word, strings.ToLower(word)))
	}
	return choice
}

func clientSetName(ctx *Context, args [][]byte) {
	if problem := clientNameProblem("Client names", args[2]); problem != "" {
		ctx.W.Error(problem)
		return
	}
	ctx.setName(args[2])
	ctx.W.OK()
}

// onOff reads a switch and answers OK, or an error.
func (ctx *Context) onOff(word []byte) (on, ok bool) {
	if on = is(word, "ON"); !on && !is(word, "OFF") {
		ctx.fail(errSyntax)
		return false, false
	}
	ctx.W.OK()
	return on, true
}

func clientNoEvict(ctx *Context, args [][]byte) {
	if on, ok := ctx.onOff(args[2]); ok {
		ctx.Conn.Spare(on)
	}
}

func clientNoTouch(ctx *Context, args [][]byte) {
	if on, ok := ctx.onOff(args[2]); ok {
		ctx.Session.noTouch.Store(on)
	}
}

func clientGetName(ctx *Context, _ [][]byte) {
	if ctx.Session.Name == "" {
		ctx.W.Null()
		return
	}
	ctx.W.BulkString(ctx.Session.Name)
}

func clientSetInfo(ctx *Context, args [][]byte) {
	shown := &ctx.Session.shown
	if problem := clientNameProblem(strings.ToLower(string(shorten(args[2]))), args[3]); problem != "" {
		ctx.W.Error(problem)
		return
	}
	shown.Lock()
	defer shown.Unlock()
	switch {
	case is(args[2], "LIB-NAME"):
		shown.libraryName = string(args[3])
	case is(args[2], "LIB-VER"):
		shown.libraryVersion = string(args[3])
	default:
		ctx.W.Error(fmt.Sprintf("ERR Unrecognized option '%s'", shorten(args[2])))
		return
	}
	ctx.W.OK()
}

// connectionMemory is about what a connection takes that has nothing to do: its read buffer, its goroutine, its session. Beyond that
// tot-mem tells what the connection holds of the memory of all.
const connectionMemory = 12 << 10

// describe is one line of CLIENT LIST, with Redis' fields in Redis' order; ctx is that of the client who asks. Of what Redis counts
// by the byte and this server does not, 0 is told.
func (ctx *Context) describe(c *resp.Conn, now time.Time) string {
	session := ctx.Server.sessions.get(c.ID())
	if session == nil {
		return ""
	}
	last := session.last.Load()
	if c == ctx.Conn {
		last = ctx.spec
	}
	command := "NULL"
	if last != nil {
		command = last.full
	}
	shown := &session.shown
	shown.Lock()
	defer shown.Unlock()
	channels, patterns, shards := shown.bus.counts()
	flags := ""
	for _, flag := range []struct {
		letter string
		holds  bool
	}{{"P", channels+patterns+shards > 0}, {"b", c.Blocked()}, {"U", c.RemoteAddr().Network() == "unix"}, {"e", c.Spared()}, {"T", session.noTouch.Load()}} {
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
	total := connectionMemory + max(c.Memory(), input+output) + len(shown.name) + len(shown.libraryName) + len(shown.libraryVersion)
	return fmt.Sprintf("id=%d addr=%s laddr=%s fd=-1 name=%s age=%d idle=%d flags=%s db=%d sub=%d psub=%d ssub=%d multi=-1 "+
		"qbuf=%d qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=%d omem=%d tot-mem=%d events=%s cmd=%s "+
		"user=%s redir=-1 resp=%d lib-name=%s lib-ver=%s",
		c.ID(), c.RemoteAddr(), c.LocalAddr(), shown.name, int(now.Sub(c.Created()).Seconds()), max(0, int(now.Sub(c.LastCommand()).Seconds())),
		flags, shown.database, channels, patterns, shards, input, boolInt(output > 0), output, total, events, command, session.User,
		max(shown.proto, 2), shown.libraryName, shown.libraryVersion)
}

func clientInfo(ctx *Context, _ [][]byte) {
	ctx.W.Verbatim(ctx.describe(ctx.Conn, ctx.Server.Clock.Now()) + "\n")
}

func clientList(ctx *Context, args [][]byte) {
	wanted := map[uint64]bool{}
	listed := func(*resp.Conn) bool { return true }
	if len(args) > 2 {
		switch {
		case is(args[2], "ID") && len(args) > 3:
			for _, word := range args[3:] {
				id, ok := parseUint(word)
				if !ok {
					ctx.W.Error("ERR Invalid client ID")
					return
				}
				wanted[id] = true
			}
		case is(args[2], "TYPE") && len(args) == 4:
			if listed = ctx.Server.ofType(args[3]); listed == nil {
				ctx.W.Error(fmt.Sprintf("ERR Unknown client type '%s'", shorten(args[3])))
				return
			}
		default:
			ctx.fail(errSyntax)
			return
		}
	}
	var text strings.Builder
	now := ctx.Server.Clock.Now()
	ctx.Server.eachConn(func(c *resp.Conn) {
		if (len(wanted) == 0 || wanted[c.ID()]) && listed(c) && (c == ctx.Conn || !isOwn(c.RemoteAddr())) {
			if line := ctx.describe(c, now); line != "" {
				text.WriteString(line)
				text.WriteByte('\n')
			}
		}
	})
	ctx.W.Verbatim(text.String())
}

// ofType is the test for one of Redis' types of clients: subscribers are pubsub, others are normal, nobody is a replica or a
// master. It is nil when there is no such type.
func (s *Server) ofType(word []byte) func(c *resp.Conn) bool {
	subscriber := func(c *resp.Conn) bool {
		session := s.sessions.get(c.ID())
		if session == nil {
			return false
		}
		return session.subscribed()
	}
	switch {
	case is(word, "NORMAL"):
		return func(c *resp.Conn) bool { return !subscriber(c) }
	case is(word, "PUBSUB"):
		return subscriber
	case is(word, "MASTER"), is(word, "REPLICA"), is(word, "SLAVE"):
		return func(*resp.Conn) bool { return false }
	}
	return nil
}

// eachConn visits the connections in the order they came.
func (s *Server) eachConn(visit func(c *resp.Conn)) {
	if s.door == nil {
		return
	}
	var all []*resp.Conn
	s.door.Each(func(c *resp.Conn) bool {
		all = append(all, c)
		return true
	})
	sort.Slice(all, func(i, k int) bool { return all[i].ID() < all[k].ID() })
	for _, c := range all {
		visit(c)
	}
}

func clientKill(ctx *Context, args [][]byte) {
	if len(args) == 3 { // the old form: an address
		killed := ctx.killWhere(func(c *resp.Conn) bool { return c.RemoteAddr().String() == string(args[2]) }, false)
		if killed == 0 {
			ctx.W.Error("ERR No such client")
			return
		}
		ctx.W.OK()
		return
	}
	if len(args)%2 != 0 {
		ctx.fail(errSyntax)
		return
	}
	var tests []func(c *resp.Conn) bool
	skipMe := true
	for i := 2; i < len(args); i += 2 {
		value := string(args[i+1])
		switch {
		case is(args[i], "ID"):
			id, ok := parseUint(args[i+1])
			if !ok || id == 0 {
				ctx.W.Error("ERR client-id should be greater than 0")
				return
			}
			tests = append(tests, func(c *resp.Conn) bool { return c.ID() == id })
		case is(args[i], "ADDR"):
			tests = append(tests, func(c *resp.Conn) bool { return c.RemoteAddr().String() == value })
		case is(args[i], "LADDR"):
			tests = append(tests, func(c *resp.Conn) bool { return c.LocalAddr().String() == value })
		case is(args[i], "USER"):
			if value != defaultUser {
				ctx.W.Error(fmt.Sprintf("ERR No such user '%s'", shorten(args[i+1])))
				return
			}
		case is(args[i], "TYPE"):
			test := ctx.Server.ofType(args[i+1])
			if test == nil {
				ctx.W.Error(fmt.Sprintf("ERR Unknown client type '%s'", shorten(args[i+1])))
				return
			}
			tests = append(tests, test)
		case is(args[i], "SKIPME") && is(args[i+1], "YES"):
			skipMe = true
		case is(args[i], "SKIPME") && is(args[i+1], "NO"):
			skipMe = false
		default:
			ctx.fail(errSyntax)
			return
		}
	}
	ctx.W.Int(int64(ctx.killWhere(func(c *resp.Conn) bool {
		for _, test := range tests {
			if !test(c) {
				return false
			}
		}
		return true
	}, skipMe)))
}

func (ctx *Context) killWhere(matches func(c *resp.Conn) bool, skipMe bool) (killed int) {
	ctx.Server.eachConn(func(c *resp.Conn) {
		switch {
		case !matches(c):
		case c == ctx.Conn && skipMe:
		case c == ctx.Conn:
			killed++
			c.CloseAfterReply()
		default:
			killed++
			c.Kill()
		}
	})
	return killed
}

func clientUnblock(ctx *Context, args [][]byte) {
	id, ok := parseUint(args[2])
	if !ok {
		ctx.fail(errNotInteger)
		return
	}
	withError := false
	switch {
	case len(args) == 3 || len(args) == 4 && is(args[3], "TIMEOUT"):
	case len(args) == 4 && is(args[3], "ERROR"):
		withError = true
	default:
		ctx.W.Error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
		return
	}
	unblocked := false
	ctx.Server.eachConn(func(c *resp.Conn) {
		if c.ID() == id {
			unblocked = c.Unblock(withError)
		}
	})
	ctx.W.Int(boolInt(unblocked))
}

func clientPause(ctx *Context, args [][]byte) {
	ms, ok := parseInt(args[2])
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
	case len(args) == 3 || len(args) == 4 && is(args[3], "ALL"):
	case len(args) == 4 && is(args[3], "WRITE"):
		writes = true
	default:
		ctx.W.Error("ERR CLIENT PAUSE mode must be WRITE or ALL")
		return
	}
	p := &ctx.Server.pause
	p.mu.Lock()
	until := ctx.Server.Clock.Now().Add(time.Duration(ms) * time.Millisecond)
	if p.over == nil {
		p.over, p.until, p.writes = make(chan struct{}), until, writes
	} else { // as in Redis the longer and the wider of two pauses holds
		if until.After(p.until) {
			p.until = until
		}
		p.writes = p.writes && writes
	}
	p.active.Store(true)
	p.mu.Unlock()
	ctx.W.OK()
}

func clientUnpause(ctx *Context, _ [][]byte) {
	ctx.Server.pause.end()
	ctx.W.OK()
}

func (p *pause) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endLocked()
}

func (p *pause) endLocked() {
	p.active.Store(false)
	if p.over != nil {
		close(p.over)
		p.over = nil
	}
}

// remaining tells how long the pause still lasts and what ends it before; one that is over is taken away.
func (p *pause) remaining(now time.Time) (left time.Duration, over <-chan struct{}, writes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if left = p.until.Sub(now); left <= 0 {
		p.endLocked()
	}
	return left, p.over, p.writes
}

// waitPause lets a command wait while CLIENT PAUSE holds it back, and tells whether it may run then. As in Redis a pause of all
// holds back everything, and one of writes what changes data or is noticed by others. CLIENT UNPAUSE and QUIT always run, so a pause
// for too long can be ended. A server that stops does not wait for the end of a pause.
func (s *Server) waitPause(ctx *Context, spec *Spec) bool {
	p := &s.pause
	for p.active.Load() {
		left, over, writes := p.remaining(s.Clock.Now())
		if over == nil || spec.Unpaused || writes && spec.Flags&(Write|MayReplicate) == 0 {
			return true
		}
		switch ctx.Conn.Block(left, over) {
		case resp.Gone:
			return false
		case resp.Draining:
			return true
		}
	}
	return true
}

func clientReply(ctx *Context, args [][]byte) {
	switch {
	case is(args[2], "ON"):
		ctx.Session.replyOff, ctx.Session.replySkip = false, false
		ctx.W.OK()
	case is(args[2], "OFF"):
		ctx.Session.replyOff = true
	case is(args[2], "SKIP"):
		ctx.Session.replySkip = true
	default:
		ctx.fail(errSyntax)
	}
}

func clientTrackingInfo(ctx *Context, _ [][]byte) {
	ctx.W.Map(3)
	ctx.W.BulkString("flags")
	ctx.W.Set(1)
	ctx.W.BulkString("off")
	ctx.W.BulkString("redirect")
	ctx.W.Int(-1)
	ctx.W.BulkString("prefixes")
	ctx.W.Array(0)
}
