package commands

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/nexobroker/nexo/resp"
)

const (
	// RedisVersion is the level of Redis whose commands and replies are followed; client libraries choose their features
	// by it.
	RedisVersion = "7.2.0"
	// Version is Nexo's own.
	Version = "0.1.0"

	databases   = 16
	defaultUser = "default"

	deniedText = "DENIED Nexo is running in protected mode because no password is set. In this mode connections are only " +
		"accepted from the loopback interface. To connect from another computer set a password (--password-file or " +
		"NEXO_PASSWORD), or, on a network you trust, start the server with --protected-mode=false."
	wrongPassText = "WRONGPASS invalid username-password pair or user is disabled."
)

func (s *Server) connectionSpecs() []Spec {
	const (
		anytime = Loading | Stale | Fast
		early   = NoScript | anytime | NoAuth | AllowBusy // before AUTH, and while a script does not end
	)
	word := func(name string) Argument { return Argument{Name: name, Type: "string"} }
	return described([]Spec{
		{
			Name: "hello", Summary: "Chooses the protocol version, and may authenticate and name the connection",
			Reply: "map of the server's properties", Arity: -1, Flags: early, Handler: hello, Secret: secretOfHello,
			Arguments: []Argument{{Name: "arguments", Type: "block", Optional: true, Arguments: []Argument{
				{Name: "protover", Type: "integer"},
				{Name: "auth", Type: "block", Token: "AUTH", Optional: true, Arguments: []Argument{word("username"), word("password")}},
				{Name: "clientname", Type: "string", Token: "SETNAME", Optional: true},
			}}},
		},
		{
			Name: "auth", Summary: "Authenticates the connection", Reply: "+OK", Arity: -2, Flags: early, Handler: auth,
			Secret:    func(_ [][]byte, i int) bool { return i > 0 },
			Arguments: []Argument{{Name: "username", Type: "string", Optional: true}, word("password")},
		},
		{
			Name: "ping", Summary: "Answers PONG, or the message given", Reply: "+PONG | $message", Arity: -1,
			Flags: Fast | PubSubMode | Harmless, Tips: AllShards + " " + AllSucceed, Handler: ping,
			Arguments: []Argument{{Name: "message", Type: "string", Optional: true}},
		},
		{
			Name: "echo", Summary: "Answers the message given", Reply: "$message", Arity: 2, Flags: anytime | Harmless,
			Handler: func(ctx *Context, args [][]byte) { ctx.W.Bulk(args[1]) }, Arguments: []Argument{word("message")},
		},
		{
			Name: "quit", Summary: "Closes the connection once the replies are sent", Reply: "+OK", Arity: -1,
			Flags: early | PubSubMode, Handler: quit, Unpaused: true,
		},
		{
			Name: "reset", Summary: "Brings the connection back to the state of a new one", Reply: "+RESET", Arity: 1,
			Flags: early | PubSubMode, Handler: reset,
		},
		{
			Name: "select", Summary: "Chooses one of the sixteen keyspaces of the store", Reply: "+OK", Arity: 2,
			Flags: anytime, Handler: selectDatabase, Arguments: []Argument{{Name: "index", Type: "integer"}},
		},
		s.clientSpec(),
	}, "connection", "0.1.0", "connection")
}

// secretOfHello tells the user and the password behind AUTH.
func secretOfHello(args [][]byte, i int) bool {
	return i > 1 && is(args[i-1], "AUTH") || i > 2 && is(args[i-2], "AUTH")
}

func hello(ctx *Context, args [][]byte) {
	proto := ctx.W.Proto()
	at := 1
	if len(args) > 1 {
		version, ok := parseInt(args[1])
		if !ok {
			ctx.W.Error("ERR Protocol version is not an integer or out of range")
			return
		}
		if version != 2 && version != 3 {
			ctx.W.Error("NOPROTO unsupported protocol version")
			return
		}
		proto, at = int(version), 2
	}
	var name []byte
	var user, password []byte
	login, rename := false, false
	for at < len(args) {
		switch {
		case is(args[at], "AUTH") && at+2 < len(args):
			user, password, login = args[at+1], args[at+2], true
			at += 3
		case is(args[at], "SETNAME") && at+1 < len(args):
			name, rename = args[at+1], true
			at += 2
		default:
			ctx.W.Error(fmt.Sprintf("ERR Syntax error in HELLO option '%s'", shorten(args[at])))
			return
		}
	}
	if problem := clientNameProblem("Client names", name); problem != "" {
		ctx.W.Error(problem)
		return
	}
	if login && !ctx.login(user, password) {
		return
	}
	if !ctx.Session.authenticated {
		ctx.W.Error("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time")
		return
	}
	if rename {
		ctx.setName(name)
	}
	ctx.setProto(proto)
	w := ctx.W
	w.Map(7)
	w.BulkString("server")
	w.BulkString("nexo")
	w.BulkString("version")
	w.BulkString(RedisVersion)
	w.BulkString("proto")
	w.Int(int64(proto))
	w.BulkString("id")
	w.Int(int64(ctx.Conn.ID()))
	w.BulkString("mode")
	w.BulkString("standalone")
	w.BulkString("role")
	w.BulkString("master")
	w.BulkString("modules")
	w.Array(0)
}

