package keyspace_test

import (
	"strings"
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

// TestMemoryPurgeIsOfTheStoreToo holds that MEMORY PURGE gives back what the store keeps free for the next keys.
func TestMemoryPurgeIsOfTheStoreToo(t *testing.T) {
	addr, _ := commandstest.Open(t, commandstest.Process{}, nil)
	client := commandstest.Dial(t, addr, 2)
	resident := func() string {
		_, rest, _ := strings.Cut(client.Do("INFO", "memory"), "used_memory_store_rss:")
		bytes, _, _ := strings.Cut(rest, "\r\n")
		return bytes
	}
	client.Do("SET", "k", strings.Repeat("v", 1<<20))
	client.Do("DEL", "k")
	if got := resident(); got == "0" {
		t.Fatal("nothing is kept for the next key")
	}
	if got := client.Do("MEMORY", "PURGE"); got != "+OK\r\n" {
		t.Fatal(got)
	}
	if got := resident(); got != "0" {
		t.Errorf("%s bytes are kept for nothing", got)
	}
}
