package commands

// genericSpecs are Redis' commands on keys of any kind, and those on whole databases.
func (f *Keyspace) genericSpecs() []Spec {
	specs := append(f.keySpecs(), f.expirySpecs()...)
	specs = append(specs, f.keyspaceSpecs()...)
	specs = append(specs, f.objectSpec())
	return Described(specs, "generic", "", "keyspace")
}

func (f *Keyspace) keySpecs() []Spec {
	one, many := []Argument{keyArgument}, []Argument{keysArgument}
	names := []Argument{keyArgument, {Name: "newkey", Type: "key"}}
	return []Spec{
		{Name: "del", Since: "1.0.0", Arity: -2, Flags: Write, Handler: f.del, Reply: ":n", Runs: InLoop,
			Keys: EveryKey(RM|Deletes, 1), Tips: SumOfShards,
			Summary: "Deletes keys", Arguments: many},
		{Name: "unlink", Since: "4.0.0", Arity: -2, Flags: Write | Fast, Handler: f.del, Reply: ":n",
			Keys: EveryKey(RM|Deletes, 1), Tips: SumOfShards,
			Summary: "Deletes keys; the same as DEL", Arguments: many},
		{Name: "exists", Since: "1.0.0", Arity: -2, Flags: ReadOnly | Fast, Handler: f.exists, Reply: ":n",
			Keys: EveryKey(RO, 1), Tips: SumOfShards,
			Summary: "Counts the keys that exist", Arguments: many},
		{Name: "touch", Since: "3.2.1", Arity: -2, Flags: ReadOnly | Fast, Handler: f.touch, Reply: ":n",
			Keys: EveryKey(RO, 1), Tips: SumOfShards,
			Summary: "Counts as a use of keys, and counts those that exist", Arguments: many},
		{Name: "type", Since: "1.0.0", Arity: 2, Flags: ReadOnly | Fast, Handler: f.typeCommand, Reply: "+type",
			Keys:    OneKey(RO),
			Summary: "Returns the type of a key's value", Arguments: one},
		{Name: "rename", Since: "1.0.0", Arity: 3, Flags: Write, Handler: f.rename, Reply: "+OK", Runs: InLoop,
			Keys:    []KeySpec{Key(RW|Reads|Deletes, 1), Key(OW|Updates, 2)},
			Summary: "Renames a key, over what the new name holds", Arguments: names},
		{Name: "renamenx", Since: "1.0.0", Arity: 3, Flags: Write | Fast, Handler: f.renamenx, Reply: ":1 | :0",
			Keys:    []KeySpec{Key(RW|Reads|Deletes, 1), Key(OW|Inserts, 2)},
			Summary: "Renames a key, if the new name does not exist", Arguments: names},
		{Name: "copy", Since: "6.2.0", Arity: -3, Flags: Write | DenyOOM, Handler: f.copyCommand, Reply: ":1 | :0", Runs: InLoop,
			Keys:    []KeySpec{Key(RO|Reads, 1), Key(OW|Updates, 2)},
			Summary: "Copies a key, to another database when asked",
			Arguments: []Argument{{Name: "source", Type: "key"}, {Name: "destination", Type: "key"},
				{Name: "destination-db", Type: "integer", Token: "DB", Optional: true}, Optional(Token("REPLACE", "replace"))}},
	}
}

func (f *Keyspace) expirySpecs() []Spec {
	condition := OneOf("condition", Token("NX", "nx"), Token("XX", "xx"), Token("GT", "gt"), Token("LT", "lt"))
	set := func(name, since, summary, argument, kind string, handler Handler) Spec {
		return Spec{Name: name, Since: since, Arity: -3, Flags: Write | Fast, Handler: handler, Reply: ":1 | :0",
			Keys: OneKey(RW | Updates), Summary: summary,
			Arguments: []Argument{keyArgument, {Name: argument, Type: kind}, condition}}
	}
	ask := func(name, since, summary, reply, tips string, handler Handler) Spec {
		return Spec{Name: name, Since: since, Arity: 2, Flags: ReadOnly | Fast, Handler: handler, Reply: reply,
			Keys: OneKey(RO | Reads), Tips: tips, Summary: summary, Arguments: []Argument{keyArgument}}
	}
	return []Spec{
		set("expire", "1.0.0", "Sets the time to live of a key in seconds", "seconds", "integer", f.expire),
		set("pexpire", "2.6.0", "Sets the time to live of a key in milliseconds", "milliseconds", "integer", f.pexpire),
		set("expireat", "1.2.0", "Sets the Unix time at which a key expires", "unix-time-seconds", "unix-time", f.expireat),
		set("pexpireat", "2.6.0", "Sets the Unix time in milliseconds at which a key expires", "unix-time-milliseconds", "unix-time", f.pexpireat),
		ask("ttl", "1.0.0", "Returns the time to live of a key in seconds", ":s (-1 no expiry, -2 missing)", VariesByItself, f.ttl),
		ask("pttl", "2.6.0", "Returns the time to live of a key in milliseconds", ":ms (-1 no expiry, -2 missing)", VariesByItself, f.pttl),
		ask("expiretime", "7.0.0", "Returns the Unix time at which a key expires", ":s (-1 no expiry, -2 missing)", "", f.expiretime),
		ask("pexpiretime", "7.0.0", "Returns the Unix time in milliseconds at which a key expires", ":ms (-1 no expiry, -2 missing)", "", f.pexpiretime),
		{Name: "persist", Since: "2.2.0", Arity: 2, Flags: Write | Fast, Handler: f.persistCommand, Reply: ":1 | :0",
			Keys: OneKey(RW | Updates), Summary: "Takes the expiry of a key away", Arguments: []Argument{keyArgument}},
	}
}

