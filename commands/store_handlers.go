package commands

import (
	"strconv"

	"github.com/nexobroker/nexo/brokers/store"
	"github.com/nexobroker/nexo/resp"
)

func (f *Keyspace) nset(ctx *Context, args [][]byte) {
	request, err := parseSet(OptionsFrom(args, 3))
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
func (f *Keyspace) defaultExpiry(ctx *Context) store.Expiry {
	if ttl := f.broker.DefaultTTL(); ttl > 0 {
		return store.Expiry{Mode: store.ExpireIn, At: ttl.Milliseconds()}
	}
	return store.Expiry{}
}

func (f *Keyspace) nget(ctx *Context, args [][]byte) {
	if len(args) == 2 {
		f.get(ctx, args)
		return
	}
	if !Is(args[2], "WITHTTL") {
		ctx.Fail(SyntaxErrorNear(args[2]))
		return
	}
	if len(args) > 3 {
		ctx.Fail(SyntaxErrorNear(args[3]))
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

func (f *Keyspace) nmset(ctx *Context, args [][]byte) {
	keys, err := ReadCounted(args, 1, 2, ItemsMax, "n")
	if err != nil {
		ctx.Fail(err)
		return
	}
	pairs := args[keys.From:keys.To]
	var request setRequest
	o := OptionsBehind(args, keys)
	for o.Next() {
		switch {
		case o.Word("NX", bitCondition):
			request.Condition = store.IfMissing
		case o.Word("XX", bitCondition):
			request.Condition = store.IfPresent
		default:
			request.expiryWord, request.seconds, request.absolute = o.expiry(bitExpiry)
		}
	}
	expiry, err := f.expiryWithin(ctx, o, &request, "nmset")
	if err != nil {
		ctx.Fail(err)
		return
	}
	set, receipt, err := f.broker.SetMany(ctx.Session.Database, pairs, request.Condition, expiry)
	ctx.Number(BoolInt(set), receipt, err)
}

// expiryWithin is the expiry that the options have asked for, or the error of the options.
func (f *Keyspace) expiryWithin(ctx *Context, o *Options, r *setRequest, command string) (store.Expiry, error) {
	if o.Err != nil || r.expiryWord == nil {
		return store.Expiry{}, o.Err
	}
	return expiryOption(r.expiryWord, r.seconds, r.absolute, command, ctx.Server.Clock)
}

func deletesIfEqual(args [][]byte) bool { return len(args) == 4 && Is(args[2], "IFEQ") }

func (f *Keyspace) ndel(ctx *Context, args [][]byte) {
	if !deletesIfEqual(args) {
		f.del(ctx, args)
		return
	}
	deleted, receipt, err := f.broker.DeleteIfEqual(ctx.Session.Database, args[1], args[3])
	ctx.Number(BoolInt(deleted), receipt, err)
}

func (f *Keyspace) nexpire(ctx *Context, args [][]byte) {
	d, err := ParseDuration(args[2])
	if err != nil {
		ctx.Fail(err)
		return
	}
	var c store.ExpireCondition
	o := OptionsFrom(args, 3)
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
	ctx.Number(BoolInt(changed), receipt, nil)
}

// incrementRequest is what the options of NINCR say.
type incrementRequest struct {
	setRequest
	by          int64
	float       []byte // BYFLOAT
	onlyCreated bool   // ENX
}

func parseIncrement(args [][]byte) (r incrementRequest, o *Options) {
	const bitAmount, bitENX = 1 << 10, 1 << 11
	r.by = 1
	o = OptionsFrom(args, 2)
	for o.Next() {
		switch {
		case o.Word("BY", bitAmount):
			word := o.Value()
			by, ok := ParseInt(word)
			if o.Err == nil && !ok {
				o.Err = ErrNotInteger
			}
			r.by = by
		case o.Word("BYFLOAT", bitAmount):
			r.float = o.Value()
		case o.Word("ENX", bitENX):
			r.onlyCreated = true
		default:
			r.expiryWord, r.seconds, r.absolute = o.expiry(bitExpiry)
		}
	}
	if o.Err == nil && r.onlyCreated && r.expiryWord == nil {
		o.Err = SyntaxErrorNear([]byte("ENX"))
	}
	return r, o
}

func (f *Keyspace) nincr(ctx *Context, args [][]byte) {
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

func (f *Keyspace) nlimit(ctx *Context, args [][]byte) {
	limit, ok := ParseInt(args[2])
	if !ok {
		ctx.Fail(ErrNotInteger)
		return
	}
	window, err := ParseDuration(args[3])
	if err != nil {
		ctx.Fail(err)
		return
	}
	cost := int64(1)
	o := OptionsFrom(args, 4)
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
	ctx.W.Int(BoolInt(result.Allowed))
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
	o := OptionsFrom(args, 2)
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
	p.out.BulkString(item.Key)
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

func (f *Keyspace) nscan(ctx *Context, args [][]byte) {
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

func (f *Keyspace) nstat(ctx *Context, args [][]byte) {
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
