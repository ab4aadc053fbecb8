package commandstest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Client sends commands and returns replies as they came over the wire.
type Client struct {
	T    testing.TB
	Conn net.Conn
	In   *bufio.Reader
}

// Dial connects with the protocol of that version.
func Dial(t testing.TB, addr string, proto int) *Client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &Client{T: t, Conn: conn, In: bufio.NewReader(conn)}
	if proto == 3 {
		c.Do("HELLO", "3")
	}
	return c
}

// Do sends a command and returns its whole reply.
func (c *Client) Do(words ...string) string {
	c.T.Helper()
	var out strings.Builder
	fmt.Fprintf(&out, "*%d\r\n", len(words))
	for _, word := range words {
		fmt.Fprintf(&out, "$%d\r\n%s\r\n", len(word), word)
	}
	c.Conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c.Conn, out.String()); err != nil {
		c.T.Fatalf("%q: %v", words, err)
	}
	reply, err := ReadReply(c.In)
	if err != nil {
		c.T.Fatalf("%q: reading the reply: %v", words, err)
	}
	return reply
}

// ReadReply reads one whole reply.
func ReadReply(in *bufio.Reader) (string, error) {
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
			part, err := ReadReply(in)
			if err != nil {
				return "", err
			}
			line += part
		}
	}
	return line, nil
}

// Fields splits a command line of a test table: words are separated by blanks, "" is the empty word, and \xNN and the
// like are as in Go.
func Fields(t testing.TB, line string) []string {
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

// Until asks again and again for what another connection is about to see.
func Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never happens: ", what)
		}
	}
}
