package resp

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// mixed is what one client of TestMixedLoad sends and must read.
type mixed struct {
	name   string
	send   string
	expect []string // lines, in order; pushes come in between
	slow   bool     // takes its time to read
	fate   uint8
	most   int // bytes that it sends at a time
}

// mixedWords are the commands of a script, as often as they are named.
var mixedWords = []string{"PING", "ECHO", "ECHO", "SAVE", "SAVE", "TAKE", "PAUSE", "ELSEWHERE", "SUBSCRIBE", "VALUE", "COUNT", "BURST"}

const (
	quits  uint8 = iota // reads all of it, then the end
	killed              // by the server at some time
	leaves              // by itself at some time
)

// newMixed makes a script up: the replies are known beforehand, whatever order the server runs the clients in.
func newMixed(r *rand.Rand, name string, words []string) *mixed {
	m := &mixed{name: name, slow: r.IntN(6) == 0, fate: uint8(r.IntN(5)), most: 4000}
	if m.fate > leaves {
		m.fate = quits
	}
	var send strings.Builder
	add := func(text string, lines ...string) {
		send.WriteString(text + "\r\n")
		m.expect = append(m.expect, lines...)
	}
	add("NAME "+name, "+"+name)
	for i := range 20 + r.IntN(200) {
		word := fmt.Sprintf("%s-%d", name, i)
		switch kind := words[r.IntN(len(words))]; kind {
		case "PING":
			add("PING", "+PONG")
		case "ECHO":
			add("ECHO "+word, fmt.Sprintf("$%d", len(word)), word)
		case "SAVE":
			add("SAVE "+[]string{"a", "b", "ab"}[r.IntN(3)]+" "+word, "+"+word)
		case "TAKE":
			add("TAKE", "+JOB")
		case "PAUSE":
			if r.IntN(4) == 0 {
				add("PAUSE "+word, "+"+word)
			}
		case "ELSEWHERE":
			add("ELSEWHERE "+word, "+"+word)
		case "SUBSCRIBE":
			if r.IntN(4) == 0 {
				add("SUBSCRIBE", "+SUBSCRIBED")
			}
		case "VALUE":
			value := word + strings.Repeat("v", 500-len(word))
			for range r.IntN(40) {
				add("VALUE "+word, "$500", value)
			}
		case "BURST": // enough to make the next batch one for a helper
			for range pipelineMin + r.IntN(2*pipelineMin) {
				add("PING", "+PONG")
			}
		case "COUNT":
			add(command("COUNT", word, word)+"PING", ":3", "+PONG")
		}
	}
	if m.slow && r.IntN(2) == 0 {
		add("BIG", "$1048576", strings.Repeat("v", 1<<20))
	}
	add("QUIT", "+OK")
	m.send = send.String()
	return m
}

// run sends the script in pieces, and reads what comes against what must.
func (m *mixed) run(t *testing.T, addr string, r *rand.Rand) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(60 * time.Second))
	if m.slow {
		_ = nc.(*net.TCPConn).SetReadBuffer(128 << 10)
	}
	most := 1 + r.IntN(m.most)
	var sizes []int
	for left := len(m.send); left > 0; {
		size := min(left, 1+r.IntN(most))
		sizes = append(sizes, size)
		left -= size
	}
	stop := len(m.expect)
	if m.fate == leaves {
		stop = r.IntN(stop)
	}
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() {
		rest := m.send
		for _, size := range sizes {
			if _, err := io.WriteString(nc, rest[:size]); err != nil {
				return
			}
			rest = rest[size:]
		}
	})
	defer nc.Close()
	in := bufio.NewReaderSize(nc, 2<<20)
	pushed := 0
	for at := 0; at < stop; {
		line, err := in.ReadString('\n')
		if err != nil {
			if m.fate != killed || isTimeout(err) {
				t.Errorf("%s: reply %d of %d: %q, %v", m.name, at, len(m.expect), line, err)
			}
			return
		}
		line = strings.TrimSuffix(line, "\r\n")
		switch {
		case strings.TrimRight(line, "p") == fmt.Sprintf("+push %s %d:", m.name, pushed):
			pushed++
		case line == "+FIRST":
		case line == m.expect[at]:
			at++
		default:
			t.Errorf("%s: %.60q came for reply %d, %.60q, or push %d", m.name, line, at, m.expect[at], pushed)
			return
		}
		if m.slow && r.IntN(50) == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	if m.fate == quits {
		if rest, err := io.ReadAll(in); err != nil && len(rest) > 0 {
			t.Errorf("%s: %.60q after the end, %v", m.name, rest, err)
		}
	}
}

// TestMixedLoad has clients of every kind at once, pipelines in pieces of any size, commands that block, run elsewhere or await
// journals, pushes, some of them large, slow readers, kills: each one reads what it asked for, in order, and its pushes, in theirs.
func TestMixedLoad(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	h := newStepHandler()
	s := startServer(t, Options{}, h)
	scripts := make([]*mixed, 160)
	if raceEnabled || testing.Short() {
		scripts = scripts[:60]
	}
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range scripts {
		scripts[i] = newMixed(r, fmt.Sprint("c", i), mixedWords)
	}
	runMixed(t, h, s, seed, scripts, 24)
}

// runMixed has so many of the scripts run at a time, beside journals, pushes and kills.
func runMixed(t *testing.T, h *stepHandler, s *Server, seed uint64, scripts []*mixed, workers int) {
	t.Helper()
	fates := map[string]uint8{}
	for _, m := range scripts {
		fates[m.name] = m.fate
	}
	stop := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() { // the journals, in steps of any size
		r := rand.New(rand.NewPCG(seed, 1))
		for !isClosed(stop) {
			j := []*stepJournal{h.a, h.b}[r.IntN(2)]
			j.step(func() { j.at += r.Uint64N(j.next - j.at + 1) })
			time.Sleep(time.Duration(r.IntN(100)) * time.Microsecond)
		}
	})
	others.Go(func() { // pushes, numbered for each, and kills of those that are to be killed
		r := rand.New(rand.NewPCG(seed, 2))
		numbers := map[string]int{}
		for !isClosed(stop) {
			h.names.Range(func(key, value any) bool {
				name, c := key.(string), value.(*Conn)
				if fates[name] == killed && r.IntN(200) == 0 {
					c.Kill()
				}
				for range r.IntN(3) {
					size := 0
					if r.IntN(300) == 0 { // more than a share of a turn
						size = r.IntN(1 << 20)
					}
					text := fmt.Appendf(nil, "+push %s %d:%s\r\n", name, numbers[name], strings.Repeat("p", size))
					if !c.Push(NewMessage(text)) {
						h.names.Delete(name)
						break
					}
					numbers[name]++
				}
				return true
			})
			time.Sleep(100 * time.Microsecond)
		}
	})
	var clients sync.WaitGroup
	line := make(chan *mixed)
	for worker := range workers {
		clients.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(worker)+3))
			for m := range line {
				m.run(t, s.Addr().String(), r)
			}
		})
	}
	for _, m := range scripts {
		line <- m
	}
	close(line)
	clients.Wait()
	eventually(t, "all have ended, and nothing is held", func() bool { n := s.Counters(); return n.Connected == 0 && n.Memory == 0 })
	close(stop)
	others.Wait()
	if n := s.Counters(); n.Accepted != uint64(len(scripts)) || h.closed.Load() != int64(len(scripts)) || n.Panics != 0 ||
		n.ProtocolErrors != 0 || n.Blocked != 0 {
		t.Errorf("%+v, %d were closed", n, h.closed.Load())
	}
}
