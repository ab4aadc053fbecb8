package commands_test

import (
	"context"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/store"
	"github.com/nexobroker/nexo/commands/commandstest"
	"github.com/nexobroker/nexo/resp"
)

// openKeyspaceDoor serves the commands over a store of its own on a port of the loopback.
func openKeyspaceDoor(t testing.TB, options store.Options) (addr string) {
	t.Helper()
	broker, err := store.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	clock := options.Clock
	if clock == nil {
		clock = brokers.SystemClock{}
	}
	server := commandstest.NewServer(commandstest.Brokers{Store: broker, Clock: clock}, commandstest.Process{})
	door, err := resp.Listen(resp.Options{Addr: "127.0.0.1:0"}, server)
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
		if err := broker.Close(); err != nil {
			t.Error(err)
		}
	})
	return door.Addr().String()
}
