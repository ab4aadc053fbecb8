package commands

import (
	"time"

	"github.com/nexobroker/nexo/resp"
)

// Spec describes one command. It is the only place where a command is described: dispatch, arity and subscribe-mode
// errors, COMMAND, COMMAND DOCS, docs/commands.md and the dashboard's console all read it.
type Spec struct {
	Name    string // lower case; of a subcommand the second word only
	Group   string // string generic pubsub connection server (Redis' groups) or store queue stream bus (ours)
	Summary string // one sentence, no full stop
	Since   string
	Reply   string // the shapes of the reply, as COMMANDS.md writes them: ":n", "*k job | null"

	// Arity counts the name (and the subcommand's name): exact when positive, at least -Arity when negative.
	Arity int
	Flags Flag
	// Keys says which of the words are keys, and what becomes of them.
	Keys []KeySpec
	// Categories are those of ACL besides what the flags say, with spaces between; none of a command that has only subcommands.
	Categories string
	// Tips are words for proxies, with spaces between.
	Tips      string
	Arguments []Argument

	// Handler runs the command; nil when only Subcommands exist.
	Handler     Handler
	Subcommands []Spec

	// Runs says where the command runs, when its being Fast or not does not say it.
	Runs Place
	// Unpaused commands run though CLIENT PAUSE holds everything back.
	Unpaused bool
	// Untimed commands take as long as what they are sent takes to copy: with its usual threshold the slow log does not look at them.
	Untimed bool
	// NeedsBrokers commands are refused while loading in spite of the flag: Redis has what they need before its data, this server not.
	NeedsBrokers bool
	// Secret tells whether an argument may be a password, or the name that goes with one; nil when none is.
	Secret func(args [][]byte, i int) bool

	full     string        // the name, behind that of the command and a bar when it is a subcommand's
	stats    *commandStats // what it has done, for INFO
	long     bool          // the slow log looks at it whatever its threshold
	measured bool          // its calls are counted among those of its family, and a sample of them is timed
	makeRoom func() error  // of the family, when it may be refused for want of memory
}

// Handler runs one command: args[0] is the name (args[1] the subcommand's name). It writes exactly one reply, or none
// after ctx.Conn.Block returned Gone. The arguments are valid only during the call.
type Handler func(ctx *Context, args [][]byte)

// Flag is a property of a command that the dispatcher acts on or COMMAND reports.
type Flag uint32

const (
	Write     Flag = 1 << iota // changes data: waits under CLIENT PAUSE WRITE; a console that only reads refuses it
	ReadOnly                   // reads data, and a console that only reads runs it
	DenyOOM                    // adds data: refused when its family is asked for room and finds none
	Admin                      // administrates the server: dangerous
	PubSub                     // belongs to pub/sub
	NoScript                   // not for scripts
	Blocking                   // may block: its wait counts for no statistics
	Loading                    // runs while the logs are loaded, unless it NeedsBrokers
	Stale                      // would run on a replica that has lost its master
	Fast                       // constant or logarithmic time: runs in the event loop, unless Runs says otherwise
	NoAuth                     // runs before AUTH
	NoMulti                    // not for transactions
	AllowBusy                  // would run while a script does not end

	// The others are this server's own, and COMMAND does not tell them.

	PubSubMode   // runs on a RESP2 connection in subscribe mode
	MayReplicate // others notice it though no data changes: waits under CLIENT PAUSE WRITE, as what writes does
	Subscribes   // begins or ends what is pushed to the connection: no command for a console
	Harmless     // changes nothing though it reads no data: a console that only reads runs it
)

// Place says where a command runs.
type Place uint8

const (
	byFast Place = iota // InLoop when it is Fast, Beside otherwise
	InLoop              // in the event loop of its connection: short, and without waiting but in Conn.Block
	Beside              // beside the loop: it may take long, or nobody has said that it does not
	Gated               // beside the loop, and only so many at a time
)

// Tips for proxies, in Redis' words.
const (
	AllShards      = "request_policy:all_shards"
	AllNodes       = "request_policy:all_nodes"
	MultiShard     = "request_policy:multi_shard"
	SumOfShards    = "request_policy:multi_shard response_policy:agg_sum"
	AllSucceed     = "response_policy:all_succeeded"
	NoPolicy       = "response_policy:special"
	VariesByItself = "nondeterministic_output"
	VariesInOrder  = "nondeterministic_output_order"
)

// GatedArguments is from how many arguments on a command is gated, whatever it does.
const GatedArguments = 256

// Context is what a handler works with; there is one per connection.
type Context struct {
	Server  *Server
	Conn    *resp.Conn
	W       *resp.Writer
	Session *Session
	spec    *Spec // the command under way

	commands, rejected uint64 // since the last batch; see counters
	measured           uint64 // of the commands, those of families that are measured
	untilSample        int    // measured commands until one is kept as a sample of their latency
	untilTimed         int    // commands until one is timed
	ran                callRuns
	flushes            int       // how often the replies were flushed
	timing             bool      // a command that may block is timed
	waited             time.Time // when it began to wait
	scratch            []byte
}

// Scratch is memory for a value on its way from a broker to the writer; it is used up before the next command.
func (ctx *Context) Scratch(size int) []byte {
	if cap(ctx.scratch) < size {
		ctx.scratch = make([]byte, 0, size)
	}
	return ctx.scratch[:0]
}
