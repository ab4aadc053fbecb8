package streams_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
	"github.com/nexobroker/nexo/brokers/stream"
	"github.com/nexobroker/nexo/commands/commandstest"
	"github.com/nexobroker/nexo/resp"
)

// openStreamDoor serves the commands over a stream broker on a port of the loopback. Its clock stands still, and its
// streams show an append at once unless they say SYNC.
func openStreamDoor(t testing.TB) (addr string, broker *stream.Broker, clock *brokertest.Clock) {
	t.Helper()
	return openStreamDoorOn(t, brokertest.NewJournal(), t.TempDir())
}

func openStreamDoorOn(t testing.TB, journal brokers.Journal, directory string) (addr string, broker *stream.Broker,
	clock *brokertest.Clock) {
	t.Helper()
	clock = brokertest.NewClock(time.UnixMilli(1_700_000_000_000))
	broker, err := stream.Open(stream.Options{Journal: journal, Directory: directory, Clock: clock, Durability: brokers.Never,
		MaxPayload: 1 << 10})
	if err != nil {
		t.Fatal(err)
	}
	server := commandstest.NewServer(commandstest.Brokers{Stream: broker, Clock: clock}, commandstest.Process{})
	door := commandstest.ServeDoor(t, resp.Options{}, server, broker.Close)
	return door.Addr().String(), broker, clock
}

