package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// client is a plain RESP2 connection. Everything it waits for must come within its limit.
type client struct {
	net.Conn
	r *bufio.Reader
}

const limit = 60 * time.Second

func dial(s *server) (*client, error) {
	conn, err := net.DialTimeout("tcp", s.addr(), 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &client{conn, bufio.NewReaderSize(conn, 64<<10)}, conn.SetDeadline(time.Now().Add(5 * limit))
}

func dialAll(s *server, n int) ([]*client, error) {
	clients := make([]*client, 0, n)
	for range n {
		c, err := dial(s)
		if err != nil {
			closeAll(clients)
			return nil, err
		}
		clients = append(clients, c)
	}
	return clients, nil
}

func closeAll(clients []*client) {
	for _, c := range clients {
		c.Close()
	}
}

// encode appends a command to buf.
func encode(buf []byte, words ...string) []byte {
	buf = append(strconv.AppendInt(append(buf, '*'), int64(len(words)), 10), "\r\n"...)
	for _, word := range words {
		buf = append(strconv.AppendInt(append(buf, '$'), int64(len(word)), 10), "\r\n"...)
		buf = append(append(buf, word...), "\r\n"...)
	}
	return buf
}

// do sends one command and reads its reply.
func (c *client) do(words ...string) (any, error) {
	if _, err := c.Write(encode(nil, words...)); err != nil {
		return nil, err
	}
	reply, err := c.read()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", words[0], err)
	}
	return reply, nil
}

// read reads one reply: string, int64, nil or []any. An error reply is an error.
func (c *client) read() (any, error) {
	kind, body, err := c.line()
	if err != nil {
		return nil, err
	}
	switch kind {
	case '+':
		return body, nil
	case '-':
		return nil, fmt.Errorf("the server answered -%s", body)
	case ':':
		return strconv.ParseInt(body, 10, 64)
	case '$':
		size, err := strconv.Atoi(body)
		if err != nil || size < 0 {
			return nil, err
		}
		text := make([]byte, size+2)
		_, err = io.ReadFull(c.r, text)
		return string(text[:size]), err
	case '*':
		n, err := strconv.Atoi(body)
		if err != nil || n < 0 {
			return nil, err
		}
		elements := make([]any, n)
		for i := range elements {
			if elements[i], err = c.read(); err != nil {
				return nil, err
			}
		}
		return elements, nil
	}
	return nil, fmt.Errorf("reply of unknown kind %q", kind)
}

// skip reads n replies and keeps nothing of them. It allocates nothing, so that the floods cost this process little.
func (c *client) skip(n int) error {
	for ; n > 0; n-- {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) < 3 {
			return fmt.Errorf("short line %q", line)
		}
		body := line[1 : len(line)-2]
		switch line[0] {
		case '-':
			return fmt.Errorf("the server answered -%s", body)
		case '$':
			if size := count(body); size >= 0 {
				if _, err := c.r.Discard(size + 2); err != nil {
					return err
				}
			}
		case '*':
			n += max(count(body), 0)
		}
	}
	return nil
}

// count reads the length of a bulk string or an array; -1 is null.
func count(digits []byte) int {
	n := 0
	for _, digit := range digits {
		if digit < '0' || digit > '9' {
			return -1
		}
		n = n*10 + int(digit-'0')
	}
	return n
}

func (c *client) line() (kind byte, body string, err error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return 0, "", err
	}
	if len(line) < 3 {
		return 0, "", fmt.Errorf("short line %q", line)
	}
	return line[0], string(line[1 : len(line)-2]), nil
}
