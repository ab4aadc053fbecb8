package commands

import (
	"strconv"

	"github.com/nexobroker/nexo/brokers/store"
	"github.com/nexobroker/nexo/resp"
)

func nset(ctx *Context, args [][]byte) {
	request, err := parseSet(optionsFrom(args, 3))
	if err != nil {
		ctx.fail(err)
		return
	}
	if request.expiryWord == nil && request.Expiry.Mode == store.ExpireNever {
		request.Expiry = defaultExpiry(ctx)
	}
	ctx.set(args[1], args[2], request, "nset")
}

// defaultExpiry is what --store-default-ttl gives a key that is set without a word about expiry.
func defaultExpiry(ctx *Context) store.Expiry {
	if ttl := ctx.Server.Store.DefaultTTL(); ttl > 0 {
		return store.Expiry{Mode: store.ExpireIn, At: ttl.Milliseconds()}
	}
	return store.Expiry{}
}

func nget(ctx *Context, args [][]byte) {
	if len(args) == 2 {
		get(ctx, args)
		return
	}
	if !is(args[2], "WITHTTL") {
		ctx.fail(syntaxErrorNear(args[2]))
		return
	}
	if len(args) > 3 {
		ctx.fail(syntaxErrorNear(args[3]))
		return
	}
	value, ttl, found, err := ctx.Server.Store.GetWithTTL(ctx.Session.Database, args[1], ctx.short(), ctx.touch())
	switch {
	case err != nil:
		ctx.fail(err)
	case !found:
		ctx.W.NullArray()
	default:
		ctx.W.Array(2)
		ctx.W.Bulk(value)
		ctx.W.Int(ttl)
	}
}

func nmset(ctx *Context, args [][]byte) {
	keys, err := readCounted(args, 1, 2, itemsMax, "n")
	if err != nil {
		ctx.fail(err)
		return
	}
	pairs := args[keys.from:keys.to]
	var request setRequest
	o := optionsBehind(args, keys)
	for o.next() {
		switch {
		case o.word("NX", bitCondition):
			request.Condition = store.IfMissing
		case o.word("XX", bitCondition):
			request.Condition = store.IfPresent
		default:
			request.expiryWord, request.seconds, request.absolute = o.expiry(bitExpiry)
		}
	}
	expiry, err := ctx.expiryWithin(o, &request, "nmset")
	if err != nil {
		ctx.fail(err)
		return
	}
	set, receipt, err := ctx.Server.Store.SetMany(ctx.Session.Database, pairs, request.Condition, expiry)
	ctx.number(boolInt(set), receipt, err)
}

// expiryWithin is the expiry that the options have asked for, or the error of the options.
func (ctx *Context) expiryWithin(o *options, r *setRequest, command string) (store.Expiry, error) {
	if o.err != nil || r.expiryWord == nil {
		return store.Expiry{}, o.err
	}
	return expiryOption(r.expiryWord, r.seconds, r.absolute, command, ctx.Server.Clock)
}

func deletesIfEqual(args [][]byte) bool { return len(args) == 4 && is(args[2], "IFEQ") }

func ndel(ctx *Context, args [][]byte) {
	if !deletesIfEqual(args) {
		del(ctx, args)
		return
	}
	deleted, receipt, err := ctx.Server.Store.DeleteIfEqual(ctx.Session.Database, args[1], args[3])
	ctx.number(boolInt(deleted), receipt, err)
}

func nexpire(ctx *Context, args [][]byte) {
	d, err := ParseDuration(args[2])
	if err != nil {
		ctx.fail(err)
		return
	}
	var c store.ExpireCondition
	o := optionsFrom(args, 3)
	for o.next() {
		switch {
		case o.word("NX", bitCondition):
			c = store.ExpireIfNone
		case o.word("XX", bitCondition):
			c = store.ExpireIfAny
		case o.word("GT", bitCondition):
			c = store.ExpireIfLater
		case o.word("LT", bitCondition):
			c = store.ExpireIfEarlier
		default:
			o.unknown()
		}
	}
	if o.err != nil {
		ctx.fail(o.err)
		return
	}
	expiry := store.Expiry{Mode: store.ExpireIn, At: d.Milliseconds()}
	changed, receipt := ctx.Server.Store.Expire(ctx.Session.Database, args[1], expiry, c)
	ctx.number(boolInt(changed), receipt, nil)
}

// incrementRequest is what the options of NINCR say.
type incrementRequest struct {
	setRequest
	by          int64
	float       []byte // BYFLOAT
	onlyCreated bool   // ENX
}

