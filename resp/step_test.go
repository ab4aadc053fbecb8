package resp

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// stepJournal is a journal that gets on when the test says so.
type stepJournal struct {
	mu      sync.Mutex
	changed *sync.Cond
	next    uint64 // the last number that was given
	at      uint64 // up to where it is durable
	stalled bool   // whoever waits gives up
	failure error
	watch   []func()
}

var errStalled = errors.New("IOERR not yet durable")

func newStepJournal() *stepJournal {
	j := &stepJournal{}
	j.changed = sync.NewCond(&j.mu)
	return j
}

func (j *stepJournal) append() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.next++
	return j.next
}

// step changes what the journal tells, and tells it.
func (j *stepJournal) step(change func()) {
	j.mu.Lock()
	change()
	watch := j.watch
	j.mu.Unlock()
	j.changed.Broadcast()
	for _, wake := range watch {
		wake()
	}
}

func (j *stepJournal) advance(to uint64) { j.step(func() { j.at = max(j.at, to) }) }
func (j *stepJournal) fail(err error)    { j.step(func() { j.failure = err }) }
func (j *stepJournal) all()              { j.step(func() { j.at = j.next }) }

// behind tells how many numbers are given and not durable.
func (j *stepJournal) behind() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.next - j.at
}

func (j *stepJournal) outcome(seq uint64) (done bool, err error) {
	switch {
	case j.at >= seq:
		return true, nil
	case j.failure != nil:
		return true, j.failure
	case j.stalled:
		return true, errStalled
	}
	return false, nil
}

func (j *stepJournal) WaitSynced(seq uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		if done, err := j.outcome(seq); done {
			return err
		}
		j.changed.Wait()
	}
}

func (j *stepJournal) WaitWritten(seq uint64) error { return j.WaitSynced(seq) }

func (j *stepJournal) Reached(seq uint64, _ bool, _ time.Duration) (bool, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.outcome(seq)
}

func (j *stepJournal) Watch(wake func()) {
	j.mu.Lock()
	j.watch = append(j.watch[:len(j.watch):len(j.watch)], wake)
	j.mu.Unlock()
}

// stepHandler is testHandler with two journals that the test moves, and with commands that run elsewhere.
type stepHandler struct {
	*testHandler
	a, b    *stepJournal
	names   sync.Map // of a connection's NAME, its *Conn
	running atomic.Int64
}

func newStepHandler() *stepHandler {
	return &stepHandler{testHandler: newTestHandler(), a: newStepJournal(), b: newStepJournal()}
}

func (h *stepHandler) Command(c *Conn, args [][]byte) {
	w := c.Writer()
	switch strings.ToUpper(string(args[0])) {
	case "SAVE": // SAVE ab text: a reply that awaits these journals
		for _, journal := range string(args[1]) {
			j := map[rune]*stepJournal{'a': h.a, 'b': h.b}[journal]
			c.Await(j, j.append(), journal == 'a')
		}
		w.SimpleString(string(args[2]))
	case "TAKE": // a job that comes back if its reply is not delivered, and awaits a journal
		c.OnUndelivered(func() { h.undelivered.Add(1) })
		c.Await(h.a, h.a.append(), true)
		w.SimpleString("JOB")
	case "ELSEWHERE": // runs beside the loop
		c.Aside()
		runtime.Gosched()
		w.SimpleString(string(args[1]))
	case "ELSEWHERETAKE": // the same until wake, with a job
		c.Aside()
		c.OnUndelivered(func() { h.undelivered.Add(1) })
		h.running.Add(1)
		<-h.wake
		h.running.Add(-1)
		w.SimpleString("JOB")
	case "PAUSE": // blocks for a moment
		c.Block(time.Duration(len(args[1]))*100*time.Microsecond, nil)
		w.SimpleString(string(args[1]))
	case "NAME":
		h.names.Store(string(args[1]), c)
		w.SimpleString(string(args[1]))
	default:
		h.testHandler.Command(c, args)
	}
}

// expectNothing fails if anything has come. It is asked when the server has had every chance to send something wrong.
func (c client) expectNothing() {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
	if text, err := c.ReadString('\n'); !isTimeout(err) {
		c.t.Fatalf("%q came too early, %v", text, err)
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
}

func (c client) ping() {
	c.t.Helper()
	c.send("PING\r\n")
	c.expect("+PONG")
}

// sockets is how many connections a test may have to a server in its own process.
func sockets(t testing.TB, most int) int {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if raceEnabled || testing.Short() {
		most = min(most, 1000)
	}
	return min(most, (int(min(limit.Cur, 1<<20))-200)/2)
}
