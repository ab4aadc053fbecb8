package keyspace

import (
	"math"
	"slices"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/store"
	"github.com/nexobroker/nexo/commands"
	"github.com/nexobroker/nexo/resp"
)

// Arguments that many commands of the keyspace share.
var (
	keyArgument     = commands.Argument{Name: "key", Type: "key"}
	keysArgument    = commands.Argument{Name: "key", Type: "key", Multiple: true}
	valueArgument   = commands.Argument{Name: "value", Type: "string"}
	expireArguments = []commands.Argument{
		{Name: "seconds", Type: "integer", Token: "EX"},
		{Name: "milliseconds", Type: "integer", Token: "PX"},
		{Name: "unix-time-seconds", Type: "unix-time", Token: "EXAT"},
		{Name: "unix-time-milliseconds", Type: "unix-time", Token: "PXAT"},
	}
)

// expirationWith is the choice of expiry options and one more.
func expirationWith(more ...commands.Argument) commands.Argument {
	return commands.OneOf("expiration", append(append([]commands.Argument(nil), expireArguments...), more...)...)
}

// setConditions are the conditions of SET and NSET.
func setConditions() commands.Argument {
	return commands.OneOf("condition", commands.Token("NX", "nx"), commands.Token("XX", "xx"),
		commands.Argument{Name: "ifeq-value", Type: "string", Token: "IFEQ"},
		commands.Argument{Name: "ifne-value", Type: "string", Token: "IFNE"})
}

// setKeys are those of SET and NSET, which read what they overwrite only with GET.
func setKeys(note string) []commands.KeySpec {
	return []commands.KeySpec{{Access: commands.RW | commands.Reads | commands.Updates | commands.Varies, Note: note, At: 1,
		Exactly: func(command [][]byte) commands.KeySpec {
			if slices.ContainsFunc(command[min(3, len(command)):], func(word []byte) bool { return commands.Is(word, "GET") }) {
				return commands.Key(commands.RW|commands.Reads|commands.Updates, 1)
			}
			return commands.Key(commands.OW|commands.Updates, 1)
		}}}
}

// stringSpecs are Redis' commands on strings.
func (f *Family) stringSpecs() []commands.Spec {
	specs := append(f.stringReadSpecs(), f.stringWriteSpecs()...)
	specs = append(specs, f.counterSpecs()...)
	return commands.Described(specs, "string", "", "string")
}

func (f *Family) stringReadSpecs() []commands.Spec {
	start, end := commands.Argument{Name: "start", Type: "integer"}, commands.Argument{Name: "end", Type: "integer"}
	return []commands.Spec{
		{Name: "get", Since: "1.0.0", Arity: 2, Flags: commands.ReadOnly | commands.Fast, Handler: f.get, Reply: "$value | null",
			Keys:    commands.OneKey(commands.RO | commands.Reads),
			Summary: "Returns the string value of a key", Arguments: []commands.Argument{keyArgument}},
		{Name: "mget", Since: "1.0.0", Arity: -2, Flags: commands.ReadOnly | commands.Fast, Handler: f.mget, Reply: "*n $value | null",
			Keys: commands.EveryKey(commands.RO|commands.Reads, 1), Tips: commands.MultiShard,
			Summary:   "Returns the string values of keys, as they are at one instant",
			Arguments: []commands.Argument{keysArgument}},
		{Name: "strlen", Since: "2.2.0", Arity: 2, Flags: commands.ReadOnly | commands.Fast, Handler: f.strlen, Reply: ":n",
			Keys:    commands.OneKey(commands.RO),
			Summary: "Returns the length of a string", Arguments: []commands.Argument{keyArgument}},
		{Name: "getrange", Since: "2.4.0", Arity: 4, Flags: commands.ReadOnly, Handler: f.getrange, Reply: "$part",
			Keys: commands.OneKey(commands.RO | commands.Reads), Runs: commands.InLoop,
			Summary: "Returns a part of a string", Arguments: []commands.Argument{keyArgument, start, end}},
		{Name: "substr", Since: "1.0.0", Arity: 4, Flags: commands.ReadOnly, Handler: f.getrange, Reply: "$part",
			Keys: commands.OneKey(commands.RO | commands.Reads), Runs: commands.InLoop,
			Summary: "Returns a part of a string; the old name of GETRANGE", Arguments: []commands.Argument{keyArgument, start, end}},
	}
}

