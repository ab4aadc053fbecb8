package keyspace

import (
	"math"
	"strconv"
	"strings"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/store"
	"github.com/nexobroker/nexo/commands"
)

// genericSpecs are Redis' commands on keys of any kind, and those on whole databases.
func (f *Family) genericSpecs() []commands.Spec {
	specs := append(f.keySpecs(), f.expirySpecs()...)
	specs = append(specs, f.keyspaceSpecs()...)
	specs = append(specs, f.objectSpec())
	return commands.Described(specs, "generic", "", "keyspace")
}

func (f *Family) keySpecs() []commands.Spec {
	one, many := []commands.Argument{keyArgument}, []commands.Argument{keysArgument}
	names := []commands.Argument{keyArgument, {Name: "newkey", Type: "key"}}
	return []commands.Spec{
		{Name: "del", Since: "1.0.0", Arity: -2, Flags: commands.Write, Handler: f.del, Reply: ":n", Runs: commands.InLoop,
			Keys: commands.EveryKey(commands.RM|commands.Deletes, 1), Tips: commands.SumOfShards,
			Summary: "Deletes keys", Arguments: many},
		{Name: "unlink", Since: "4.0.0", Arity: -2, Flags: commands.Write | commands.Fast, Handler: f.del, Reply: ":n",
			Keys: commands.EveryKey(commands.RM|commands.Deletes, 1), Tips: commands.SumOfShards,
			Summary: "Deletes keys; the same as DEL", Arguments: many},
		{Name: "exists", Since: "1.0.0", Arity: -2, Flags: commands.ReadOnly | commands.Fast, Handler: f.exists, Reply: ":n",
			Keys: commands.EveryKey(commands.RO, 1), Tips: commands.SumOfShards,
			Summary: "Counts the keys that exist", Arguments: many},
		{Name: "touch", Since: "3.2.1", Arity: -2, Flags: commands.ReadOnly | commands.Fast, Handler: f.touch, Reply: ":n",
			Keys: commands.EveryKey(commands.RO, 1), Tips: commands.SumOfShards,
			Summary: "Counts as a use of keys, and counts those that exist", Arguments: many},
		{Name: "type", Since: "1.0.0", Arity: 2, Flags: commands.ReadOnly | commands.Fast, Handler: f.typeCommand, Reply: "+type",
			Keys:    commands.OneKey(commands.RO),
			Summary: "Returns the type of a key's value", Arguments: one},
		{Name: "rename", Since: "1.0.0", Arity: 3, Flags: commands.Write, Handler: f.rename, Reply: "+OK", Runs: commands.InLoop,
			Keys:    []commands.KeySpec{commands.Key(commands.RW|commands.Reads|commands.Deletes, 1), commands.Key(commands.OW|commands.Updates, 2)},
			Summary: "Renames a key, over what the new name holds", Arguments: names},
		{Name: "renamenx", Since: "1.0.0", Arity: 3, Flags: commands.Write | commands.Fast, Handler: f.renamenx, Reply: ":1 | :0",
			Keys:    []commands.KeySpec{commands.Key(commands.RW|commands.Reads|commands.Deletes, 1), commands.Key(commands.OW|commands.Inserts, 2)},
			Summary: "Renames a key, if the new name does not exist", Arguments: names},
		{Name: "copy", Since: "6.2.0", Arity: -3, Flags: commands.Write | commands.DenyOOM, Handler: f.copyCommand, Reply: ":1 | :0",
			Runs:    commands.InLoop,
			Keys:    []commands.KeySpec{commands.Key(commands.RO|commands.Reads, 1), commands.Key(commands.OW|commands.Updates, 2)},
			Summary: "Copies a key, to another database when asked",
			Arguments: []commands.Argument{{Name: "source", Type: "key"}, {Name: "destination", Type: "key"},
				{Name: "destination-db", Type: "integer", Token: "DB", Optional: true}, commands.Optional(commands.Token("REPLACE", "replace"))}},
	}
}

