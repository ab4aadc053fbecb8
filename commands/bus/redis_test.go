package bus_test

import (
	"strings"
	"testing"

	"github.com/nexobroker/nexo/brokers/pubsub"
)

const subscriptionsMax = 10_000

// TestConfirmationBytes holds every confirmation and event against its bytes.
func TestConfirmationBytes(t *testing.T) {
	for _, c := range []struct {
		name   string
		proto3 bool
		steps  []string // "command ..." then its frames, "|" for line ends
	}{
		{"RESP2", false, []string{
			"subscribe a b", "*3|$9|subscribe|$1|a|:1|", "*3|$9|subscribe|$1|b|:2|",
			"psubscribe a*", "*3|$10|psubscribe|$2|a*|:3|",
			"ssubscribe a", "*3|$10|ssubscribe|$1|a|:1|",
			"nsub a/+ b", "*3|$10|nsubscribe|$3|a/+|:1|", "*3|$10|nsubscribe|$1|b|:2|",
			"nunsub b zz", "*3|$12|nunsubscribe|$1|b|:1|", "*3|$12|nunsubscribe|$2|zz|:1|",
			"nunsub", "*3|$12|nunsubscribe|$3|a/+|:0|",
			"nunsub", "*3|$12|nunsubscribe|$-1|:0|",
			"unsubscribe zz", "*3|$11|unsubscribe|$2|zz|:3|",
			"unsubscribe", "*3|$11|unsubscribe|$1|a|:2|", "*3|$11|unsubscribe|$1|b|:1|",
			"unsubscribe", "*3|$11|unsubscribe|$-1|:1|",
			"punsubscribe", "*3|$12|punsubscribe|$2|a*|:0|",
			"punsubscribe", "*3|$12|punsubscribe|$-1|:0|",
			"sunsubscribe", "*3|$12|sunsubscribe|$1|a|:0|",
			"sunsubscribe", "*3|$12|sunsubscribe|$-1|:0|",
			"nsub a", "*3|$10|nsubscribe|$1|a|:1|",
			"elsewhere publish a x", "*5|$8|nmessage|$1|a|$1|a|$1|x|:0|",
		}},
		{"RESP3", true, []string{
			"subscribe a b", ">3|$9|subscribe|$1|a|:1|", ">3|$9|subscribe|$1|b|:2|",
			"psubscribe a* a/+", ">3|$10|psubscribe|$2|a*|:3|", ">3|$10|psubscribe|$3|a/+|:4|",
			"ssubscribe a", ">3|$10|ssubscribe|$1|a|:1|",
			"nsub b/+ c/#", "*2|*2|$3|b/+|:1|*2|$3|c/#|:2|",
			"publish b x", ">3|$7|message|$1|b|$1|x|", ":1|",
			"spublish a x", ">3|$8|smessage|$1|a|$1|x|", ":1|",
			"npub c x", ">5|$8|nmessage|$3|c/#|$1|c|$1|x|:0|", ":1|",
			"npub ab x", ">4|$8|pmessage|$2|a*|$2|ab|$1|x|", ":1|",
			"nunsub b/+ zz", "*2|*2|$3|b/+|:1|*2|$2|zz|:1|",
			"nunsub", "*1|*2|$3|c/#|:0|",
			"nunsub", "*0|",
			"nsub c SHARE g", "*1|*2|$1|c|:1|",
			"nsub $share/h/c", "*1|*2|$10|$share/h/c|:2|",
			"npub c x", ">5|$8|nmessage|$1|c|$1|c|$1|x|:2|", ">5|$8|nmessage|$10|$share/h/c|$1|c|$1|x|:2|", ":2|",
			"nunsub c", "*1|*2|$1|c|:0|",
			"punsubscribe a/+", ">3|$12|punsubscribe|$3|a/+|:3|",
			"unsubscribe", ">3|$11|unsubscribe|$1|a|:2|", ">3|$11|unsubscribe|$1|b|:1|",
			"unsubscribe", ">3|$11|unsubscribe|_|:1|",
			"nwill w x", "+OK|", "nwill clear", "+OK|",
			"nmpub 2 a x b y", "*2|:1|:0|", ">4|$8|pmessage|$2|a*|$1|a|$1|x|",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr, _ := openBus(t, pubsub.Options{})
			w := dialWire(t, addr)
			if c.proto3 {
				w.do("hello", "3")
			}
			script(t, w, c.steps)
		})
	}
}

