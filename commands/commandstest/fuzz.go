package commandstest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
	"github.com/nexobroker/nexo/brokers/pubsub"
	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/brokers/store"
	"github.com/nexobroker/nexo/brokers/stream"
	"github.com/nexobroker/nexo/resp"
)

// countedJournal counts the records that a broker appends: a command that changes something appends at least one.
type countedJournal struct {
	*brokertest.Journal
	appended *atomic.Int64
}

func (j countedJournal) Append(body []byte, sync bool) uint64 {
	j.appended.Add(1)
	return j.Journal.Append(body, sync)
}

// world is the whole command table behind the real door, over four brokers that tell every change.
type world struct {
	t        testing.TB
	door     *resp.Server
	server   *Whole
	appended atomic.Int64
	panics   atomic.Int64
	closers  []func() error

	conn net.Conn
	in   *bufio.Reader
}

// openWorld opens the brokers on a clock that stands still, so that nothing changes but by a command.
func openWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t}
	clock := brokertest.NewClock(time.UnixMilli(1_700_000_000_000))
	journal := func() brokers.Journal { return countedJournal{brokertest.NewJournal(), &w.appended} }
	deps := Brokers{Clock: clock}
	var problems [4]error
	deps.Store, problems[0] = store.Open(store.Options{Journal: journal(), Durability: brokers.Always, Clock: clock, MaxMemory: 16 << 20})
	deps.PubSub, problems[1] = pubsub.Open(pubsub.Options{Journal: journal(), Clock: clock, MaxRetainedBytes: 1 << 20})
	deps.Queue, problems[2] = queue.Open(queue.Options{Journal: journal(), Clock: clock, MaxQueues: 100, MaxPayload: 1 << 20})
	deps.Stream, problems[3] = stream.Open(stream.Options{Journal: journal(), Directory: t.TempDir(), Clock: clock, MaxPayload: 1 << 20})
	server := NewServer(deps, Process{})
	if err := errors.Join(problems[:]...); err != nil {
		t.Fatal(err)
	}
	var err error
	w.door, err = resp.Listen(resp.Options{Addr: "127.0.0.1:0", Panicked: func(any) { w.panics.Add(1) }}, server)
	if err != nil {
		t.Fatal(err)
	}
	server.Attach(w.door)
	w.server = server
	served := make(chan error, 1)
	go func() { served <- w.door.Serve() }()
	w.closers = []func() error{
		func() error {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			return errors.Join(w.door.Shutdown(ctx), <-served)
		},
		deps.Stream.Close, deps.Queue.Close, deps.PubSub.Close, deps.Store.Close,
	}
	w.connect()
	return w
}

func (w *world) connect() {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.door.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.conn, w.in = conn, bufio.NewReaderSize(conn, 64<<10)
}

func (w *world) close() {
	w.t.Helper()
	w.conn.Close()
	for _, closer := range w.closers {
		if err := closer(); err != nil {
			w.t.Error(err)
		}
	}
}

// unblock ends every block at once, until stopped: a command that blocks answers as if its time had passed.
func (w *world) unblock() (stop func()) {
	ending := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ending:
				return
			case <-tick.C:
				w.door.Each(func(c *resp.Conn) bool { c.Unblock(false); return true })
			}
		}
	})
	return func() { close(ending); running.Wait() }
}

// lookUp finds the name of a command, of a subcommand if there is one, and its group; "" when there is none.
func (s *Whole) lookUp(words [][]byte) (name, group string) {
	text := make([]string, len(words))
	for i, word := range words {
		text[i] = string(word)
	}
	help, _ := s.HelpFor(text)
	return help.Name, help.Group
}

// sentinel follows every command; what comes before its answer is the command's.
const sentinel = "\x00the command is over\x00"

// run sends one command and holds its answer against the rules. It returns false when the connection has ended, as it may.
func (w *world) run(words [][]byte) bool {
	w.t.Helper()
	name, _ := w.server.lookUp(words)
	input, before, allocated := 0, w.appended.Load(), allocatedBytes()
	request := fmt.Appendf(nil, "*%d\r\n", len(words))
	for _, word := range words {
		request = fmt.Appendf(request, "$%d\r\n%s\r\n", len(word), word)
		input += len(word)
	}
	request = fmt.Appendf(request, "*2\r\n$4\r\nPING\r\n$%d\r\n%s\r\n", len(sentinel), sentinel)
	_ = w.conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := w.conn.Write(request); err != nil {
		w.t.Fatalf("%q: %v", words, err)
	}
	replies, failed := 0, ""
	for {
		frame, err := readStrict(w.in, 0)
		if err == io.EOF && replies == 1 && slices.Contains([]string{"quit", "client kill", "shutdown"}, name) {
			return false
		}
		if err != nil {
			w.t.Fatalf("%q: after %d replies: %v", words, replies, err)
		}
		if bytes.Contains(frame, []byte(sentinel)) && isSentinel(frame) {
			break
		}
		switch {
		case frame[0] == '>': // an event, or a confirmation in RESP3
		case frame[0] == '-':
			failed = string(frame)
			fallthrough
		default:
			replies++
		}
	}
	switch several := strings.HasSuffix(name, "subscribe") || name == "nsub" || name == "nunsub"; {
	case w.panics.Load() > 0:
		w.t.Fatalf("%q: panic", words)
	case several && failed == "": // a confirmation for each name: in RESP3 they are pushes, in RESP2 frames of their own
	case replies != 1:
		w.t.Fatalf("%q: %d replies", words, replies)
	}
	if strings.HasPrefix(failed, "-ERR internal error") {
		w.t.Fatalf("%q: %s", words, failed)
	}
	if appended := w.appended.Load() - before; failed != "" && appended != 0 {
		w.t.Fatalf("%q answered %q and yet wrote %d records", words, failed, appended)
	}
	if grown := allocatedBytes() - allocated; grown > 64<<20+1000*uint64(input) {
		w.t.Fatalf("%q took %d MiB of memory", words, grown>>20)
	}
	return true
}

