package commands

import (
	"github.com/nexobroker/nexo/brokers"
)

var errInvalidQueueCursor = &brokers.Error{Code: "ERR", Message: "invalid cursor"}

// The words that the specs of the family share.
func queueWord(name, kind string) Argument { return Argument{Name: name, Type: kind} }

func queueOption(token, name, kind string) Argument {
	return Argument{Name: name, Type: kind, Token: token, Optional: true}
}

func queueFlag(token string) Argument {
	return Argument{Name: token, Type: "pure-token", Token: token, Optional: true}
}

func queueMany(a Argument) Argument {
	a.Multiple = true
	return a
}

// queueChoice is a choice of words, behind a token when there is one.
func queueChoice(token, name string, words ...string) Argument {
	a := Argument{Name: name, Type: "oneof", Token: token, Optional: true}
	for _, w := range words {
		a.Arguments = append(a.Arguments, Argument{Name: w, Type: "pure-token", Token: w})
	}
	return a
}

func pushArguments() []Argument {
	return []Argument{
		queueOption("PRIORITY", "priority", "integer"),
		{Name: "due", Type: "oneof", Optional: true, Arguments: []Argument{
			{Name: "delay", Type: "string", Token: "DELAY"}, {Name: "unix-time-ms", Type: "unix-time", Token: "AT"}}},
		queueOption("TTL", "ttl", "string"), queueOption("MAXATTEMPTS", "attempts", "integer"), queueOption("LEASE", "lease", "string"),
	}
}

func popArguments() []Argument {
	return []Argument{
		queueOption("COUNT", "count", "integer"), queueOption("BLOCK", "timeout", "string"), queueOption("LEASE", "lease", "string"),
		queueFlag("BIND"), queueFlag("META"),
	}
}

func createArguments() []Argument {
	return []Argument{
		queueWord("queue", "key"), queueOption("LEASE", "lease", "string"), queueOption("MAXATTEMPTS", "attempts", "integer"),
		{Name: "backoff", Type: "oneof", Token: "BACKOFF", Optional: true, Arguments: []Argument{
			{Name: "none", Type: "pure-token", Token: "NONE"},
			{Name: "fixed", Type: "string", Token: "FIXED"},
			{Name: "exponential", Type: "block", Arguments: []Argument{
				{Name: "base", Type: "string", Token: "EXP"}, {Name: "max", Type: "string"}}},
		}},
		queueOption("JITTER", "percent", "integer"), queueOption("DELAY", "delay", "string"), queueOption("TTL", "ttl", "string"),
		queueChoice("DLQ", "dlq", "ON", "OFF"), queueOption("DLQTTL", "dlqttl", "string"), queueOption("MAXLEN", "jobs", "integer"),
		queueChoice("OVERFLOW", "overflow", "REJECT", "DROPOLDEST"), queueOption("DEDUPWINDOW", "window", "string"),
		queueChoice("SYNC", "sync", "ALWAYS", "INTERVAL", "NEVER"), queueFlag("IFNX"),
	}
}

func (s *Server) queueSpecs() []Spec {
	specs := append(s.jobSpecs(), s.queueAdminSpecs()...)
	return described(gated(specs), "queue", "0.1.0", "queue")
}

// gated lets what queues and streams do at length take a slot of the gate, but for what says where it runs.
func gated(specs []Spec) []Spec {
	for i := range specs {
		if spec := &specs[i]; spec.Runs == byFast && spec.Flags&Fast == 0 {
			spec.Runs = Gated
		}
		gated(specs[i].Subcommands)
	}
	return specs
}

