package server

import (
	"fmt"

	"github.com/nexobroker/nexo/commands"
)

func (f *Family) connectionSpecs() []commands.Spec {
	const (
		anytime = commands.Loading | commands.Stale | commands.Fast
		early   = commands.NoScript | anytime | commands.NoAuth | commands.AllowBusy // before AUTH, and while a script does not end
	)
	word := func(name string) commands.Argument { return commands.Argument{Name: name, Type: "string"} }
	return commands.Described([]commands.Spec{
		{
			Name: "hello", Summary: "Chooses the protocol version, and may authenticate and name the connection",
			Reply: "map of the server's properties", Arity: -1, Flags: early, Handler: f.hello, Secret: secretOfHello,
			Arguments: []commands.Argument{{Name: "arguments", Type: "block", Optional: true, Arguments: []commands.Argument{
				{Name: "protover", Type: "integer"},
				{Name: "auth", Type: "block", Token: "AUTH", Optional: true, Arguments: []commands.Argument{word("username"), word("password")}},
				{Name: "clientname", Type: "string", Token: "SETNAME", Optional: true},
			}}},
		},
		{
			Name: "auth", Summary: "Authenticates the connection", Reply: "+OK", Arity: -2, Flags: early, Handler: f.auth,
			Secret:    func(_ [][]byte, i int) bool { return i > 0 },
			Arguments: []commands.Argument{{Name: "username", Type: "string", Optional: true}, word("password")},
		},
		{
			Name: "ping", Summary: "Answers PONG, or the message given", Reply: "+PONG | $message", Arity: -1,
			Flags: commands.Fast | commands.PubSubMode | commands.Harmless, Tips: commands.AllShards + " " + commands.AllSucceed, Handler: f.ping,
			Arguments: []commands.Argument{{Name: "message", Type: "string", Optional: true}},
		},
		{
			Name: "echo", Summary: "Answers the message given", Reply: "$message", Arity: 2, Flags: anytime | commands.Harmless,
			Handler: func(ctx *commands.Context, args [][]byte) { ctx.W.Bulk(args[1]) }, Arguments: []commands.Argument{word("message")},
		},
		{
			Name: "quit", Summary: "Closes the connection once the replies are sent", Reply: "+OK", Arity: -1,
			Flags: early | commands.PubSubMode, Handler: f.quit, Unpaused: true,
		},
		{
			Name: "reset", Summary: "Brings the connection back to the state of a new one", Reply: "+RESET", Arity: 1,
			Flags: early | commands.PubSubMode, Handler: f.reset,
		},
		{
			Name: "select", Summary: "Chooses one of the sixteen keyspaces of the store", Reply: "+OK", Arity: 2,
			Flags: anytime, Handler: f.selectDatabase, Arguments: []commands.Argument{{Name: "index", Type: "integer"}},
		},
		f.clientSpec(),
	}, "connection", "0.1.0", "connection")
}

// secretOfHello tells the user and the password behind AUTH.
func secretOfHello(args [][]byte, i int) bool {
	return i > 1 && commands.Is(args[i-1], "AUTH") || i > 2 && commands.Is(args[i-2], "AUTH")
}

func (f *Family) hello(ctx *commands.Context, args [][]byte) {
	proto := ctx.W.Proto()
	at := 1
	if len(args) > 1 {
		version, ok := commands.ParseInt(args[1])
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
		case commands.Is(args[at], "AUTH") && at+2 < len(args):
			user, password, login = args[at+1], args[at+2], true
			at += 3
		case commands.Is(args[at], "SETNAME") && at+1 < len(args):
			name, rename = args[at+1], true
			at += 2
		default:
			ctx.W.Error(fmt.Sprintf("ERR Syntax error in HELLO option '%s'", commands.Shorten(args[at])))
			return
		}
	}
	if problem := clientNameProblem("Client names", name); problem != "" {
		ctx.W.Error(problem)
		return
	}
	if login && !ctx.Login(user, password) {
		return
	}
	if !ctx.Authenticated() {
		ctx.W.Error("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can " +
			"be used to authenticate the client and select the RESP protocol version at the same time")
		return
	}
	if rename {
		ctx.SetName(name)
	}
	ctx.SetProtocol(proto)
	w := ctx.W
	w.Map(7)
	w.BulkString("server")
	w.BulkString("nexo")
	w.BulkString("version")
	w.BulkString(commands.RedisVersion)
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

func (f *Family) auth(ctx *commands.Context, args [][]byte) {
	user, password := []byte(commands.DefaultUser), args[1]
	switch {
	case len(args) > 3:
		ctx.W.Error("ERR syntax error")
		return
	case len(args) == 3:
		user, password = args[1], args[2]
	case !ctx.Server.PasswordSet():
		ctx.W.Error("ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is " +
			"correct?")
		return
	}
	if ctx.Login(user, password) {
		ctx.W.OK()
	}
}

func (f *Family) ping(ctx *commands.Context, args [][]byte) {
	if len(args) > 2 {
		ctx.W.Error("ERR wrong number of arguments for 'ping' command")
		return
	}
	if ctx.Session.Subscribed && ctx.W.Proto() == 2 {
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

func (f *Family) quit(ctx *commands.Context, _ [][]byte) {
	ctx.Session.Quit = true
	ctx.W.OK()
	ctx.Conn.CloseAfterReply()
}

func (f *Family) reset(ctx *commands.Context, _ [][]byte) {
	ctx.Reset()
	ctx.W.SimpleString("RESET")
}

func (f *Family) selectDatabase(ctx *commands.Context, args [][]byte) {
	n, ok := commands.ParseInt(args[1])
	if !ok {
		ctx.Fail(commands.ErrNotInteger)
		return
	}
	if n < 0 || n >= commands.Databases {
		ctx.W.Error("ERR DB index is out of range")
		return
	}
	ctx.SetDatabase(int(n))
	ctx.W.OK()
}