func (f *Family) expirySpecs() []commands.Spec {
	condition := commands.OneOf("condition", commands.Token("NX", "nx"), commands.Token("XX", "xx"), commands.Token("GT", "gt"),
		commands.Token("LT", "lt"))
	set := func(name, since, summary, argument, kind string, handler commands.Handler) commands.Spec {
		return commands.Spec{Name: name, Since: since, Arity: -3, Flags: commands.Write | commands.Fast, Handler: handler, Reply: ":1 | :0",
			Keys: commands.OneKey(commands.RW | commands.Updates), Summary: summary,
			Arguments: []commands.Argument{keyArgument, {Name: argument, Type: kind}, condition}}
	}
	ask := func(name, since, summary, reply, tips string, handler commands.Handler) commands.Spec {
		return commands.Spec{Name: name, Since: since, Arity: 2, Flags: commands.ReadOnly | commands.Fast, Handler: handler, Reply: reply,
			Keys: commands.OneKey(commands.RO | commands.Reads), Tips: tips, Summary: summary, Arguments: []commands.Argument{keyArgument}}
	}
	return []commands.Spec{
		set("expire", "1.0.0", "Sets the time to live of a key in seconds", "seconds", "integer", f.expire),
		set("pexpire", "2.6.0", "Sets the time to live of a key in milliseconds", "milliseconds", "integer", f.pexpire),
		set("expireat", "1.2.0", "Sets the Unix time at which a key expires", "unix-time-seconds", "unix-time", f.expireat),
		set("pexpireat", "2.6.0", "Sets the Unix time in milliseconds at which a key expires", "unix-time-milliseconds", "unix-time",
			f.pexpireat),
		ask("ttl", "1.0.0", "Returns the time to live of a key in seconds", ":s (-1 no expiry, -2 missing)", commands.VariesByItself, f.ttl),
		ask("pttl", "2.6.0", "Returns the time to live of a key in milliseconds", ":ms (-1 no expiry, -2 missing)", commands.VariesByItself,
			f.pttl),
		ask("expiretime", "7.0.0", "Returns the Unix time at which a key expires", ":s (-1 no expiry, -2 missing)", "", f.expiretime),
		ask("pexpiretime", "7.0.0", "Returns the Unix time in milliseconds at which a key expires", ":ms (-1 no expiry, -2 missing)", "",
			f.pexpiretime),
		{Name: "persist", Since: "2.2.0", Arity: 2, Flags: commands.Write | commands.Fast, Handler: f.persistCommand, Reply: ":1 | :0",
			Keys: commands.OneKey(commands.RW | commands.Updates), Summary: "Takes the expiry of a key away",
			Arguments: []commands.Argument{keyArgument}},
	}
}

