package commands

import "slices"

// Arguments that many commands of the keyspace share.
var (
	keyArgument     = Argument{Name: "key", Type: "key"}
	keysArgument    = Argument{Name: "key", Type: "key", Multiple: true}
	valueArgument   = Argument{Name: "value", Type: "string"}
	expireArguments = []Argument{
		{Name: "seconds", Type: "integer", Token: "EX"},
		{Name: "milliseconds", Type: "integer", Token: "PX"},
		{Name: "unix-time-seconds", Type: "unix-time", Token: "EXAT"},
		{Name: "unix-time-milliseconds", Type: "unix-time", Token: "PXAT"},
	}
)

// expirationWith is the choice of expiry options and one more.
func expirationWith(more ...Argument) Argument {
	return OneOf("expiration", append(append([]Argument(nil), expireArguments...), more...)...)
}

// setConditions are the conditions of SET and NSET.
func setConditions() Argument {
	return OneOf("condition", Token("NX", "nx"), Token("XX", "xx"),
		Argument{Name: "ifeq-value", Type: "string", Token: "IFEQ"},
		Argument{Name: "ifne-value", Type: "string", Token: "IFNE"})
}

// setKeys are those of SET and NSET, which read what they overwrite only with GET.
func setKeys(note string) []KeySpec {
	return []KeySpec{{Access: RW | Reads | Updates | Varies, Note: note, At: 1, Exactly: func(command [][]byte) KeySpec {
		if slices.ContainsFunc(command[min(3, len(command)):], func(word []byte) bool { return Is(word, "GET") }) {
			return Key(RW|Reads|Updates, 1)
		}
		return Key(OW|Updates, 1)
	}}}
}

// stringSpecs are Redis' commands on strings.
func (f *Keyspace) stringSpecs() []Spec {
	specs := append(f.stringReadSpecs(), f.stringWriteSpecs()...)
	specs = append(specs, f.counterSpecs()...)
	return Described(specs, "string", "", "string")
}

func (f *Keyspace) stringReadSpecs() []Spec {
	start, end := Argument{Name: "start", Type: "integer"}, Argument{Name: "end", Type: "integer"}
	return []Spec{
		{Name: "get", Since: "1.0.0", Arity: 2, Flags: ReadOnly | Fast, Handler: f.get, Reply: "$value | null",
			Keys:    OneKey(RO | Reads),
			Summary: "Returns the string value of a key", Arguments: []Argument{keyArgument}},
		{Name: "mget", Since: "1.0.0", Arity: -2, Flags: ReadOnly | Fast, Handler: f.mget, Reply: "*n $value | null",
			Keys: EveryKey(RO|Reads, 1), Tips: MultiShard,
			Summary:   "Returns the string values of keys, as they are at one instant",
			Arguments: []Argument{keysArgument}},
		{Name: "strlen", Since: "2.2.0", Arity: 2, Flags: ReadOnly | Fast, Handler: f.strlen, Reply: ":n",
			Keys:    OneKey(RO),
			Summary: "Returns the length of a string", Arguments: []Argument{keyArgument}},
		{Name: "getrange", Since: "2.4.0", Arity: 4, Flags: ReadOnly, Handler: f.getrange, Reply: "$part",
			Keys: OneKey(RO | Reads), Runs: InLoop,
			Summary: "Returns a part of a string", Arguments: []Argument{keyArgument, start, end}},
		{Name: "substr", Since: "1.0.0", Arity: 4, Flags: ReadOnly, Handler: f.getrange, Reply: "$part",
			Keys: OneKey(RO | Reads), Runs: InLoop,
			Summary: "Returns a part of a string; the old name of GETRANGE", Arguments: []Argument{keyArgument, start, end}},
	}
}

