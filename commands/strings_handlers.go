package commands

import (
	"math"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/store"
	"github.com/nexobroker/nexo/resp"
)

var (
	errOffset            = &brokers.Error{Code: "ERR", Message: "offset is out of range"}
	errDecrementOverflow = &brokers.Error{Code: "ERR", Message: "decrement would overflow"}
)

func errInvalidExpire(command string) error {
	return brokers.Errorf("ERR", "invalid expire time in '%s' command", command)
}

func errArity(command string) error {
	return brokers.Errorf("ERR", "wrong number of arguments for '%s' command", command)
}

// writeValue writes a string that the store has returned, or null. A value of ordinary size was copied into the scratch, which
// is kept for the next.
func writeValue(w *resp.Writer, value []byte, found bool) {
	if !found {
		w.Null()
		return
	}
	w.Bulk(value)
}

// touch tells whether the connection's reads count as uses of the keys.
func touch(ctx *Context) store.Touch { return store.Touch(!ctx.Session.NoTouch.Load()) }

func (f *Keyspace) get(ctx *Context, args [][]byte) {
	value, found, err := f.broker.Get(ctx.Session.Database, args[1], ctx.Scratch(store.ShortValue), touch(ctx))
	if err != nil {
		ctx.Fail(err)
		return
	}
	writeValue(ctx.W, value, found)
}

func (f *Keyspace) mget(ctx *Context, args [][]byte) {
	ctx.W.Array(len(args) - 1)
	f.broker.GetMany(ctx.Session.Database, args[1:], touch(ctx), func(value []byte, found bool) { writeValue(ctx.W, value, found) })
}

func (f *Keyspace) strlen(ctx *Context, args [][]byte) {
	n, err := f.broker.Length(ctx.Session.Database, args[1], touch(ctx))
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.Int(int64(n))
}

func (f *Keyspace) getrange(ctx *Context, args [][]byte) {
	start, ok := ParseInt(args[2])
	end, okEnd := ParseInt(args[3])
	if !ok || !okEnd {
		ctx.Fail(ErrNotInteger)
		return
	}
	value, _, err := f.broker.Get(ctx.Session.Database, args[1], ctx.Scratch(store.ShortValue), touch(ctx))
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.Bulk(part(value, start, end))
}

// part cuts a string at inclusive positions that count from the end when negative, as GETRANGE does.
func part(value []byte, start, end int64) []byte {
	length := int64(len(value))
	if start < 0 && end < 0 && start > end {
		return nil
	}
	if start < 0 {
		start = max(0, start+length)
	}
	if end < 0 {
		end = max(0, end+length)
	}
	end = min(end, length-1)
	if start > end || length == 0 {
		return nil
	}
	return value[start : end+1]
}

// expiryOption reads the value of EX, PX, EXAT or PXAT (seconds, absolute) as Redis does for the command.
func expiryOption(word []byte, seconds, absolute bool, command string, clock brokers.Clock) (store.Expiry, error) {
	n, ok := ParseInt(word)
	if !ok {
		return store.Expiry{}, ErrNotInteger
	}
	if n <= 0 || (seconds && n > math.MaxInt64/1000) {
		return store.Expiry{}, errInvalidExpire(command)
	}
	if seconds {
		n *= 1000
	}
	if absolute {
		return store.Expiry{Mode: store.ExpireAt, At: n}, nil
	}
	if n > math.MaxInt64-clock.Now().UnixMilli() {
		return store.Expiry{}, errInvalidExpire(command)
	}
	return store.Expiry{Mode: store.ExpireIn, At: n}, nil
}

// setRequest is what the options of SET and NSET say.
type setRequest struct {
	store.SetOptions
	expiryWord        []byte // value of the expiry option
	seconds, absolute bool
}

const (
	bitCondition uint64 = 1 << iota
	bitGet
	bitExpiry
)

