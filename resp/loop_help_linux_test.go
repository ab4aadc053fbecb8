package resp

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// helped is a connection whose batch a helper runs, and stands in the middle of, while the leader of the only loop is free.
type helped struct {
	h     *stepHandler
	s     *Server
	c     client
	conn  *Conn
	other client
}

var (
	pongs = slices.Repeat([]string{"+PONG"}, pipelineMin)
	burst = strings.Repeat("PING\r\n", pipelineMin)
)

const stands = "DELIVERLATE\r\n" // a command that neither blocks nor goes aside, until wake

// newPipelining is two connections of the only loop whose next batches are worth a helper.
func newPipelining(t *testing.T) helped {
	t.Helper()
	if loopsInTests < 0 {
		t.Skip("there are no helpers without loops")
	}
	loops := loopsInTests
	loopsInTests = 1
	defer func() { loopsInTests = loops }()
	h := newStepHandler()
	s := startServer(t, Options{}, h)
	x := helped{h: h, s: s, c: dial(t, s), other: dial(t, s)}
	x.c.send("NAME x\r\n")
	x.c.expect("+x")
	named, _ := h.names.Load("x")
	x.conn = named.(*Conn)
	for _, c := range []client{x.c, x.other} {
		c.send(burst)
		c.expect(pongs...)
	}
	return x
}

// hold has the leader stand, so that what is sent meanwhile is in its line together.
func (x helped) hold() client {
	holder := dial(x.c.t, x.s)
	holder.send(stands)
	<-x.h.wakes
	return holder
}

func newHelped(t *testing.T, send string) helped {
	t.Helper()
	x := newPipelining(t)
	holder := x.hold()
	x.c.send(send)
	x.other.send(burst)
	x.h.wake <- struct{}{}
	holder.expect("+JOB")
	if strings.HasPrefix(send, stands) {
		<-x.h.wakes
	}
	x.other.expect(pongs...) // by the leader: the helper stands
	return x
}

func (x helped) goOn() { x.h.wake <- struct{}{} }

func TestABatchIsHandedToAHelper(t *testing.T) {
	x := newHelped(t, "PING\r\n"+stands+"PING\r\n")
	x.c.expectNothing()
	x.goOn()
	x.c.expect("+PONG", "+JOB", "+PONG")
	x.c.ping()
}

func TestWhatComesWhileAHelperRuns(t *testing.T) {
	for _, test := range []struct {
		name   string
		batch  string
		during func(x helped)
		expect []string
	}{
		{"commands", "", func(x helped) { x.c.send("ECHO a\r\n") }, []string{"+JOB", "$1", "a"}},
		{"a push, which is put before the replies to come", "", func(x helped) {
			x.conn.Push(NewMessage([]byte("+PUSH\r\n")))
		}, []string{"+PUSH", "+JOB"}},
		{"both", "", func(x helped) {
			x.conn.Push(NewMessage([]byte("+PUSH\r\n")))
			x.c.send("ECHO a\r\n")
		}, []string{"+PUSH", "+JOB", "$1", "a"}},
		{"a measure", "", func(x helped) { x.conn.queued() }, []string{"+JOB"}},
		{"a journal gets on", "SAVE a x\r\n", func(x helped) { x.h.a.all() }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := newHelped(t, stands+test.batch)
			test.during(x)
			x.other.ping() // the leader has seen it
			x.c.expectNothing()
			x.goOn()
			if test.batch != "" {
				eventually(t, "it has run", func() bool { return x.h.a.behind() == 1 })
				x.c.expectNothing()
				x.h.a.all()
				x.c.expect("+JOB", "+x")
			}
			x.c.expect(test.expect...)
			x.c.ping()
		})
	}
}

// TestTheEndWhileAHelperRuns: the socket stays open until the batch is over, whoever ends the connection, and the job comes back.
func TestTheEndWhileAHelperRuns(t *testing.T) {
	for name, end := range map[string]func(x helped){
		"the client leaves": func(x helped) { x.c.Close() },
		"a kill":            func(x helped) { x.conn.Kill() },
		"both": func(x helped) {
			x.c.Close()
			x.conn.Kill()
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := newHelped(t, stands+"BIG\r\nBIG\r\n")
			end(x)
			x.other.ping()
			later := dial(t, x.s) // would get the descriptor, had it been closed
			later.ping()
			x.goOn()
			eventually(t, "it has ended", func() bool { return x.h.closed.Load() > 0 && x.s.Counters().Memory == 0 })
			eventually(t, "the job came back", func() bool { return x.h.undelivered.Load() == 1 })
			later.ping()
			x.other.ping()
		})
	}
}