func (f *Family) keyspaceSpecs() []commands.Spec {
	flush := []commands.Argument{{Name: "flush-type", Type: "oneof", Optional: true,
		Arguments: []commands.Argument{commands.Token("ASYNC", "async"), commands.Token("SYNC", "sync")}}}
	return []commands.Spec{
		{Name: "keys", Since: "1.0.0", Arity: 2, Flags: commands.ReadOnly, Handler: f.keysCommand, Reply: "*k key",
			Tips: commands.AllShards + " " + commands.VariesInOrder, Categories: "keyspace dangerous",
			Summary:   "Returns all keys that match a pattern; in production use SCAN",
			Arguments: []commands.Argument{{Name: "pattern", Type: "pattern"}}},
		{Name: "scan", Since: "2.8.0", Arity: -2, Flags: commands.ReadOnly, Handler: f.scan, Reply: "*2 $cursor *k key",
			Tips:    commands.VariesByItself + " request_policy:special",
			Summary: "Iterates over the keys of the database",
			Arguments: []commands.Argument{{Name: "cursor", Type: "integer"},
				{Name: "pattern", Type: "pattern", Token: "MATCH", Optional: true},
				{Name: "count", Type: "integer", Token: "COUNT", Optional: true},
				{Name: "type", Type: "string", Token: "TYPE", Optional: true}}},
		{Name: "randomkey", Since: "1.0.0", Arity: 1, Flags: commands.ReadOnly, Handler: f.randomkey, Reply: "$key | null",
			Tips:    commands.AllShards + " " + commands.VariesByItself,
			Summary: "Returns a key chosen at random"},
		{Name: "dbsize", Group: "server", Since: "1.0.0", Arity: 1, Flags: commands.ReadOnly | commands.Fast, Handler: f.dbsize, Reply: ":n",
			Tips: commands.AllShards + " response_policy:agg_sum", Categories: "keyspace",
			Summary: "Counts the keys of the database"},
		{Name: "flushdb", Group: "server", Since: "1.0.0", Arity: -1, Flags: commands.Write, Handler: f.flushdb, Reply: "+OK",
			Tips: commands.AllShards + " " + commands.AllSucceed, Categories: "keyspace dangerous",
			Summary: "Deletes all keys of the database; queues, streams and retained messages stay", Arguments: flush},
		{Name: "flushall", Group: "server", Since: "1.0.0", Arity: -1, Flags: commands.Write, Handler: f.flushall, Reply: "+OK",
			Tips: commands.AllShards + " " + commands.AllSucceed, Categories: "keyspace dangerous",
			Summary: "Deletes all keys of all databases; queues, streams and retained messages stay", Arguments: flush},
	}
}

func (f *Family) objectSpec() commands.Spec {
	sub := func(name, summary, reply string, handler commands.Handler) commands.Spec {
		return commands.Spec{Name: name, Arity: 3, Flags: commands.ReadOnly, Handler: handler, Reply: reply,
			Keys: []commands.KeySpec{commands.Key(commands.RO, 2)}, Tips: commands.VariesByItself, Summary: summary,
			Arguments: []commands.Argument{keyArgument}}
	}
	return commands.Spec{
		Name: "object", Since: "2.2.3", Arity: -2, Summary: "Tells how a value is kept",
		Subcommands: []commands.Spec{
			sub("encoding", "Returns the encoding that Redis would use for the value", "$encoding | null", f.objectEncoding),
			sub("freq", "Returns the use counter of a key, under an LFU policy", ":n | null", f.objectFreq),
			sub("idletime", "Returns the seconds since the last use of a key", ":s | null", f.objectIdletime),
			sub("refcount", "Returns the reference count of a value, always 1", ":1 | null", f.objectRefcount),
			{Name: "help", Since: "6.2.0", Arity: 2, Flags: commands.Loading | commands.Stale, Handler: f.objectHelp, Reply: "*k +line",
				Summary: "Describes the subcommands"},
		},
	}
}

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

func (f *Family) del(ctx *commands.Context, args [][]byte) {
	n, receipt := f.broker.Delete(ctx.Session.Database, args[1:])
	ctx.Number(int64(n), receipt, nil)
}

func (f *Family) exists(ctx *commands.Context, args [][]byte) {
	ctx.W.Int(int64(f.broker.Exists(ctx.Session.Database, args[1:])))
}

func (f *Family) touch(ctx *commands.Context, args [][]byte) {
	ctx.W.Int(int64(f.broker.Touch(ctx.Session.Database, args[1:])))
}

func (f *Family) typeCommand(ctx *commands.Context, args [][]byte) {
	info, found := f.broker.Inspect(ctx.Session.Database, args[1])
	if !found {
		ctx.W.SimpleString("none")
		return
	}
	ctx.W.SimpleString(info.Kind.String())
}

func (f *Family) rename(ctx *commands.Context, args [][]byte) {
	_, receipt, err := f.broker.Rename(ctx.Session.Database, args[1], args[2], false)
	ctx.Stored(receipt, err)
}

func (f *Family) renamenx(ctx *commands.Context, args [][]byte) {
	renamed, receipt, err := f.broker.Rename(ctx.Session.Database, args[1], args[2], true)
	ctx.Number(commands.BoolInt(renamed), receipt, err)
}

