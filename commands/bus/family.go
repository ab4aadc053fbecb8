// Package bus is the commands on topics: Redis' pub/sub, and our words for the same bus (retained messages, filters, shared groups,
// wills). A connection's subscriptions are its session; events.go says how what they get is written.
package bus

import (
	"slices"
	"time"

	"github.com/nexobroker/nexo/brokers/pubsub"
	"github.com/nexobroker/nexo/commands"
)

// Bus is the family of commands on topics: Redis' pub/sub, and our own words for the same bus.
type Family struct {
	broker      *pubsub.Broker // nil until Serve
	family      *commands.Family
	retainedTTL time.Duration // of retained messages that say none; 0: none
}

// NewBus is the family without its broker; retained messages that say nothing of it end after the time given, or never (0).
func New(retainedTTL time.Duration) *Family {
	f := &Family{retainedTTL: retainedTTL}
	f.family = &commands.Family{
		Specs: slices.Concat(f.pubsubSpecs(), f.busSpecs()), Shown: shownBusSession,
		Flush: func(ctx *commands.Context) {
			if b := f.session(ctx.Session); b != nil {
				b.flush(ctx)
			}
		},
		Reset: func(ctx *commands.Context) {
			if b := f.session(ctx.Session); b != nil {
				b.reset()
			}
		},
		Closed: func(ctx *commands.Context) {
			if b := f.session(ctx.Session); b != nil {
				b.closed(ctx.Session.Quit)
			}
		},
		Sections: []commands.Section{{Name: "stats", Write: f.infoStats, NeedsBrokers: true}},
	}
	return f
}

// Serve gives it the broker, before the first command runs that needs it.
func (f *Family) Serve(broker *pubsub.Broker) { f.broker = broker }

// Family is what the server is made of.
func (f *Family) Family() *commands.Family { return f.family }

func (f *Family) infoStats(line commands.Line) {
	stats := f.broker.Stats()
	line("pubsub_channels:%d", stats.Channels)
	line("pubsub_patterns:%d", stats.Patterns)
	line("pubsubshard_channels:%d", len(f.broker.Channels(nil, true)))
}
