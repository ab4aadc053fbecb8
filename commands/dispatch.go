package commands

import (
	"fmt"
	"strings"
	"time"

	"github.com/nexobroker/nexo/resp"
)

// Open makes the context of a new connection.
func (s *Server) Open(c *resp.Conn) {
	ctx := &Context{Server: s, Conn: c, W: c.Writer(), Session: &Session{User: DefaultUser}}
	if ctx.Session.own = isOwn(c.RemoteAddr()); ctx.Session.own {
		s.own.open.Add(1)
		s.own.accepted.Add(1)
	}
	ctx.Session.authenticated = ctx.Session.own || !s.PasswordSet()
	ctx.Session.denied = s.denies(c)
	c.SetAuthenticated(ctx.Session.authenticated)
	c.Context = ctx
	c.KeepWhile(func() bool {
		shown := s.shown(ctx.Session)
		return shown.Holds || shown.Channels+shown.Patterns+shown.Shards > 0
	})
	s.sessions.add(c.ID(), ctx.Session)
}

// Closed releases what the connection held: subscriptions, its will, leases bound to it.
func (s *Server) Closed(c *resp.Conn) {
	ctx := c.Context.(*Context)
	for _, family := range s.families {
		if family.Closed != nil {
			family.Closed(ctx)
		}
	}
	s.sessions.remove(c.ID())
	s.counters.add(ctx)
	if ctx.Session.own {
		s.own.open.Add(-1)
	}
}

// Flush sends what the batch gathered for other connections.
func (s *Server) Flush(c *resp.Conn) {
	ctx := c.Context.(*Context)
	for _, flush := range s.flushes {
		flush(ctx)
	}
	if ctx.timing {
		ctx.timing, ctx.waited = false, time.Now()
	}
	ctx.flushes++
	ctx.untilTimed = 0
	ctx.ran.settle()
	ctx.Session.last.Store(ctx.spec)
	s.counters.add(ctx)
}

// Refused answers a command that was over a limit of the door, as one that did not run.
func (s *Server) Refused(c *resp.Conn, refusal *resp.RefusedError) {
	ctx := c.Context.(*Context)
	ctx.commands++
	if ctx.Session.denied {
		ctx.refuse(nil, deniedText)
		c.CloseAfterReply()
		return
	}
	ctx.refuse(nil, refusal.Text)
}

// nameMax is longer than every command's name; a longer word is unknown without looking.
const nameMax = 32

// find looks a word up without allocating.
func find(table map[string]*Spec, word []byte) *Spec {
	if len(word) > nameMax {
		return nil
	}
	var lower [nameMax]byte
	for i, b := range word {
		if b >= 'A' && b <= 'Z' {
			b += 'a' - 'A'
		}
		lower[i] = b
	}
	return table[string(lower[:len(word)])]
}

// Command finds, checks and runs one command.
func (s *Server) Command(c *resp.Conn, args [][]byte) {
	ctx := c.Context.(*Context)
	ctx.commands++
	if ctx.Session.denied {
		ctx.refuse(nil, deniedText)
		c.CloseAfterReply()
		return
	}
	spec := find(s.table, args[0])
	if spec == nil {
		ctx.refuse(nil, unknownCommand(args))
		return
	}
	if spec.Subcommands != nil && len(args) > 1 {
		sub := spec.subcommand(args[1])
		if sub == nil && spec.Handler == nil {
			ctx.refuse(nil, fmt.Sprintf("ERR unknown subcommand '%s'. Try %s HELP.", Shorten(args[1]), strings.ToUpper(spec.Name)))
			return
		}
		if sub != nil {
			spec = sub
		}
	}
	if !spec.takes(len(args)) {
		ctx.refuse(spec, "ERR wrong number of arguments for '"+spec.full+"' command")
		return
	}
	if text := s.gate(ctx, spec); text != "" {
		ctx.refuse(spec, text)
		return
	}
	ctx.spec = spec
	if !s.waitPause(ctx, spec) {
		return
	}
	if ctx.Session.replies != AllReplies {
		ctx.runSilently(spec, args)
		return
	}
	s.run(ctx, spec, args)
}

