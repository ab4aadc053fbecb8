package bus

import (
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/pubsub"
	"github.com/nexobroker/nexo/commands"
	"github.com/nexobroker/nexo/resp"
)

const (
	// subscriptionsMax is how many subscriptions one connection may hold.
	subscriptionsMax = 10000
	// pendingMax is how many bytes of messages may wait for a confirmation to be written, as for any other output.
	pendingMax = 32 << 20
	// subscriptionBytesMax is how much memory the subscriptions of one connection may take.
	subscriptionBytesMax = 64 << 20
	// endsAtOnce is how many subscriptions are ended without asking for a slot: as many as a command that is not gated can name.
	endsAtOnce = commands.GatedArguments
	// willMax is how many bytes of topic and payload a will may have.
	willMax = 1 << 20
	// replayChunk is how much of a retained replay is encoded at a time.
	replayChunk = 64 << 10
)

var (
	errTooManySubscriptions  = brokers.Errorf("ERR", "a connection may hold at most %d subscriptions", subscriptionsMax)
	errSubscriptionsTooLarge = brokers.Errorf("ERR", "the subscriptions of a connection may take at most %d bytes of memory",
		subscriptionBytesMax)
	errWillTooLarge    = brokers.Errorf("TOOBIG", "a will has at most %d bytes", willMax)
	errMemoryOfClients = brokers.Errorf("OOM", "the memory for all clients (--maxmemory-clients) is used up")
)

// busConn is what the bus needs of a connection; *resp.Conn is one.
type busConn interface {
	ID() uint64
	RemoteAddr() net.Addr
	FlushReplies()
	Push(message *resp.Message) bool
	Hold(n int)
	TryHold(n int) bool
	Admit()
	AdmitEnd()
	PullPushes(next func(buf []byte) (out []byte, done bool))
	Kill()
}

// busSession is the pub/sub state of one connection. Its methods belong to the connection's goroutine.
type busSession struct {
	broker  *pubsub.Broker
	session *commands.Session
	conn    busConn
	batch   *pubsub.Batch
	will    *will

	// What is subscribed to, by the name that ends it again. Shared filters are kept as $share/group/filter.
	channels, patterns, shards, filters map[string]*interest
	shared                              map[string]map[string]struct{} // the names of the shared ones, by the filter that they share
	held                                int                            // memory of these

	shown struct { // what other connections see, as of the last batch
		name                       atomic.Pointer[string] // CLIENT SETNAME, for NWHO
		channels, patterns, shards atomic.Int32
		will                       atomic.Bool
	}

	// mu is held while a message is handed to the connection, so that none follows the confirmation of an unsubscribe. It
	// guards what follows, and the interests' ended flags. proto and ended are written by the connection's goroutine only,
	// which reads them without.
	mu    sync.Mutex
	proto int
	gone  bool // the connection has closed: its interests have ended, and are still to be taken back
	// While a confirmation is being written the subscription is in force already, or a client that has read the confirmation
	// could miss a message; what arrives waits in pending.
	confirming   bool
	pending      []*resp.Message
	pendingBytes int
}

// interest is one subscription of a connection, and the subscriber that the broker delivers to.
type interest struct {
	pubsub.Subscription
	session *busSession
	event   eventKind
	memory  int    // that it takes, see subscriptionMemory
	echo    string // the channel, pattern or filter as sent, which its events carry
	ended   bool
}

// will is what NWILL leaves behind.
type will struct {
	topic, payload []byte
	retain         bool
	expiry         retainExpiry
}

// bus is the session's pub/sub state, made when it is first needed.
func (f *Family) bus(ctx *commands.Context) *busSession {
	if b := f.session(ctx.Session); b != nil {
		return b
	}
	b := newBusSession(f.broker, ctx.Session, ctx.Conn)
	f.family.Keep(ctx.Session, b)
	return b
}

// session is nil for a connection that has never used the bus.
func (f *Family) session(session *commands.Session) *busSession {
	b, _ := f.family.State(session).(*busSession)
	return b
}