func (f *Family) stringWriteSpecs() []commands.Spec {
	pairs := commands.Argument{Name: "data", Type: "block", Multiple: true, Arguments: []commands.Argument{keyArgument, valueArgument}}
	const add = commands.Write | commands.DenyOOM
	return []commands.Spec{
		{Name: "set", Since: "1.0.0", Arity: -3, Flags: add, Handler: f.setCommand, Reply: "+OK | null | old value with GET",
			Keys: setKeys("RW and ACCESS due to the optional `GET` argument"), Runs: commands.InLoop, Untimed: true,
			Summary: "Sets the string value of a key, whatever it held",
			Arguments: []commands.Argument{keyArgument, valueArgument, setConditions(), commands.Optional(commands.Token("GET", "get")),
				expirationWith(commands.Token("KEEPTTL", "keepttl"))}},
		{Name: "setnx", Since: "1.0.0", Arity: 3, Flags: add | commands.Fast, Handler: f.setnx, Reply: ":1 | :0",
			Keys:    commands.OneKey(commands.OW | commands.Inserts),
			Summary: "Sets the string value of a key that does not exist", Arguments: []commands.Argument{keyArgument, valueArgument}},
		{Name: "setex", Since: "2.0.0", Arity: 4, Flags: add, Handler: f.setex, Reply: "+OK",
			Keys: commands.OneKey(commands.OW | commands.Updates), Runs: commands.InLoop, Untimed: true,
			Summary:   "Sets the string value and the time to live of a key",
			Arguments: []commands.Argument{keyArgument, {Name: "seconds", Type: "integer"}, valueArgument}},
		{Name: "psetex", Since: "2.6.0", Arity: 4, Flags: add, Handler: f.psetex, Reply: "+OK",
			Keys: commands.OneKey(commands.OW | commands.Updates), Runs: commands.InLoop, Untimed: true,
			Summary:   "Sets the string value and the time to live in milliseconds of a key",
			Arguments: []commands.Argument{keyArgument, {Name: "milliseconds", Type: "integer"}, valueArgument}},
		{Name: "getset", Since: "1.0.0", Arity: 3, Flags: add | commands.Fast, Handler: f.getset, Reply: "$old | null",
			Keys:    commands.OneKey(commands.RW | commands.Reads | commands.Updates),
			Summary: "Sets the string value of a key and returns the old one", Arguments: []commands.Argument{keyArgument, valueArgument}},
		{Name: "getdel", Since: "6.2.0", Arity: 2, Flags: commands.Write | commands.Fast, Handler: f.getdel, Reply: "$value | null",
			Keys:    commands.OneKey(commands.RW | commands.Reads | commands.Deletes),
			Summary: "Returns the string value of a key and deletes it", Arguments: []commands.Argument{keyArgument}},
		{Name: "getex", Since: "6.2.0", Arity: -2, Flags: commands.Write | commands.Fast, Handler: f.getex, Reply: "$value | null",
			Keys: []commands.KeySpec{{Access: commands.RW | commands.Reads | commands.Updates, At: 1,
				Note: "RW and UPDATE because it changes the TTL"}},
			Summary:   "Returns the string value of a key and sets its time to live",
			Arguments: []commands.Argument{keyArgument, expirationWith(commands.Token("PERSIST", "persist"))}},
		{Name: "mset", Since: "1.0.1", Arity: -3, Flags: add, Handler: f.mset, Reply: "+OK", Runs: commands.InLoop,
			Keys: commands.EveryKey(commands.OW|commands.Updates, 2), Tips: commands.MultiShard + " " + commands.AllSucceed,
			Summary: "Sets the string values of keys, all at once", Arguments: []commands.Argument{pairs}},
		{Name: "msetnx", Since: "1.0.1", Arity: -3, Flags: add, Handler: f.msetnx, Reply: ":1 | :0", Runs: commands.InLoop,
			Keys: commands.EveryKey(commands.OW|commands.Inserts, 2), Tips: commands.MultiShard + " response_policy:agg_min",
			Summary: "Sets the string values of keys, if none of them exists", Arguments: []commands.Argument{pairs}},
		{Name: "append", Since: "2.0.0", Arity: 3, Flags: add | commands.Fast, Handler: f.appendCommand, Reply: ":length",
			Keys:    commands.OneKey(commands.RW | commands.Inserts),
			Summary: "Appends to a string, making it when missing", Arguments: []commands.Argument{keyArgument, valueArgument}},
		{Name: "setrange", Since: "2.2.0", Arity: 4, Flags: add, Handler: f.setrange, Reply: ":length",
			Keys: commands.OneKey(commands.RW | commands.Updates), Runs: commands.InLoop, Untimed: true,
			Summary:   "Overwrites a part of a string, making it when missing",
			Arguments: []commands.Argument{keyArgument, {Name: "offset", Type: "integer"}, valueArgument}},
	}
}

