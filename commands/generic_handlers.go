package commands

import (
	"math"
	"strconv"
	"strings"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/store"
)

var (
	errCursor     = &brokers.Error{Code: "ERR", Message: "invalid cursor"}
	errDatabase   = &brokers.Error{Code: "ERR", Message: "DB index is out of range"}
	errSameObject = &brokers.Error{Code: "ERR", Message: "source and destination objects are the same"}
	errExpireNX   = &brokers.Error{Code: "ERR", Message: "NX and XX, GT or LT options at the same time are not compatible"}
	errExpireGTLT = &brokers.Error{Code: "ERR", Message: "GT and LT options at the same time are not compatible"}
	errNotLFU     = &brokers.Error{Code: "ERR", Message: "An LFU maxmemory policy is not selected, access frequency not tracked. " +
		"Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust."}
	errLFU = &brokers.Error{Code: "ERR", Message: "An LFU maxmemory policy is selected, idle time not tracked. " +
		"Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust."}
)

func (f *Keyspace) del(ctx *Context, args [][]byte) {
	n, receipt := f.broker.Delete(ctx.Session.Database, args[1:])
	ctx.Number(int64(n), receipt, nil)
}

func (f *Keyspace) exists(ctx *Context, args [][]byte) {
	ctx.W.Int(int64(f.broker.Exists(ctx.Session.Database, args[1:])))
}

func (f *Keyspace) touch(ctx *Context, args [][]byte) {
	ctx.W.Int(int64(f.broker.Touch(ctx.Session.Database, args[1:])))
}

func (f *Keyspace) typeCommand(ctx *Context, args [][]byte) {
	info, found := f.broker.Inspect(ctx.Session.Database, args[1])
	if !found {
		ctx.W.SimpleString("none")
		return
	}
	ctx.W.SimpleString(info.Kind.String())
}

func (f *Keyspace) rename(ctx *Context, args [][]byte) {
	_, receipt, err := f.broker.Rename(ctx.Session.Database, args[1], args[2], false)
	ctx.Stored(receipt, err)
}

func (f *Keyspace) renamenx(ctx *Context, args [][]byte) {
	renamed, receipt, err := f.broker.Rename(ctx.Session.Database, args[1], args[2], true)
	ctx.Number(BoolInt(renamed), receipt, err)
}

func (f *Keyspace) copyCommand(ctx *Context, args [][]byte) {
	database, replace, err := parseCopy(args, ctx.Session.Database)
	if err != nil {
		ctx.Fail(err)
		return
	}
	if database == ctx.Session.Database && string(args[1]) == string(args[2]) {
		ctx.Fail(errSameObject)
		return
	}
	copied, receipt, err := f.broker.Copy(ctx.Session.Database, args[1], database, args[2], replace)
	ctx.Number(BoolInt(copied), receipt, err)
}

func parseCopy(args [][]byte, current int) (database int, replace bool, err error) {
	database = current
	for i := 3; i < len(args); i++ {
		switch {
		case Is(args[i], "REPLACE"):
			replace = true
		case Is(args[i], "DB") && i+1 < len(args):
			i++
			n, ok := ParseInt(args[i])
			if !ok || n < math.MinInt32 || n > math.MaxInt32 {
				return 0, false, ErrNotInteger
			}
			if n < 0 || n >= store.Databases {
				return 0, false, errDatabase
			}
			database = int(n)
		default:
			return 0, false, ErrSyntax
		}
	}
	return database, replace, nil
}

func (f *Keyspace) expire(ctx *Context, args [][]byte) { f.setExpiry(ctx, args, true, false, "expire") }
func (f *Keyspace) pexpire(ctx *Context, args [][]byte) {
	f.setExpiry(ctx, args, false, false, "pexpire")
}
func (f *Keyspace) expireat(ctx *Context, args [][]byte) {
	f.setExpiry(ctx, args, true, true, "expireat")
}
func (f *Keyspace) pexpireat(ctx *Context, args [][]byte) {
	f.setExpiry(ctx, args, false, true, "pexpireat")
}

func (f *Keyspace) setExpiry(ctx *Context, args [][]byte, seconds, absolute bool, command string) {
	condition, err := parseExpireConditions(args[3:])
	if err != nil {
		ctx.Fail(err)
		return
	}
	n, ok := ParseInt(args[2])
	if !ok {
		ctx.Fail(ErrNotInteger)
		return
	}
	if seconds {
		if n > math.MaxInt64/1000 || n < math.MinInt64/1000 {
			ctx.Fail(errInvalidExpire(command))
			return
		}
		n *= 1000
	}
	expiry := store.Expiry{Mode: store.ExpireAt, At: n}
	if !absolute {
		if n > math.MaxInt64-ctx.Server.Clock.Now().UnixMilli() {
			ctx.Fail(errInvalidExpire(command))
			return
		}
		expiry.Mode = store.ExpireIn
	}
	changed, receipt := f.broker.Expire(ctx.Session.Database, args[1], expiry, condition)
	ctx.Number(BoolInt(changed), receipt, nil)
}

