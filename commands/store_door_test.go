package commands

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/store"
	"github.com/nexobroker/nexo/resp"
)

// openKeyspaceDoor serves the commands over a store of its own on a port of the loopback.
func openKeyspaceDoor(t testing.TB, options store.Options) (addr string) {
	t.Helper()
	broker, err := store.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	clock := options.Clock
	if clock == nil {
		clock = brokers.SystemClock{}
	}
	server := newServer(underTest{Store: broker, Clock: clock}, testConfig{})
	door, err := resp.Listen(resp.Options{Addr: "127.0.0.1:0"}, server)
	if err != nil {
		t.Fatal(err)
	}
	server.Attach(door)
	served := make(chan error, 1)
	go func() { served <- door.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := door.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		<-served
		if err := broker.Close(); err != nil {
			t.Error(err)
		}
	})
	return door.Addr().String()
}

// openRedis starts a real redis-server on a random port.
func openRedis(t testing.TB) (addr string) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("the differential tests need a real redis-server 7: install it with `apt-get install redis-server` or `brew install redis`")
	}
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = probe.Addr().String()
	probe.Close()
	_, port, _ := net.SplitHostPort(addr)
	command := exec.Command(path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Kill()
		command.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return addr
		}
		if time.Now().After(deadline) {
			t.Fatal("redis-server does not accept connections: ", err)
		}
	}
}

// rawClient sends commands and returns replies as they came over the wire.
type rawClient struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

func dialRaw(t testing.TB, addr string, proto int) *rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &rawClient{t: t, conn: conn, in: bufio.NewReader(conn)}
	if proto == 3 {
		c.do("HELLO", "3")
	}
	return c
}

func (c *rawClient) do(words ...string) string {
	c.t.Helper()
	var out strings.Builder
	fmt.Fprintf(&out, "*%d\r\n", len(words))
	for _, word := range words {
		fmt.Fprintf(&out, "$%d\r\n%s\r\n", len(word), word)
	}
	c.conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c.conn, out.String()); err != nil {
		c.t.Fatalf("%q: %v", words, err)
	}
	reply, err := readRaw(c.in)
	if err != nil {
		c.t.Fatalf("%q: reading the reply: %v", words, err)
	}
	return reply
}

// readRaw reads one whole reply.
func readRaw(in *bufio.Reader) (string, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return "", err
	}
	n, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
	switch line[0] {
	case '$', '=':
		if n < 0 {
			return line, nil
		}
		body := make([]byte, n+2)
		_, err := io.ReadFull(in, body)
		return line + string(body), err
	case '%':
		n *= 2
		fallthrough
	case '*', '~', '>':
		for range n {
			part, err := readRaw(in)
			if err != nil {
				return "", err
			}
			line += part
		}
	}
	return line, nil
}

// fields splits a command line of a test table: words are separated by blanks, "" is the empty word, and \xNN and the
// like are as in Go.
func fields(t testing.TB, line string) []string {
	t.Helper()
	words := strings.Fields(line)
	for i, word := range words {
		if strings.ContainsAny(word, `"\`) {
			plain, err := strconv.Unquote(`"` + strings.Trim(word, `"`) + `"`)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			words[i] = plain
		}
	}
	return words
}