// script runs steps: a command's words, then the frames that answer it. Of the frames of one step only the set counts,
// since events and the reply that belong to one command may come in either order. What is sent elsewhere goes over a connection of its own,
// whose reply does not matter.
func script(t *testing.T, w *wire, steps []string) {
	t.Helper()
	for i := 0; i < len(steps); {
		command := steps[i]
		if words, elsewhere := strings.CutPrefix(command, "elsewhere "); elsewhere {
			dialWire(t, w.RemoteAddr().String()).do(strings.Fields(words)...)
		} else {
			w.send(strings.Fields(command)...)
		}
		want := map[string]int{}
		for i++; i < len(steps) && strings.ContainsRune(steps[i], '|'); i++ {
			want[strings.ReplaceAll(steps[i], "|", "\r\n")]++
		}
		for n := len(want); n > 0; n-- {
			got := w.frame()
			if want[got] == 0 {
				t.Fatalf("%s: got %q, want one of %v", command, got, want)
			}
			want[got]--
		}
	}
}

func TestBusErrors(t *testing.T) {
	addr, _ := openBus(t, pubsub.Options{})
	w := dialWire(t, addr)
	w.do("hello", "3")
	long := strings.Repeat("x", pubsub.NameMax+1)
	for _, c := range []struct {
		command []string
		want    string
	}{
		{[]string{"npub", "a/+", "x"}, "-BADTOPIC topic holds a wildcard"},
		{[]string{"npub", "", "x"}, "-BADTOPIC topic is empty"},
		{[]string{"npub", "$SYS/a", "x"}, "-RESERVED topics starting with $ are read-only"},
		{[]string{"npub", "a", "x", "EX", "1"}, "-ERR syntax error near 'EX'"},
		{[]string{"npub", "a", "x", "RETAIN", "EX"}, "-ERR syntax error near 'EX'"},
		{[]string{"npub", "a", "x", "RETAIN", "RETAIN"}, "-ERR syntax error near 'RETAIN'"},
		{[]string{"npub", "a", "x", "RETAIN", "EX", "1", "PX", "1"}, "-ERR syntax error near 'PX'"},
		{[]string{"npub", "a", "x", "RETAIN", "EX", "0"}, "-ERR invalid expire time in 'npub' command"},
		{[]string{"npub", "a", "x", "RETAIN", "EX", "9223372036854775807"}, "-ERR invalid expire time in 'npub' command"},
		{[]string{"npub", "a", "x", "RETAIN", "EX", "y"}, "-ERR value is not an integer or out of range"},
		{[]string{"npub", "a", "x", "nope"}, "-ERR syntax error near 'nope'"},
		{[]string{"nwill", "a", "x", "NOECHO"}, "-ERR syntax error near 'NOECHO'"},
		{[]string{"nwill", "a"}, "-ERR syntax error near 'a'"},
		{[]string{"nmpub", "2", "a", "x"}, "-ERR n is 2: at least 4 arguments must follow, not 2"},
		{[]string{"nmpub", "1", "a", "x", "b"}, "-ERR n is 1: 2 arguments must follow, not 3"},
		{[]string{"nmpub", "0", "a", "x"}, "-ERR n is not an integer between 1 and 1073741824"},
		{[]string{"nmpub", "2", "a", "x", "b/#", "y"}, "-BADTOPIC topic holds a wildcard"},
		{[]string{"nsub", "a/#/b"}, "-BADFILTER 'a/#/b' '#' must be last"},
		{[]string{"nsub", "ok", "a+"}, "-BADFILTER 'a+' '+' must fill its level"},
		{[]string{"nsub", "$share//t"}, "-BADFILTER a shared group's name has 1 to 200 bytes and none of / + #"},
		{[]string{"nsub", "a", "SHARE", "g", "NOLOCAL"}, "-ERR NOLOCAL and a shared group exclude each other"},
		{[]string{"nsub", "a", "SHARE"}, "-ERR syntax error near 'SHARE'"},
		{[]string{"nsub", "a", "NOLOCAL", "b"}, "-ERR syntax error near 'b'"},
		{[]string{"nretained", "#/a"}, "-BADFILTER '#/a' '#' must be last"},
		{[]string{"nretained", "#", "CURSOR", "7"}, "-ERR invalid cursor"},
		{[]string{"nretained", "#", "COUNT", "0"}, "-ERR COUNT is not an integer between 1 and 10000"},
		{[]string{"nrdel", "a#"}, "-BADFILTER 'a#' '#' must fill its level"},
		{[]string{"subscribe", "ok", long}, "-ERR a channel or pattern has at most 65535 bytes"},
		{[]string{"psubscribe", "ok", long[:pubsub.GlobMax] + "*"}, "-ERR a glob pattern has at most 1024 bytes"},
		{[]string{"npub", long, "x"}, "-BADTOPIC topic is longer than 65535 bytes"},
		{[]string{"publish", "a", strings.Repeat("x", 10<<20+1)}, "-TOOBIG payload 10485761 > 10485760: a message is at most --max-payload long"},
		{[]string{"pubsub", "channels", "a", "b"}, "-ERR unknown subcommand or wrong number of arguments for 'channels'. Try PUBSUB HELP."},
	} {
		if got := w.do(c.command...); got != c.want+"\r\n" {
			t.Errorf("%.60q: got %q, want %q", c.command, got, c.want)
		}
	}
	if got := w.do("ntopics"); got != "*2\r\n$1\r\n0\r\n*0\r\n" {
		t.Errorf("something was changed: %q", got)
	}
	words := []string{"subscribe"}
	for i := range subscriptionsMax + 1 {
		words = append(words, strings.Repeat("c", 1+i%7)+strings.Repeat("d", i/7))
	}
	if got := w.do(words...); got != "-ERR a connection may hold at most 10000 subscriptions\r\n" {
		t.Errorf("got %.80q", got)
	}
}

