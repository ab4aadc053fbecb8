package ui

import (
	"context"
	"net"
)

// Source is the server as the dashboard sees it. Its methods may be called from any goroutine; none of them changes anything
// but Run.
type Source interface {
	ServerSource
	QueueSource
	StreamSource
	StoreSource
	PubSubSource
}

// ServerSource tells of the process, its clients and its commands.
type ServerSource interface {
	// Run runs one command on a connection of its own, which nobody but the dashboard sees, and returns its reply once it is
	// durable. An error reply is a Reply; the error is of the connection.
	Run(ctx context.Context, db int, args ...string) (Reply, error)
	Commands() []Command
	// Command describes the command that the words are; false when there is none.
	Command(words []string) (Command, bool)

	// Credentials names the password in force, "" when there is none; it changes with the password.
	Credentials() string
	// Login checks a password once its address may try one more; failedBefore tells that its connection has given a wrong one.
	// checked is false when the wait became too long, or the context has ended.
	Login(ctx context.Context, address, user, password string, failedBefore bool) (right, checked bool)
	// Denies tells whether clients from this address are kept out as long as there is no password.
	Denies(remote net.Addr) bool

	// Ready is nil when the server takes data.
	Ready() error
	// Port is the one that RESP listens on.
	Port() int
	Totals() Totals
	Clients() []Client
	SlowCommands() []SlowCommand
	Settings() []Setting
	// TailCommands shows every command to a function that must not block, until stop is called.
	TailCommands(see func(CommandSeen)) (stop func())
}

// QueueSource tells of the queues.
type QueueSource interface {
	Queues() []Queue
	Queue(name string) (QueueDetail, error)
	// Jobs returns the jobs of one state from a position on.
	Jobs(queue, state string, offset, count int) (rows []Job, total int, err error)
	// SearchJobs looks at a bounded number of the jobs of one state behind a cursor ("" at first) and returns those that match.
	// A job that is in the state from the first call to the last is looked at once.
	SearchJobs(queue, state, cursor string, count int, match JobMatch) (JobSearch, error)
	Job(queue string, id uint64) (Job, error)
}

// StreamSource tells of the streams.
type StreamSource interface {
	Streams() []Stream
	Stream(name string) (StreamDetail, error)
	// Entries reads from a position (an offset, first, last, @ms). next is where to go on, 0 at the end.
	Entries(stream, from string, count int, reverse bool) (rows []Entry, high, next uint64, err error)
	// Parked reads what a group has parked in the same way.
	Parked(stream, group, from string, count int) (rows []ParkedEntry, next uint64, err error)
}

// StoreSource tells of the keys.
type StoreSource interface {
	// Keys visits the keys with a prefix from a cursor on ("" at first), a slice at a time, until visit returns false or budget
	// keys were visited. It returns the cursor to go on with, "" at the end.
	Keys(ctx context.Context, db int, prefix, cursor string, budget int, visit func(KeyRow) bool) (next string, err error)
	CountKeys(db int) int
	Key(db int, key string) (row KeyRow, value []byte, found bool, err error)
}

// PubSubSource tells of the bus.
type PubSubSource interface {
	Topics(filter, after string, count int) (rows []Topic, more bool, err error)
	Retained(filter, after string, count int) (rows []Retained, more bool, err error)
	// Subscribers are those that a publish to a topic reaches; exact: those to just this name, filter or pattern.
	Subscribers(filter string, exact bool) ([]Subscriber, error)
	// Wildcards are the filters with wildcards and the patterns that are subscribed to.
	Wildcards(filter, after string, count int) (rows []Wildcard, more bool, err error)
	// TailMessages shows the messages that a filter matches to a function that must not block, until stop is called. What it
	// is shown is valid during the call.
	TailMessages(filter string, see func(topic, payload []byte, retained bool)) (stop func(), err error)
}

// Command describes one command.
type Command struct {
	Name    string `json:"name"`
	Summary string `json:"summary"`
	Syntax  string `json:"syntax"`
	Group   string `json:"group"`
	Write   bool   `json:"write"`
	// ReadOnly commands change nothing; Blocks and Subscribes are why a console cannot run a command.
	ReadOnly   bool `json:"-"`
	Blocks     bool `json:"-"`
	Subscribes bool `json:"-"`
}

