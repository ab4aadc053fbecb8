package processtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"
)

// patience is how long a server may not answer, or not start: a machine that is shared, or was suspended, stands still for a while.
const patience = 2 * time.Minute

// client is a plain RESP2 connection: what it sends and reads is on the wire exactly.
type client struct {
	net.Conn
	r        *bufio.Reader
	grace    int // seconds that Read waits beyond its deadline
	database int // that was selected
}

// replyError is an error reply of the server.
type replyError string

func (e replyError) Error() string { return string(e) }

func dial(addr string) (*client, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	c := &client{Conn: conn}
	c.r = bufio.NewReaderSize(c, 64<<10)
	return c, nil
}

// Read goes on waiting, a second at a time, while do has grace left. A machine may stand still for longer than a deadline: then all
// of it has passed before what has come meanwhile is looked at, and of the grace one second.
func (c *client) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if c.grace == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		c.grace--
		if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return 0, err
		}
	}
}

// appendCommand encodes a command of strings, byte slices and integers.
func appendCommand(buf []byte, words ...any) []byte {
	buf = fmt.Appendf(buf, "*%d\r\n", len(words))
	for _, word := range words {
		switch w := word.(type) {
		case []byte:
			buf = fmt.Appendf(buf, "$%d\r\n", len(w))
			buf = append(buf, w...)
			buf = append(buf, '\r', '\n')
		default:
			text := fmt.Sprint(w)
			buf = fmt.Appendf(buf, "$%d\r\n%s\r\n", len(text), text)
		}
	}
	return buf
}

// do sends one command and reads its reply: string, int64, nil or []any; an error reply is a replyError.
func (c *client) do(words ...any) (any, error) {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	c.grace = 10
	defer func() { c.grace = 0 }()
	if _, err := c.Write(appendCommand(nil, words...)); err != nil {
		return nil, err
	}
	return c.read()
}

func (c *client) read() (any, error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	if len(line) < 3 {
		return nil, fmt.Errorf("short line %q", line)
	}
	body := line[1 : len(line)-2]
	switch line[0] {
	case '+':
		return body, nil
	case '-':
		return nil, replyError(body)
	case ':':
		return strconv.ParseInt(body, 10, 64)
	case '$':
		n, err := strconv.Atoi(body)
		if err != nil || n < 0 {
			return nil, err
		}
		buf := make([]byte, n+2)
		if _, err := io.ReadFull(c.r, buf); err != nil {
			return nil, err
		}
		return string(buf[:n]), nil
	case '*':
		n, err := strconv.Atoi(body)
		if err != nil || n < 0 {
			return nil, err
		}
		list := make([]any, n)
		for i := range list {
			list[i], err = c.read()
			var reply replyError
			if err != nil && !errors.As(err, &reply) {
				return nil, err
			}
		}
		return list, nil
	}
	return nil, fmt.Errorf("unexpected reply %q", line)
}

// mapOf is a flat list of names and values.
func mapOf(reply any) map[string]any {
	fields, list := map[string]any{}, reply.([]any)
	for i := 0; i+1 < len(list); i += 2 {
		fields[fmt.Sprint(list[i])] = list[i+1]
	}
	return fields
}
