package bus_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/pubsub"
	"github.com/nexobroker/nexo/commands/commandstest"
	"github.com/nexobroker/nexo/resp"
)

// openBus starts the door on a free port and returns its address.
func openBus(t testing.TB, options pubsub.Options) (string, *pubsub.Broker) {
	t.Helper()
	broker, err := pubsub.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	var clock brokers.Clock = brokers.SystemClock{}
	if options.Clock != nil {
		clock = options.Clock
	}
	server := commandstest.NewServer(commandstest.Brokers{PubSub: broker, Clock: clock}, commandstest.Process{})
	listening := commandstest.ServeDoor(t, resp.Options{}, server, broker.Close)
	return listening.Addr().String(), broker
}

// wire is a client that sees bytes.
type wire struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func dialWire(t testing.TB, addr string) *wire {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &wire{t: t, Conn: conn, r: bufio.NewReaderSize(conn, 1<<20)}
}

func encodeCommand(words ...string) []byte {
	buf := fmt.Appendf(nil, "*%d\r\n", len(words))
	for _, word := range words {
		buf = fmt.Appendf(buf, "$%d\r\n%s\r\n", len(word), word)
	}
	return buf
}

func (w *wire) send(words ...string) {
	w.t.Helper()
	if _, err := w.Write(encodeCommand(words...)); err != nil {
		w.t.Fatal(err)
	}
}

// frame reads one whole reply or push and returns its bytes.
func (w *wire) frame() string {
	w.t.Helper()
	_ = w.SetReadDeadline(time.Now().Add(10 * time.Second))
	var raw bytes.Buffer
	if err := w.readFrame(&raw); err != nil {
		w.t.Fatalf("after %q: %v", raw.String(), err)
	}
	return raw.String()
}

func (w *wire) readFrame(raw *bytes.Buffer) error {
	line, err := w.r.ReadString('\n')
	raw.WriteString(line)
	if err != nil {
		return err
	}
	n, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
	switch line[0] {
	case '$', '=':
		if n >= 0 {
			_, err = io.CopyN(raw, w.r, int64(n)+2)
		}
	case '%':
		n *= 2
		fallthrough
	case '*', '>', '~':
		for i := 0; i < n && err == nil; i++ {
			err = w.readFrame(raw)
		}
	}
	return err
}

// do sends a command and returns its reply.
func (w *wire) do(words ...string) string {
	w.t.Helper()
	w.send(words...)
	return w.frame()
}

func (w *wire) want(frames ...string) {
	w.t.Helper()
	for _, want := range frames {
		if got := w.frame(); got != want {
			w.t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// startRedis runs a redis-server of its own on a free port.
func startRedis(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is not installed")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	listener.Close()
	_, port, _ := net.SplitHostPort(addr)
	process := exec.Command(path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return addr
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