// streamSteps are commands and their replies, line by line with | between the lines; "advance" moves the clock.
var streamSteps = []string{
	// Streams
	"XCREATE s MAXAGE 0 MAXLEN 100 INTEGRITY CHAIN", "+OK",
	"XCREATE s MAXAGE 0 MAXLEN 100 INTEGRITY CHAIN", "+OK",
	"XCREATE s", "-SEXISTS 's' exists with MAXAGE 0, asked 604800000",
	"XCREATE s IFNX", "+OK",
	"XCREATE t MAXLEN", "-ERR syntax error near 'MAXLEN'",
	"XCONF s GET maxlen integrity", "*4|$6|maxlen|:100|$9|integrity|$5|CHAIN",
	"XCONF s SET MAXLEN 50 DEDUPWINDOW 10s", "+OK",
	"XCONF s SET INTEGRITY NONE", "-ERR INTEGRITY is chosen when a stream is made",
	"XCONF s GET maxlen dedupwindow", "*4|$6|maxlen|:50|$11|dedupwindow|:10000",
	"XEXISTS s nope s", ":2",
	"XHEAD s", "*3|:0|$3|0-0|$64|" + strings.Repeat("0", 64),

	// Appends
	"XAPPEND nope x NOMK", "-NOSTREAM no such stream 'nope'",
	"XAPPEND nope x EXPECT 3", "-EXPECT expected 3, is 0",
	"XEXISTS nope", ":0",
	"XAPPEND s a EXPECT NONE", ":1",
	"XAPPEND s b EXPECT 1", ":2",
	"XAPPEND s c EXPECT 1", "-EXPECT expected 1, is 2",
	"XAPPEND s c DEDUP k", "*2|:3|:1",
	"XAPPEND s c DEDUP k", "*2|:3|:0",
	"XMAPPEND s 2 EXPECT e EXPECT 3", "*2|:4|:5",
	"XMAPPEND s 3 x y", "-ERR n is 3: at least 3 arguments must follow, not 2",
	"XMAPPEND s 1 x y", "-ERR syntax error near 'y': n is 1",
	"XMAPPEND s 10001 x", "-ERR n is not an integer between 1 and 10000",
	"XAPPEND s " + strings.Repeat("x", 1025), "-TOOBIG payload 1025 > 1024",
	"XAPPEND other o", ":1",
	"XLIST", "*2|$1|0|*2|$5|other|$1|s",
	"XLIST COUNT 1", "*2|$6|>other|*1|$5|other",
	"XLIST COUNT 1 CURSOR >other", "*2|$1|0|*1|$1|s",
	"XLIST MATCH o*", "*2|$1|0|*1|$5|other",
	"XDROP other nope", ":1",
	"XLEN s", ":5",
	"XLEN nope", ":0",
	"XTRIM nope MAXLEN 1", ":0",
	"XTRIM nope MINID 1-1", ":0",
	"XTRIM nope MINID x", "-ERR Invalid stream ID specified as stream command argument",
	"XDEL nope 1-1", ":0",
	"XACK nope g 0-1", ":0",
	"XACK s nope 0-1", ":0",
	"XACK nope g x", ":0",
	"XACK nope g 1-1 EPOCH 2", ":0",

	// Reads
	"XFETCH s first COUNT 1", "*4|:2|:5|:0|*1|*3|:1|:1700000000000|$1|a",
	"XFETCH s #4 TO 4", "*4|:5|:5|:0|*1|*3|:4|:1700000000000|$6|EXPECT",
	"XFETCH s last", "*4|:6|:5|:0|*1|*3|:5|:1700000000000|$1|e",
	"XFETCH s next", "*4|:6|:5|:0|*0",
	"XFETCH s 1700000000000-1 COUNT 1", "*4|:3|:5|:0|*1|*3|:2|:1700000000000|$1|b",
	"XFETCH s @1700000000001", "*4|:6|:5|:0|*0",
	"XFETCH s 2 TO 1700000000000-18446744073709551615 COUNT 1", "*4|:3|:5|:0|*1|*3|:2|:1700000000000|$1|b",
	"XFETCH s next REV COUNT 1", "*4|:4|:5|:0|*1|*3|:5|:1700000000000|$1|e",
	"XFETCH s 1 MAXBYTES 1", "*4|:2|:5|:0|*1|*3|:1|:1700000000000|$1|a",
	"XFETCH s x", "-ERR invalid position 'x': use an offset, #offset, ms-seq, @ms, first, last or next",
	"XFETCH nope 1", "-NOSTREAM no such stream 'nope'",
	"XTRIM s MAXLEN = 4", ":1",
	"XTRIM s MINID #2", ":0",
	"XFETCH s 1 COUNT 1", "*4|:3|:5|:1|*1|*3|:2|:1700000000000|$1|b",
	"XFETCH s 1 STRICT", "-OFFSETGONE first is 2",
	"XDEL s 1-1", "-IMMUTABLE entries of a stream are never deleted one by one; XTRIM and retention remove from the front",

	// Groups
	"XCONSUME s g c", "-NOGROUP no such group 'g' of stream 's'",
	"XGCREATE s g ACKWAIT 1s MAXDELIVER 2", "+OK",
	"XGCREATE s g ACKWAIT 1s MAXDELIVER 2", "+OK",
	"XGCREATE s g", "-GEXISTS 'g' exists with other options",
	"XGCREATE s g IFNX", "+OK",
	"XCONSUME s g c COUNT 2", "*3|:1|:2|*2|*4|:2|:1700000000000|:1|$1|b|*4|:3|:1700000000000|:1|$1|c",
	"XACK s g 2 1700000000000-1 1700000000000-9", ":1",
	"XEXTEND s g 5s #3", ":1",
	"advance 4999", "",
	"XCONSUME s g c NOACK COUNT 1", "*3|:1|:1|*1|*4|:4|:1700000000000|:1|$6|EXPECT",
	"advance 1", "",
	"XCONSUME s g d COUNT 1", "*3|:1|:1|*1|*4|:3|:1700000000000|:2|$1|c",
	"XNACK s g SILENT IDS 1 3", ":1",
	"XCONSUME s g d COUNT 1", "*3|:1|:1|*1|*4|:3|:1700000000000|:2|$1|c",
	"XLEAVE s g d", ":1",
	"XLEAVE s g d", ":0",
	"XCONSUME s g d COUNT 1", "*3|:1|:1|*1|*4|:3|:1700000000000|:2|$1|c",
	"XNACK s g FAIL IDS 2 3 3 REASON late", ":1",
	"XCONSUME s g d COUNT 1", "*3|:1|:0|*1|*4|:5|:1700000000000|:1|$1|e",
	"XNACK s g FATAL IDS 1 #5..#9 REASON broken", ":1",
	"XNACK s g MAYBE IDS 1 5", "-ERR syntax error near 'MAYBE'",
	"XNACK s g FAIL IDS 3 5 6", "-ERR IDS is 3: at least 3 arguments must follow, not 2",
	"XNACK s g FAIL IDS 1 5 6", "-ERR syntax error near '6': IDS is 1",
	"XNACK s g FAIL IDS x 5", "-ERR IDS is not an integer between 1 and 1073741824",
	"XNACK s g FAIL IDZ 1 5", "-ERR syntax error near 'IDZ'",
	"XPARKED s g", "*2|*5|:3|:2|:1700000005000|$4|late|$1|c|*5|:5|:1|:1700000005000|$6|broken|$1|e",
	"XPARKED s g FROM 4 COUNT 1", "*1|*5|:5|:1|:1700000005000|$6|broken|$1|e",
	"XUNPARK s g 3 DROP", ":1",
	"XUNPARK s g ALL", ":1",
	"XUNPARK s g ALL", ":0",
	"XCONSUME s g d", "*3|:1|:0|*1|*4|:5|:1700000000000|:1|$1|e",
	"XSEEK s g 5", "*2|:2|:5",
	"XACK s g 5 EPOCH 1", "-FENCED epoch 1, now 2",
	"XCONSUME s g d", "*3|:2|:0|*1|*4|:5|:1700000000000|:1|$1|e",
	"XACK s g #1..#9 EPOCH 2", ":1",
	"XCONSUME s g d BLOCK 1", "*3|:2|:0|*0",
	"XGDROP s g", ":1",
	"XGDROP s g", ":0",
	"XCONSUME made g c MK", "*3|:3|:0|*0", // above every epoch of a dropped group
	"XEXISTS made", ":1",
	"XSEEK nope g next", "-NOSTREAM no such stream 'nope'",
	"XSEEK s late next", "*2|:3|:6",
	"XSEEK s late #2", "*2|:4|:2",
	"XCONSUME s late c COUNT 2", "*3|:4|:2|*2|*4|:2|:1700000000000|:1|$1|b|*4|:3|:1700000000000|:1|$1|c",
	"XNACK s late FATAL IDS 1 2 REASON broken", ":1",
	"XSEEK s late first", "*2|:5|:2",
	"XPARKED s late", "*1|*5|:2|:1|:1700000005000|$6|broken|$1|b",
	"XCONSUME s late c COUNT 1", "*3|:5|:3|*1|*4|:2|:1700000000000|:1|$1|b",
	"XPARKED s late", "*0",

	// The chain
	"XVERIFY made", "-ERR stream 'made' has no INTEGRITY CHAIN",
	"XSTAT nope", "-NOSTREAM no such stream 'nope'",
	"XSTAT s nope", "-NOGROUP no such group 'nope' of stream 's'",
}