func (f *Family) copyCommand(ctx *commands.Context, args [][]byte) {
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
	ctx.Number(commands.BoolInt(copied), receipt, err)
}

func parseCopy(args [][]byte, current int) (database int, replace bool, err error) {
	database = current
	for i := 3; i < len(args); i++ {
		switch {
		case commands.Is(args[i], "REPLACE"):
			replace = true
		case commands.Is(args[i], "DB") && i+1 < len(args):
			i++
			n, ok := commands.ParseInt(args[i])
			if !ok || n < math.MinInt32 || n > math.MaxInt32 {
				return 0, false, commands.ErrNotInteger
			}
			if n < 0 || n >= store.Databases {
				return 0, false, errDatabase
			}
			database = int(n)
		default:
			return 0, false, commands.ErrSyntax
		}
	}
	return database, replace, nil
}

func (f *Family) expire(ctx *commands.Context, args [][]byte) {
	f.setExpiry(ctx, args, true, false, "expire")
}
func (f *Family) pexpire(ctx *commands.Context, args [][]byte) {
	f.setExpiry(ctx, args, false, false, "pexpire")
}
func (f *Family) expireat(ctx *commands.Context, args [][]byte) {
	f.setExpiry(ctx, args, true, true, "expireat")
}
func (f *Family) pexpireat(ctx *commands.Context, args [][]byte) {
	f.setExpiry(ctx, args, false, true, "pexpireat")
}