// TestAgainstRedis sends the same bytes to redis-server and to us, on three connections, and compares the raw frames.
func TestAgainstRedis(t *testing.T) {
	redis := startRedis(t)
	for _, proto := range []string{"RESP2", "RESP3"} {
		t.Run(proto, func(t *testing.T) {
			ours, _ := openBus(t, pubsub.Options{})
			var theirs, mine [3]*wire
			for i := range theirs {
				theirs[i], mine[i] = dialWire(t, redis), dialWire(t, ours)
				if proto == "RESP3" && i < 2 {
					theirs[i].do("hello", "3")
					mine[i].do("hello", "3")
				}
			}
			// Each step is sent on one connection; frames says how many come on each afterwards.
			for _, step := range []struct {
				conn   int
				words  []string
				frames [3]int
			}{
				{0, []string{"SUBSCRIBE", "foo", "bar", "foo", ""}, [3]int{4}},
				{0, []string{"PSUBSCRIBE", "f*", "news.[ab]", "*"}, [3]int{3}},
				{1, []string{"SUBSCRIBE", "foo", "bin\x00\xff\r\n"}, [3]int{0, 2}},
				{1, []string{"SSUBSCRIBE", "foo", "shard"}, [3]int{0, 2}},
				{2, []string{"PUBLISH", "foo", "hello"}, [3]int{3, 1, 1}},
				{2, []string{"PUBLISH", "news.a", ""}, [3]int{2, 0, 1}},
				{2, []string{"PUBLISH", "news.c", "x"}, [3]int{1, 0, 1}},
				{2, []string{"PUBLISH", "", "empty"}, [3]int{1, 0, 1}},
				{2, []string{"PUBLISH", "bin\x00\xff\r\n", "\x00\r\n"}, [3]int{1, 1, 1}},
				{2, []string{"SPUBLISH", "foo", "s"}, [3]int{0, 1, 1}},
				{2, []string{"SPUBLISH", "none", "s"}, [3]int{0, 0, 1}},
				{2, []string{"PUBSUB", "NUMSUB", "foo", "bar", "none"}, [3]int{0, 0, 1}},
				{2, []string{"PUBSUB", "NUMSUB"}, [3]int{0, 0, 1}},
				{2, []string{"PUBSUB", "NUMPAT"}, [3]int{0, 0, 1}},
				{2, []string{"PUBSUB", "CHANNELS", "f*"}, [3]int{0, 0, 1}},
				{2, []string{"PUBSUB", "CHANNELS", "zz*"}, [3]int{0, 0, 1}},
				{2, []string{"PUBSUB", "SHARDCHANNELS", "s*"}, [3]int{0, 0, 1}},
				{2, []string{"PUBSUB", "SHARDNUMSUB", "shard", "x"}, [3]int{0, 0, 1}},
				{2, []string{"PUBSUB", "CHANNELS", "a", "b"}, [3]int{0, 0, 1}},
				{2, []string{"PUBSUB", "HELP"}, [3]int{0, 0, 1}},
				{0, []string{"UNSUBSCRIBE", "none", "bar"}, [3]int{2}},
				{0, []string{"PUNSUBSCRIBE", "f*", "news.[ab]", "*", "*"}, [3]int{4}},
				{0, []string{"PUNSUBSCRIBE"}, [3]int{1}},
				{0, []string{"UNSUBSCRIBE", "foo", ""}, [3]int{2}},
				{0, []string{"UNSUBSCRIBE"}, [3]int{1}},
				{0, []string{"SUNSUBSCRIBE"}, [3]int{1}},
				{0, []string{"PUBLISH", "foo", "again"}, [3]int{1, 1}},
				{1, []string{"SUNSUBSCRIBE", "foo", "shard", "shard"}, [3]int{0, 3}},
				{1, []string{"UNSUBSCRIBE", "foo"}, [3]int{0, 1}},
				{1, []string{"UNSUBSCRIBE"}, [3]int{0, 1}},
				{2, []string{"PUBSUB", "CHANNELS"}, [3]int{0, 0, 1}},
			} {
				theirs[step.conn].send(step.words...)
				mine[step.conn].send(step.words...)
				for i, n := range step.frames {
					want, got := map[string]int{}, map[string]int{}
					for range n {
						want[theirs[i].frame()]++
						got[mine[i].frame()]++
					}
					for frame, n := range want {
						if got[frame] != n {
							t.Fatalf("%q on connection %d: Redis %v, ours %v", step.words, i, want, got)
						}
					}
				}
			}
		})
	}
}

