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
	// FirstKey, LastKey and KeyStep say where the keys are, as in Redis' COMMAND; all 0 when there are none.
	FirstKey, LastKey, KeyStep int
	// KeyCount is the place of the number of keys, when they follow one; a key then is every KeyStep-th word behind it.
	KeyCount  int
	Arguments []Argument

	// Handler runs the command; nil when only Subcommands exist.
	Handler     Handler
	Subcommands []Spec

	// Paced work rests by itself and would keep others waiting in a slot of the door's gate, so it takes none.
	Paced bool
	// Unpaused commands run though CLIENT PAUSE holds everything back.
	Unpaused bool

	full         string        // the name, behind that of the command and a bar when it is a subcommand's
	stats        *commandStats // what it has done, for INFO
	detail       detail        // what COMMAND INFO tells besides
	long         bool          // the slow log looks at it whatever its threshold; see takesLong
	store        bool          // see isStore
	weight       weight        // where it runs; see weigh
	needsBrokers bool          // refused while loading in spite of the flag; see refusedWhileLoading
}

// Handler runs one command: args[0] is the name (args[1] the subcommand's name). It writes exactly one reply, or none
// after ctx.Conn.Block returned Gone. The arguments are valid only during the call.
type Handler func(ctx *Context, args [][]byte)

// Flag is a property of a command that the dispatcher acts on or COMMAND reports.
type Flag uint32

const (
	Write        Flag = 1 << iota // changes data: refused while loading
	ReadOnly                      // reads data
	DenyOOM                       // adds data to the store: refused over maxmemory when nothing can be evicted
	Admin                         // administrates the server
	PubSubMode                    // allowed on a RESP2 connection in subscribe mode
	NoAuth                        // allowed before AUTH
	Loading                       // allowed while the logs are loaded; see refusedWhileLoading
	Blocking                      // may block
	Fast                          // constant or logarithmic time
	PubSub                        // belongs to pub/sub
	MayReplicate                  // others notice it though no data changes: waits under CLIENT PAUSE WRITE, as what writes does
)

// Argument describes one argument for COMMAND DOCS, as Redis' command arguments do.
type Argument struct {
	Name      string
	Type      string // string integer double key pattern unix-time pure-token oneof block
	Token     string // the option word in front, e.g. BLOCK; of a pure-token the word itself
	Optional  bool
	Multiple  bool
	Arguments []Argument // of a oneof or block
}

// Context is what a handler works with; there is one per connection.
type Context struct {
	Server  *Server
	Conn    *resp.Conn
	W       *resp.Writer
	Session *Session
	spec    *Spec // the command under way

	commands, rejected uint64 // since the last batch; see counters
	storeCommands      uint64 // of the commands, those of the store
	untilSample        int    // commands of the store until one is kept as a sample of their latency
	untilTimed         int    // commands until one is timed
	ran                callRuns
	flushes            int       // how often the replies were flushed
	timing             bool      // a command that may block is timed
	waited             time.Time // when it began to wait
	scratch            []byte    // memory for short values on their way from the store to the writer
}