func (f *Keyspace) keyspaceSpecs() []Spec {
	flush := []Argument{{Name: "flush-type", Type: "oneof", Optional: true,
		Arguments: []Argument{Token("ASYNC", "async"), Token("SYNC", "sync")}}}
	return []Spec{
		{Name: "keys", Since: "1.0.0", Arity: 2, Flags: ReadOnly, Handler: f.keysCommand, Reply: "*k key",
			Tips: AllShards + " " + VariesInOrder, Categories: "keyspace dangerous",
			Summary:   "Returns all keys that match a pattern; in production use SCAN",
			Arguments: []Argument{{Name: "pattern", Type: "pattern"}}},
		{Name: "scan", Since: "2.8.0", Arity: -2, Flags: ReadOnly, Handler: f.scan, Reply: "*2 $cursor *k key",
			Tips:    VariesByItself + " request_policy:special",
			Summary: "Iterates over the keys of the database",
			Arguments: []Argument{{Name: "cursor", Type: "integer"},
				{Name: "pattern", Type: "pattern", Token: "MATCH", Optional: true},
				{Name: "count", Type: "integer", Token: "COUNT", Optional: true},
				{Name: "type", Type: "string", Token: "TYPE", Optional: true}}},
		{Name: "randomkey", Since: "1.0.0", Arity: 1, Flags: ReadOnly, Handler: f.randomkey, Reply: "$key | null",
			Tips:    AllShards + " " + VariesByItself,
			Summary: "Returns a key chosen at random"},
		{Name: "dbsize", Group: "server", Since: "1.0.0", Arity: 1, Flags: ReadOnly | Fast, Handler: f.dbsize, Reply: ":n",
			Tips: AllShards + " response_policy:agg_sum", Categories: "keyspace",
			Summary: "Counts the keys of the database"},
		{Name: "flushdb", Group: "server", Since: "1.0.0", Arity: -1, Flags: Write, Handler: f.flushdb, Reply: "+OK",
			Tips: AllShards + " " + AllSucceed, Categories: "keyspace dangerous",
			Summary: "Deletes all keys of the database; queues, streams and retained messages stay", Arguments: flush},
		{Name: "flushall", Group: "server", Since: "1.0.0", Arity: -1, Flags: Write, Handler: f.flushall, Reply: "+OK",
			Tips: AllShards + " " + AllSucceed, Categories: "keyspace dangerous",
			Summary: "Deletes all keys of all databases; queues, streams and retained messages stay", Arguments: flush},
	}
}

func (f *Keyspace) objectSpec() Spec {
	sub := func(name, summary, reply string, handler Handler) Spec {
		return Spec{Name: name, Arity: 3, Flags: ReadOnly, Handler: handler, Reply: reply,
			Keys: []KeySpec{Key(RO, 2)}, Tips: VariesByItself, Summary: summary, Arguments: []Argument{keyArgument}}
	}
	return Spec{
		Name: "object", Since: "2.2.3", Arity: -2, Summary: "Tells how a value is kept",
		Subcommands: []Spec{
			sub("encoding", "Returns the encoding that Redis would use for the value", "$encoding | null", f.objectEncoding),
			sub("freq", "Returns the use counter of a key, under an LFU policy", ":n | null", f.objectFreq),
			sub("idletime", "Returns the seconds since the last use of a key", ":s | null", f.objectIdletime),
			sub("refcount", "Returns the reference count of a value, always 1", ":1 | null", f.objectRefcount),
			{Name: "help", Since: "6.2.0", Arity: 2, Flags: Loading | Stale, Handler: f.objectHelp, Reply: "*k +line",
				Summary: "Describes the subcommands"},
		},
	}
}
