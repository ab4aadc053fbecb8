package keyspace

import (
	"strconv"

	"github.com/nexobroker/nexo/brokers/store"
	"github.com/nexobroker/nexo/commands"
	"github.com/nexobroker/nexo/resp"
)

// storeSpecs are our own words for the keyspace.
func (f *Family) storeSpecs() []commands.Spec {
	specs := append(f.storeValueSpecs(), f.storeKeySpecs()...)
	return commands.Described(specs, "store", "1.0.0", "store")
}

func (f *Family) storeValueSpecs() []commands.Spec {
	const add = commands.Write | commands.DenyOOM
	pairs := commands.Argument{Name: "data", Type: "block", Multiple: true, Arguments: []commands.Argument{keyArgument, valueArgument}}
	return []commands.Spec{
		{Name: "nset", Arity: -3, Flags: add, Handler: f.nset, Reply: "+OK | null (condition false) | old value with GET",
			Keys: setKeys(""), Runs: commands.InLoop, Untimed: true,
			Summary: "Sets the string value of a key, on a condition when asked",
			Arguments: []commands.Argument{keyArgument, valueArgument, setConditions(), commands.Optional(commands.Token("GET", "get")),
				expirationWith(commands.Token("KEEPTTL", "keepttl"))}},
		{Name: "nget", Arity: -2, Flags: commands.ReadOnly | commands.Fast, Handler: f.nget,
			Reply:     "$value | null; WITHTTL: *2 $value :pttl(-1) | null",
			Keys:      commands.OneKey(commands.RO | commands.Reads),
			Summary:   "Returns the string value of a key",
			Arguments: []commands.Argument{keyArgument, commands.Optional(commands.Token("WITHTTL", "withttl"))}},
		{Name: "nmget", Arity: -2, Flags: commands.ReadOnly | commands.Fast, Handler: f.mget, Reply: "*n $value | null",
			Keys:      commands.EveryKey(commands.RO|commands.Reads, 1),
			Summary:   "Returns the string values of keys, as they are at one instant",
			Arguments: []commands.Argument{keysArgument}},
		{Name: "nmset", Arity: -4, Flags: add, Handler: f.nmset, Reply: ":1 | :0 (condition false)", Runs: commands.InLoop,
			Keys:    []commands.KeySpec{{Access: commands.OW | commands.Updates, At: 1, Counted: true, Step: 2}},
			Summary: "Sets the string values of keys, all or none", Arguments: []commands.Argument{
				{Name: "n", Type: "integer"}, pairs, commands.OneOf("condition", commands.Token("NX", "nx"), commands.Token("XX", "xx")),
				expirationWith()}},
		{Name: "nincr", Arity: -2, Flags: add | commands.Fast, Handler: f.nincr, Reply: ":new; BYFLOAT: $new",
			Keys:    commands.OneKey(commands.RW | commands.Reads | commands.Updates),
			Summary: "Adds to the number that a key holds, and sets its expiry",
			Arguments: []commands.Argument{keyArgument,
				commands.OneOf("amount", commands.Argument{Name: "integer", Type: "integer", Token: "BY"},
					commands.Argument{Name: "float", Type: "double", Token: "BYFLOAT"}),
				{Name: "expiry", Type: "block", Optional: true, Arguments: []commands.Argument{
					{Name: "time", Type: "oneof", Arguments: expireArguments}, commands.Optional(commands.Token("ENX", "enx"))}}}},
		{Name: "nlimit", Arity: -4, Flags: add | commands.Fast, Handler: f.nlimit, Reply: "*4 :allowed :remaining :retry-ms(-1) :reset-ms",
			Keys:    commands.OneKey(commands.RW | commands.Reads | commands.Updates),
			Summary: "Asks a rate limiter (GCRA) whether something may happen now",
			Arguments: []commands.Argument{keyArgument, {Name: "max", Type: "integer"}, {Name: "window", Type: "string"},
				{Name: "cost", Type: "integer", Token: "COST", Optional: true}}},
	}
}

// ndelKeys are all words, but for a single key with IFEQ.
func ndelKeys() []commands.KeySpec {
	every := commands.EveryKey(commands.RM|commands.Deletes, 1)[0]
	every.Exactly = func(command [][]byte) commands.KeySpec {
		if deletesIfEqual(command) {
			return commands.Key(commands.RM|commands.Reads|commands.Deletes, 1)
		}
		return commands.EveryKey(commands.RM|commands.Deletes, 1)[0]
	}
	return []commands.KeySpec{every}
}

