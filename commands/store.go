package commands

// storeSpecs are our own words for the keyspace.
func (f *Keyspace) storeSpecs() []Spec {
	specs := append(f.storeValueSpecs(), f.storeKeySpecs()...)
	return Described(specs, "store", "1.0.0", "store")
}

func (f *Keyspace) storeValueSpecs() []Spec {
	const add = Write | DenyOOM
	pairs := Argument{Name: "data", Type: "block", Multiple: true, Arguments: []Argument{keyArgument, valueArgument}}
	return []Spec{
		{Name: "nset", Arity: -3, Flags: add, Handler: f.nset, Reply: "+OK | null (condition false) | old value with GET",
			Keys: setKeys(""), Runs: InLoop, Untimed: true,
			Summary: "Sets the string value of a key, on a condition when asked",
			Arguments: []Argument{keyArgument, valueArgument, setConditions(), Optional(Token("GET", "get")),
				expirationWith(Token("KEEPTTL", "keepttl"))}},
		{Name: "nget", Arity: -2, Flags: ReadOnly | Fast, Handler: f.nget, Reply: "$value | null; WITHTTL: *2 $value :pttl(-1) | null",
			Keys:      OneKey(RO | Reads),
			Summary:   "Returns the string value of a key",
			Arguments: []Argument{keyArgument, Optional(Token("WITHTTL", "withttl"))}},
		{Name: "nmget", Arity: -2, Flags: ReadOnly | Fast, Handler: f.mget, Reply: "*n $value | null",
			Keys:      EveryKey(RO|Reads, 1),
			Summary:   "Returns the string values of keys, as they are at one instant",
			Arguments: []Argument{keysArgument}},
		{Name: "nmset", Arity: -4, Flags: add, Handler: f.nmset, Reply: ":1 | :0 (condition false)", Runs: InLoop,
			Keys:    []KeySpec{{Access: OW | Updates, At: 1, Counted: true, Step: 2}},
			Summary: "Sets the string values of keys, all or none", Arguments: []Argument{
				{Name: "n", Type: "integer"}, pairs, OneOf("condition", Token("NX", "nx"), Token("XX", "xx")), expirationWith()}},
		{Name: "nincr", Arity: -2, Flags: add | Fast, Handler: f.nincr, Reply: ":new; BYFLOAT: $new",
			Keys:    OneKey(RW | Reads | Updates),
			Summary: "Adds to the number that a key holds, and sets its expiry",
			Arguments: []Argument{keyArgument,
				OneOf("amount", Argument{Name: "integer", Type: "integer", Token: "BY"}, Argument{Name: "float", Type: "double", Token: "BYFLOAT"}),
				{Name: "expiry", Type: "block", Optional: true, Arguments: []Argument{
					{Name: "time", Type: "oneof", Arguments: expireArguments}, Optional(Token("ENX", "enx"))}}}},
		{Name: "nlimit", Arity: -4, Flags: add | Fast, Handler: f.nlimit, Reply: "*4 :allowed :remaining :retry-ms(-1) :reset-ms",
			Keys:    OneKey(RW | Reads | Updates),
			Summary: "Asks a rate limiter (GCRA) whether something may happen now",
			Arguments: []Argument{keyArgument, {Name: "max", Type: "integer"}, {Name: "window", Type: "string"},
				{Name: "cost", Type: "integer", Token: "COST", Optional: true}}},
	}
}

// ndelKeys are all words, but for a single key with IFEQ.
func ndelKeys() []KeySpec {
	every := EveryKey(RM|Deletes, 1)[0]
	every.Exactly = func(command [][]byte) KeySpec {
		if deletesIfEqual(command) {
			return Key(RM|Reads|Deletes, 1)
		}
		return EveryKey(RM|Deletes, 1)[0]
	}
	return []KeySpec{every}
}

func (f *Keyspace) storeKeySpecs() []Spec {
	condition := OneOf("condition", Token("NX", "nx"), Token("XX", "xx"), Token("GT", "gt"), Token("LT", "lt"))
	return []Spec{
		{Name: "ndel", Arity: -2, Flags: Write, Handler: f.ndel, Reply: ":n", Runs: InLoop,
			Keys: ndelKeys(), Summary: "Deletes keys, or one key if it holds a value",
			Arguments: []Argument{keysArgument, {Name: "ifeq-value", Type: "string", Token: "IFEQ", Optional: true}}},
		{Name: "nexists", Arity: -2, Flags: ReadOnly | Fast, Handler: f.exists, Reply: ":n",
			Keys:    EveryKey(RO, 1),
			Summary: "Counts the keys that exist", Arguments: []Argument{keysArgument}},
		{Name: "nttl", Arity: 2, Flags: ReadOnly | Fast, Handler: f.pttl, Reply: ":ms (-1 no expiry, -2 missing)",
			Keys:      OneKey(RO | Reads),
			Summary:   "Returns the time to live of a key in milliseconds",
			Arguments: []Argument{keyArgument}},
		{Name: "nexpire", Arity: -3, Flags: Write | Fast, Handler: f.nexpire, Reply: ":0 | :1",
			Keys:      OneKey(RW | Updates),
			Summary:   "Sets the time to live of a key",
			Arguments: []Argument{keyArgument, {Name: "duration", Type: "string"}, condition}},
		{Name: "npersist", Arity: 2, Flags: Write | Fast, Handler: f.persistCommand, Reply: ":0 | :1",
			Keys:    OneKey(RW | Updates),
			Summary: "Takes the expiry of a key away", Arguments: []Argument{keyArgument}},
		{Name: "nscan", Arity: -2, Flags: ReadOnly, Handler: f.nscan, Reply: "*2 $cursor *k entry",
			Summary: "Iterates over keys, with values and times to live when asked; prefix pages are full until the end",
			Arguments: []Argument{{Name: "cursor", Type: "string"},
				OneOf("filter", Argument{Name: "prefix", Type: "string", Token: "PREFIX"}, Argument{Name: "pattern", Type: "pattern", Token: "MATCH"}),
				{Name: "count", Type: "integer", Token: "COUNT", Optional: true},
				{Name: "type", Type: "string", Token: "TYPE", Optional: true},
				Optional(Token("WITHVALUES", "withvalues")), Optional(Token("WITHTTL", "withttl"))}},
		{Name: "nstat", Arity: 1, Flags: ReadOnly, Handler: f.nstat, Reply: "map", Summary: "Returns the counters of the store"},
	}
}