func parseExpireConditions(words [][]byte) (c store.ExpireCondition, err error) {
	for _, word := range words {
		switch {
		case Is(word, "NX"):
			c |= store.ExpireIfNone
		case Is(word, "XX"):
			c |= store.ExpireIfAny
		case Is(word, "GT"):
			c |= store.ExpireIfLater
		case Is(word, "LT"):
			c |= store.ExpireIfEarlier
		default:
			return 0, brokers.Errorf("ERR", "Unsupported option %s", word)
		}
	}
	switch {
	case c&store.ExpireIfNone != 0 && c != store.ExpireIfNone:
		return 0, errExpireNX
	case c&store.ExpireIfLater != 0 && c&store.ExpireIfEarlier != 0:
		return 0, errExpireGTLT
	}
	return c, nil
}

// expiryOf is a key's time to live, or the time it expires at, in milliseconds: -1 for never, -2 for a missing key.
func (f *Keyspace) expiryOf(ctx *Context, key []byte, absolute bool) int64 {
	info, found := f.broker.Inspect(ctx.Session.Database, key)
	switch {
	case !found:
		return -2
	case absolute:
		return info.ExpiresAt
	}
	return info.TTL
}

func (f *Keyspace) ttl(ctx *Context, args [][]byte) {
	ms := f.expiryOf(ctx, args[1], false)
	if ms >= 0 {
		ms = (ms + 500) / 1000 // to the nearest second, as Redis does
	}
	ctx.W.Int(ms)
}

func (f *Keyspace) pttl(ctx *Context, args [][]byte) { ctx.W.Int(f.expiryOf(ctx, args[1], false)) }

func (f *Keyspace) expiretime(ctx *Context, args [][]byte) {
	ms := f.expiryOf(ctx, args[1], true)
	if ms >= 0 {
		ms = (ms + 500) / 1000
	}
	ctx.W.Int(ms)
}

func (f *Keyspace) pexpiretime(ctx *Context, args [][]byte) {
	ctx.W.Int(f.expiryOf(ctx, args[1], true))
}

func (f *Keyspace) persistCommand(ctx *Context, args [][]byte) {
	changed, receipt := f.broker.Persist(ctx.Session.Database, args[1])
	ctx.Number(BoolInt(changed), receipt, nil)
}

// keyGlob is the glob of KEYS and SCAN: for them, as in Redis, a lone star stands for every key, the empty one included.
type keyGlob struct {
	*brokers.Glob // nil for every key
}

func newKeyGlob(pattern []byte) keyGlob {
	if string(pattern) == "*" {
		return keyGlob{}
	}
	return keyGlob{brokers.NewGlob(string(pattern))}
}

func (g keyGlob) matches(key string) bool { return g.Glob == nil || g.Match(key) }

// problem is the error that a name could not be decided with.
func (g keyGlob) problem() error {
	if g.Glob == nil {
		return nil
	}
	return g.Err()
}

func (f *Keyspace) keysCommand(ctx *Context, args [][]byte) {
	glob := newKeyGlob(args[1])
	var found []string
	f.broker.Keys(ctx.Session.Database, func(key string) {
		if glob.matches(key) {
			found = append(found, key)
		}
	})
	if err := glob.problem(); err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.Array(len(found))
	for _, key := range found {
		ctx.W.BulkString(key)
	}
}

// scanRequest is what the options of SCAN say.
type scanRequest struct {
	cursor uint64
	count  int
	glob   keyGlob // of every key without MATCH
	kind   string  // "" for all
}

// scanCountMax bounds how much one SCAN or NSCAN call returns.
const scanCountMax = 1_000_000

func parseScan(args [][]byte) (r scanRequest, err error) {
	r.count = 10
	cursor, cursorErr := strconv.ParseUint(string(args[1]), 10, 64)
	if cursorErr != nil {
		return r, errCursor
	}
	r.cursor = cursor
	for i := 2; i < len(args); i += 2 {
		if i+1 == len(args) {
			return r, ErrSyntax
		}
		word := args[i+1]
		switch {
		case Is(args[i], "COUNT"):
			n, ok := ParseInt(word)
			if !ok {
				return r, ErrNotInteger
			}
			if n < 1 {
				return r, ErrSyntax
			}
			r.count = int(min(n, scanCountMax))
		case Is(args[i], "MATCH"):
			r.glob = newKeyGlob(word)
		case Is(args[i], "TYPE"):
			r.kind = string(word)
		default:
			return r, ErrSyntax
		}
	}
	return r, nil
}