// TestGlobAgainstRedis holds our glob patterns against those of redis-server.
func TestGlobAgainstRedis(t *testing.T) {
	redis := dialWire(t, startRedis(t))
	addr, _ := openBus(t, pubsub.Options{})
	ours := dialWire(t, addr)
	names := []string{"", "a", "b", "ab", "abc", "a]", "a[", "a*", "a\\", "a-", "ba", "aab", "abab", "]", "^a", "-", "a\x00b"}
	patterns := []string{"*", "?", "a*", "*a", "a?", "[ab]", "[^a]", "[a-c]b", "[c-a]b", "a[", "a[]", "a[b", "a[^", "a[a-", "a[a-]", "a\\*",
		"a\\", "\\a", "**", "*b*", "a**c", "[]", "[^]", "?*", "*?", "*[b]", "a[\\]]", "a[\\", "", "a*b*", "[^^a]", "[a-b-c]*", "*\\"}
	matches := func(w *wire, pattern string) string {
		sub := dialWire(t, w.RemoteAddr().String())
		sub.do("PSUBSCRIBE", pattern)
		var counts strings.Builder
		for _, name := range names {
			counts.WriteString(w.do("PUBLISH", name, "x")[1:2])
		}
		// The confirmation comes behind the messages; the next pattern must be alone.
		for sub.send("PUNSUBSCRIBE"); !strings.Contains(sub.frame(), "punsubscribe"); {
		}
		return counts.String()
	}
	for _, pattern := range patterns {
		if want, got := matches(redis, pattern), matches(ours, pattern); got != want {
			t.Errorf("pattern %q over %q: Redis %s, ours %s", pattern, names, want, got)
		}
	}
}