func (f *Family) storeKeySpecs() []commands.Spec {
	condition := commands.OneOf("condition", commands.Token("NX", "nx"), commands.Token("XX", "xx"), commands.Token("GT", "gt"),
		commands.Token("LT", "lt"))
	return []commands.Spec{
		{Name: "ndel", Arity: -2, Flags: commands.Write, Handler: f.ndel, Reply: ":n", Runs: commands.InLoop,
			Keys: ndelKeys(), Summary: "Deletes keys, or one key if it holds a value",
			Arguments: []commands.Argument{keysArgument, {Name: "ifeq-value", Type: "string", Token: "IFEQ", Optional: true}}},
		{Name: "nexists", Arity: -2, Flags: commands.ReadOnly | commands.Fast, Handler: f.exists, Reply: ":n",
			Keys:    commands.EveryKey(commands.RO, 1),
			Summary: "Counts the keys that exist", Arguments: []commands.Argument{keysArgument}},
		{Name: "nttl", Arity: 2, Flags: commands.ReadOnly | commands.Fast, Handler: f.pttl, Reply: ":ms (-1 no expiry, -2 missing)",
			Keys:      commands.OneKey(commands.RO | commands.Reads),
			Summary:   "Returns the time to live of a key in milliseconds",
			Arguments: []commands.Argument{keyArgument}},
		{Name: "nexpire", Arity: -3, Flags: commands.Write | commands.Fast, Handler: f.nexpire, Reply: ":0 | :1",
			Keys:      commands.OneKey(commands.RW | commands.Updates),
			Summary:   "Sets the time to live of a key",
			Arguments: []commands.Argument{keyArgument, {Name: "duration", Type: "string"}, condition}},
		{Name: "npersist", Arity: 2, Flags: commands.Write | commands.Fast, Handler: f.persistCommand, Reply: ":0 | :1",
			Keys:    commands.OneKey(commands.RW | commands.Updates),
			Summary: "Takes the expiry of a key away", Arguments: []commands.Argument{keyArgument}},
		{Name: "nscan", Arity: -2, Flags: commands.ReadOnly, Handler: f.nscan, Reply: "*2 $cursor *k entry",
			Summary: "Iterates over keys, with values and times to live when asked; prefix pages are full until the end",
			Arguments: []commands.Argument{{Name: "cursor", Type: "string"},
				commands.OneOf("filter", commands.Argument{Name: "prefix", Type: "string", Token: "PREFIX"},
					commands.Argument{Name: "pattern", Type: "pattern", Token: "MATCH"}),
				{Name: "count", Type: "integer", Token: "COUNT", Optional: true},
				{Name: "type", Type: "string", Token: "TYPE", Optional: true},
				commands.Optional(commands.Token("WITHVALUES", "withvalues")), commands.Optional(commands.Token("WITHTTL", "withttl"))}},
		{Name: "nstat", Arity: 1, Flags: commands.ReadOnly, Handler: f.nstat, Reply: "map", Summary: "Returns the counters of the store"},
	}
}

func (f *Family) nset(ctx *commands.Context, args [][]byte) {
	request, err := parseSet(commands.OptionsFrom(args, 3))
	if err != nil {
		ctx.Fail(err)
		return
	}
	if request.expiryWord == nil && request.Expiry.Mode == store.ExpireNever {
		request.Expiry = f.defaultExpiry(ctx)
	}
	f.set(ctx, args[1], args[2], request, "nset")
}

// defaultExpiry is what --store-default-ttl gives a key that is set without a word about expiry.
func (f *Family) defaultExpiry(ctx *commands.Context) store.Expiry {
	if ttl := f.broker.DefaultTTL(); ttl > 0 {
		return store.Expiry{Mode: store.ExpireIn, At: ttl.Milliseconds()}
	}
	return store.Expiry{}
}

func (f *Family) nget(ctx *commands.Context, args [][]byte) {
	if len(args) == 2 {
		f.get(ctx, args)
		return
	}
	if !commands.Is(args[2], "WITHTTL") {
		ctx.Fail(commands.SyntaxErrorNear(args[2]))
		return
	}
	if len(args) > 3 {
		ctx.Fail(commands.SyntaxErrorNear(args[3]))
		return
	}
	value, ttl, found, err := f.broker.GetWithTTL(ctx.Session.Database, args[1], ctx.Scratch(store.ShortValue), touch(ctx))
	switch {
	case err != nil:
		ctx.Fail(err)
	case !found:
		ctx.W.NullArray()
	default:
		ctx.W.Array(2)
		ctx.W.Bulk(value)
		ctx.W.Int(ttl)
	}
}