func (f *Keyspace) scan(ctx *Context, args [][]byte) {
	request, err := parseScan(args)
	if err != nil {
		ctx.Fail(err)
		return
	}
	var found []string
	next := f.broker.Scan(ctx.Session.Database, request.cursor, request.count, func(item store.Item) store.Verdict {
		if !request.takes(item) {
			return store.Passed
		}
		found = append(found, item.Key)
		return store.Taken
	})
	if err := request.glob.problem(); err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.Array(2)
	ctx.W.BulkUint(next)
	ctx.W.Array(len(found))
	for _, key := range found {
		ctx.W.BulkString(key)
	}
}

// takes tells whether a key is one that the scan asks for.
func (r *scanRequest) takes(item store.Item) bool {
	return (r.kind == "" || strings.EqualFold(item.Kind.String(), r.kind)) &&
		r.glob.matches(item.Key)
}

func (f *Keyspace) randomkey(ctx *Context, args [][]byte) {
	key, found := f.broker.RandomKey(ctx.Session.Database)
	if !found {
		ctx.W.Null()
		return
	}
	ctx.W.BulkString(key)
}

func (f *Keyspace) dbsize(ctx *Context, args [][]byte) {
	ctx.W.Int(int64(f.broker.Size(ctx.Session.Database)))
}

// flushMode checks the one option of the flushes. Both ways are the same here: memory is freed behind the scenes.
func flushMode(args [][]byte) error {
	if len(args) > 2 || (len(args) == 2 && !Is(args[1], "ASYNC") && !Is(args[1], "SYNC")) {
		return ErrSyntax
	}
	return nil
}

func (f *Keyspace) flushdb(ctx *Context, args [][]byte) {
	if err := flushMode(args); err != nil {
		ctx.Fail(err)
		return
	}
	ctx.Stored(f.broker.Flush(ctx.Session.Database), nil)
}

func (f *Keyspace) flushall(ctx *Context, args [][]byte) {
	if err := flushMode(args); err != nil {
		ctx.Fail(err)
		return
	}
	ctx.Stored(f.broker.FlushAll(), nil)
}

// inspect answers null for a missing key.
func (f *Keyspace) inspect(ctx *Context, key []byte) (info store.KeyInfo, found bool) {
	info, found = f.broker.Inspect(ctx.Session.Database, key)
	if !found {
		ctx.W.Null()
	}
	return info, found
}

func (f *Keyspace) objectEncoding(ctx *Context, args [][]byte) {
	if info, found := f.inspect(ctx, args[2]); found {
		ctx.W.BulkString(info.Encoding)
	}
}

func (f *Keyspace) objectRefcount(ctx *Context, args [][]byte) {
	if _, found := f.inspect(ctx, args[2]); found {
		ctx.W.Int(1)
	}
}

// underLFU tells whether use counters are kept instead of use times.
func (f *Keyspace) underLFU(ctx *Context) bool {
	_, policy := f.broker.MaxMemory()
	return policy == store.AllKeysLFU || policy == store.VolatileLFU
}

func (f *Keyspace) objectFreq(ctx *Context, args [][]byte) {
	info, found := f.inspect(ctx, args[2])
	switch {
	case !found:
	case !f.underLFU(ctx):
		ctx.Fail(errNotLFU)
	default:
		ctx.W.Int(int64(info.Frequency))
	}
}

func (f *Keyspace) objectIdletime(ctx *Context, args [][]byte) {
	info, found := f.inspect(ctx, args[2])
	switch {
	case !found:
	case f.underLFU(ctx):
		ctx.Fail(errLFU)
	default:
		ctx.W.Int(info.Idle)
	}
}

func (f *Keyspace) objectHelp(ctx *Context, args [][]byte) {
	lines := []string{
		"OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
		"ENCODING <key>",
		"    Return the kind of internal representation used in order to store the value",
		"    associated with a <key>.",
		"FREQ <key>",
		"    Return the access frequency index of the <key>. The returned integer is",
		"    proportional to the logarithm of the recent access frequency of the key.",
		"IDLETIME <key>",
		"    Return the idle time of the <key>, that is the approximated number of",
		"    seconds elapsed since the last access to the key.",
		"REFCOUNT <key>",
		"    Return the number of references of the value associated with the specified",
		"    <key>.",
		"HELP",
		"    Prints this help.",
	}
	ctx.W.Array(len(lines))
	for _, line := range lines {
		ctx.W.SimpleString(line)
	}
}