func TestStreamScript(t *testing.T) {
	addr, _, clock := openStreamDoor(t)
	client := commandstest.Dial(t, addr, 2)
	for i := 0; i < len(streamSteps); i += 2 {
		words := strings.Fields(streamSteps[i])
		if words[0] == "advance" {
			var ms int
			fmt.Sscan(words[1], &ms)
			clock.Advance(time.Duration(ms) * time.Millisecond)
			continue
		}
		want := strings.ReplaceAll(streamSteps[i+1], "|", "\r\n") + "\r\n"
		if got := client.Do(words...); got != want {
			t.Errorf("%s\n got %q\nwant %q", streamSteps[i], got, want)
		}
	}
}

// A position far behind the end is no way to hurt the server.
func TestStreamChainOverTheWire(t *testing.T) {
	addr, _, _ := openStreamDoor(t)
	client := commandstest.Dial(t, addr, 3)
	client.Do("XCREATE", "s", "INTEGRITY", "CHAIN")
	client.Do("XAPPEND", "s", "a")
	head := strings.Split(client.Do("XHEAD", "s"), "\r\n")[5]
	for _, words := range [][]string{{"XVERIFY", "s"}, {"XVERIFY", "s", "FROM", "1000"},
		{"XVERIFY", "s", "FROM", "18446744073709551615", "TO", "0"}} {
		got := client.Do(words...)
		if !strings.HasPrefix(got, "%5\r\n$2\r\nok\r\n:1\r\n") || !strings.Contains(got, head) {
			t.Errorf("%q: %q", words, got)
		}
	}
	for _, words := range [][]string{{"XSTAT", "s"}, {"XCONF", "s", "GET"}} {
		if got := client.Do(words...); got[0] != '%' {
			t.Errorf("%q is no map: %q", words, got)
		}
	}
	if got := commandstest.Dial(t, addr, 2).Do("XSTAT", "s"); got[0] != '*' {
		t.Errorf("RESP2: %q", got)
	}
}

// The groups are told by name, so that a client can ask about each.
func TestStreamGroupNames(t *testing.T) {
	addr, _, _ := openStreamDoor(t)
	client := commandstest.Dial(t, addr, 2)
	client.Do("XCREATE", "s")
	for _, step := range []struct {
		words []string
		want  string
	}{
		{[]string{"XEXISTS", "s"}, "$6|groups|:0|$11|group-names|*0|"},
		{[]string{"XGCREATE", "s", "second"}, "$6|groups|:1|$11|group-names|*1|$6|second|"},
		{[]string{"XGCREATE", "s", "first"}, "$6|groups|:2|$11|group-names|*2|$5|first|$6|second|"},
		{[]string{"XGDROP", "s", "second"}, "$6|groups|:1|$11|group-names|*1|$5|first|"},
	} {
		client.Do(step.words...)
		for _, door := range []*commandstest.Client{client, commandstest.Dial(t, addr, 3)} {
			if got := strings.ReplaceAll(door.Do("XSTAT", "s"), "\r\n", "|"); !strings.Contains(got, step.want) {
				t.Errorf("after %q: %q has no %q", step.words, got, step.want)
			}
		}
	}
}

