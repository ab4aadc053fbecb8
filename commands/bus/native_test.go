package bus_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
	"github.com/nexobroker/nexo/brokers/pubsub"
	"github.com/nexobroker/nexo/commands/commandstest"
)

// lines writes a frame with '|' for line ends.
func lines(text string) string { return strings.ReplaceAll(text, "|", "\r\n") }

func TestRetainedOverTheWire(t *testing.T) {
	clock := brokertest.NewClock(time.Unix(1_800_000_000, 0))
	addr, _ := openBus(t, pubsub.Options{Clock: clock})
	p := dialWire(t, addr)
	for _, words := range []string{"npub a/1 one RETAIN", "npub a/2 two RETAIN EX 10", "npub a/3 three PX 1500 RETAIN",
		"npub b x RETAIN EXAT 1800000005"} {
		if got := p.do(strings.Fields(words)...); got != ":0\r\n" {
			t.Fatalf("%s: %q", words, got)
		}
	}
	p.send("nretained", "#", "COUNT", "3")
	p.want(lines("*2|$4|>a/3|*3|*3|$3|a/1|$3|one|:-1|*3|$3|a/2|$3|two|:10000|*3|$3|a/3|$5|three|:1500|"))
	p.send("nretained", "#", "CURSOR", ">a/3")
	p.want(lines("*2|$1|0|*1|*3|$1|b|$1|x|:5000|"))

	// RESP2: the confirmations of all names come first, then what is retained, then live messages.
	s := dialWire(t, addr)
	s.send("subscribe", "a/1", "a/9")
	s.want(lines("*3|$9|subscribe|$3|a/1|:1|"), lines("*3|$9|subscribe|$3|a/9|:2|"), lines("*3|$7|message|$3|a/1|$3|one|"))
	s.send("psubscribe", "a/+")
	s.want(lines("*3|$10|psubscribe|$3|a/+|:3|"), lines("*4|$8|pmessage|$3|a/+|$3|a/1|$3|one|"),
		lines("*4|$8|pmessage|$3|a/+|$3|a/2|$3|two|"), lines("*4|$8|pmessage|$3|a/+|$3|a/3|$5|three|"))
	s.send("subscribe", "a/1") // held already: confirmed, and not replayed again
	s.want(lines("*3|$9|subscribe|$3|a/1|:3|"))

	n := dialWire(t, addr)
	n.do("hello", "3")
	n.send("nsub", "a/#", "NORETAINED")
	n.want(lines("*1|*2|$3|a/#|:1|"))
	n.send("nsub", "b/#", "+/2")
	n.want(lines("*2|*2|$3|b/#|:2|*2|$3|+/2|:3|"), lines(">5|$8|nmessage|$3|b/#|$1|b|$1|x|:1|"),
		lines(">5|$8|nmessage|$3|+/2|$3|a/2|$3|two|:1|"))

	// RETAIN with "" clears, and is delivered live.
	if got := p.do("npub", "a/1", "", "RETAIN"); got != ":3\r\n" {
		t.Fatalf("%q", got)
	}
	n.want(lines(">5|$8|nmessage|$3|a/#|$3|a/1|$0||:0|"))
	clock.Advance(5 * time.Second)
	p.send("nretained", "#")
	p.want(lines("*2|$1|0|*1|*3|$3|a/2|$3|two|:5000|"))
	p.send("ntopics")
	p.want(lines("*2|$1|0|*3|*3|$3|a/1|:3|:0|*3|$3|a/2|:3|:1|*3|$3|a/9|:3|:0|"))
	p.send("ntopics", "a/+", "COUNT", "1", "CURSOR", ">a/1")
	p.want(lines("*2|$4|>a/2|*1|*3|$3|a/2|:3|:1|"))
	p.send("nrdel", "a/+")
	p.want(":1\r\n")
	p.send("nrdel", "a/+")
	p.want(":0\r\n")
}

// TestRetainedAwaitsTheJournal holds back the fsync: the reply must not come before it.
func TestRetainedAwaitsTheJournal(t *testing.T) {
	journal := brokertest.NewJournal()
	journal.Auto = false
	addr, _ := openBus(t, pubsub.Options{Journal: journal, Durability: brokers.Always})
	w, s := dialWire(t, addr), dialWire(t, addr)
	s.do("subscribe", "a")
	w.send("npub", "a", "x", "RETAIN")
	s.want(lines("*3|$7|message|$1|a|$1|x|")) // delivered: the record is appended
	_ = w.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := w.r.Peek(1); err == nil {
		t.Fatal("the reply came before the fsync")
	}
	journal.Advance(1, 1)
	w.want(":1\r\n")
	w.send("npub", "a", "y", "RETAIN")
	s.frame()
	journal.Fail(brokers.Errorf("IOERR", "the disk is gone"))
	w.want("-IOERR the disk is gone\r\n")
}