// jobSpecs are the commands of producers and consumers.
func (s *Server) jobSpecs() []Spec {
	q, handles := queueWord("queue", "key"), queueMany(queueWord("handle", "string"))
	return []Spec{
		{
			Name: "qpush", Summary: "Adds a job to a queue, and makes the queue if need be", Reply: "$id | *2 $id :1|:0 with DEDUP",
			Arity: -3, Flags: Write | Fast, Keys: OneKey(RW | Inserts), Handler: qpush,
			Arguments: append([]Argument{q, queueWord("payload", "string")},
				append(pushArguments(), queueOption("DEDUP", "key", "string"), queueFlag("NOMKQ"))...),
		},
		{
			Name: "qmpush", Summary: "Adds several jobs to a queue, all or none; behind DEDUP stands a key for each payload", Reply: "*n $id",
			Arity: -4, Flags: Write, Keys: OneKey(RW | Inserts), Handler: qmpush, Runs: InLoop, Untimed: true,
			Arguments: append([]Argument{q, queueWord("n", "integer"), queueMany(queueWord("payload", "string"))},
				append(pushArguments(), queueMany(queueOption("DEDUP", "key", "string")), queueFlag("NOMKQ"))...),
		},
		{
			Name: "qpop", Summary: "Leases jobs of a queue, highest priority first, then oldest first",
			Reply: "*k *3 $handle $payload :attempt | null",
			Arity: -2, Flags: Write | Blocking | Fast, Keys: OneKey(RW | Reads | Updates), Handler: qpop,
			Arguments: append([]Argument{q}, popArguments()...),
		},
		{
			Name: "qmpop", Summary: "Leases jobs of the first of several queues that has one ready",
			Reply: "*2 $q *k *3 $handle $payload :attempt | null",
			Arity: -3, Flags: Write | Blocking, Keys: []KeySpec{{Access: RW | Reads | Updates, At: 1, Counted: true}}, Runs: InLoop, Handler: qmpop,
			Arguments: append([]Argument{queueWord("n", "integer"), queueMany(q)}, popArguments()...),
		},
		{
			Name: "qack", Summary: "Ends leased jobs for good", Reply: ":n | *n :1|:0 with EACH",
			Arity: -3, Flags: Write | Fast, Keys: OneKey(RW | Deletes), Handler: qack,
			Arguments: []Argument{q, handles, queueFlag("EACH")},
		},
		{
			Name: "qnack", Summary: "Gives leased jobs back: failed, dead or uncounted", Reply: ":n | *n :1|:0 with EACH",
			Arity: -3, Flags: Write | Fast, Keys: OneKey(RW | Updates), Handler: qnack,
			Arguments: []Argument{q, handles, queueOption("REASON", "text", "string"), queueOption("DELAY", "delay", "string"),
				queueChoice("", "outcome", "DEAD", "RELEASE"), queueFlag("EACH")},
		},
		{
			Name: "qextend", Summary: "Gives leases a new end, counted from now", Reply: ":n | *n :1|:0 with EACH",
			Arity: -4, Flags: Write | Fast, Keys: OneKey(RW | Updates), Handler: qextend,
			Arguments: []Argument{q, queueWord("lease", "string"), handles, queueFlag("EACH")},
		},
		{
			Name: "qdel", Summary: "Deletes jobs in any state", Reply: ":n",
			Arity: -3, Flags: Write | Fast, Keys: OneKey(RW | Deletes), Handler: qdel, Runs: Gated, // it may read a file
			Arguments: []Argument{q, queueMany(queueWord("id", "string"))},
		},
		{
			Name: "qdlq", Summary: "Works on the dead letters of a queue", Arity: -3, Subcommands: deadLetterSpecs(),
		},
	}
}

func deadLetterSpecs() []Spec {
	q, ids := queueWord("queue", "key"), queueMany(queueWord("id", "string"))
	return []Spec{
		{
			Name: "len", Summary: "Counts the dead letters of a queue", Reply: ":n",
			Arity: 3, Flags: ReadOnly | Fast, Keys: []KeySpec{Key(RO, 2)}, Handler: qdlqLen, Arguments: []Argument{q},
		},
		{
			Name: "list", Summary: "Lists the dead letters of a queue, newest first; MATCH looks into payload and reason, REASON into the reason alone",
			Reply: "*2 :total *k *6 $id $payload :attempts $reason :failed-at-ms :priority",
			Arity: -3, Flags: ReadOnly, Keys: []KeySpec{Key(RO|Reads, 2)}, Handler: qdlqList, Runs: Beside, // it rests by itself, and would keep others waiting in a slot
			Arguments: []Argument{q, queueOption("OFFSET", "offset", "integer"), queueOption("COUNT", "count", "integer"),
				queueOption("MATCH", "text", "string"), queueOption("REASON", "text-of-reason", "string")},
		},
		{
			Name: "replay", Summary: "Takes dead letters back into their queue, or all of them into another", Reply: ":n",
			Arity: -4, Flags: Write, Keys: []KeySpec{Key(RW|Deletes, 2), {Access: RW | Inserts, At: 4, Keyword: "TO"}}, Handler: qdlqReplay,
			Arguments: []Argument{q, {Name: "what", Type: "oneof", Arguments: []Argument{
				{Name: "jobs", Type: "block", Arguments: []Argument{ids, queueOption("DELAY", "delay", "string")}},
				{Name: "all", Type: "block", Arguments: []Argument{
					{Name: "all", Type: "pure-token", Token: "ALL"}, queueOption("TO", "target", "key")}},
			}}},
		},
		{
			Name: "del", Summary: "Deletes dead letters", Reply: ":n",
			Arity: -4, Flags: Write | Fast, Keys: []KeySpec{Key(RW|Deletes, 2)}, Handler: qdlqDel, Arguments: []Argument{q, ids},
		},
		{
			Name: "purge", Summary: "Deletes all dead letters of a queue", Reply: ":n",
			Arity: 3, Flags: Write, Keys: []KeySpec{Key(RW|Deletes, 2)}, Handler: qdlqPurge, Arguments: []Argument{q},
		},
	}
}

