package commands

import (
	"log/slog"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/pubsub"
	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/brokers/store"
	"github.com/nexobroker/nexo/brokers/stream"
)

// underTest are the brokers of a server under test; those that are nil are not there.
type underTest struct {
	Store    *store.Broker
	PubSub   *pubsub.Broker
	Queue    *queue.Broker
	Stream   *stream.Broker
	Clock    brokers.Clock
	Shutdown func()
}

// testConfig is what a test says of the process.
type testConfig struct {
	Password, Fsync, StoreDurability, DataDirectory string
	ProtectedMode, EnableDebug                      bool
	MaxClients                                      int
	LogLevel                                        *slog.LevelVar
	Loading                                         func() Progress
}

// testServer is a server of all families.
type testServer struct {
	*Server
	underTest
	administration *Administration
	keyspace       *Keyspace
	bus            *Bus
	queues         *Queues
	streams        *Streams
}

func newServer(b underTest, config testConfig) *testServer {
	s := &testServer{
		administration: NewAdministration(AdministrationConfig{
			EnableDebug: config.EnableDebug, MaxClients: config.MaxClients, DataDirectory: config.DataDirectory, Fsync: config.Fsync,
			StoreDurability: config.StoreDurability, LogLevel: config.LogLevel, Shutdown: b.Shutdown,
		}),
		keyspace: NewKeyspace(KeyspaceOptions{}), bus: NewBus(0), queues: NewQueues(), streams: NewStreams(),
	}
	s.serve(b)
	s.Server = New(Config{Clock: b.Clock, Password: config.Password, ProtectedMode: config.ProtectedMode, Loading: config.Loading},
		s.administration.Family(), s.keyspace.Family(), s.bus.Family(), s.queues.Family(), s.streams.Family())
	return s
}

func (s *testServer) serve(b underTest) {
	s.underTest = b
	s.keyspace.Serve(b.Store)
	s.bus.Serve(b.PubSub)
	s.queues.Serve(b.Queue)
	s.streams.Serve(b.Stream)
}
