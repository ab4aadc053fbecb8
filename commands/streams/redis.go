package streams

import (
	"errors"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/stream"
	"github.com/nexobroker/nexo/commands"
)

func (f *Family) xlen(ctx *commands.Context, args [][]byte) {
	n, err := f.broker.Length(args[1])
	if err != nil && !missingStream(err) { // which is empty, as in Redis
		ctx.Fail(err)
		return
	}
	ctx.W.Int(int64(n))
}

// xtrim is XTRIM s MAXLEN|MINID [=|~] threshold [LIMIT n]; trimming is always exact.
func (f *Family) xtrim(ctx *commands.Context, args [][]byte) {
	at := 3
	if len(args[at]) == 1 && (args[at][0] == '=' || args[at][0] == '~') && len(args) > at+1 {
		at++
	}
	if len(args) != at+1 && !(len(args) == at+3 && commands.Is(args[at+1], "LIMIT")) {
		ctx.Fail(commands.ErrSyntax)
		return
	}
	var maxLen *int64
	var before *stream.Position
	switch {
	case commands.Is(args[2], "MAXLEN"):
		n, ok := commands.ParseInt(args[at])
		if !ok || n < 0 {
			ctx.W.Error("ERR The MAXLEN argument must be >= 0.")
			return
		}
		maxLen = &n
	case commands.Is(args[2], "MINID"):
		// A bare number is an incomplete id, that is a time, as in Redis.
		word := args[at]
		if ms, ok := commands.ParseInt(word); ok && ms >= 0 {
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
		ctx.Fail(commands.ErrSyntax)
		return
	}
	n, r, err := f.broker.Trim(args[1], maxLen, before)
	if missingStream(err) { // there is nothing to trim, as in Redis
		err = nil
	}
	ctx.Number(int64(n), r, err)
}

func (f *Family) xdel(ctx *commands.Context, args [][]byte) {
	if f.broker.Exists(args[1:2]) == 0 {
		ctx.W.Int(0) // as in Redis
		return
	}
	ctx.W.Error("IMMUTABLE entries of a stream are never deleted one by one; XTRIM and retention remove from the front")
}

func (f *Family) xack(ctx *commands.Context, args [][]byte) {
	n, r, err := f.acknowledge(ctx, args)
	if err != nil && !f.broker.HasGroup(args[1], args[2]) {
		ctx.W.Int(0) // as in Redis, where nobody looks at the ids then
		return
	}
	f.acked.Add(uint64(n))
	if err != nil {
		ctx.Await(r) // a fence tells the epoch
	}
	ctx.Number(int64(n), r, err)
}

func (f *Family) acknowledge(ctx *commands.Context, args [][]byte) (n int, r brokers.Receipt, err error) {
	a, next, err := acksFrom(args, 3)
	if err != nil {
		return 0, r, err
	}
	var epoch uint64
	o := commands.OptionsFrom(args, next)
	for o.Next() {
		if o.Word("EPOCH", 1<<0) {
			epoch = uint64(o.Integer(1, 1<<62))
		} else {
			o.Unknown()
		}
	}
	if o.Err != nil {
		return 0, r, o.Err
	}
	return f.broker.Ack(args[1], args[2], a.resolve, epoch)
}

// missingStream tells an error apart that Redis' words answer with 0.
func missingStream(err error) bool { return errors.Is(err, &brokers.Error{Code: "NOSTREAM"}) }