func (f *Family) nmset(ctx *commands.Context, args [][]byte) {
	keys, err := commands.ReadCounted(args, 1, 2, commands.ItemsMax, "n")
	if err != nil {
		ctx.Fail(err)
		return
	}
	pairs := args[keys.From:keys.To]
	var request setRequest
	o := commands.OptionsBehind(args, keys)
	for o.Next() {
		switch {
		case o.Word("NX", bitCondition):
			request.Condition = store.IfMissing
		case o.Word("XX", bitCondition):
			request.Condition = store.IfPresent
		default:
			request.expiryWord, request.seconds, request.absolute = expiryWords(o, bitExpiry)
		}
	}
	expiry, err := f.expiryWithin(ctx, o, &request, "nmset")
	if err != nil {
		ctx.Fail(err)
		return
	}
	set, receipt, err := f.broker.SetMany(ctx.Session.Database, pairs, request.Condition, expiry)
	ctx.Number(commands.BoolInt(set), receipt, err)
}

// expiryWithin is the expiry that the options have asked for, or the error of the options.
func (f *Family) expiryWithin(ctx *commands.Context, o *commands.Options, r *setRequest, command string) (store.Expiry, error) {
	if o.Err != nil || r.expiryWord == nil {
		return store.Expiry{}, o.Err
	}
	return expiryOption(r.expiryWord, r.seconds, r.absolute, command, ctx.Server.Clock)
}

func deletesIfEqual(args [][]byte) bool { return len(args) == 4 && commands.Is(args[2], "IFEQ") }

func (f *Family) ndel(ctx *commands.Context, args [][]byte) {
	if !deletesIfEqual(args) {
		f.del(ctx, args)
		return
	}
	deleted, receipt, err := f.broker.DeleteIfEqual(ctx.Session.Database, args[1], args[3])
	ctx.Number(commands.BoolInt(deleted), receipt, err)
}

func (f *Family) nexpire(ctx *commands.Context, args [][]byte) {
	d, err := commands.ParseDuration(args[2])
	if err != nil {
		ctx.Fail(err)
		return
	}
	var c store.ExpireCondition
	o := commands.OptionsFrom(args, 3)
	for o.Next() {
		switch {
		case o.Word("NX", bitCondition):
			c = store.ExpireIfNone
		case o.Word("XX", bitCondition):
			c = store.ExpireIfAny
		case o.Word("GT", bitCondition):
			c = store.ExpireIfLater
		case o.Word("LT", bitCondition):
			c = store.ExpireIfEarlier
		default:
			o.Unknown()
		}
	}
	if o.Err != nil {
		ctx.Fail(o.Err)
		return
	}
	expiry := store.Expiry{Mode: store.ExpireIn, At: d.Milliseconds()}
	changed, receipt := f.broker.Expire(ctx.Session.Database, args[1], expiry, c)
	ctx.Number(commands.BoolInt(changed), receipt, nil)
}

// incrementRequest is what the options of NINCR say.
type incrementRequest struct {
	setRequest
	by          int64
	float       []byte // BYFLOAT
	onlyCreated bool   // ENX
}

func parseIncrement(args [][]byte) (r incrementRequest, o *commands.Options) {
	const bitAmount, bitENX = 1 << 10, 1 << 11
	r.by = 1
	o = commands.OptionsFrom(args, 2)
	for o.Next() {
		switch {
		case o.Word("BY", bitAmount):
			word := o.Value()
			by, ok := commands.ParseInt(word)
			if o.Err == nil && !ok {
				o.Err = commands.ErrNotInteger
			}
			r.by = by
		case o.Word("BYFLOAT", bitAmount):
			r.float = o.Value()
		case o.Word("ENX", bitENX):
			r.onlyCreated = true
		default:
			r.expiryWord, r.seconds, r.absolute = expiryWords(o, bitExpiry)
		}
	}
	if o.Err == nil && r.onlyCreated && r.expiryWord == nil {
		o.Err = commands.SyntaxErrorNear([]byte("ENX"))
	}
	return r, o
}

func (f *Family) nincr(ctx *commands.Context, args [][]byte) {
	request, o := parseIncrement(args)
	expiry, err := f.expiryWithin(ctx, o, &request.setRequest, "nincr")
	if err != nil {
		ctx.Fail(err)
		return
	}
	counter := store.KeepExpiry
	if request.expiryWord != nil {
		counter = store.CounterExpiry{Expiry: expiry, OnlyCreated: request.onlyCreated}
	}
	if request.float == nil {
		n, receipt, err := f.broker.Increment(ctx.Session.Database, args[1], request.by, counter)
		ctx.Number(n, receipt, err)
		return
	}
	value, receipt, err := f.broker.IncrementFloat(ctx.Session.Database, args[1], request.float, counter)
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.Await(receipt)
	ctx.W.Bulk(value)
}

