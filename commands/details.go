package commands

import "strings"

// detail is what COMMAND INFO tells of a command beyond its arity, flags and the places of its keys.
type detail struct {
	// keys is what the command does with its keys, in the words of Redis' key specifications: RO RW OW RM, access update insert
	// delete. With a bar the first key and the one behind it are told apart. "" is RO access or RW update, by the command's flags.
	keys string
	// categories are those of the command besides what its flags say (write, read, admin, dangerous, pubsub, fast, slow, blocking).
	// "" is that of its group.
	categories string
	tips       string // words for proxies
	note       string // on the keys
}

// of completes the detail of a command from its description.
func (d detail) of(spec *Spec) detail {
	if d.keys == "" {
		switch {
		case spec.FirstKey == 0 && spec.KeyCount == 0:
		case spec.Flags&PubSub != 0:
			d.keys = "not_key"
		case spec.Flags&Write != 0:
			d.keys = "RW update"
		default:
			d.keys = "RO access"
		}
	}
	if d.categories == "" && spec.Handler != nil {
		d.categories = map[string]string{"generic": "keyspace", "server": "none", "bus": "none"}[spec.Group]
		if d.categories == "" {
			d.categories = spec.Group
		}
	}
	return d
}

// allCategories are those of the command, without the sign in front.
func (spec *Spec) allCategories() (all []string) {
	for _, word := range strings.Fields(spec.detail.categories) {
		if word != "none" && word != "pubsub" {
			all = append(all, word)
		}
	}
	add := func(holds bool, words ...string) {
		if holds {
			all = append(all, words...)
		}
	}
	add(spec.Flags&Write != 0, "write")
	add(spec.Flags&ReadOnly != 0 && spec.Handler != nil, "read")
	add(spec.Flags&PubSub != 0, "pubsub")
	add(spec.Flags&Blocking != 0, "blocking")
	add(spec.Flags&Fast != 0, "fast")
	add(spec.Flags&Fast == 0, "slow")
	return all
}

const (
	administers = "admin dangerous"
	connects    = "connection admin dangerous"

	allShards     = "request_policy:all_shards"
	allNodes      = "request_policy:all_nodes"
	sumOfShards   = "request_policy:multi_shard response_policy:agg_sum"
	allSucceeded  = "response_policy:all_succeeded"
	varies        = "nondeterministic_output"
	variesInOrder = "nondeterministic_output_order"
	special       = "response_policy:special"
)

// details are those of commands that do not follow from their descriptions, by full name. For Redis' commands they are Redis'.
var details = map[string]detail{
	"append": {keys: "RW insert"}, "decr": {keys: "RW access update"}, "decrby": {keys: "RW access update"}, "incr": {keys: "RW access update"},
	"incrby": {keys: "RW access update"}, "incrbyfloat": {keys: "RW access update"}, "getdel": {keys: "RW access delete"},
	"getex": {keys: "RW access update", note: "RW and UPDATE because it changes the TTL"}, "getset": {keys: "RW access update"},
	"mget": {tips: "request_policy:multi_shard"}, "mset": {keys: "OW update", tips: "request_policy:multi_shard " + allSucceeded},
	"msetnx": {keys: "OW insert", tips: "request_policy:multi_shard response_policy:agg_min"}, "psetex": {keys: "OW update"}, "setex": {keys: "OW update"},
	"set":   {keys: "RW access update variable_flags", note: "RW and ACCESS due to the optional `GET` argument"},
	"setnx": {keys: "OW insert"}, "strlen": {keys: "RO"},

	"copy": {keys: "RO access | OW update"}, "del": {keys: "RM delete", tips: sumOfShards}, "unlink": {keys: "RM delete", tips: sumOfShards},
	"exists": {keys: "RO", tips: sumOfShards}, "touch": {keys: "RO", tips: sumOfShards}, "pttl": {tips: varies}, "ttl": {tips: varies}, "type": {keys: "RO"},
	"keys": {categories: "keyspace dangerous", tips: allShards + " " + variesInOrder}, "randomkey": {tips: allShards + " " + varies},
	"rename": {keys: "RW access delete | OW update"}, "renamenx": {keys: "RW access delete | OW insert"}, "scan": {tips: varies + " request_policy:special"},
	"dbsize": {categories: "keyspace", tips: allShards + " response_policy:agg_sum"}, "flushall": {categories: "keyspace dangerous", tips: allShards + " " + allSucceeded},
	"flushdb":         {categories: "keyspace dangerous", tips: allShards + " " + allSucceeded},
	"object|encoding": {keys: "RO", tips: varies}, "object|freq": {keys: "RO", tips: varies}, "object|idletime": {keys: "RO", tips: varies},
	"object|refcount": {keys: "RO", tips: varies},

	"client|info": {tips: varies}, "client|kill": {categories: connects}, "client|list": {categories: connects, tips: varies},
	"client|no-evict": {categories: connects}, "client|pause": {categories: connects}, "client|unblock": {categories: connects},
	"client|unpause": {categories: connects}, "ping": {tips: allShards + " " + allSucceeded},

	"command": {categories: "connection", tips: variesInOrder}, "command|count": {categories: "connection"}, "command|docs": {categories: "connection", tips: variesInOrder},
	"command|getkeys": {categories: "connection"}, "command|getkeysandflags": {categories: "connection"}, "command|help": {categories: "connection"},
	"command|info": {categories: "connection", tips: variesInOrder}, "command|list": {categories: "connection", tips: variesInOrder},
	"config|get": {categories: administers}, "config|resetstat": {categories: administers}, "config|rewrite": {categories: administers},
	"config|set": {categories: administers, tips: allNodes + " " + allSucceeded}, "debug|sleep": {categories: administers},
	"info": {categories: "dangerous", tips: varies + " " + allShards + " " + special}, "lastsave": {categories: administers, tips: varies}, "role": {categories: administers},
	"latency|doctor": {categories: administers, tips: varies + " " + allNodes + " " + special}, "latency|graph": {categories: administers, tips: varies + " " + allNodes + " " + special},
	"latency|history": {categories: administers, tips: varies + " " + allNodes + " " + special}, "latency|latest": {categories: administers, tips: varies + " " + allNodes + " " + special},
	"latency|reset": {categories: administers, tips: allNodes + " " + allSucceeded},
	"memory|doctor": {tips: varies + " " + allShards + " " + special}, "memory|purge": {tips: allShards + " " + allSucceeded},
	"memory|stats": {tips: varies + " " + allShards + " " + special}, "memory|usage": {keys: "RO"},
	"module|list": {categories: administers, tips: variesInOrder}, "readonly": {categories: "connection"}, "readwrite": {categories: "connection"},
	"shutdown": {categories: administers}, "slowlog|get": {categories: administers, tips: allNodes + " " + varies},
	"slowlog|len":   {categories: administers, tips: allNodes + " response_policy:agg_sum " + varies},
	"slowlog|reset": {categories: administers, tips: allNodes + " " + allSucceeded}, "time": {tips: varies},
	"wait": {categories: "connection", tips: allShards + " response_policy:agg_min"},

	"xdel": {keys: "RW delete"}, "xlen": {keys: "RO"}, "xtrim": {keys: "RW delete", tips: varies},
	"nset": {keys: "RW access update variable_flags"}, "nincr": {keys: "RW access update"}, "nlimit": {keys: "RW access update"}, "ndel": {keys: "RM delete"},
	"nexists": {keys: "RO"}, "nmset": {keys: "OW update"},
}