// Totals are counters since the start and present amounts. Those of queues and streams are in their rows.
type Totals struct {
	Commands, StoreCommands         uint64
	Hits, Misses                    uint64
	Keys                            int
	StoreLatency, FsyncLatency      Latency
	Published, Delivered            uint64
	Subscriptions, Retained         int64
	StreamRead, StreamAcked         uint64
	Connected                       int64
	Refused                         uint64 // connections
	Errors                          uint64 // error replies
	Expired, Evicted                uint64 // keys
	Memory, Disk                    int64  // bytes of the process, and of the data directory
	StoreMemory, StoreMemoryMaximum int64
}

// Latency counts samples by bucket; Bound is a bucket's upper bound in microseconds.
type Latency struct {
	Counts []uint64
	Bound  func(bucket int) int64
}

// Rates are per second, over the last second that somebody watched.
type Rates struct {
	Push float64 `json:"pushRate"`
	Pop  float64 `json:"popRate"`
	Ack  float64 `json:"ackRate"`
	Fail float64 `json:"failRate"`
}

// Queue is a row of the table of queues.
type Queue struct {
	Name     string `json:"name"`
	Ready    int    `json:"ready"`
	Delayed  int    `json:"delayed"`
	Inflight int    `json:"inflight"`
	Dead     int    `json:"dead"`
	Bytes    int64  `json:"bytes"`
	Waiters  int    `json:"waiters"`
	OldestMS int64  `json:"oldestMs"`
	Paused   string `json:"paused"`
	Rates
	Counts QueueCounts `json:"-"`
}

// QueueCounts are what has happened to the jobs of a queue. Failed are those that were given back as failed or whose lease ended.
type QueueCounts struct {
	Pushed, Popped, Acked, Failed                                     uint64
	Released, LeaseExpired, Dead, Replayed, Deleted, Expired, Dropped uint64
}

// QueueDetail is one queue with its configuration.
type QueueDetail struct {
	Queue
	Config     [][2]string       `json:"config"`
	Priorities [][2]int          `json:"priorities"`
	Counters   map[string]uint64 `json:"counters"`
}

// Job is one job. Times are Unix milliseconds, 0 where they do not apply.
type Job struct {
	ID          uint64  `json:"id,string"`
	State       string  `json:"state"`
	Payload     Payload `json:"payload"`
	Priority    int     `json:"priority"`
	Attempts    int64   `json:"attempts"`
	MaxAttempts int64   `json:"maxAttempts"`
	Deliveries  uint64  `json:"deliveries"`
	PushedAt    int64   `json:"pushedAt"`
	DueAt       int64   `json:"dueAt"`
	LeaseUntil  int64   `json:"leaseUntil"`
	ExpiresAt   int64   `json:"expiresAt"`
	FailedAt    int64   `json:"failedAt"`
	Reason      string  `json:"reason"`
	Dedup       string  `json:"dedup"`
}

// JobMatch says which jobs a search is for; of texts that are given each must be found.
type JobMatch struct {
	Text   string // in the payload or in the reason of the last failure
	Reason string // in the reason
}

// JobSearch is what one call of a search has found.
type JobSearch struct {
	Rows    []Job
	Total   int    // of the jobs in the state
	Scanned int    // how many of them were looked at
	Next    string // the cursor to go on with, "" at the end
}

// Stream is a row of the table of streams.
type Stream struct {
	Name       string  `json:"name"`
	Entries    int64   `json:"entries"`
	First      uint64  `json:"first,string"`
	Next       uint64  `json:"next,string"`
	Bytes      int64   `json:"bytes"`
	FirstMS    int64   `json:"firstMs"`
	LastMS     int64   `json:"lastMs"`
	Groups     int     `json:"groups"`
	MaxLag     uint64  `json:"maxLag"`
	AppendRate float64 `json:"appendRate"`
	Chain      bool    `json:"chain"`

	Appended uint64  `json:"-"`
	Lag      uint64  `json:"-"` // of all groups
	Members  []Group `json:"-"` // the groups
}