func (f *Family) counterSpecs() []commands.Spec {
	const flags = commands.Write | commands.DenyOOM | commands.Fast
	return []commands.Spec{
		{Name: "incr", Since: "1.0.0", Arity: 2, Flags: flags, Handler: f.incr, Reply: ":new",
			Keys:    commands.OneKey(commands.RW | commands.Reads | commands.Updates),
			Summary: "Adds 1 to the integer value of a key, 0 when missing", Arguments: []commands.Argument{keyArgument}},
		{Name: "decr", Since: "1.0.0", Arity: 2, Flags: flags, Handler: f.decr, Reply: ":new",
			Keys:    commands.OneKey(commands.RW | commands.Reads | commands.Updates),
			Summary: "Takes 1 from the integer value of a key, 0 when missing", Arguments: []commands.Argument{keyArgument}},
		{Name: "incrby", Since: "1.0.0", Arity: 3, Flags: flags, Handler: f.incrby, Reply: ":new",
			Keys:      commands.OneKey(commands.RW | commands.Reads | commands.Updates),
			Summary:   "Adds to the integer value of a key, 0 when missing",
			Arguments: []commands.Argument{keyArgument, {Name: "increment", Type: "integer"}}},
		{Name: "decrby", Since: "1.0.0", Arity: 3, Flags: flags, Handler: f.decrby, Reply: ":new",
			Keys:      commands.OneKey(commands.RW | commands.Reads | commands.Updates),
			Summary:   "Takes from the integer value of a key, 0 when missing",
			Arguments: []commands.Argument{keyArgument, {Name: "decrement", Type: "integer"}}},
		{Name: "incrbyfloat", Since: "2.6.0", Arity: 3, Flags: flags, Handler: f.incrbyfloat, Reply: "$new",
			Keys:      commands.OneKey(commands.RW | commands.Reads | commands.Updates),
			Summary:   "Adds to the floating point value of a key, 0 when missing",
			Arguments: []commands.Argument{keyArgument, {Name: "increment", Type: "double"}}},
	}
}

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
func touch(ctx *commands.Context) store.Touch {
	if ctx.Session.NoTouch.Load() {
		return !store.Touches
	}
	return store.Touches
}

func (f *Family) get(ctx *commands.Context, args [][]byte) {
	found, err := f.broker.Get(ctx.Session.Database, args[1], touch(ctx), ctx.W.Bulk)
	switch {
	case err != nil:
		ctx.Fail(err)
	case !found:
		ctx.W.Null()
	}
}

func (f *Family) mget(ctx *commands.Context, args [][]byte) {
	ctx.W.Array(len(args) - 1)
	f.broker.GetMany(ctx.Session.Database, args[1:], touch(ctx), func(value []byte, found bool) { writeValue(ctx.W, value, found) })
}

func (f *Family) strlen(ctx *commands.Context, args [][]byte) {
	n, err := f.broker.Length(ctx.Session.Database, args[1], touch(ctx))
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.Int(int64(n))
}

func (f *Family) getrange(ctx *commands.Context, args [][]byte) {
	start, ok := commands.ParseInt(args[2])
	end, okEnd := commands.ParseInt(args[3])
	if !ok || !okEnd {
		ctx.Fail(commands.ErrNotInteger)
		return
	}
	found, err := f.broker.Get(ctx.Session.Database, args[1], touch(ctx), func(value []byte) { ctx.W.Bulk(part(value, start, end)) })
	switch {
	case err != nil:
		ctx.Fail(err)
	case !found:
		ctx.W.Bulk(nil)
	}
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
	n, ok := commands.ParseInt(word)
	if !ok {
		return store.Expiry{}, commands.ErrNotInteger
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
func parseSet(o *commands.Options) (*setRequest, error) {
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
			r.expiryWord, r.seconds, r.absolute = expiryWords(o, bitExpiry)
		}
	}
	return r, o.Err
}