// queueAdminSpecs are the commands that make, look at and steer queues.
func (s *Server) queueAdminSpecs() []Spec {
	q := queueWord("queue", "key")
	return []Spec{
		{
			Name: "qcreate", Summary: "Makes a queue", Reply: "+OK",
			Arity: -2, Flags: Write | Fast, Keys: OneKey(RW | Inserts), Handler: qcreate,
			Arguments: createArguments(),
		},
		{
			Name: "qdrop", Summary: "Removes queues with all their jobs", Reply: ":n",
			Arity: -2, Flags: Write, Keys: EveryKey(RM|Deletes, 1), Handler: qdrop, Arguments: []Argument{queueMany(q)},
		},
		{
			Name: "qexists", Summary: "Counts which of the names are queues", Reply: ":n",
			Arity: -2, Flags: ReadOnly | Fast, Keys: EveryKey(RO, 1), Handler: qexists, Arguments: []Argument{queueMany(q)},
		},
		{
			Name: "qlist", Summary: "Lists the queues, page by page", Reply: "*2 $cursor *k $q",
			Arity: -1, Flags: ReadOnly, Handler: qlist,
			Arguments: []Argument{queueOption("MATCH", "glob", "pattern"), queueOption("COUNT", "count", "integer"), queueOption("CURSOR", "cursor", "string")},
		},
		{
			Name: "qlen", Summary: "Counts the jobs of a queue in one state", Reply: ":n",
			Arity: -2, Flags: ReadOnly | Fast, Keys: OneKey(RO), Handler: qlen,
			Arguments: []Argument{q, queueChoice("", "state", "READY", "DELAYED", "INFLIGHT", "DEAD")},
		},
		{
			Name: "qpurge", Summary: "Deletes the jobs of a queue in some states, ready and delayed when none is named", Reply: ":n",
			Arity: -2, Flags: Write, Keys: OneKey(RW | Deletes), Handler: qpurge,
			Arguments: []Argument{q, queueMany(queueChoice("", "state", "READY", "DELAYED", "INFLIGHT", "DEAD"))},
		},
		{
			Name: "qpeek", Summary: "Looks at jobs without leasing them; MATCH looks into payload and reason, REASON into the reason alone", Reply: "*3 :total :next-offset(-1 end) *k map",
			Arity: -2, Flags: ReadOnly, Keys: OneKey(RO | Reads), Handler: qpeek, Runs: Beside, // it rests by itself, and would keep others waiting in a slot
			Arguments: []Argument{q, queueChoice("STATE", "state", "READY", "DELAYED", "INFLIGHT", "DEAD"),
				queueOption("OFFSET", "offset", "integer"), queueOption("COUNT", "count", "integer"),
				queueOption("MATCH", "text", "string"), queueOption("REASON", "text-of-reason", "string")},
		},
		{
			Name: "qget", Summary: "Looks at one job in any state", Reply: "map | null",
			Arity: 3, Flags: ReadOnly | Fast, Keys: OneKey(RO | Reads), Handler: qget, Runs: Gated, // it may read a file
			Arguments: []Argument{q, queueWord("id", "string")},
		},
		{
			Name: "qinfo", Summary: "Tells the counts, counters and configuration of a queue", Reply: "map",
			Arity: 2, Flags: ReadOnly | Fast, Keys: OneKey(RO), Handler: qinfo, Arguments: []Argument{q},
		},
		{
			Name: "qconfig", Summary: "Reads and changes the configuration of a queue", Arity: -3,
			Subcommands: []Spec{
				{
					Name: "get", Summary: "Reads the configuration of a queue", Reply: "map",
					Arity: -3, Flags: ReadOnly | Fast, Keys: []KeySpec{Key(RO, 2)}, Handler: qconfigGet,
					Arguments: []Argument{q, {Name: "name", Type: "string", Optional: true, Multiple: true}},
				},
				{
					Name: "set", Summary: "Changes the configuration of a queue, all or nothing", Reply: "+OK",
					Arity: -5, Flags: Write | Fast, Keys: []KeySpec{Key(RW|Updates, 2)}, Handler: qconfigSet,
					Arguments: []Argument{q, {Name: "setting", Type: "block", Multiple: true, Arguments: []Argument{
						queueWord("name", "string"), queueWord("value", "string")}}},
				},
			},
		},
		{
			Name: "qpause", Summary: "Stops pushes, pops or both, for a time or until QRESUME", Reply: "+OK",
			Arity: -2, Flags: Write | Fast, Keys: OneKey(RW | Updates), Handler: qpause,
			Arguments: []Argument{q, queueChoice("", "side", "IN", "OUT", "ALL"), queueOption("FOR", "duration", "string")},
		},
		{
			Name: "qresume", Summary: "Ends every pause of a queue", Reply: "+OK",
			Arity: 2, Flags: Write | Fast, Keys: OneKey(RW | Updates), Handler: qresume, Arguments: []Argument{q},
		},
	}
}
