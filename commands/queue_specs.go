package commands

import (
	"github.com/nexobroker/nexo/brokers"
)

var errInvalidQueueCursor = &brokers.Error{Code: "ERR", Message: "invalid cursor"}

func pushArguments() []Argument {
	return []Argument{
		Option("PRIORITY", "priority", "integer"),
		{Name: "due", Type: "oneof", Optional: true, Arguments: []Argument{
			{Name: "delay", Type: "string", Token: "DELAY"}, {Name: "unix-time-ms", Type: "unix-time", Token: "AT"}}},
		Option("TTL", "ttl", "string"), Option("MAXATTEMPTS", "attempts", "integer"), Option("LEASE", "lease", "string"),
	}
}

func popArguments() []Argument {
	return []Argument{
		Option("COUNT", "count", "integer"), Option("BLOCK", "timeout", "string"), Option("LEASE", "lease", "string"),
		Toggle("BIND"), Toggle("META"),
	}
}

func createArguments() []Argument {
	return []Argument{
		Word("queue", "key"), Option("LEASE", "lease", "string"), Option("MAXATTEMPTS", "attempts", "integer"),
		{Name: "backoff", Type: "oneof", Token: "BACKOFF", Optional: true, Arguments: []Argument{
			{Name: "none", Type: "pure-token", Token: "NONE"},
			{Name: "fixed", Type: "string", Token: "FIXED"},
			{Name: "exponential", Type: "block", Arguments: []Argument{
				{Name: "base", Type: "string", Token: "EXP"}, {Name: "max", Type: "string"}}},
		}},
		Option("JITTER", "percent", "integer"), Option("DELAY", "delay", "string"), Option("TTL", "ttl", "string"),
		Choice("DLQ", "dlq", "ON", "OFF"), Option("DLQTTL", "dlqttl", "string"), Option("MAXLEN", "jobs", "integer"),
		Choice("OVERFLOW", "overflow", "REJECT", "DROPOLDEST"), Option("DEDUPWINDOW", "window", "string"),
		Choice("SYNC", "sync", "ALWAYS", "INTERVAL", "NEVER"), Toggle("IFNX"),
	}
}

func (f *Queues) queueSpecs() []Spec {
	specs := append(f.jobSpecs(), f.queueAdminSpecs()...)
	return Described(GatedUnlessSaid(specs), "queue", "0.1.0", "queue")
}

// jobSpecs are the commands of producers and consumers.
func (f *Queues) jobSpecs() []Spec {
	q, handles := Word("queue", "key"), Many(Word("handle", "string"))
	return []Spec{
		{
			Name: "qpush", Summary: "Adds a job to a queue, and makes the queue if need be", Reply: "$id | *2 $id :1|:0 with DEDUP",
			Arity: -3, Flags: Write | Fast, Keys: OneKey(RW | Inserts), Handler: f.qpush,
			Arguments: append([]Argument{q, Word("payload", "string")},
				append(pushArguments(), Option("DEDUP", "key", "string"), Toggle("NOMKQ"))...),
		},
		{
			Name: "qmpush", Summary: "Adds several jobs to a queue, all or none; behind DEDUP stands a key for each payload", Reply: "*n $id",
			Arity: -4, Flags: Write, Keys: OneKey(RW | Inserts), Handler: f.qmpush, Runs: InLoop, Untimed: true,
			Arguments: append([]Argument{q, Word("n", "integer"), Many(Word("payload", "string"))},
				append(pushArguments(), Many(Option("DEDUP", "key", "string")), Toggle("NOMKQ"))...),
		},
		{
			Name: "qpop", Summary: "Leases jobs of a queue, highest priority first, then oldest first",
			Reply: "*k *3 $handle $payload :attempt | null",
			Arity: -2, Flags: Write | Blocking | Fast, Keys: OneKey(RW | Reads | Updates), Handler: f.qpop,
			Arguments: append([]Argument{q}, popArguments()...),
		},
		{
			Name: "qmpop", Summary: "Leases jobs of the first of several queues that has one ready",
			Reply: "*2 $q *k *3 $handle $payload :attempt | null",
			Arity: -3, Flags: Write | Blocking, Keys: []KeySpec{{Access: RW | Reads | Updates, At: 1, Counted: true}}, Runs: InLoop, Handler: f.qmpop,
			Arguments: append([]Argument{Word("n", "integer"), Many(q)}, popArguments()...),
		},
		{
			Name: "qack", Summary: "Ends leased jobs for good", Reply: ":n | *n :1|:0 with EACH",
			Arity: -3, Flags: Write | Fast, Keys: OneKey(RW | Deletes), Handler: f.qack,
			Arguments: []Argument{q, handles, Toggle("EACH")},
		},
		{
			Name: "qnack", Summary: "Gives leased jobs back: failed, dead or uncounted", Reply: ":n | *n :1|:0 with EACH",
			Arity: -3, Flags: Write | Fast, Keys: OneKey(RW | Updates), Handler: f.qnack,
			Arguments: []Argument{q, handles, Option("REASON", "text", "string"), Option("DELAY", "delay", "string"),
				Choice("", "outcome", "DEAD", "RELEASE"), Toggle("EACH")},
		},
		{
			Name: "qextend", Summary: "Gives leases a new end, counted from now", Reply: ":n | *n :1|:0 with EACH",
			Arity: -4, Flags: Write | Fast, Keys: OneKey(RW | Updates), Handler: f.qextend,
			Arguments: []Argument{q, Word("lease", "string"), handles, Toggle("EACH")},
		},
		{
			Name: "qdel", Summary: "Deletes jobs in any state", Reply: ":n",
			Arity: -3, Flags: Write | Fast, Keys: OneKey(RW | Deletes), Handler: f.qdel, Runs: Gated, // it may read a file
			Arguments: []Argument{q, Many(Word("id", "string"))},
		},
		{
			Name: "qdlq", Summary: "Works on the dead letters of a queue", Arity: -3, Subcommands: f.deadLetterSpecs(),
		},
	}
}

