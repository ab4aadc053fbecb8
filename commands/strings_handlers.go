package commands

import (
	"math"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/store"
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

// value writes a string that the store has returned, or null. A value of ordinary size was copied into the scratch, which
// is kept for the next.
func (ctx *Context) value(value []byte, found bool) {
	if !found {
		ctx.W.Null()
		return
	}
	ctx.W.Bulk(value)
}

// short is the memory that the store copies a short value into; it is used up by the writer before the next command.
func (ctx *Context) short() []byte {
	if ctx.scratch == nil {
		ctx.scratch = make([]byte, 0, store.ShortValue)
	}
	return ctx.scratch[:0]
}

// touch tells whether the connection's reads count as uses of the keys.
func (ctx *Context) touch() store.Touch { return store.Touch(!ctx.Session.noTouch.Load()) }

func get(ctx *Context, args [][]byte) {
	value, found, err := ctx.Server.Store.Get(ctx.Session.Database, args[1], ctx.short(), ctx.touch())
	if err != nil {
		ctx.fail(err)
		return
	}
	ctx.value(value, found)
}

func mget(ctx *Context, args [][]byte) {
	ctx.W.Array(len(args) - 1)
	ctx.Server.Store.GetMany(ctx.Session.Database, args[1:], ctx.touch(), ctx.value)
}

func strlen(ctx *Context, args [][]byte) {
	n, err := ctx.Server.Store.Length(ctx.Session.Database, args[1], ctx.touch())
	if err != nil {
		ctx.fail(err)
		return
	}
	ctx.W.Int(int64(n))
}

func getrange(ctx *Context, args [][]byte) {
	start, ok := parseInt(args[2])
	end, okEnd := parseInt(args[3])
	if !ok || !okEnd {
		ctx.fail(errNotInteger)
		return
	}
	value, _, err := ctx.Server.Store.Get(ctx.Session.Database, args[1], ctx.short(), ctx.touch())
	if err != nil {
		ctx.fail(err)
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
	n, ok := parseInt(word)
	if !ok {
		return store.Expiry{}, errNotInteger
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
func parseSet(o *options) (*setRequest, error) {
	r := &setRequest{}
	for o.next() {
		switch {
		case o.word("NX", bitCondition):
			r.Condition = store.IfMissing
		case o.word("XX", bitCondition):
			r.Condition = store.IfPresent
		case o.word("IFEQ", bitCondition):
			r.Condition, r.Compare = store.IfEqual, o.value()
		case o.word("IFNE", bitCondition):
			r.Condition, r.Compare = store.IfNotEqual, o.value()
		case o.word("GET", bitGet):
			r.Old = true
		case o.word("KEEPTTL", bitExpiry):
			r.Expiry.Mode = store.ExpireKeep
		default:
			r.expiryWord, r.seconds, r.absolute = o.expiry(bitExpiry)
		}
	}
	return r, o.err
}

// expiry takes EX, PX, EXAT or PXAT with its value, or the current word is unknown.
func (o *options) expiry(bit uint64) (word []byte, seconds, absolute bool) {
	switch {
	case o.word("EX", bit):
		return o.value(), true, false
	case o.word("PX", bit):
		return o.value(), false, false
	case o.word("EXAT", bit):
		return o.value(), true, true
	case o.word("PXAT", bit):
		return o.value(), false, true
	}
	o.unknown()
	return nil, false, false
}

func setCommand(ctx *Context, args [][]byte) {
	if len(args) == 3 {
		receipt, err := ctx.Server.Store.Put(ctx.Session.Database, args[1], args[2])
		ctx.stored(receipt, err)
		return
	}
	request, err := parseSet(optionsFrom(args, 3).repeatedly())
	if err != nil {
		ctx.fail(errSyntax)
		return
	}
	ctx.set(args[1], args[2], request, "set")
}

// stored answers +OK or the error.
func (ctx *Context) stored(receipt brokers.Receipt, err error) {
	if err != nil {
		ctx.fail(err)
		return
	}
	ctx.await(receipt)
	ctx.W.OK()
}

func (ctx *Context) set(key, value []byte, request *setRequest, command string) {
	if request.expiryWord != nil {
		expiry, err := expiryOption(request.expiryWord, request.seconds, request.absolute, command, ctx.Server.Clock)
		if err != nil {
			ctx.fail(err)
			return
		}
		request.Expiry = expiry
	}
	request.Scratch = ctx.short()
	result, receipt, err := ctx.Server.Store.Set(ctx.Session.Database, key, value, request.SetOptions)
	if err != nil {
		ctx.fail(err)
		return
	}
	ctx.await(receipt)
	switch {
	case request.Old:
		ctx.value(result.Previous, result.Existed)
	case result.Set:
		ctx.W.OK()
	default:
		ctx.W.Null()
	}
}

func setnx(ctx *Context, args [][]byte) {
	result, receipt, err := ctx.Server.Store.Set(ctx.Session.Database, args[1], args[2], store.SetOptions{Condition: store.IfMissing})
	if err != nil {
		ctx.fail(err)
		return
	}
	ctx.await(receipt)
	ctx.W.Int(boolInt(result.Set))
}

func setex(ctx *Context, args [][]byte)  { setWithTTL(ctx, args, true, "setex") }
func psetex(ctx *Context, args [][]byte) { setWithTTL(ctx, args, false, "psetex") }

func setWithTTL(ctx *Context, args [][]byte, seconds bool, command string) {
	ctx.set(args[1], args[3], &setRequest{expiryWord: args[2], seconds: seconds}, command)
}

func getset(ctx *Context, args [][]byte) {
	ctx.set(args[1], args[2], &setRequest{SetOptions: store.SetOptions{Old: true}}, "getset")
}

func getdel(ctx *Context, args [][]byte) {
	value, found, receipt, err := ctx.Server.Store.GetDelete(ctx.Session.Database, args[1], ctx.short())
	if err != nil {
		ctx.fail(err)
		return
	}
	ctx.await(receipt)
	ctx.value(value, found)
}

func getex(ctx *Context, args [][]byte) {
	expiry := store.Expiry{Mode: store.ExpireKeep}
	var word []byte
	var seconds, absolute bool
	o := optionsFrom(args, 2).repeatedly()
	for o.next() {
		if o.word("PERSIST", bitExpiry) {
			expiry.Mode = store.ExpireNever
			continue
		}
		word, seconds, absolute = o.expiry(bitExpiry)
	}
	if o.err != nil {
		ctx.fail(errSyntax)
		return
	}
	if word != nil {
		var err error
		if expiry, err = ctx.getexExpiry(args[1], word, seconds, absolute); err != nil {
			ctx.fail(err)
			return
		}
	}
	value, found, receipt, err := ctx.Server.Store.GetExpire(ctx.Session.Database, args[1], ctx.short(), expiry, ctx.touch())
	if err != nil {
		ctx.fail(err)
		return
	}
	ctx.await(receipt)
	ctx.value(value, found)
}

// getexExpiry reads the expiry of GETEX: of a missing key Redis does not look at it.
func (ctx *Context) getexExpiry(key, word []byte, seconds, absolute bool) (store.Expiry, error) {
	expiry, err := expiryOption(word, seconds, absolute, "getex", ctx.Server.Clock)
	if err != nil {
		if _, found := ctx.Server.Store.Inspect(ctx.Session.Database, key); !found {
			return store.Expiry{Mode: store.ExpireKeep}, nil
		}
	}
	return expiry, err
}

func mset(ctx *Context, args [][]byte) {
	if len(args)%2 == 0 {
		ctx.fail(errArity("mset"))
		return
	}
	_, receipt, err := ctx.Server.Store.SetMany(ctx.Session.Database, args[1:], store.Always, store.Expiry{})
	ctx.stored(receipt, err)
}

func msetnx(ctx *Context, args [][]byte) {
	if len(args)%2 == 0 {
		ctx.fail(errArity("msetnx"))
		return
	}
	set, receipt, err := ctx.Server.Store.SetMany(ctx.Session.Database, args[1:], store.IfMissing, store.Expiry{})
	if err != nil {
		ctx.fail(err)
		return
	}
	ctx.await(receipt)
	ctx.W.Int(boolInt(set))
}

func appendCommand(ctx *Context, args [][]byte) {
	length, receipt, err := ctx.Server.Store.Append(ctx.Session.Database, args[1], args[2])
	ctx.number(int64(length), receipt, err)
}

// number answers an integer once the change behind it is durable, or the error.
func (ctx *Context) number(n int64, receipt brokers.Receipt, err error) {
	if err != nil {
		ctx.fail(err)
		return
	}
	ctx.await(receipt)
	ctx.W.Int(n)
}

func setrange(ctx *Context, args [][]byte) {
	offset, ok := parseInt(args[2])
	if !ok {
		ctx.fail(errNotInteger)
		return
	}
	if offset < 0 {
		ctx.fail(errOffset)
		return
	}
	length, receipt, err := ctx.Server.Store.SetRange(ctx.Session.Database, args[1], int(offset), args[3])
	ctx.number(int64(length), receipt, err)
}

func incr(ctx *Context, args [][]byte) { increment(ctx, args[1], 1) }
func decr(ctx *Context, args [][]byte) { increment(ctx, args[1], -1) }

func incrby(ctx *Context, args [][]byte) {
	by, ok := parseInt(args[2])
	if !ok {
		ctx.fail(errNotInteger)
		return
	}
	increment(ctx, args[1], by)
}

func decrby(ctx *Context, args [][]byte) {
	by, ok := parseInt(args[2])
	if !ok {
		ctx.fail(errNotInteger)
		return
	}
	if by == math.MinInt64 {
		ctx.fail(errDecrementOverflow)
		return
	}
	increment(ctx, args[1], -by)
}

func increment(ctx *Context, key []byte, by int64) {
	n, receipt, err := ctx.Server.Store.Increment(ctx.Session.Database, key, by, store.KeepExpiry)
	ctx.number(n, receipt, err)
}

func incrbyfloat(ctx *Context, args [][]byte) {
	value, receipt, err := ctx.Server.Store.IncrementFloat(ctx.Session.Database, args[1], args[2], store.KeepExpiry)
	if err != nil {
		ctx.fail(err)
		return
	}
	ctx.await(receipt)
	ctx.W.Bulk(value)
}