// TestAHelperGoesAside: a command that waits in its batch leaves the connection to the leader like any other's.
func TestAHelperGoesAside(t *testing.T) {
	x := newHelped(t, stands+"BLOCK\r\nPING\r\n")
	x.c.send("ECHO a\r\n")
	x.goOn()
	x.c.expect("+JOB")
	x.c.expectNothing()
	x.other.ping()
	x.h.wake <- struct{}{}
	x.c.expect(":0", "+PONG", "$1", "a")
	if woken := <-x.h.wakes; woken != Woken {
		t.Error(woken)
	}
	x.c.ping()

	x = newHelped(t, stands+"BLOCK\r\nPING\r\n")
	x.goOn()
	x.c.expect("+JOB")
	x.c.Close()
	if woken := <-x.h.wakes; woken != Gone {
		t.Error(woken)
	}
}

// TestMuchFromAHelper: what is over the share of a batch, or more than the socket takes, is the leader's again.
func TestMuchFromAHelper(t *testing.T) {
	x := newHelped(t, stands+strings.Repeat("BIG\r\n", 8)+"PING\r\n")
	x.goOn()
	x.c.expect("+JOB")
	for range 8 {
		x.c.expect("$1048576", strings.Repeat("v", 1<<20))
	}
	x.c.expect("+PONG")
	x.c.ping()
}

func TestADrainWhileAHelperRuns(t *testing.T) {
	x := newHelped(t, stands+"PING\r\n")
	ended := make(chan error, 1)
	go func() { ended <- x.s.Shutdown(context.Background()) }()
	x.other.expectClosed()
	x.goOn()
	x.c.expect("+JOB", "+PONG")
	x.c.expectClosed()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAPanicOfAHelper(t *testing.T) {
	x := newHelped(t, stands+"PANIC\r\n")
	x.goOn()
	x.c.expect("+JOB", "-ERR internal error")
	x.c.expectClosed()
	x.other.ping()
}

// TestNoHelperForWhatIsInLine: output of more than a turn's share puts the connection into the next turn's line, where the leader meets it
// again. So the leader keeps it.
func TestNoHelperForWhatIsInLine(t *testing.T) {
	x := newPipelining(t)
	holder := x.hold()
	text := "+" + strings.Repeat("p", 3*shareMax)
	x.conn.Push(NewMessage([]byte(text + "\r\n")))
	x.conn.queued() // by two marks it comes into the line of those who send
	x.c.send(stands + "PING\r\n")
	x.other.send(burst)
	x.h.wake <- struct{}{}
	holder.expect("+JOB")
	<-x.h.wakes
	if x.conn.io.handed.Load() != 0 {
		t.Error("a helper has it, and the leader will come to it")
	}
	x.goOn()
	x.c.expect(text, "+JOB", "+PONG")
	x.other.expect(pongs...)
	x.c.ping()
}

// TestAHelperThatWaitsIsNone: what waits beside the loop takes no place from those that work.
func TestAHelperThatWaitsIsNone(t *testing.T) {
	for _, waits := range []string{"BLOCK\r\n", "HEAVY\r\n"} {
		x := newHelped(t, waits)
		eventually(t, "no helper works", func() bool { return x.s.loops[0].helpers.Load() == 0 })
		x.goOn()
		if waits == "BLOCK\r\n" {
			<-x.h.wakes
			x.c.expect(":0")
		} else {
			x.c.expect("+OK")
		}
		x.c.ping()
		eventually(t, "it is counted once", func() bool { return x.s.loops[0].helpers.Load() == 0 })
	}
}

// TestMixedLoadOfHelpers is TestMixedLoad with scripts that keep the helpers of the only loop busy.
func TestMixedLoadOfHelpers(t *testing.T) {
	if loopsInTests < 0 {
		t.Skip("there are no helpers without loops")
	}
	loops := loopsInTests
	loopsInTests = 1
	defer func() { loopsInTests = loops }()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	h := newStepHandler()
	s := startServer(t, Options{}, h)
	words := slices.Concat(mixedWords, slices.Repeat([]string{"BURST"}, 3*len(mixedWords)))
	scripts := make([]*mixed, 200)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range scripts {
		scripts[i] = newMixed(r, fmt.Sprint("c", i), words)
		scripts[i].most = 20_000
	}
	stop, helped := make(chan struct{}), 0
	var watching sync.WaitGroup
	watching.Go(func() {
		for !isClosed(stop) {
			helped += int(s.loops[0].helpers.Load())
			time.Sleep(50 * time.Microsecond)
		}
	})
	runMixed(t, h, s, seed, scripts, 100)
	close(stop)
	watching.Wait()
	if left := s.loops[0].helpers.Load(); helped == 0 || left != 0 {
		t.Errorf("helpers were seen %d times, and %d are left", helped, left)
	}
}