func (f *Queues) deadLetterSpecs() []Spec {
	q, ids := Word("queue", "key"), Many(Word("id", "string"))
	return []Spec{
		{
			Name: "len", Summary: "Counts the dead letters of a queue", Reply: ":n",
			Arity: 3, Flags: ReadOnly | Fast, Keys: []KeySpec{Key(RO, 2)}, Handler: f.qdlqLen, Arguments: []Argument{q},
		},
		{
			Name: "list", Summary: "Lists the dead letters of a queue, newest first; MATCH looks into payload and reason, REASON into the reason alone",
			Reply: "*2 :total *k *6 $id $payload :attempts $reason :failed-at-ms :priority",
			Arity: -3, Flags: ReadOnly, Keys: []KeySpec{Key(RO|Reads, 2)}, Handler: f.qdlqList, Runs: Beside, // it rests by itself, and would keep others waiting in a slot
			Arguments: []Argument{q, Option("OFFSET", "offset", "integer"), Option("COUNT", "count", "integer"),
				Option("MATCH", "text", "string"), Option("REASON", "text-of-reason", "string")},
		},
		{
			Name: "replay", Summary: "Takes dead letters back into their queue, or all of them into another", Reply: ":n",
			Arity: -4, Flags: Write, Keys: []KeySpec{Key(RW|Deletes, 2), {Access: RW | Inserts, At: 4, Keyword: "TO"}}, Handler: f.qdlqReplay,
			Arguments: []Argument{q, {Name: "what", Type: "oneof", Arguments: []Argument{
				{Name: "jobs", Type: "block", Arguments: []Argument{ids, Option("DELAY", "delay", "string")}},
				{Name: "all", Type: "block", Arguments: []Argument{
					{Name: "all", Type: "pure-token", Token: "ALL"}, Option("TO", "target", "key")}},
			}}},
		},
		{
			Name: "del", Summary: "Deletes dead letters", Reply: ":n",
			Arity: -4, Flags: Write | Fast, Keys: []KeySpec{Key(RW|Deletes, 2)}, Handler: f.qdlqDel, Arguments: []Argument{q, ids},
		},
		{
			Name: "purge", Summary: "Deletes all dead letters of a queue", Reply: ":n",
			Arity: 3, Flags: Write, Keys: []KeySpec{Key(RW|Deletes, 2)}, Handler: f.qdlqPurge, Arguments: []Argument{q},
		},
	}
}

