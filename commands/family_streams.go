package commands

import (
	"sync/atomic"

	"github.com/nexobroker/nexo/brokers/stream"
)

// Streams is the family of commands on streams.
type Streams struct {
	broker *stream.Broker // nil until Serve
	family *Family

	read, acked atomic.Uint64 // entries
}

// NewStreams is the family without its broker.
func NewStreams() *Streams {
	f := &Streams{}
	f.family = &Family{Specs: f.streamSpecs()}
	return f
}

// Serve gives it the broker, before the first command runs that needs it.
func (f *Streams) Serve(broker *stream.Broker) { f.broker = broker }

// Family is what the server is made of.
func (f *Streams) Family() *Family { return f.family }

// Activity counts the entries that were given to readers and consumers, and acknowledged.
func (f *Streams) Activity() (read, acked uint64) { return f.read.Load(), f.acked.Load() }
