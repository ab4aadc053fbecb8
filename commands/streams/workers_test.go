package streams_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/nexobroker/nexo/commands/commandstest"
	"github.com/nexobroker/nexo/commands/streams"
)

const workersPerConnection = 8

// The consumers of a group that work are those with an open connection, whether they hold entries or not; one that has gone with
// entries in hand is no worker.
func TestWorkers(t *testing.T) {
	addr, server := commandstest.Open(t, commandstest.Process{}, nil)
	c := commandstest.Dial(t, addr, 2)
	for _, line := range [][]string{
		{"XAPPEND", "orders", "1"}, {"XAPPEND", "orders", "2"}, {"XGCREATE", "orders", "billing", "START", "first"},
		{"XGCREATE", "orders", "fraud", "START", "next"},
	} {
		c.Do(line...)
	}
	expect := func(what string, want map[streams.GroupName]int) {
		t.Helper()
		var got map[streams.GroupName]int
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if got = server.Streams.Workers(); maps.Equal(got, want) {
				return
			}
		}
		t.Errorf("%s: %v, want %v", what, got, want)
	}
	billing, fraud := streams.GroupName{"orders", "billing"}, streams.GroupName{"orders", "fraud"}
	expect("nobody", map[streams.GroupName]int{})
	a, again, b := commandstest.Dial(t, addr, 2), commandstest.Dial(t, addr, 2), commandstest.Dial(t, addr, 2)
	a.Do("XCONSUME", "orders", "billing", "a", "COUNT", "1")
	again.Do("XCONSUME", "orders", "billing", "a", "NOACK")
	b.Do("XCONSUME", "orders", "billing", "b", "NOACK")
	b.Do("XCONSUME", "orders", "fraud", "b")
	b.Do("XCONSUME", "orders", "nothing", "b")
	expect("two, one of them twice", map[streams.GroupName]int{billing: 2, fraud: 1})
	b.Do("XCONSUME", "orders", "fraud", "b", "BLOCK", "20")
	expect("one has waited in vain", map[streams.GroupName]int{billing: 2, fraud: 1})
	if got, want := c.Do("XSTAT", "orders", "billing"), "$7\r\nworkers\r\n:2\r\n"; len(got) < len(want) || got[len(got)-len(want):] != want {
		t.Errorf("XSTAT ends with %q", got)
	}
	again.Do("XLEAVE", "orders", "billing", "a")
	a.Conn.Close()
	expect("one has gone with an entry in hand", map[streams.GroupName]int{billing: 1, fraud: 1})
	for i := range 3 * workersPerConnection {
		again.Do("XGCREATE", "orders", fmt.Sprint("group-", i))
		again.Do("XCONSUME", "orders", fmt.Sprint("group-", i), "many")
	}
	if got := len(server.Streams.Workers()); got != 2+workersPerConnection {
		t.Errorf("%d groups have workers", got)
	}
}