// parseSet reads the options of SET and NSET.
func parseSet(o *Options) (*setRequest, error) {
	r := &setRequest{}
	for o.Next() {
		switch {
		case o.Word("NX", bitCondition):
			r.Condition = store.IfMissing
		case o.Word("XX", bitCondition):
			r.Condition = store.IfPresent
		case o.Word("IFEQ", bitCondition):
			r.Condition, r.Compare = store.IfEqual, o.Value()
		case o.Word("IFNE", bitCondition):
			r.Condition, r.Compare = store.IfNotEqual, o.Value()
		case o.Word("GET", bitGet):
			r.Old = true
		case o.Word("KEEPTTL", bitExpiry):
			r.Expiry.Mode = store.ExpireKeep
		default:
			r.expiryWord, r.seconds, r.absolute = o.expiry(bitExpiry)
		}
	}
	return r, o.Err
}

// expiry takes EX, PX, EXAT or PXAT with its value, or the current word is unknown.
func (o *Options) expiry(bit uint64) (word []byte, seconds, absolute bool) {
	switch {
	case o.Word("EX", bit):
		return o.Value(), true, false
	case o.Word("PX", bit):
		return o.Value(), false, false
	case o.Word("EXAT", bit):
		return o.Value(), true, true
	case o.Word("PXAT", bit):
		return o.Value(), false, true
	}
	o.Unknown()
	return nil, false, false
}

func (f *Keyspace) setCommand(ctx *Context, args [][]byte) {
	if len(args) == 3 {
		receipt, err := f.broker.Put(ctx.Session.Database, args[1], args[2])
		ctx.Stored(receipt, err)
		return
	}
	request, err := parseSet(OptionsFrom(args, 3).Repeatedly())
	if err != nil {
		ctx.Fail(ErrSyntax)
		return
	}
	f.set(ctx, args[1], args[2], request, "set")
}

func (f *Keyspace) set(ctx *Context, key, value []byte, request *setRequest, command string) {
	if request.expiryWord != nil {
		expiry, err := expiryOption(request.expiryWord, request.seconds, request.absolute, command, ctx.Server.Clock)
		if err != nil {
			ctx.Fail(err)
			return
		}
		request.Expiry = expiry
	}
	request.Scratch = ctx.Scratch(store.ShortValue)
	result, receipt, err := f.broker.Set(ctx.Session.Database, key, value, request.SetOptions)
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.Await(receipt)
	switch {
	case request.Old:
		writeValue(ctx.W, result.Previous, result.Existed)
	case result.Set:
		ctx.W.OK()
	default:
		ctx.W.Null()
	}
}

func (f *Keyspace) setnx(ctx *Context, args [][]byte) {
	result, receipt, err := f.broker.Set(ctx.Session.Database, args[1], args[2], store.SetOptions{Condition: store.IfMissing})
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.Await(receipt)
	ctx.W.Int(BoolInt(result.Set))
}

func (f *Keyspace) setex(ctx *Context, args [][]byte)  { f.setWithTTL(ctx, args, true, "setex") }
func (f *Keyspace) psetex(ctx *Context, args [][]byte) { f.setWithTTL(ctx, args, false, "psetex") }

func (f *Keyspace) setWithTTL(ctx *Context, args [][]byte, seconds bool, command string) {
	f.set(ctx, args[1], args[3], &setRequest{expiryWord: args[2], seconds: seconds}, command)
}

func (f *Keyspace) getset(ctx *Context, args [][]byte) {
	f.set(ctx, args[1], args[2], &setRequest{SetOptions: store.SetOptions{Old: true}}, "getset")
}

func (f *Keyspace) getdel(ctx *Context, args [][]byte) {
	value, found, receipt, err := f.broker.GetDelete(ctx.Session.Database, args[1], ctx.Scratch(store.ShortValue))
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.Await(receipt)
	writeValue(ctx.W, value, found)
}

