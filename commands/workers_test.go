package commands

import (
	"fmt"
	"maps"
	"testing"
	"time"
)

// The consumers of a group that work are those with an open connection, whether they hold entries or not; one that has gone with
// entries in hand is no worker.
func TestWorkers(t *testing.T) {
	addr, server := openCoreDoor(t, testConfig{}, nil)
	c := dialRaw(t, addr, 2)
	for _, line := range [][]string{
		{"XAPPEND", "orders", "1"}, {"XAPPEND", "orders", "2"}, {"XGCREATE", "orders", "billing", "START", "first"}, {"XGCREATE", "orders", "fraud", "START", "next"},
	} {
		c.do(line...)
	}
	expect := func(what string, want map[GroupName]int) {
		t.Helper()
		var got map[GroupName]int
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if got = server.streams.Workers(); maps.Equal(got, want) {
				return
			}
		}
		t.Errorf("%s: %v, want %v", what, got, want)
	}
	billing, fraud := GroupName{"orders", "billing"}, GroupName{"orders", "fraud"}
	expect("nobody", map[GroupName]int{})
	a, again, b := dialRaw(t, addr, 2), dialRaw(t, addr, 2), dialRaw(t, addr, 2)
	a.do("XCONSUME", "orders", "billing", "a", "COUNT", "1")
	again.do("XCONSUME", "orders", "billing", "a", "NOACK")
	b.do("XCONSUME", "orders", "billing", "b", "NOACK")
	b.do("XCONSUME", "orders", "fraud", "b")
	b.do("XCONSUME", "orders", "nothing", "b")
	expect("two, one of them twice", map[GroupName]int{billing: 2, fraud: 1})
	b.do("XCONSUME", "orders", "fraud", "b", "BLOCK", "20")
	expect("one has waited in vain", map[GroupName]int{billing: 2, fraud: 1})
	if got, want := c.do("XSTAT", "orders", "billing"), "$7\r\nworkers\r\n:2\r\n"; len(got) < len(want) || got[len(got)-len(want):] != want {
		t.Errorf("XSTAT ends with %q", got)
	}
	again.do("XLEAVE", "orders", "billing", "a")
	a.conn.Close()
	expect("one has gone with an entry in hand", map[GroupName]int{billing: 1, fraud: 1})
	for i := range 3 * workersPerConnection {
		again.do("XGCREATE", "orders", fmt.Sprint("group-", i))
		again.do("XCONSUME", "orders", fmt.Sprint("group-", i), "many")
	}
	if got := len(server.streams.Workers()); got != 2+workersPerConnection {
		t.Errorf("%d groups have workers", got)
	}
}