// isSentinel tells the answer to the sentinel: in subscribe mode it is an array, before AUTH an error would be one.
func isSentinel(frame []byte) bool {
	bulk := fmt.Sprintf("$%d\r\n%s\r\n", len(sentinel), sentinel)
	return string(frame) == bulk || string(frame) == "*2\r\n$4\r\npong\r\n"+bulk
}

func allocatedBytes() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

var (
	errorLine  = regexp.MustCompile(`^-[A-Z][A-Z0-9]*( [^\r\n]*)?\r\n$`)
	doubleLine = regexp.MustCompile(`^,(-?inf|-?\d+(\.\d+)?(e[+-]?\d+)?)\r\n$`)
)

// readStrict reads one whole reply and refuses every byte that RESP does not allow.
func readStrict(in *bufio.Reader, depth int) ([]byte, error) {
	line, err := in.ReadBytes('\n')
	if err != nil {
		if len(line) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' || bytes.IndexByte(line, '\r') != len(line)-2 {
		return nil, fmt.Errorf("line %q does not end as it should", line)
	}
	text := string(line[1 : len(line)-2])
	n, notNumber := strconv.ParseInt(text, 10, 64)
	wrong := fmt.Errorf("malformed line %q", line)
	switch line[0] {
	case '+':
	case '-':
		if !errorLine.Match(line) {
			return nil, wrong
		}
	case ':':
		if notNumber != nil {
			return nil, wrong
		}
	case '_':
		if text != "" {
			return nil, wrong
		}
	case '#':
		if text != "t" && text != "f" {
			return nil, wrong
		}
	case ',':
		if !doubleLine.Match(line) {
			return nil, wrong
		}
	case '$', '=':
		if notNumber != nil || n < -1 || n < 4 && line[0] == '=' {
			return nil, wrong
		}
		if n == -1 {
			return line, nil
		}
		body := make([]byte, n+2)
		if _, err := io.ReadFull(in, body); err != nil {
			return nil, err
		}
		if string(body[n:]) != "\r\n" {
			return nil, fmt.Errorf("the string of %d bytes ends with %q", n, body[n:])
		}
		line = append(line, body...)
	case '*', '~', '>', '%':
		if notNumber != nil || n < -1 || n == -1 && line[0] != '*' || depth > 16 {
			return nil, wrong
		}
		if line[0] == '%' {
			n *= 2
		}
		for range n {
			part, err := readStrict(in, depth+1)
			if err != nil {
				return nil, err
			}
			line = append(line, part...)
		}
	default:
		return nil, wrong
	}
	return line, nil
}

// fuzzable tells whether a command may run in a fuzz target. Left out is what is meant to hold the connection up or to keep silent.
func fuzzable(name string, words [][]byte) bool {
	switch name {
	case "client pause", "client reply":
		return false
	case "setrange": // may make a value of 512 MiB, that is its right
		return len(words) < 3 || len(words[2]) < 7
	}
	return true
}

// RunFuzz runs the lines of an input, words separated by blanks, against a fresh world. chosen picks the commands of the target by their
// group, "" of those that are unknown; the others of the input are left out.
func RunFuzz(f *testing.F, seeds []string, chosen func(group string) bool) {
	for _, lines := range seeds {
		f.Add(lines, false)
		f.Add(lines, true)
	}
	server := NewServer(Brokers{}, Process{})
	f.Fuzz(func(t *testing.T, lines string, resp3 bool) {
		const commandsMax, lineMax = 16, 2048
		var commands [][][]byte
		for line := range strings.SplitSeq(lines, "\n") {
			words := bytes.Split([]byte(line), []byte(" "))
			name, group := server.lookUp(words)
			if len(commands) < commandsMax && len(line) <= lineMax && fuzzable(name, words) && chosen(group) {
				commands = append(commands, words)
			}
		}
		if len(commands) == 0 {
			return
		}
		w := openWorld(t)
		defer w.close()
		defer w.unblock()()
		if resp3 {
			w.run([][]byte{[]byte("HELLO"), []byte("3")})
		}
		for _, words := range commands {
			if !w.run(words) {
				w.conn.Close()
				w.connect()
			}
		}
	})
}
