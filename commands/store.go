package commands

// storeSpecs are our own words for the keyspace.
func (s *Server) storeSpecs() []Spec {
	specs := append(s.storeValueSpecs(), s.storeKeySpecs()...)
	for i := range specs {
		specs[i].Group = "store"
		specs[i].Since = "1.0.0"
	}
	return specs
}

func (s *Server) storeValueSpecs() []Spec {
	const add = Write | DenyOOM
	pairs := Argument{Name: "data", Type: "block", Multiple: true, Arguments: []Argument{keyArgument, valueArgument}}
	return []Spec{
		{Name: "nset", Arity: -3, Flags: add, Handler: nset, Reply: "+OK | null (condition false) | old value with GET",
			FirstKey: 1, LastKey: 1, KeyStep: 1, Summary: "Sets the string value of a key, on a condition when asked",
			Arguments: []Argument{keyArgument, valueArgument, setConditions(), optional(token("GET", "get")),
				expirationWith(token("KEEPTTL", "keepttl"))}},
		{Name: "nget", Arity: -2, Flags: ReadOnly | Fast, Handler: nget, Reply: "$value | null; WITHTTL: *2 $value :pttl(-1) | null",
			FirstKey: 1, LastKey: 1, KeyStep: 1, Summary: "Returns the string value of a key",
			Arguments: []Argument{keyArgument, optional(token("WITHTTL", "withttl"))}},
		{Name: "nmget", Arity: -2, Flags: ReadOnly | Fast, Handler: mget, Reply: "*n $value | null",
			FirstKey: 1, LastKey: -1, KeyStep: 1, Summary: "Returns the string values of keys, as they are at one instant",
			Arguments: []Argument{keysArgument}},
		// The keys follow a count and may be followed by options: they are not at fixed places.
		{Name: "nmset", Arity: -4, Flags: add, KeyCount: 1, KeyStep: 2, Handler: nmset, Reply: ":1 | :0 (condition false)",
			Summary: "Sets the string values of keys, all or none", Arguments: []Argument{
				{Name: "n", Type: "integer"}, pairs, oneOf("condition", token("NX", "nx"), token("XX", "xx")), expirationWith()}},
		{Name: "nincr", Arity: -2, Flags: add | Fast, Handler: nincr, Reply: ":new; BYFLOAT: $new",
			FirstKey: 1, LastKey: 1, KeyStep: 1, Summary: "Adds to the number that a key holds, and sets its expiry",
			Arguments: []Argument{keyArgument,
				oneOf("amount", Argument{Name: "integer", Type: "integer", Token: "BY"}, Argument{Name: "float", Type: "double", Token: "BYFLOAT"}),
				{Name: "expiry", Type: "block", Optional: true, Arguments: []Argument{
					{Name: "time", Type: "oneof", Arguments: expireArguments}, optional(token("ENX", "enx"))}}}},
		{Name: "nlimit", Arity: -4, Flags: add | Fast, Handler: nlimit, Reply: "*4 :allowed :remaining :retry-ms(-1) :reset-ms",
			FirstKey: 1, LastKey: 1, KeyStep: 1, Summary: "Asks a rate limiter (GCRA) whether something may happen now",
			Arguments: []Argument{keyArgument, {Name: "max", Type: "integer"}, {Name: "window", Type: "string"},
				{Name: "cost", Type: "integer", Token: "COST", Optional: true}}},
	}
}

func (s *Server) storeKeySpecs() []Spec {
	condition := oneOf("condition", token("NX", "nx"), token("XX", "xx"), token("GT", "gt"), token("LT", "lt"))
	return []Spec{
		{Name: "ndel", Arity: -2, Flags: Write, Handler: ndel, Reply: ":n",
			FirstKey: 1, LastKey: -1, KeyStep: 1, Summary: "Deletes keys, or one key if it holds a value",
			Arguments: []Argument{keysArgument, {Name: "ifeq-value", Type: "string", Token: "IFEQ", Optional: true}}},
		{Name: "nexists", Arity: -2, Flags: ReadOnly | Fast, Handler: exists, Reply: ":n",
			FirstKey: 1, LastKey: -1, KeyStep: 1, Summary: "Counts the keys that exist", Arguments: []Argument{keysArgument}},
		{Name: "nttl", Arity: 2, Flags: ReadOnly | Fast, Handler: pttl, Reply: ":ms (-1 no expiry, -2 missing)",
			FirstKey: 1, LastKey: 1, KeyStep: 1, Summary: "Returns the time to live of a key in milliseconds",
			Arguments: []Argument{keyArgument}},
		{Name: "nexpire", Arity: -3, Flags: Write | Fast, Handler: nexpire, Reply: ":0 | :1",
			FirstKey: 1, LastKey: 1, KeyStep: 1, Summary: "Sets the time to live of a key",
			Arguments: []Argument{keyArgument, {Name: "duration", Type: "string"}, condition}},
		{Name: "npersist", Arity: 2, Flags: Write | Fast, Handler: persistCommand, Reply: ":0 | :1",
			FirstKey: 1, LastKey: 1, KeyStep: 1, Summary: "Takes the expiry of a key away", Arguments: []Argument{keyArgument}},
		{Name: "nscan", Arity: -2, Flags: ReadOnly, Handler: nscan, Reply: "*2 $cursor *k entry",
			Summary: "Iterates over keys, with values and times to live when asked; prefix pages are full until the end",
			Arguments: []Argument{{Name: "cursor", Type: "string"},
				oneOf("filter", Argument{Name: "prefix", Type: "string", Token: "PREFIX"}, Argument{Name: "pattern", Type: "pattern", Token: "MATCH"}),
				{Name: "count", Type: "integer", Token: "COUNT", Optional: true},
				{Name: "type", Type: "string", Token: "TYPE", Optional: true},
				optional(token("WITHVALUES", "withvalues")), optional(token("WITHTTL", "withttl"))}},
		{Name: "nstat", Arity: 1, Flags: ReadOnly, Handler: nstat, Reply: "map", Summary: "Returns the counters of the store"},
	}
}