func newBusSession(broker *pubsub.Broker, session *commands.Session, conn busConn) *busSession {
	return &busSession{broker: broker, session: session, conn: conn, batch: broker.NewBatch(conn.ID())}
}

// flush hands what the batch has published to its subscribers. It is called when a batch of commands is over.
func (b *busSession) flush(ctx *commands.Context) {
	b.batch.Flush()
	b.follow(ctx)
}

// follow takes over what other commands have changed: the protocol (HELLO) and the name (CLIENT SETNAME).
func (b *busSession) follow(ctx *commands.Context) {
	if proto := ctx.W.Proto(); b.proto != proto {
		b.mu.Lock()
		b.proto = proto
		b.mu.Unlock()
	}
	if known := b.shown.name.Load(); known == nil || *known != ctx.Session.Name {
		name := ctx.Session.Name
		b.shown.name.Store(&name)
	}
	b.shown.channels.Store(int32(len(b.channels)))
	b.shown.patterns.Store(int32(len(b.patterns) + len(b.filters)))
	b.shown.shards.Store(int32(len(b.shards)))
	b.shown.will.Store(b.will != nil)
}

// closed ends all subscriptions, and publishes the will unless the client said good-bye (clean). None of the subscriptions gets anything
// any more, the will neither: what a member of a shared group would get goes to another one.
func (b *busSession) closed(clean bool) {
	b.mu.Lock()
	b.gone = true
	b.mu.Unlock()
	if b.will != nil && !clean {
		b.publishWill()
	}
	_ = b.setWill(nil) // nothing is always allowed
	b.batch.Flush()
	// The last words are said by then: the line may be long.
	if b.total() > endsAtOnce {
		b.conn.AdmitEnd()
	}
	b.endAll()
}

func (b *busSession) total() int {
	return len(b.channels) + len(b.patterns) + len(b.shards) + len(b.filters)
}

// shownBusSession are the numbers of subscriptions, which CLIENT LIST shows as sub, psub and ssub; filters of NSUB count as patterns.
func shownBusSession(state any) commands.Shown {
	shown := &state.(*busSession).shown
	return commands.Shown{
		Channels: int(shown.channels.Load()), Patterns: int(shown.patterns.Load()), Shards: int(shown.shards.Load()),
		Holds: shown.will.Load(),
	}
}

// reset ends all subscriptions and forgets the will, as RESET asks.
func (b *busSession) reset() {
	b.admitEnds()
	b.batch.Flush()
	b.endAll()
	_ = b.setWill(nil) // nothing is always allowed
}

func (b *busSession) endAll() {
	for _, held := range []*map[string]*interest{&b.channels, &b.patterns, &b.shards, &b.filters} {
		for _, i := range *held {
			b.end(i)
		}
		*held = nil
	}
	b.shared = nil
	b.session.Subscribed = false
}

// admitEnds is called before a command that ends all subscriptions: many of them are no work for the loop.
func (b *busSession) admitEnds() {
	if b.total() > endsAtOnce {
		b.conn.Admit()
	}
}

// end stops one subscription: nothing of it reaches the connection once end has returned.
func (b *busSession) end(i *interest) {
	b.mu.Lock()
	i.ended = true
	b.mu.Unlock()
	b.broker.Unsubscribe(&i.Subscription)
	b.giveBack(i.memory)
}

// subscriptionMemory is about how much memory a subscription takes, in the session and in the broker. A filter takes a node of the
// broker's tree for each of its levels: 300 bytes, or next to nothing where others share it.
func subscriptionMemory(kind pubsub.Kind, name string) int {
	const each, perLevel = 500, 200
	memory := each + len(name)
	if kind == pubsub.Filter && pubsub.HasWildcard(name) {
		memory += len(name) + perLevel*(1+strings.Count(name, "/"))
	}
	return memory
}

// take takes the memory of subscriptions that are about to begin.
func (b *busSession) take(memory int) error {
	if b.held+memory > subscriptionBytesMax {
		return errSubscriptionsTooLarge
	}
	if !b.conn.TryHold(memory) {
		return errMemoryOfClients
	}
	b.held += memory
	return nil
}