func TestNoLocalNoEchoAndWho(t *testing.T) {
	addr, _ := openBus(t, pubsub.Options{})
	w, other := dialWire(t, addr), dialWire(t, addr)
	w.do("hello", "3")
	w.do("client", "setname", "me")
	w.do("nsub", "a/+", "NOLOCAL")
	w.do("nsub", "a/1")
	other.do("psubscribe", "a/*")
	script(t, w, []string{
		"npub a/1 x", ":2|", ">5|$8|nmessage|$3|a/1|$3|a/1|$1|x|:0|",
		"npub a/1 y NOECHO", ":1|",
	})
	other.want(lines("*4|$8|pmessage|$3|a/*|$3|a/1|$1|x|"), lines("*4|$8|pmessage|$3|a/*|$3|a/1|$1|y|"))
	p := dialWire(t, addr)
	who := p.do("nwho", "a/1")
	for _, part := range []string{"*3\r\n", "$2\r\nme\r\n", "$3\r\na/+\r\n", "$3\r\na/1\r\n", "$3\r\na/*\r\n", w.LocalAddr().String(),
		other.LocalAddr().String()} {
		if !strings.Contains(who, part) {
			t.Errorf("NWHO lacks %q: %q", part, who)
		}
	}
	if got := p.do("nwho", "b"); got != "*0\r\n" {
		t.Errorf("%q", got)
	}
	script(t, p, []string{
		"ntopics KIND WILDCARD", "*2|$1|0|*2|*3|$3|a/*|:1|:1|*3|$3|a/+|:1|:0|",
		"ntopics KIND wildcard COUNT 1", "*2|$4|>a/*|*1|*3|$3|a/*|:1|:1|",
		"ntopics KIND wildcard COUNT 1 CURSOR >a/*", "*2|$1|0|*1|*3|$3|a/+|:1|:0|",
		"ntopics b/# KIND WILDCARD", "*2|$1|0|*0|",
		"ntopics KIND TOPIC", "*2|$1|0|*1|*3|$3|a/1|:3|:0|",
		"ntopics KIND x", "-ERR KIND is TOPIC or WILDCARD|",
		"ntopics KIND", "*2|$1|0|*0|",
		"nwho b EXACT", "*0|",
		"nwho b x", "-ERR syntax error near 'x'|",
	})
	if got := p.do("nwho", "a/*", "exact"); !strings.HasPrefix(got, "*1\r\n") || !strings.Contains(got, other.LocalAddr().String()) {
		t.Errorf("NWHO EXACT: %q", got)
	}
}

func TestWill(t *testing.T) {
	addr, broker := openBus(t, pubsub.Options{})
	s := dialWire(t, addr)
	s.do("psubscribe", "will/+")
	for i, c := range []struct {
		good    func(w *wire)
		arrives bool
	}{
		{func(w *wire) {}, true},
		{func(w *wire) { w.do("quit") }, false},
		{func(w *wire) { w.do("reset") }, false},
		{func(w *wire) { w.do("nwill", "CLEAR") }, false},
		{func(w *wire) { w.do("nwill", "will/other", "x") }, false},
	} {
		w := dialWire(t, addr)
		if i > 0 {
			w.do("hello", "3")
		}
		if got := w.do("nwill", "will/"+strconv.Itoa(i), "gone", "RETAIN", "EX", "60"); got != "+OK\r\n" {
			t.Fatalf("%q", got)
		}
		w.do("subscribe", fmt.Sprint("mark", i))
		c.good(w)
		w.Close()
		switch {
		case c.arrives:
			s.want(lines(fmt.Sprintf("*4|$8|pmessage|$6|will/+|$6|will/%d|$4|gone|", i)))
		case i == 4:
			s.want(lines("*4|$8|pmessage|$6|will/+|$10|will/other|$1|x|"))
		default: // the next case's message shows that none came
		}
	}
	p := dialWire(t, addr)
	if got := p.do("nretained", "will/#"); !strings.Contains(got, "*1\r\n*3\r\n$6\r\nwill/0\r\n$4\r\ngone\r\n") {
		t.Errorf("%q", got)
	}
	// Every connection but the subscriber's and this one has taken its subscriptions with it.
	if got := broker.Stats().Subscriptions; got != 1 {
		t.Errorf("%d subscriptions are left", got)
	}
}