func (f *Keyspace) getex(ctx *Context, args [][]byte) {
	expiry := store.Expiry{Mode: store.ExpireKeep}
	var word []byte
	var seconds, absolute bool
	o := OptionsFrom(args, 2).Repeatedly()
	for o.Next() {
		if o.Word("PERSIST", bitExpiry) {
			expiry.Mode = store.ExpireNever
			continue
		}
		word, seconds, absolute = o.expiry(bitExpiry)
	}
	if o.Err != nil {
		ctx.Fail(ErrSyntax)
		return
	}
	if word != nil {
		var err error
		if expiry, err = f.getexExpiry(ctx, args[1], word, seconds, absolute); err != nil {
			ctx.Fail(err)
			return
		}
	}
	value, found, receipt, err := f.broker.GetExpire(ctx.Session.Database, args[1], ctx.Scratch(store.ShortValue), expiry, touch(ctx))
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.Await(receipt)
	writeValue(ctx.W, value, found)
}

// getexExpiry reads the expiry of GETEX: of a missing key Redis does not look at it.
func (f *Keyspace) getexExpiry(ctx *Context, key, word []byte, seconds, absolute bool) (store.Expiry, error) {
	expiry, err := expiryOption(word, seconds, absolute, "getex", ctx.Server.Clock)
	if err != nil {
		if _, found := f.broker.Inspect(ctx.Session.Database, key); !found {
			return store.Expiry{Mode: store.ExpireKeep}, nil
		}
	}
	return expiry, err
}

func (f *Keyspace) mset(ctx *Context, args [][]byte) {
	if len(args)%2 == 0 {
		ctx.Fail(errArity("mset"))
		return
	}
	_, receipt, err := f.broker.SetMany(ctx.Session.Database, args[1:], store.Always, store.Expiry{})
	ctx.Stored(receipt, err)
}

func (f *Keyspace) msetnx(ctx *Context, args [][]byte) {
	if len(args)%2 == 0 {
		ctx.Fail(errArity("msetnx"))
		return
	}
	set, receipt, err := f.broker.SetMany(ctx.Session.Database, args[1:], store.IfMissing, store.Expiry{})
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.Await(receipt)
	ctx.W.Int(BoolInt(set))
}

func (f *Keyspace) appendCommand(ctx *Context, args [][]byte) {
	length, receipt, err := f.broker.Append(ctx.Session.Database, args[1], args[2])
	ctx.Number(int64(length), receipt, err)
}

func (f *Keyspace) setrange(ctx *Context, args [][]byte) {
	offset, ok := ParseInt(args[2])
	if !ok {
		ctx.Fail(ErrNotInteger)
		return
	}
	if offset < 0 {
		ctx.Fail(errOffset)
		return
	}
	length, receipt, err := f.broker.SetRange(ctx.Session.Database, args[1], int(offset), args[3])
	ctx.Number(int64(length), receipt, err)
}

func (f *Keyspace) incr(ctx *Context, args [][]byte) { f.increment(ctx, args[1], 1) }
func (f *Keyspace) decr(ctx *Context, args [][]byte) { f.increment(ctx, args[1], -1) }

func (f *Keyspace) incrby(ctx *Context, args [][]byte) {
	by, ok := ParseInt(args[2])
	if !ok {
		ctx.Fail(ErrNotInteger)
		return
	}
	f.increment(ctx, args[1], by)
}

func (f *Keyspace) decrby(ctx *Context, args [][]byte) {
	by, ok := ParseInt(args[2])
	if !ok {
		ctx.Fail(ErrNotInteger)
		return
	}
	if by == math.MinInt64 {
		ctx.Fail(errDecrementOverflow)
		return
	}
	f.increment(ctx, args[1], -by)
}

func (f *Keyspace) increment(ctx *Context, key []byte, by int64) {
	n, receipt, err := f.broker.Increment(ctx.Session.Database, key, by, store.KeepExpiry)
	ctx.Number(n, receipt, err)
}

func (f *Keyspace) incrbyfloat(ctx *Context, args [][]byte) {
	value, receipt, err := f.broker.IncrementFloat(ctx.Session.Database, args[1], args[2], store.KeepExpiry)
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.Await(receipt)
	ctx.W.Bulk(value)
}