// StreamDetail is one stream with its groups.
type StreamDetail struct {
	Stream
	Config [][2]string `json:"config"`
	Groups []Group     `json:"groups"` // instead of their number
}

// Group is one consumer group.
type Group struct {
	Name            string `json:"name"`
	Lag             uint64 `json:"lag"`
	Pending         int    `json:"pending"`
	Parked          int    `json:"parked"`
	Workers         int    `json:"workers"` // consumers with an open connection
	Waiters         int    `json:"waiters"` // of their connections, those that wait for entries
	Holders         int    `json:"holders"` // consumers that hold entries, whether they are still there or not
	Floor           uint64 `json:"floor,string"`
	Next            uint64 `json:"next,string"`
	Epoch           uint64 `json:"epoch,string"`
	AckWaitMS       int64  `json:"ackWaitMs"`
	MaxDeliver      int    `json:"maxDeliver"`
	OldestPendingMS int64  `json:"oldestPendingMs"`
}

// Entry is one entry of a stream. Fields is what an entry made of fields holds, null for others.
type Entry struct {
	Offset  uint64      `json:"offset,string"`
	MS      int64       `json:"ms"`
	ID      string      `json:"id"`
	Payload Payload     `json:"payload"`
	Fields  [][2]string `json:"fields"`
}

// ParkedEntry is an entry that a group gave up.
type ParkedEntry struct {
	Entry
	Deliveries int    `json:"deliveries"`
	ParkedMS   int64  `json:"parkedMs"`
	Reason     string `json:"reason"`
}

// KeyRow is one key of the store; ttl is milliseconds, -1 when it does not expire.
type KeyRow struct {
	Key  string `json:"key"`
	Type string `json:"type"`
	TTL  int64  `json:"ttl"`
	Size int    `json:"size"`
}

// Topic is one topic in use.
type Topic struct {
	Topic       string `json:"topic"`
	Subscribers int    `json:"subscribers"`
	Retained    bool   `json:"retained"`
}

// Wildcard is a filter with wildcards, or a glob pattern, that is subscribed to.
type Wildcard struct {
	Name        string `json:"name"`
	Pattern     bool   `json:"pattern"`
	Subscribers int    `json:"subscribers"`
}

// Retained is one retained message; ttl is milliseconds, -1 when it does not expire.
type Retained struct {
	Topic   string  `json:"topic"`
	Payload Payload `json:"payload"`
	TTL     int64   `json:"ttl"`
}

// Subscriber is one subscription.
type Subscriber struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Addr   string `json:"addr"`
	Filter string `json:"filter"`
}

// Client is one connection.
type Client struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Addr     string `json:"addr"`
	AgeMS    int64  `json:"ageMs"`
	IdleMS   int64  `json:"idleMs"`
	Library  string `json:"lib"`
	Command  string `json:"command"`
	Database int    `json:"db"`
	User     string `json:"user"`
	Subs     int    `json:"subs"`
	InBytes  uint64 `json:"inBytes"`
	OutBytes uint64 `json:"outBytes"`
	Protocol int    `json:"protocol"`
}

// SlowCommand is one entry of the slow log.
type SlowCommand struct {
	ID     string   `json:"id"`
	At     int64    `json:"at"`
	Micros int64    `json:"micros"`
	Args   []string `json:"args"`
	Client string   `json:"client"`
	Name   string   `json:"name"`
	Naming int      `json:"-"` // how many of the words hold no payload
}

// Setting is one parameter of CONFIG.
type Setting struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Mutable bool   `json:"mutable"` // setting it acts
	Note    string `json:"note"`    // why it cannot be set, or does nothing; "" is decided at the start
}

// CommandSeen is one command as a tail sees it; its words are valid during the call.
type CommandSeen struct {
	Client uint64
	Name   string
	Addr   net.Addr
	Args   [][]byte
	Secret bool // the words may hold a password
	Naming int  // how many of the words hold no payload
}