func (f *Keyspace) stringWriteSpecs() []Spec {
	pairs := Argument{Name: "data", Type: "block", Multiple: true, Arguments: []Argument{keyArgument, valueArgument}}
	const add = Write | DenyOOM
	return []Spec{
		{Name: "set", Since: "1.0.0", Arity: -3, Flags: add, Handler: f.setCommand, Reply: "+OK | null | old value with GET",
			Keys: setKeys("RW and ACCESS due to the optional `GET` argument"), Runs: InLoop, Untimed: true,
			Summary: "Sets the string value of a key, whatever it held",
			Arguments: []Argument{keyArgument, valueArgument, setConditions(), Optional(Token("GET", "get")),
				expirationWith(Token("KEEPTTL", "keepttl"))}},
		{Name: "setnx", Since: "1.0.0", Arity: 3, Flags: add | Fast, Handler: f.setnx, Reply: ":1 | :0",
			Keys:    OneKey(OW | Inserts),
			Summary: "Sets the string value of a key that does not exist", Arguments: []Argument{keyArgument, valueArgument}},
		{Name: "setex", Since: "2.0.0", Arity: 4, Flags: add, Handler: f.setex, Reply: "+OK",
			Keys: OneKey(OW | Updates), Runs: InLoop, Untimed: true,
			Summary:   "Sets the string value and the time to live of a key",
			Arguments: []Argument{keyArgument, {Name: "seconds", Type: "integer"}, valueArgument}},
		{Name: "psetex", Since: "2.6.0", Arity: 4, Flags: add, Handler: f.psetex, Reply: "+OK",
			Keys: OneKey(OW | Updates), Runs: InLoop, Untimed: true,
			Summary:   "Sets the string value and the time to live in milliseconds of a key",
			Arguments: []Argument{keyArgument, {Name: "milliseconds", Type: "integer"}, valueArgument}},
		{Name: "getset", Since: "1.0.0", Arity: 3, Flags: add | Fast, Handler: f.getset, Reply: "$old | null",
			Keys:    OneKey(RW | Reads | Updates),
			Summary: "Sets the string value of a key and returns the old one", Arguments: []Argument{keyArgument, valueArgument}},
		{Name: "getdel", Since: "6.2.0", Arity: 2, Flags: Write | Fast, Handler: f.getdel, Reply: "$value | null",
			Keys:    OneKey(RW | Reads | Deletes),
			Summary: "Returns the string value of a key and deletes it", Arguments: []Argument{keyArgument}},
		{Name: "getex", Since: "6.2.0", Arity: -2, Flags: Write | Fast, Handler: f.getex, Reply: "$value | null",
			Keys:      []KeySpec{{Access: RW | Reads | Updates, At: 1, Note: "RW and UPDATE because it changes the TTL"}},
			Summary:   "Returns the string value of a key and sets its time to live",
			Arguments: []Argument{keyArgument, expirationWith(Token("PERSIST", "persist"))}},
		{Name: "mset", Since: "1.0.1", Arity: -3, Flags: add, Handler: f.mset, Reply: "+OK", Runs: InLoop,
			Keys: EveryKey(OW|Updates, 2), Tips: MultiShard + " " + AllSucceed,
			Summary: "Sets the string values of keys, all at once", Arguments: []Argument{pairs}},
		{Name: "msetnx", Since: "1.0.1", Arity: -3, Flags: add, Handler: f.msetnx, Reply: ":1 | :0", Runs: InLoop,
			Keys: EveryKey(OW|Inserts, 2), Tips: MultiShard + " response_policy:agg_min",
			Summary: "Sets the string values of keys, if none of them exists", Arguments: []Argument{pairs}},
		{Name: "append", Since: "2.0.0", Arity: 3, Flags: add | Fast, Handler: f.appendCommand, Reply: ":length",
			Keys:    OneKey(RW | Inserts),
			Summary: "Appends to a string, making it when missing", Arguments: []Argument{keyArgument, valueArgument}},
		{Name: "setrange", Since: "2.2.0", Arity: 4, Flags: add, Handler: f.setrange, Reply: ":length",
			Keys: OneKey(RW | Updates), Runs: InLoop, Untimed: true,
			Summary:   "Overwrites a part of a string, making it when missing",
			Arguments: []Argument{keyArgument, {Name: "offset", Type: "integer"}, valueArgument}},
	}
}

func (f *Keyspace) counterSpecs() []Spec {
	const flags = Write | DenyOOM | Fast
	return []Spec{
		{Name: "incr", Since: "1.0.0", Arity: 2, Flags: flags, Handler: f.incr, Reply: ":new",
			Keys:    OneKey(RW | Reads | Updates),
			Summary: "Adds 1 to the integer value of a key, 0 when missing", Arguments: []Argument{keyArgument}},
		{Name: "decr", Since: "1.0.0", Arity: 2, Flags: flags, Handler: f.decr, Reply: ":new",
			Keys:    OneKey(RW | Reads | Updates),
			Summary: "Takes 1 from the integer value of a key, 0 when missing", Arguments: []Argument{keyArgument}},
		{Name: "incrby", Since: "1.0.0", Arity: 3, Flags: flags, Handler: f.incrby, Reply: ":new",
			Keys:      OneKey(RW | Reads | Updates),
			Summary:   "Adds to the integer value of a key, 0 when missing",
			Arguments: []Argument{keyArgument, {Name: "increment", Type: "integer"}}},
		{Name: "decrby", Since: "1.0.0", Arity: 3, Flags: flags, Handler: f.decrby, Reply: ":new",
			Keys:      OneKey(RW | Reads | Updates),
			Summary:   "Takes from the integer value of a key, 0 when missing",
			Arguments: []Argument{keyArgument, {Name: "decrement", Type: "integer"}}},
		{Name: "incrbyfloat", Since: "2.6.0", Arity: 3, Flags: flags, Handler: f.incrbyfloat, Reply: "$new",
			Keys:      OneKey(RW | Reads | Updates),
			Summary:   "Adds to the floating point value of a key, 0 when missing",
			Arguments: []Argument{keyArgument, {Name: "increment", Type: "double"}}},
	}
}