// TestUnsubscribeIsExact unsubscribes under a stream of messages: none follows the confirmation.
func TestUnsubscribeIsExact(t *testing.T) {
	addr, _ := openBus(t, pubsub.Options{})
	stop := make(chan struct{})
	var publishing sync.WaitGroup
	for range 2 {
		p := dialWire(t, addr)
		publishing.Add(1)
		go func() {
			defer publishing.Done()
			burst := strings.Repeat(string(encodeCommand("publish", "a/b", "x")), 20)
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := p.Write([]byte(burst)); err != nil {
					t.Error(err)
					return
				}
				for range 20 {
					if _, err := p.r.ReadString('\n'); err != nil {
						t.Error(err)
						return
					}
				}
			}
		}()
	}
	s := dialWire(t, addr)
	for round := range 200 {
		s.send("subscribe", "a/b")
		if got := s.frame(); !strings.Contains(got, "$9\r\nsubscribe") {
			t.Fatalf("round %d: %q came before the confirmation", round, got)
		}
		s.frame() // at least one message
		for s.send("unsubscribe", "a/b"); !strings.Contains(s.frame(), "unsubscribe"); {
		}
	}
	close(stop)
	publishing.Wait()
}

// TestRetainedRaceOverTheWire counts up in a retained topic while connections subscribe.
func TestRetainedRaceOverTheWire(t *testing.T) {
	addr, _ := openBus(t, pubsub.Options{})
	const values, subscribers = 3000, 30
	p := dialWire(t, addr)
	p.do("npub", "n/c", "0", "RETAIN")
	var done sync.WaitGroup
	half := make(chan struct{})
	for i := range subscribers {
		s := dialWire(t, addr)
		done.Add(1)
		go func() {
			defer done.Done()
			if i > subscribers/2 {
				<-half
			}
			command := []string{"subscribe", "n/c"}
			if i%2 == 0 {
				command = []string{"psubscribe", "n/+"}
			}
			s.do(command...)
			next := -1
			for next != values {
				fields := strings.Split(s.frame(), "\r\n")
				n, err := strconv.Atoi(fields[len(fields)-2])
				if err != nil || (next >= 0 && n != next+1) {
					t.Errorf("subscriber %d: %q follows %d", i, fields, next)
					return
				}
				next = n
			}
		}()
	}
	for v := 1; v <= values; v++ {
		p.send("npub", "n/c", strconv.Itoa(v), "RETAIN")
		if v == values/2 {
			close(half)
		}
		if v%50 == 0 {
			for range 50 {
				p.frame()
			}
		}
	}
	done.Wait()
}

// TestLargeReplayToSlowReader replays 50,000 messages of 1 KiB, far more than the output limit, to a client that reads
// slowly, while another subscriber is served at once; what is published meanwhile comes behind the replay.
func TestLargeReplayToSlowReader(t *testing.T) {
	addr, broker := openBus(t, pubsub.Options{})
	const messages = 50000
	batch := broker.NewBatch(0)
	payload := []byte(strings.Repeat("x", 1024))
	for i := range messages {
		if _, _, err := batch.Retain(fmt.Appendf(nil, "r/%05d", i), payload, 0, false); err != nil {
			t.Fatal(err)
		}
	}
	slow, quick := dialWire(t, addr), dialWire(t, addr)
	slow.send("psubscribe", "r/+")
	slow.frame()
	quick.do("subscribe", "r/live")
	p := dialWire(t, addr)
	if got := p.do("publish", "r/live", "now"); got != ":2\r\n" {
		t.Fatalf("%q", got)
	}
	quick.want(lines("*3|$7|message|$6|r/live|$3|now|"))
	for i := range messages {
		want := fmt.Sprintf("*4\r\n$8\r\npmessage\r\n$3\r\nr/+\r\n$7\r\nr/%05d\r\n$1024\r\n%s\r\n", i, payload)
		if got := slow.frame(); got != want {
			t.Fatalf("message %d: %.80q", i, got)
		}
	}
	slow.want(lines("*4|$8|pmessage|$3|r/+|$6|r/live|$3|now|"))
}

func FuzzBusArguments(f *testing.F) {
	commandstest.RunFuzz(f, []string{
		"NPUB a/b x RETAIN EX 5\nNSUB a/+ #\nNPUB a/c y NOECHO\nNRETAINED # COUNT 1\nNTOPICS\nNWHO #\nNUNSUB",
		"SUBSCRIBE a b\nPSUBSCRIBE a/+ x*\nSSUBSCRIBE s\nUNSUBSCRIBE\nPUNSUBSCRIBE x*\nPUBLISH a b",
		"NSUB $share/g/a SHARE h\nNMPUB 2 a 1 b 2\nNWILL a x RETAIN PX 1\nNRDEL #\nPUBSUB NUMSUB a\nRESET",
	}, func(group string) bool { return group == "pubsub" || group == "bus" })
}
