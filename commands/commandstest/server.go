package commandstest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
	"github.com/nexobroker/nexo/brokers/pubsub"
	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/brokers/store"
	"github.com/nexobroker/nexo/brokers/stream"
	"github.com/nexobroker/nexo/commands"
	"github.com/nexobroker/nexo/commands/bus"
	"github.com/nexobroker/nexo/commands/keyspace"
	"github.com/nexobroker/nexo/commands/queues"
	"github.com/nexobroker/nexo/commands/server"
	"github.com/nexobroker/nexo/commands/streams"
	"github.com/nexobroker/nexo/resp"
)

// Brokers are the brokers of a server under test; those that are nil are not there.
type Brokers struct {
	Store    *store.Broker
	PubSub   *pubsub.Broker
	Queue    *queue.Broker
	Stream   *stream.Broker
	Clock    brokers.Clock
	Shutdown func()
}

// Process is what a test says of the process.
type Process struct {
	Password, Fsync, StoreDurability, DataDirectory string
	ProtectedMode, EnableDebug                      bool
	MaxClients                                      int
	LogLevel                                        *slog.LevelVar
	Loading                                         func() commands.Progress
}

// Whole is a server of all families.
type Whole struct {
	*commands.Server
	Brokers
	Administration *server.Family
	Keyspace       *keyspace.Family
	Bus            *bus.Family
	Queues         *queues.Family
	Streams        *streams.Family
}

// NewServer makes the server, which no door serves yet.
func NewServer(b Brokers, config Process) *Whole {
	s := &Whole{
		Administration: server.New(server.Config{
			EnableDebug: config.EnableDebug, MaxClients: config.MaxClients, DataDirectory: config.DataDirectory, Fsync: config.Fsync,
			StoreDurability: config.StoreDurability, LogLevel: config.LogLevel, Shutdown: b.Shutdown,
		}),
		Keyspace: keyspace.New(keyspace.Options{}), Bus: bus.New(0), Queues: queues.New(), Streams: streams.New(),
	}
	s.Serve(b)
	s.Server = commands.New(commands.Config{Clock: b.Clock, Password: config.Password, ProtectedMode: config.ProtectedMode,
		Loading: config.Loading},
		s.Administration.Family(), s.Keyspace.Family(), s.Queues.Family(), s.Streams.Family(), s.Bus.Family())
	return s
}

// Serve gives the families their brokers.
func (s *Whole) Serve(b Brokers) {
	s.Brokers = b
	s.Keyspace.Serve(b.Store)
	s.Bus.Serve(b.PubSub)
	s.Queues.Serve(b.Queue)
	s.Streams.Serve(b.Stream)
}

// Open serves every command over brokers with journals in memory.
func Open(t testing.TB, config Process, shutdown func()) (addr string, server *Whole) {
	t.Helper()
	return OpenAt(t, "127.0.0.1:0", config, shutdown)
}

// OpenAt is Open at an address.
func OpenAt(t testing.TB, at string, config Process, shutdown func()) (addr string, server *Whole) {
	t.Helper()
	clock := brokers.SystemClock{}
	deps := Brokers{Clock: clock, Shutdown: shutdown}
	var problems [4]error
	deps.Store, problems[0] = store.Open(store.Options{Clock: clock})
	deps.PubSub, problems[1] = pubsub.Open(pubsub.Options{Journal: brokertest.NewJournal(), Clock: clock})
	deps.Queue, problems[2] = queue.Open(queue.Options{Journal: brokertest.NewJournal(), Clock: clock})
	deps.Stream, problems[3] = stream.Open(stream.Options{Journal: brokertest.NewJournal(), Directory: t.TempDir(), Clock: clock})
	for _, err := range problems {
		if err != nil {
			t.Fatal(err)
		}
	}
	server = NewServer(deps, config)
	door := ServeDoor(t, resp.Options{Addr: at}, server, deps.Stream.Close, deps.Queue.Close, deps.PubSub.Close, deps.Store.Close)
	return door.Addr().String(), server
}

// ServeDoor serves a server until the test ends, and closes its brokers then.
func ServeDoor(t testing.TB, options resp.Options, server *Whole, closers ...func() error) *resp.Server {
	t.Helper()
	if options.Addr == "" {
		options.Addr = "127.0.0.1:0"
	}
	door, err := resp.Listen(options, server)
	if err != nil {
		t.Fatal(err)
	}
	server.Attach(door)
	served := make(chan error, 1)
	go func() { served <- door.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := door.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		<-served
		for _, closer := range closers {
			if err := closer(); err != nil {
				t.Error(err)
			}
		}
	})
	return door
}
