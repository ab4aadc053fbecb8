package main

import (
	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/pubsub"
	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/brokers/store"
	"github.com/nexobroker/nexo/brokers/stream"
	"github.com/nexobroker/nexo/commands"
	"github.com/nexobroker/nexo/commands/bus"
	"github.com/nexobroker/nexo/commands/keyspace"
	"github.com/nexobroker/nexo/commands/queues"
	administration "github.com/nexobroker/nexo/commands/server"
	"github.com/nexobroker/nexo/commands/streams"
)

// families are all that the server has of commands.
type families struct {
	administration *administration.Family
	keyspace       *keyspace.Family
	bus            *bus.Family
	queues         *queues.Family
	streams        *streams.Family
}

func newFamilies(o options, shutdown func()) families {
	return families{
		administration: administration.New(administration.Config{
			EnableDebug: o.debug, MaxClients: o.maxClients, BulkMax: o.bulkMax, QueryBufferMax: o.queryBuffer, ClientMemory: o.clientMemory,
			Port: o.port, Bind: o.host, UnixSocket: o.unixSocket, DataDirectory: o.data, Fsync: o.fsync.String(),
			StoreDurability: o.storeDurabilityWord(), Timeout: o.timeout, LogLevel: o.level, Shutdown: shutdown,
		}),
		keyspace: keyspace.New(keyspace.Options{MaxMemory: o.maxMemory, MaxMemoryRule: o.maxMemoryPolicy}),
		bus:      bus.New(o.retainedDefaultTTL),
		queues:   queues.New(),
		streams:  streams.New(),
	}
}

// table makes the server of them.
func (f families) table(config commands.Config) *commands.Server {
	// The bus is the last to hear that a connection has closed: taking many subscriptions back waits in line, and leases go back before.
	return commands.New(config, f.administration.Family(), f.keyspace.Family(), f.queues.Family(), f.streams.Family(), f.bus.Family())
}

// opened are the brokers, once they are there.
type opened struct {
	clock  brokers.Clock
	store  *store.Broker
	pubsub *pubsub.Broker
	queue  *queue.Broker
	stream *stream.Broker
}

// serve gives the families their brokers.
func (f families) serve(b opened) {
	f.keyspace.Serve(b.store)
	f.bus.Serve(b.pubsub)
	f.queues.Serve(b.queue)
	f.streams.Serve(b.stream)
}
