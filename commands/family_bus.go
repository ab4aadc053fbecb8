package commands

import (
	"slices"
	"time"

	"github.com/nexobroker/nexo/brokers/pubsub"
)

// Bus is the family of commands on topics: Redis' pub/sub, and our own words for the same bus.
type Bus struct {
	broker      *pubsub.Broker // nil until Serve
	family      *Family
	retainedTTL time.Duration // of retained messages that say none; 0: none
}

// NewBus is the family without its broker; retained messages that say nothing of it end after the time given, or never (0).
func NewBus(retainedTTL time.Duration) *Bus {
	f := &Bus{retainedTTL: retainedTTL}
	f.family = &Family{
		Specs: slices.Concat(f.pubsubSpecs(), f.busSpecs()), Shown: shownBusSession,
		Flush: func(ctx *Context) {
			if b := f.session(ctx.Session); b != nil {
				b.flush(ctx)
			}
		},
		Reset: func(ctx *Context) {
			if b := f.session(ctx.Session); b != nil {
				b.reset()
			}
		},
		Closed: func(ctx *Context) {
			if b := f.session(ctx.Session); b != nil {
				b.closed(ctx.Session.Quit)
			}
		},
		Sections: []Section{{Name: "stats", Write: f.infoStats, NeedsBrokers: true}},
	}
	return f
}

// Serve gives it the broker, before the first command runs that needs it.
func (f *Bus) Serve(broker *pubsub.Broker) { f.broker = broker }

// Family is what the server is made of.
func (f *Bus) Family() *Family { return f.family }

func (f *Bus) infoStats(line Line) {
	stats := f.broker.Stats()
	line("pubsub_channels:%d", stats.Channels)
	line("pubsub_patterns:%d", stats.Patterns)
	line("pubsubshard_channels:%d", len(f.broker.Channels(nil, true)))
}