func (f *Family) setExpiry(ctx *commands.Context, args [][]byte, seconds, absolute bool, command string) {
	condition, err := parseExpireConditions(args[3:])
	if err != nil {
		ctx.Fail(err)
		return
	}
	n, ok := commands.ParseInt(args[2])
	if !ok {
		ctx.Fail(commands.ErrNotInteger)
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
	ctx.Number(commands.BoolInt(changed), receipt, nil)
}

func parseExpireConditions(words [][]byte) (c store.ExpireCondition, err error) {
	for _, word := range words {
		switch {
		case commands.Is(word, "NX"):
			c |= store.ExpireIfNone
		case commands.Is(word, "XX"):
			c |= store.ExpireIfAny
		case commands.Is(word, "GT"):
			c |= store.ExpireIfLater
		case commands.Is(word, "LT"):
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
func (f *Family) expiryOf(ctx *commands.Context, key []byte, absolute bool) int64 {
	info, found := f.broker.Inspect(ctx.Session.Database, key)
	switch {
	case !found:
		return -2
	case absolute:
		return info.ExpiresAt
	}
	return info.TTL
}

func (f *Family) ttl(ctx *commands.Context, args [][]byte) {
	ms := f.expiryOf(ctx, args[1], false)
	if ms >= 0 {
		ms = (ms + 500) / 1000 // to the nearest second, as Redis does
	}
	ctx.W.Int(ms)
}

func (f *Family) pttl(ctx *commands.Context, args [][]byte) {
	ctx.W.Int(f.expiryOf(ctx, args[1], false))
}

func (f *Family) expiretime(ctx *commands.Context, args [][]byte) {
	ms := f.expiryOf(ctx, args[1], true)
	if ms >= 0 {
		ms = (ms + 500) / 1000
	}
	ctx.W.Int(ms)
}

func (f *Family) pexpiretime(ctx *commands.Context, args [][]byte) {
	ctx.W.Int(f.expiryOf(ctx, args[1], true))
}

func (f *Family) persistCommand(ctx *commands.Context, args [][]byte) {
	changed, receipt := f.broker.Persist(ctx.Session.Database, args[1])
	ctx.Number(commands.BoolInt(changed), receipt, nil)
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

func (g keyGlob) matches(key []byte) bool { return g.Glob == nil || g.Match(string(key)) }

// problem is the error that a name could not be decided with.
func (g keyGlob) problem() error {
	if g.Glob == nil {
		return nil
	}
	return g.Err()
}

func (f *Family) keysCommand(ctx *commands.Context, args [][]byte) {
	glob := newKeyGlob(args[1])
	var found []string
	f.broker.Keys(ctx.Session.Database, func(key []byte) {
		if glob.matches(key) {
			found = append(found, string(key))
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
			return r, commands.ErrSyntax
		}
		word := args[i+1]
		switch {
		case commands.Is(args[i], "COUNT"):
			n, ok := commands.ParseInt(word)
			if !ok {
				return r, commands.ErrNotInteger
			}
			if n < 1 {
				return r, commands.ErrSyntax
			}
			r.count = int(min(n, scanCountMax))
		case commands.Is(args[i], "MATCH"):
			r.glob = newKeyGlob(word)
		case commands.Is(args[i], "TYPE"):
			r.kind = string(word)
		default:
			return r, commands.ErrSyntax
		}
	}
	return r, nil
}

func (f *Family) scan(ctx *commands.Context, args [][]byte) {
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
		found = append(found, string(item.Key))
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

func (f *Family) randomkey(ctx *commands.Context, args [][]byte) {
	key, found := f.broker.RandomKey(ctx.Session.Database)
	if !found {
		ctx.W.Null()
		return
	}
	ctx.W.BulkString(key)
}

func (f *Family) dbsize(ctx *commands.Context, args [][]byte) {
	ctx.W.Int(int64(f.broker.Size(ctx.Session.Database)))
}

// flushMode checks the one option of the flushes. Both ways are the same here: memory is freed behind the scenes.
func flushMode(args [][]byte) error {
	if len(args) > 2 || (len(args) == 2 && !commands.Is(args[1], "ASYNC") && !commands.Is(args[1], "SYNC")) {
		return commands.ErrSyntax
	}
	return nil
}

func (f *Family) flushdb(ctx *commands.Context, args [][]byte) {
	if err := flushMode(args); err != nil {
		ctx.Fail(err)
		return
	}
	ctx.Stored(f.broker.Flush(ctx.Session.Database), nil)
}

func (f *Family) flushall(ctx *commands.Context, args [][]byte) {
	if err := flushMode(args); err != nil {
		ctx.Fail(err)
		return
	}
	ctx.Stored(f.broker.FlushAll(), nil)
}

// inspect answers null for a missing key.
func (f *Family) inspect(ctx *commands.Context, key []byte) (info store.KeyInfo, found bool) {
	info, found = f.broker.Inspect(ctx.Session.Database, key)
	if !found {
		ctx.W.Null()
	}
	return info, found
}

func (f *Family) objectEncoding(ctx *commands.Context, args [][]byte) {
	if info, found := f.inspect(ctx, args[2]); found {
		ctx.W.BulkString(info.Encoding)
	}
}

func (f *Family) objectRefcount(ctx *commands.Context, args [][]byte) {
	if _, found := f.inspect(ctx, args[2]); found {
		ctx.W.Int(1)
	}
}

// underLFU tells whether use counters are kept instead of use times.
func (f *Family) underLFU(ctx *commands.Context) bool {
	_, policy := f.broker.MaxMemory()
	return policy == store.AllKeysLFU || policy == store.VolatileLFU
}

func (f *Family) objectFreq(ctx *commands.Context, args [][]byte) {
	info, found := f.inspect(ctx, args[2])
	switch {
	case !found:
	case !f.underLFU(ctx):
		ctx.Fail(errNotLFU)
	default:
		ctx.W.Int(int64(info.Frequency))
	}
}

func (f *Family) objectIdletime(ctx *commands.Context, args [][]byte) {
	info, found := f.inspect(ctx, args[2])
	switch {
	case !found:
	case f.underLFU(ctx):
		ctx.Fail(errLFU)
	default:
		ctx.W.Int(info.Idle)
	}
}

func (f *Family) objectHelp(ctx *commands.Context, args [][]byte) {
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