func (f *Family) nlimit(ctx *commands.Context, args [][]byte) {
	limit, ok := commands.ParseInt(args[2])
	if !ok {
		ctx.Fail(commands.ErrNotInteger)
		return
	}
	window, err := commands.ParseDuration(args[3])
	if err != nil {
		ctx.Fail(err)
		return
	}
	cost := int64(1)
	o := commands.OptionsFrom(args, 4)
	for o.Next() {
		if o.Word("COST", 1) {
			cost = o.Integer(0, store.LimitMax)
			continue
		}
		o.Unknown()
	}
	if o.Err != nil {
		ctx.Fail(o.Err)
		return
	}
	result, receipt, err := f.broker.Limit(ctx.Session.Database, args[1], limit, window, cost)
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.Await(receipt)
	ctx.W.Array(4)
	ctx.W.Int(commands.BoolInt(result.Allowed))
	ctx.W.Int(result.Remaining)
	ctx.W.Int(result.Retry)
	ctx.W.Int(result.Reset)
}

// nscanRequest is what the options of NSCAN say.
type nscanRequest struct {
	scanRequest
	prefix     []byte
	byPrefix   bool
	withValues bool
	withTTL    bool
}

func parseNScan(args [][]byte) (r nscanRequest, err error) {
	const bitFilter, bitCount, bitType, bitValues, bitTTL = 1, 2, 4, 8, 16
	r.count = 100
	o := commands.OptionsFrom(args, 2)
	for o.Next() {
		switch {
		case o.Word("PREFIX", bitFilter):
			r.byPrefix, r.prefix = true, o.Value()
		case o.Word("MATCH", bitFilter):
			r.glob = newKeyGlob(o.Value())
		case o.Word("COUNT", bitCount):
			r.count = int(o.Integer(1, scanCountMax))
		case o.Word("TYPE", bitType):
			r.kind = string(o.Value())
		case o.Word("WITHVALUES", bitValues):
			r.withValues = true
		case o.Word("WITHTTL", bitTTL):
			r.withTTL = true
		default:
			o.Unknown()
		}
	}
	return r, o.Err
}

// scanPageMax is the size from which a page of NSCAN is full, whatever its COUNT.
const scanPageMax = 16 << 20

// scanPage gathers the entries of a scan: how many there are is known only at its end.
type scanPage struct {
	request *nscanRequest
	out     *resp.Writer
	entries int
}

func (p *scanPage) add(item store.Item) store.Verdict {
	r := p.request
	if !r.takes(item) {
		return store.Passed
	}
	p.entries++
	fields := 1
	if r.withValues {
		fields++
	}
	if r.withTTL {
		fields++
	}
	if fields > 1 {
		p.out.Array(fields)
	}
	p.out.Bulk(item.Key)
	switch {
	case !r.withValues:
	case item.Kind == store.String:
		p.out.Bulk(item.Value)
	default:
		p.out.Null()
	}
	if r.withTTL {
		p.out.Int(item.TTL)
	}
	if p.out.Len() >= scanPageMax {
		return store.Full
	}
	return store.Taken
}

func (f *Family) nscan(ctx *commands.Context, args [][]byte) {
	request, err := parseNScan(args)
	if err != nil {
		ctx.Fail(err)
		return
	}
	page := &scanPage{request: &request, out: resp.NewWriter(ctx.W.Proto())}
	next := ""
	if request.byPrefix {
		cursor, ok := store.ParsePrefixCursor(string(args[1]))
		if !ok {
			ctx.Fail(errCursor)
			return
		}
		next = f.broker.ScanPrefix(ctx.Session.Database, string(request.prefix), cursor, request.count, page.add).String()
	} else {
		cursor, err := strconv.ParseUint(string(args[1]), 10, 64)
		if err != nil {
			ctx.Fail(errCursor)
			return
		}
		next = strconv.FormatUint(f.broker.Scan(ctx.Session.Database, cursor, request.count, page.add), 10)
	}
	if err := request.glob.problem(); err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.Array(2)
	ctx.W.BulkString(next)
	ctx.W.Array(page.entries)
	ctx.W.Raw(page.out.Bytes())
}

func (f *Family) nstat(ctx *commands.Context, args [][]byte) {
	c := f.broker.Counters()
	fields := []struct {
		name  string
		value int64
	}{
		{"keys", int64(c.Keys)}, {"expires", int64(c.Expires)},
		{"hits", int64(c.Hits)}, {"misses", int64(c.Misses)},
		{"expired", int64(c.Expired)}, {"evicted", int64(c.Evicted)}, {"refused", int64(c.Refused)},
		{"memory", c.Memory}, {"maxmemory", c.MaxMemory}, {"log-bytes", c.LogBytes},
	}
	ctx.W.Map(len(fields) + 1)
	for _, f := range fields {
		ctx.W.BulkString(f.name)
		ctx.W.Int(f.value)
	}
	ctx.W.BulkString("policy")
	ctx.W.BulkString(c.Policy)
}
