package pubsub

import (
	"fmt"
	"sync/atomic"

	"github.com/nexobroker/nexo/brokers"
)

// Options is what a broker needs.
type Options struct {
	Journal    brokers.Journal // nil keeps retained messages in memory only
	Clock      brokers.Clock   // nil is the system's
	Durability brokers.Durability
	// MaxRetainedBytes bounds the topics and payloads of retained messages; 0 is 1 GiB.
	MaxRetainedBytes int64
	MaxPayload       int // of one message; 0 is 10 MiB
}

const (
	maxRetainedBytesDefault = 1 << 30
	maxPayloadDefault       = 10 << 20
)

// Broker is the bus. Its methods may be called from any goroutine.
type Broker struct {
	clock      *brokers.Timeline
	journal    brokers.Journal
	durability brokers.Durability
	maxPayload int

	// changes grows with every subscription that comes or goes.
	changes  atomic.Uint64
	channels *channels
	shards   *channels
	wild     wildcards
	retained retained

	subscriptions atomic.Int64
	watches       atomic.Pointer[[]*watch] // nil when nobody watches
	published     atomic.Uint64
	delivered     atomic.Uint64
}

// Open replays the journal and returns the bus with its retained messages.
func Open(options Options) (*Broker, error) {
	if options.Clock == nil {
		options.Clock = brokers.SystemClock{}
	}
	b := &Broker{
		clock: brokers.NewTimeline(options.Clock), journal: options.Journal, durability: options.Durability,
		channels: newChannels(), shards: newChannels(), maxPayload: options.MaxPayload,
	}
	if b.maxPayload <= 0 {
		b.maxPayload = maxPayloadDefault
	}
	if options.MaxRetainedBytes <= 0 {
		options.MaxRetainedBytes = maxRetainedBytesDefault
	}
	if err := b.retained.open(b, options.MaxRetainedBytes); err != nil {
		return nil, fmt.Errorf("replay retained messages: %w", err)
	}
	return b, nil
}

// MaxPayload is how many bytes a message may have.
func (b *Broker) MaxPayload() int { return b.maxPayload }

// Close stops the expiry timer and waits for a compaction under way. Subscriptions need no closing.
func (b *Broker) Close() error {
	b.retained.close()
	return nil
}

// route finds the subscriptions of a name.
func (b *Broker) route(name []byte, shard bool) route {
	if shard {
		return b.shards.route(name, nil)
	}
	return b.channels.route(name, &b.wild)
}

// Subscribe registers a subscription. Before it takes effect, replay is called with a cursor over the retained messages that
// match, if there may be any; whatever replay sets going precedes every live message in the subscriber's own order. Together they
// are one step: no retained message is missed and none comes twice. A nil replay skips retained messages, which
// members of shared groups and shard channels never get. The name must be valid for its kind.
func (b *Broker) Subscribe(sub *Subscription, replay func(*Cursor)) {
	if replay == nil || sub.Group != "" || sub.Kind == Shard {
		b.register(sub)
		return
	}
	b.retained.mu.Lock()
	defer b.retained.mu.Unlock()
	if cursor := b.retained.cursorLocked(b.clock, sub.Kind, sub.Name); cursor != nil {
		replay(cursor)
	}
	b.register(sub)
}

func (b *Broker) register(sub *Subscription) {
	switch {
	case sub.Kind == Shard:
		b.shards.add(sub)
	case sub.wild():
		b.wild.add(sub)
	default:
		b.channels.add(sub)
	}
	b.subscriptions.Add(1)
	b.changes.Add(1)
}

// Unsubscribe takes a subscription out; false when it is not in. A publish that was matched before may still
// be delivered afterwards.
func (b *Broker) Unsubscribe(sub *Subscription) bool {
	var removed bool
	switch {
	case sub.Kind == Shard:
		removed = b.shards.remove(sub)
	case sub.wild():
		removed = b.wild.remove(sub)
	default:
		removed = b.channels.remove(sub)
	}
	if removed {
		b.subscriptions.Add(-1)
		b.changes.Add(1)
	}
	return removed
}

func (s *Subscription) wild() bool {
	return s.Kind == Glob || (s.Kind == Filter && HasWildcard(s.Name))
}

// Stats is a snapshot of the bus' counters.
type Stats struct {
	Subscriptions int64
	Patterns      int64  // distinct filters with wildcards and globs
	Channels      int    // names with subscriptions of their own
	Published     uint64 // messages since the start
	Delivered     uint64 // copies handed to subscribers since the start
	Retained      int
	RetainedBytes int64
	Expired       uint64 // retained messages that ran out since the start
	// CompactionError is why the last compaction of the journal failed; "" when it did not.
	CompactionError string
}

// Stats reads the counters.
func (b *Broker) Stats() Stats {
	stats := Stats{
		Subscriptions: b.subscriptions.Load(), Patterns: b.wild.names.Load(),
		Published: b.published.Load(), Delivered: b.delivered.Load(),
	}
	for i := range b.channels.shards {
		s := &b.channels.shards[i]
		s.mu.RLock()
		stats.Channels += len(s.mu.channels)
		s.mu.RUnlock()
	}
	b.retained.mu.Lock()
	defer b.retained.mu.Unlock()
	stats.Retained, stats.RetainedBytes = b.retained.mu.messages.Len(), b.retained.mu.bytes
	stats.Expired, stats.CompactionError = b.retained.mu.expired, b.retained.mu.compactionError
	return stats
}