func (b *busSession) giveBack(memory int) {
	b.held -= memory
	b.conn.Hold(-memory)
}

// setWill leaves a will, or none.
func (b *busSession) setWill(w *will) error {
	if n := w.memory(); n > willMax {
		return errWillTooLarge
	} else if n > 0 && !b.conn.TryHold(n) {
		return errMemoryOfClients
	}
	b.conn.Hold(-b.will.memory())
	b.will = w
	return nil
}

func (w *will) memory() int {
	if w == nil {
		return 0
	}
	return len(w.topic) + len(w.payload)
}

// begin starts subscriptions whose confirmations are in the reply buffer, and flushes these. The order on the wire is the
// confirmations, what is retained, what is published from now on.
func (b *busSession) begin(ctx *commands.Context, interests []*interest, retained bool) {
	b.batch.Flush()
	b.follow(ctx)
	b.mu.Lock()
	b.confirming = true
	b.mu.Unlock()
	var sources []func([]byte) ([]byte, bool)
	for _, i := range interests {
		var replay func(*pubsub.Cursor)
		if retained {
			replay = func(cursor *pubsub.Cursor) { sources = append(sources, i.source(cursor)) }
		}
		b.broker.Subscribe(&i.Subscription, replay)
	}
	b.conn.FlushReplies()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, source := range sources {
		b.conn.PullPushes(source) // what is pushed afterwards waits behind it
	}
	for _, message := range b.pending {
		b.conn.Push(message)
	}
	b.confirming, b.pending, b.pendingBytes = false, nil, 0
}

// source sends the retained messages at the speed of the socket.
func (i *interest) source(cursor *pubsub.Cursor) func(buf []byte) ([]byte, bool) {
	return func(buf []byte) ([]byte, bool) {
		i.session.mu.Lock()
		ended, form := i.hasEnded(), i.form()
		i.session.mu.Unlock()
		if ended {
			return buf, true
		}
		for start := len(buf); len(buf)-start < replayChunk; {
			topic, payload, ok := cursor.Next()
			if !ok {
				return buf, true
			}
			buf = appendEvent(buf, form, i.echo, topic, payload, flagRetained)
		}
		return buf, false
	}
}

// Deliver implements pubsub.Subscriber.
func (i *interest) Deliver(run *pubsub.Run, _ *pubsub.Subscription) bool {
	b := i.session
	b.mu.Lock()
	defer b.mu.Unlock()
	if i.hasEnded() {
		return false
	}
	form := i.form()
	message, encoded := run.Encoding(uint8(form)).(*resp.Message)
	if !encoded {
		message = resp.NewMessage(encodeRun(run.Messages, form, i.echo))
		run.SetEncoding(uint8(form), message)
	}
	if b.confirming {
		return b.hold(message)
	}
	return b.conn.Push(message)
}

// hasEnded is asked under the session's lock.
func (i *interest) hasEnded() bool { return i.ended || i.session.gone }

// hold keeps a message, under the lock, until the confirmation under way is written.
func (b *busSession) hold(message *resp.Message) bool {
	if b.pendingBytes += message.Len(); b.pendingBytes > pendingMax {
		b.conn.Kill()
		return false
	}
	b.pending = append(b.pending, message)
	return true
}

// publishWill sends the last message of a connection that died. Nobody is left to be told of an error.
func (b *busSession) publishWill() {
	w := b.will
	if !w.retain {
		b.batch.Publish(w.topic, w.payload, false)
		return
	}
	if _, _, err := b.batch.Retain(w.topic, w.payload, w.expiry.end(), false); err != nil {
		// A will that cannot be kept is still news to those who listen.
		b.batch.Publish(w.topic, w.payload, false)
	}
}

// sortedNames are the names of a set of subscriptions in a steady order.
func sortedNames(held map[string]*interest) []string {
	return slices.Sorted(maps.Keys(held))
}