// expiryWords takes EX, PX, EXAT or PXAT with its value, or the current word is unknown.
func expiryWords(o *commands.Options, bit uint64) (word []byte, seconds, absolute bool) {
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

func (f *Family) setCommand(ctx *commands.Context, args [][]byte) {
	if len(args) == 3 {
		receipt, err := f.broker.Put(ctx.Session.Database, args[1], args[2])
		ctx.Stored(receipt, err)
		return
	}
	request, err := parseSet(commands.OptionsFrom(args, 3).Repeatedly())
	if err != nil {
		ctx.Fail(commands.ErrSyntax)
		return
	}
	f.set(ctx, args[1], args[2], request, "set")
}

func (f *Family) set(ctx *commands.Context, key, value []byte, request *setRequest, command string) {
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

func (f *Family) setnx(ctx *commands.Context, args [][]byte) {
	result, receipt, err := f.broker.Set(ctx.Session.Database, args[1], args[2], store.SetOptions{Condition: store.IfMissing})
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.Await(receipt)
	ctx.W.Int(commands.BoolInt(result.Set))
}

func (f *Family) setex(ctx *commands.Context, args [][]byte) { f.setWithTTL(ctx, args, true, "setex") }
func (f *Family) psetex(ctx *commands.Context, args [][]byte) {
	f.setWithTTL(ctx, args, false, "psetex")
}

func (f *Family) setWithTTL(ctx *commands.Context, args [][]byte, seconds bool, command string) {
	f.set(ctx, args[1], args[3], &setRequest{expiryWord: args[2], seconds: seconds}, command)
}

func (f *Family) getset(ctx *commands.Context, args [][]byte) {
	f.set(ctx, args[1], args[2], &setRequest{SetOptions: store.SetOptions{Old: true}}, "getset")
}

func (f *Family) getdel(ctx *commands.Context, args [][]byte) {
	value, found, receipt, err := f.broker.GetDelete(ctx.Session.Database, args[1], ctx.Scratch(store.ShortValue))
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.Await(receipt)
	writeValue(ctx.W, value, found)
}

func (f *Family) getex(ctx *commands.Context, args [][]byte) {
	expiry := store.Expiry{Mode: store.ExpireKeep}
	var word []byte
	var seconds, absolute bool
	o := commands.OptionsFrom(args, 2).Repeatedly()
	for o.Next() {
		if o.Word("PERSIST", bitExpiry) {
			expiry.Mode = store.ExpireNever
			continue
		}
		word, seconds, absolute = expiryWords(o, bitExpiry)
	}
	if o.Err != nil {
		ctx.Fail(commands.ErrSyntax)
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
func (f *Family) getexExpiry(ctx *commands.Context, key, word []byte, seconds, absolute bool) (store.Expiry, error) {
	expiry, err := expiryOption(word, seconds, absolute, "getex", ctx.Server.Clock)
	if err != nil {
		if _, found := f.broker.Inspect(ctx.Session.Database, key); !found {
			return store.Expiry{Mode: store.ExpireKeep}, nil
		}
	}
	return expiry, err
}

func (f *Family) mset(ctx *commands.Context, args [][]byte) {
	if len(args)%2 == 0 {
		ctx.Fail(errArity("mset"))
		return
	}
	_, receipt, err := f.broker.SetMany(ctx.Session.Database, args[1:], store.Always, store.Expiry{})
	ctx.Stored(receipt, err)
}

func (f *Family) msetnx(ctx *commands.Context, args [][]byte) {
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
	ctx.W.Int(commands.BoolInt(set))
}

func (f *Family) appendCommand(ctx *commands.Context, args [][]byte) {
	length, receipt, err := f.broker.Append(ctx.Session.Database, args[1], args[2])
	ctx.Number(int64(length), receipt, err)
}

func (f *Family) setrange(ctx *commands.Context, args [][]byte) {
	offset, ok := commands.ParseInt(args[2])
	if !ok {
		ctx.Fail(commands.ErrNotInteger)
		return
	}
	if offset < 0 {
		ctx.Fail(errOffset)
		return
	}
	length, receipt, err := f.broker.SetRange(ctx.Session.Database, args[1], int(offset), args[3])
	ctx.Number(int64(length), receipt, err)
}

func (f *Family) incr(ctx *commands.Context, args [][]byte) { f.increment(ctx, args[1], 1) }
func (f *Family) decr(ctx *commands.Context, args [][]byte) { f.increment(ctx, args[1], -1) }

func (f *Family) incrby(ctx *commands.Context, args [][]byte) {
	by, ok := commands.ParseInt(args[2])
	if !ok {
		ctx.Fail(commands.ErrNotInteger)
		return
	}
	f.increment(ctx, args[1], by)
}

func (f *Family) decrby(ctx *commands.Context, args [][]byte) {
	by, ok := commands.ParseInt(args[2])
	if !ok {
		ctx.Fail(commands.ErrNotInteger)
		return
	}
	if by == math.MinInt64 {
		ctx.Fail(errDecrementOverflow)
		return
	}
	f.increment(ctx, args[1], -by)
}

func (f *Family) increment(ctx *commands.Context, key []byte, by int64) {
	n, receipt, err := f.broker.Increment(ctx.Session.Database, key, by, store.KeepExpiry)
	ctx.Number(n, receipt, err)
}

func (f *Family) incrbyfloat(ctx *commands.Context, args [][]byte) {
	value, receipt, err := f.broker.IncrementFloat(ctx.Session.Database, args[1], args[2], store.KeepExpiry)
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.Await(receipt)
	ctx.W.Bulk(value)
}