// queueAdminSpecs are the commands that make, look at and steer queues.
func (f *Queues) queueAdminSpecs() []Spec {
	q := Word("queue", "key")
	return []Spec{
		{
			Name: "qcreate", Summary: "Makes a queue", Reply: "+OK",
			Arity: -2, Flags: Write | Fast, Keys: OneKey(RW | Inserts), Handler: f.qcreate,
			Arguments: createArguments(),
		},
		{
			Name: "qdrop", Summary: "Removes queues with all their jobs", Reply: ":n",
			Arity: -2, Flags: Write, Keys: EveryKey(RM|Deletes, 1), Handler: f.qdrop, Arguments: []Argument{Many(q)},
		},
		{
			Name: "qexists", Summary: "Counts which of the names are queues", Reply: ":n",
			Arity: -2, Flags: ReadOnly | Fast, Keys: EveryKey(RO, 1), Handler: f.qexists, Arguments: []Argument{Many(q)},
		},
		{
			Name: "qlist", Summary: "Lists the queues, page by page", Reply: "*2 $cursor *k $q",
			Arity: -1, Flags: ReadOnly, Handler: f.qlist,
			Arguments: []Argument{Option("MATCH", "glob", "pattern"), Option("COUNT", "count", "integer"), Option("CURSOR", "cursor", "string")},
		},
		{
			Name: "qlen", Summary: "Counts the jobs of a queue in one state", Reply: ":n",
			Arity: -2, Flags: ReadOnly | Fast, Keys: OneKey(RO), Handler: f.qlen,
			Arguments: []Argument{q, Choice("", "state", "READY", "DELAYED", "INFLIGHT", "DEAD")},
		},
		{
			Name: "qpurge", Summary: "Deletes the jobs of a queue in some states, ready and delayed when none is named", Reply: ":n",
			Arity: -2, Flags: Write, Keys: OneKey(RW | Deletes), Handler: f.qpurge,
			Arguments: []Argument{q, Many(Choice("", "state", "READY", "DELAYED", "INFLIGHT", "DEAD"))},
		},
		{
			Name: "qpeek", Summary: "Looks at jobs without leasing them; MATCH looks into payload and reason, REASON into the reason alone", Reply: "*3 :total :next-offset(-1 end) *k map",
			Arity: -2, Flags: ReadOnly, Keys: OneKey(RO | Reads), Handler: f.qpeek, Runs: Beside, // it rests by itself, and would keep others waiting in a slot
			Arguments: []Argument{q, Choice("STATE", "state", "READY", "DELAYED", "INFLIGHT", "DEAD"),
				Option("OFFSET", "offset", "integer"), Option("COUNT", "count", "integer"),
				Option("MATCH", "text", "string"), Option("REASON", "text-of-reason", "string")},
		},
		{
			Name: "qget", Summary: "Looks at one job in any state", Reply: "map | null",
			Arity: 3, Flags: ReadOnly | Fast, Keys: OneKey(RO | Reads), Handler: f.qget, Runs: Gated, // it may read a file
			Arguments: []Argument{q, Word("id", "string")},
		},
		{
			Name: "qinfo", Summary: "Tells the counts, counters and configuration of a queue", Reply: "map",
			Arity: 2, Flags: ReadOnly | Fast, Keys: OneKey(RO), Handler: f.qinfo, Arguments: []Argument{q},
		},
		{
			Name: "qconfig", Summary: "Reads and changes the configuration of a queue", Arity: -3,
			Subcommands: []Spec{
				{
					Name: "get", Summary: "Reads the configuration of a queue", Reply: "map",
					Arity: -3, Flags: ReadOnly | Fast, Keys: []KeySpec{Key(RO, 2)}, Handler: f.qconfigGet,
					Arguments: []Argument{q, {Name: "name", Type: "string", Optional: true, Multiple: true}},
				},
				{
					Name: "set", Summary: "Changes the configuration of a queue, all or nothing", Reply: "+OK",
					Arity: -5, Flags: Write | Fast, Keys: []KeySpec{Key(RW|Updates, 2)}, Handler: f.qconfigSet,
					Arguments: []Argument{q, {Name: "setting", Type: "block", Multiple: true, Arguments: []Argument{
						Word("name", "string"), Word("value", "string")}}},
				},
			},
		},
		{
			Name: "qpause", Summary: "Stops pushes, pops or both, for a time or until QRESUME", Reply: "+OK",
			Arity: -2, Flags: Write | Fast, Keys: OneKey(RW | Updates), Handler: f.qpause,
			Arguments: []Argument{q, Choice("", "side", "IN", "OUT", "ALL"), Option("FOR", "duration", "string")},
		},
		{
			Name: "qresume", Summary: "Ends every pause of a queue", Reply: "+OK",
			Arity: 2, Flags: Write | Fast, Keys: OneKey(RW | Updates), Handler: f.qresume, Arguments: []Argument{q},
		},
	}
}