func TestBlockedStreamReaders(t *testing.T) {
	addr, broker, _ := openStreamDoor(t)
	client := commandstest.Dial(t, addr, 2)
	client.Do("XCREATE", "s", "SYNC", "ALWAYS")
	client.Do("XGCREATE", "s", "g")
	replies := make(chan string, 2)
	for _, words := range [][]string{{"XFETCH", "s", "next", "BLOCK", "0"}, {"XCONSUME", "s", "g", "c", "BLOCK", "0"}} {
		waiting := commandstest.Dial(t, addr, 2)
		go func() { replies <- waiting.Do(words...) }()
	}
	commandstest.Until(t, "a consumer waits", func() bool {
		st, err := broker.GroupStats([]byte("s"), []byte("g"))
		return err == nil && st.Waiters == 1
	})
	// The fetch may still be on its way, and waits for what comes after it; so entries come until both have answered.
	select {
	case reply := <-replies:
		t.Fatalf("not blocked: %q", reply)
	default:
	}
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				broker.Append([]byte("s"), [][]byte{[]byte("a")}, stream.Expect{}, nil, true)
			}
		}
	}()
	for range 2 {
		if reply := <-replies; !strings.HasSuffix(reply, "$1\r\na\r\n") {
			t.Errorf("%q", reply)
		}
	}
	close(stop)
}

// An epoch is told when it is on disk, at the lowest level too: by then no crash can give it to somebody else.
func TestAnEpochIsToldWhenItIsOnDisk(t *testing.T) {
	journal := brokertest.NewJournal()
	addr, broker, _ := openStreamDoorOn(t, journal, t.TempDir())
	client := commandstest.Dial(t, addr, 2)
	client.Do("XCREATE", "s", "SYNC", "NEVER")
	client.Do("XAPPEND", "s", "a")
	client.Do("XCONSUME", "s", "g", "c", "MK")
	for i, words := range [][]string{
		{"XSEEK", "s", "g", "first"}, {"XCONSUME", "s", "g", "c"}, {"XACK", "s", "g", "1", "EPOCH", "9"}, {"XSTAT", "s", "g"},
	} {
		journal.SetAuto(false)
		if i > 0 {
			if _, _, _, err := broker.Seek([]byte("s"), []byte("g"), stream.Position{}); err != nil {
				t.Fatal(err)
			}
		}
		reply := make(chan string, 1)
		asked := commandstest.Dial(t, addr, 2)
		go func() { reply <- asked.Do(words...) }()
		commandstest.Until(t, "the seek is done", func() bool {
			st, err := broker.GroupStats([]byte("s"), []byte("g"))
			return err == nil && st.Epoch == uint64(i+2)
		})
		select {
		case got := <-reply:
			t.Errorf("%q answers before the epoch is on disk: %q", words, got)
		case <-time.After(20 * time.Millisecond): // long enough for an answer that does not wait
		}
		journal.SetAuto(true)
		if got := <-reply; !strings.Contains(got, fmt.Sprint(i+2)) {
			t.Errorf("%q: %q", words, got)
		}
	}
}

// What Redis' words answer of a missing stream, they answer of no other failure.
func TestADamagedStreamIsNoEmptyOne(t *testing.T) {
	directory := t.TempDir()
	addr, broker, _ := openStreamDoorOn(t, brokertest.NewJournal(), directory)
	client := commandstest.Dial(t, addr, 2)
	client.Do("XCREATE", "s", "MAXAGE", "0")
	client.Do("XMAPPEND", "s", "2", "first payload", "second payload")
	client.Do("XGCREATE", "s", "g")
	if err := broker.Compact(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(directory, "segment-*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	raw, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	raw[bytes.Index(raw, []byte("second payload"))] ^= 1
	if err := os.WriteFile(files[0], raw, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{
		"XTRIM s MINID 1700000000000-1", "XACK s g 1700000000000-1", "XNACK s g FAIL IDS 1 1700000000000-1", "XEXTEND s g 1s 1700000000000-1",
		"XUNPARK s g 1700000000000-1", "XSEEK s g 1700000000000-1", "XFETCH s first", "XCONSUME s g c", "XPARKED s g FROM 1700000000000-1",
	} {
		if got := client.Do(strings.Fields(words)...); !strings.HasPrefix(got, "-IOERR ") {
			t.Errorf("%s: %q", words, got)
		}
	}
	if got := client.Do("XLEN", "s"); got != ":2\r\n" {
		t.Errorf("nothing was changed: %q", got)
	}
}

func FuzzStreamArguments(f *testing.F) {
	seeds := []string{
		"XMAPPEND s 2 a b\nXGCREATE s g START first\nXCONSUME s g c COUNT 1\nXACK s g #1..#2\nXSTAT s g",
		"XREAD BLOCK 0 STREAMS s $\nXFETCH s next BLOCK 0\nXAPPEND s v EXPECT 3 DEDUP d",
	}
	for i := 0; i < len(streamSteps); i += 2 {
		seeds = append(seeds, streamSteps[i])
	}
	commandstest.RunFuzz(f, seeds, func(group string) bool { return group == "stream" })
}
