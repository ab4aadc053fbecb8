package commands_test

import (
	"strings"
	"testing"

	"github.com/nexobroker/nexo/commands/commandstest"
)

// TestCostlyGlobsAreRefused: a pattern that takes too many steps is an error wherever one is taken, not a name that does not match.
func TestCostlyGlobsAreRefused(t *testing.T) {
	addr, _ := commandstest.Open(t, commandstest.Process{}, nil)
	c := commandstest.Dial(t, addr, 2)
	long, queue := strings.Repeat("a", 1<<20), strings.Repeat("a", 200)
	c.Do("SET", long, "v")
	c.Do("QCREATE", queue)
	c.Do("XCREATE", queue)
	bomb := "*[" + strings.Repeat("b", 1<<17) + "]*[" + strings.Repeat("c", 1<<17) + "]"
	const want = "-ERR the pattern takes more than 1048576 steps to match: use a shorter one, or fewer stars\r\n"
	for _, words := range [][]string{
		{"KEYS", bomb}, {"SCAN", "0", "MATCH", bomb}, {"NSCAN", "0", "MATCH", bomb}, {"NSCAN", "0", "MATCH", strings.Repeat("*a", 5000) + "b"},
		{"QLIST", "MATCH", bomb}, {"XLIST", "MATCH", bomb}, {"CONFIG", "GET", "save", bomb},
	} {
		if got := c.Do(words...); got != want {
			t.Errorf("%.60q: %.100q", words, got)
		}
	}
	if got := c.Do("KEYS", strings.Repeat("*a", 50)+"*"+strings.Repeat("a", 50)); !strings.HasPrefix(got, "*1\r\n") {
		t.Errorf("a long pattern that matches: %.100q", got)
	}
	for _, words := range [][]string{{"PUBSUB", "CHANNELS", bomb[:1025]}, {"PSUBSCRIBE", bomb[:1025]}} {
		if got := c.Do(words...); got != "-ERR a glob pattern has at most 1024 bytes\r\n" {
			t.Errorf("%.60q: %.100q", words, got)
		}
	}
}

// TestLongChannelsReachTheirSubscribers: what cannot be delivered to all who listen is refused on both sides, and the rest arrives.
func TestLongChannelsReachTheirSubscribers(t *testing.T) {
	addr, _ := commandstest.Open(t, commandstest.Process{}, nil)
	publisher := commandstest.Dial(t, addr, 2)
	levels := func(n int) string { return strings.Repeat("a/", n-1) + "a" }
	for _, words := range [][]string{
		{"PUBLISH", levels(129), "x"}, {"SUBSCRIBE", levels(129)}, {"NPUB", levels(129), "x"},
		{"PUBLISH", strings.Repeat("a", 65536), "x"},
	} {
		if got := publisher.Do(words...); !strings.HasPrefix(got, "-BADTOPIC ") {
			t.Errorf("%.40q: %.100q", words, got)
		}
	}
	for _, pattern := range []string{levels(128) + "/#", levels(128) + "/+", "+/" + levels(128), "*/" + levels(128)} {
		for _, command := range []string{"PSUBSCRIBE", "NSUB"} {
			if got := publisher.Do(command, pattern); !strings.HasPrefix(got, "-BADFILTER ") {
				t.Errorf("%s %.20q...: %.100q", command, pattern, got)
			}
		}
	}
	if got := publisher.Do("SPUBLISH", levels(500), "x"); got != ":0\r\n" {
		t.Errorf("a shard channel has no levels: %q", got)
	}
	name := strings.Repeat("a", 60_000) + "b"
	for pattern, channel := range map[string]string{"#": levels(128), strings.Repeat("+/", 127) + "+": levels(128),
		"*" + strings.Repeat("a", 1000) + "b": name,
		strings.Repeat("*a", 500) + "b":       name} {
		subscriber := commandstest.Dial(t, addr, 2)
		subscriber.Do("PSUBSCRIBE", pattern)
		if got := publisher.Do("PUBLISH", channel, "hi"); got == ":0\r\n" {
			t.Errorf("%.20q...: nobody is reached", pattern)
		}
		if event, err := commandstest.ReadReply(subscriber.In); err != nil || !strings.HasSuffix(event, "\r\nhi\r\n") {
			t.Errorf("%.20q...: %v", pattern, err)
		}
		subscriber.Conn.Close()
	}
}