func (s *Server) run(ctx *Context, spec *Spec, args [][]byte) {
	switch {
	case spec.Runs == Gated || len(args) > GatedArguments:
		ctx.Conn.Admit()
	case spec.Runs == Beside:
		ctx.Conn.Aside()
	}
	if tap := s.tap.Load(); tap != nil && !ctx.Session.own {
		(*tap)(Tapped{ctx.Conn.ID(), ctx.Session.Name, ctx.Conn.RemoteAddr(), args})
	}
	s.execute(ctx, spec, args)
}

// runSilently runs a command after CLIENT REPLY OFF or SKIP. The replies before it are sent first, since a command that blocks
// sends them too, and the writer must hold its own reply alone. What turns replies on again is answered: CLIENT REPLY ON, and RESET.
func (ctx *Context) runSilently(spec *Spec, args [][]byte) {
	if ctx.W.Len() > 0 {
		ctx.Conn.FlushReplies()
	}
	session := ctx.Session
	if session.replies == SkipReplies {
		session.replies = skippingReply
	}
	ctx.Server.run(ctx, spec, args)
	if session.replies == AllReplies {
		return
	}
	ctx.W.Truncate(0)
	if session.replies == skippingReply {
		session.replies = AllReplies
	}
}

// gate tells why a known command may not run now; "" when it may.
func (s *Server) gate(ctx *Context, spec *Spec) string {
	if !ctx.Session.authenticated && spec.Flags&NoAuth == 0 {
		return "NOAUTH Authentication required."
	}
	if ctx.Session.Subscribed && ctx.W.Proto() == 2 && spec.Flags&PubSubMode == 0 {
		return "ERR Can't execute '" + spec.full + "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET " +
			"are allowed in this context"
	}
	if ask := s.loading.Load(); ask != nil && (spec.Flags&Loading == 0 || spec.NeedsBrokers) {
		return s.loadingText((*ask)())
	}
	if spec.makeRoom != nil {
		if err := spec.makeRoom(); err != nil {
			return err.Error()
		}
	}
	return ""
}

// refuse answers a command that did not run; spec is nil when it is unknown.
func (ctx *Context) refuse(spec *Spec, text string) {
	ctx.rejected++
	if !ctx.Session.own {
		ctx.Server.ErrorReplied(text)
		if spec != nil {
			spec.stats.rejected.Add(1)
		}
	}
	switch ctx.Session.replies {
	case SkipReplies:
		ctx.Session.replies = AllReplies
		return
	case NoReplies:
		return
	}
	ctx.W.Error(text)
}

// resolve finds the command, or the subcommand, that whole words call; nil when there is none.
func (s *Server) resolve(words [][]byte) *Spec {
	spec := find(s.table, words[0])
	if spec == nil || spec.Subcommands == nil || len(words) == 1 {
		return spec
	}
	if sub := spec.subcommand(words[1]); sub != nil {
		return sub
	}
	if spec.Handler == nil {
		return nil
	}
	return spec
}

// takes tells whether the command takes so many words, its name among them.
func (spec *Spec) takes(words int) bool {
	return words == spec.Arity || spec.Arity < 0 && words >= -spec.Arity
}

func (spec *Spec) subcommand(word []byte) *Spec {
	for i := range spec.Subcommands {
		if len(word) == len(spec.Subcommands[i].Name) && Is(word, strings.ToUpper(spec.Subcommands[i].Name)) {
			return &spec.Subcommands[i]
		}
	}
	return nil
}

// unknownCommand is Redis' text, with its limits of 128 bytes for the name and for the arguments.
func unknownCommand(args [][]byte) string {
	var text strings.Builder
	fmt.Fprintf(&text, "ERR unknown command '%s', with args beginning with: ", Shorten(args[0]))
	shown := 0
	for _, arg := range args[1:] {
		if shown >= 128 {
			break
		}
		part := arg[:min(len(arg), 128-shown)]
		fmt.Fprintf(&text, "'%s' ", part)
		shown += len(part) + 3
	}
	return text.String()
}