func parseIncrement(args [][]byte) (r incrementRequest, o *options) {
	const bitAmount, bitENX = 1 << 10, 1 << 11
	r.by = 1
	o = optionsFrom(args, 2)
	for o.next() {
		switch {
		case o.word("BY", bitAmount):
			word := o.value()
			by, ok := parseInt(word)
			if o.err == nil && !ok {
				o.err = errNotInteger
			}
			r.by = by
		case o.word("BYFLOAT", bitAmount):
			r.float = o.value()
		case o.word("ENX", bitENX):
			r.onlyCreated = true
		default:
			r.expiryWord, r.seconds, r.absolute = o.expiry(bitExpiry)
		}
	}
	if o.err == nil && r.onlyCreated && r.expiryWord == nil {
		o.err = syntaxErrorNear([]byte("ENX"))
	}
	return r, o
}

func nincr(ctx *Context, args [][]byte) {
	request, o := parseIncrement(args)
	expiry, err := ctx.expiryWithin(o, &request.setRequest, "nincr")
	if err != nil {
		ctx.fail(err)
		return
	}
	counter := store.KeepExpiry
	if request.expiryWord != nil {
		counter = store.CounterExpiry{Expiry: expiry, OnlyCreated: request.onlyCreated}
	}
	if request.float == nil {
		n, receipt, err := ctx.Server.Store.Increment(ctx.Session.Database, args[1], request.by, counter)
		ctx.number(n, receipt, err)
		return
	}
	value, receipt, err := ctx.Server.Store.IncrementFloat(ctx.Session.Database, args[1], request.float, counter)
	if err != nil {
		ctx.fail(err)
		return
	}
	ctx.await(receipt)
	ctx.W.Bulk(value)
}

func nlimit(ctx *Context, args [][]byte) {
	limit, ok := parseInt(args[2])
	if !ok {
		ctx.fail(errNotInteger)
		return
	}
	window, err := ParseDuration(args[3])
	if err != nil {
		ctx.fail(err)
		return
	}
	cost := int64(1)
	o := optionsFrom(args, 4)
	for o.next() {
		if o.word("COST", 1) {
			cost = o.integer(0, store.LimitMax)
			continue
		}
		o.unknown()
	}
	if o.err != nil {
		ctx.fail(o.err)
		return
	}
	result, receipt, err := ctx.Server.Store.Limit(ctx.Session.Database, args[1], limit, window, cost)
	if err != nil {
		ctx.fail(err)
		return
	}
	ctx.await(receipt)
	ctx.W.Array(4)
	ctx.W.Int(boolInt(result.Allowed))
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
	o := optionsFrom(args, 2)
	for o.next() {
		switch {
		case o.word("PREFIX", bitFilter):
			r.byPrefix, r.prefix = true, o.value()
		case o.word("MATCH", bitFilter):
			r.glob = newKeyGlob(o.value())
		case o.word("COUNT", bitCount):
			r.count = int(o.integer(1, scanCountMax))
		case o.word("TYPE", bitType):
			r.kind = string(o.value())
		case o.word("WITHVALUES", bitValues):
			r.withValues = true
		case o.word("WITHTTL", bitTTL):
			r.withTTL = true
		default:
			o.unknown()
		}
	}
	return r, o.err
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

func nscan(ctx *Context, args [][]byte) {
	request, err := parseNScan(args)
	if err != nil {
		ctx.fail(err)
		return
	}
	page := &scanPage{request: &request, out: resp.NewWriter(ctx.W.Proto())}
	next := ""
	if request.byPrefix {
		cursor, ok := store.ParsePrefixCursor(string(args[1]))
		if !ok {
			ctx.fail(errCursor)
			return
		}
		next = ctx.Server.Store.ScanPrefix(ctx.Session.Database, string(request.prefix), cursor, request.count, page.add).String()
	} else {
		cursor, err := strconv.ParseUint(string(args[1]), 10, 64)
		if err != nil {
			ctx.fail(errCursor)
			return
		}
		next = strconv.FormatUint(ctx.Server.Store.Scan(ctx.Session.Database, cursor, request.count, page.add), 10)
	}
	if err := request.glob.problem(); err != nil {
		ctx.fail(err)
		return
	}
	ctx.W.Array(2)
	ctx.W.BulkString(next)
	ctx.W.Array(page.entries)
	ctx.W.Raw(page.out.Bytes())
}

func nstat(ctx *Context, args [][]byte) {
	c := ctx.Server.Store.Counters()
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
