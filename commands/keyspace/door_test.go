package keyspace_test

import (
	"testing"

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
	door := commandstest.ServeDoor(t, resp.Options{}, server, broker.Close)
	return door.Addr().String()
}