func (ctx *Context) setProto(proto int) {
	ctx.W.SetProto(proto)
	ctx.Session.shown.Lock()
	ctx.Session.shown.proto = proto
	ctx.Session.shown.Unlock()
}

func (ctx *Context) setName(name []byte) {
	ctx.Session.Name = string(name)
	ctx.Session.shown.Lock()
	ctx.Session.shown.name = ctx.Session.Name
	ctx.Session.shown.Unlock()
}

// clientNameMax is how long a name may be that a client gives itself or its library: each connection keeps three, CLIENT LIST tells
// them of all connections, and each entry of the slow log keeps one.
const clientNameMax = 512

// clientNameProblem says why such a name is not taken, and of what it is one; "" when it is.
func clientNameProblem(what string, name []byte) string {
	if len(name) > clientNameMax {
		return fmt.Sprintf("ERR %s cannot be longer than %d bytes.", what, clientNameMax)
	}
	for _, b := range name {
		if b < '!' || b > '~' {
			return "ERR " + what + " cannot contain spaces, newlines or special characters."
		}
	}
	return ""
}

func auth(ctx *Context, args [][]byte) {
	user, password := []byte(defaultUser), args[1]
	switch {
	case len(args) > 3:
		ctx.W.Error("ERR syntax error")
		return
	case len(args) == 3:
		user, password = args[1], args[2]
	case !ctx.Server.config.passwordSet():
		ctx.W.Error("ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?")
		return
	}
	if ctx.login(user, password) {
		ctx.W.OK()
	}
}

// denies tells whether protected mode keeps this client out: no password, and not from this machine.
func (s *Server) denies(c *resp.Conn) bool { return s.deniesAddress(c.RemoteAddr()) }

func (s *Server) deniesAddress(remote net.Addr) bool {
	if !s.config.protected() {
		return false
	}
	if remote.Network() == "unix" || isOwn(remote) {
		return false
	}
	ip, err := netip.ParseAddr(hostOf(remote)) // knows the zones of link-local addresses
	return err != nil || !ip.Unmap().IsLoopback()
}

func ping(ctx *Context, args [][]byte) {
	if len(args) > 2 {
		ctx.W.Error("ERR wrong number of arguments for 'ping' command")
		return
	}
	if bus := ctx.Session.bus; bus != nil && ctx.W.Proto() == 2 && bus.subscribed() {
		ctx.W.Array(2)
		ctx.W.BulkString("pong")
		if len(args) == 2 {
			ctx.W.Bulk(args[1])
		} else {
			ctx.W.BulkString("")
		}
		return
	}
	if len(args) == 2 {
		ctx.W.Bulk(args[1])
		return
	}
	ctx.W.SimpleString("PONG")
}

func quit(ctx *Context, _ [][]byte) {
	ctx.Session.quit = true
	ctx.W.OK()
	ctx.Conn.CloseAfterReply()
}

func reset(ctx *Context, _ [][]byte) {
	if ctx.Session.bus != nil {
		ctx.Session.bus.reset(ctx)
	}
	ctx.setProto(2)
	ctx.setName(nil)
	ctx.setDatabase(0)
	ctx.Session.replyOff, ctx.Session.replySkip = false, false
	ctx.Session.noTouch.Store(false)
	ctx.Conn.Spare(false)
	ctx.Session.authenticated = !ctx.Server.config.passwordSet()
	ctx.Conn.SetAuthenticated(ctx.Session.authenticated)
	ctx.W.SimpleString("RESET")
}

func selectDatabase(ctx *Context, args [][]byte) {
	n, ok := parseInt(args[1])
	if !ok {
		ctx.fail(errNotInteger)
		return
	}
	if n < 0 || n >= databases {
		ctx.W.Error("ERR DB index is out of range")
		return
	}
	ctx.setDatabase(int(n))
	ctx.W.OK()
}

func (ctx *Context) setDatabase(n int) {
	ctx.Session.Database = n
	ctx.Session.shown.Lock()
	ctx.Session.shown.database = n
	ctx.Session.shown.Unlock()
}
