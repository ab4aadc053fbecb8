package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/nexobroker/nexo/commands"
	"github.com/nexobroker/nexo/ui"
)

// runTimeout is how long one command of the dashboard may take, and repliesMax how many bytes it may answer.
const (
	runTimeout = 60 * time.Second
	repliesMax = 64 << 20
	nestingMax = 32
)

// loopback is a listener for connections that the process opens to itself, without a socket. The door serves them as any other,
// so a change from the dashboard takes the very way that a client's takes.
type loopback struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newLoopback() *loopback {
	return &loopback{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *loopback) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *loopback) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *loopback) Addr() net.Addr { return ownAddress{} }

type ownAddress struct{}

func (ownAddress) Network() string { return commands.OwnNetwork }
func (ownAddress) String() string  { return "dashboard" }

// ownConn is one end of a pipe that tells where it comes from.
type ownConn struct{ net.Conn }

func (ownConn) RemoteAddr() net.Addr { return ownAddress{} }
func (ownConn) LocalAddr() net.Addr  { return ownAddress{} }

func (l *loopback) dial(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- ownConn{theirs}:
		return ours, nil
	case <-l.closed:
		return nil, errors.New("the server is stopping")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// run sends one command over a connection of its own and reads its reply, in RESP3.
func (l *loopback) run(ctx context.Context, db int, args []string) (ui.Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	conn, err := l.dial(ctx)
	if err != nil {
		return ui.Reply{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	request := appendCommand(nil, "HELLO", "3")
	request = appendCommand(request, "SELECT", strconv.Itoa(db))
	request = appendCommand(request, args...)
	// The pipe holds nothing, so a reply may have to be read while the command is written. A write that fails shows in what is
	// read.
	go func() { _, _ = conn.Write(request) }()
	r := replyReader{in: bufio.NewReader(conn), room: repliesMax}
	var reply ui.Reply
	for range 3 {
		if reply, err = r.read(0); err != nil || reply.Kind == ui.Failure {
			break
		}
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("the command did not end in time: %w", context.Cause(ctx))
	}
	if err != nil {
		return ui.Reply{}, fmt.Errorf("run %s: %w", args[0], err)
	}
	return reply, nil
}

func appendCommand(request []byte, args ...string) []byte {
	request = fmt.Appendf(request, "*%d\r\n", len(args))
	for _, arg := range args {
		request = fmt.Appendf(request, "$%d\r\n%s\r\n", len(arg), arg)
	}
	return request
}

// replyReader reads RESP3 as our own door writes it.
type replyReader struct {
	in   *bufio.Reader
	room int // bytes that may still come
}

func (r *replyReader) read(depth int) (ui.Reply, error) {
	if depth > nestingMax {
		return ui.Reply{}, errors.New("the reply is nested too deep")
	}
	line, err := r.in.ReadString('\n')
	if err != nil {
		return ui.Reply{}, err
	}
	if r.room -= len(line); r.room < 0 {
		return ui.Reply{}, fmt.Errorf("the reply is larger than %d bytes", repliesMax)
	}
	if len(line) < 3 {
		return ui.Reply{}, fmt.Errorf("unexpected reply %q", line)
	}
	text := line[1 : len(line)-2]
	switch line[0] {
	case '+':
		return ui.Reply{Kind: ui.Status, Value: text}, nil
	case '-':
		return ui.Reply{Kind: ui.Failure, Value: text}, nil
	case ':':
		n, err := strconv.ParseInt(text, 10, 64)
		return ui.Reply{Kind: ui.Integer, Value: n}, err
	case ',':
		return ui.Reply{Kind: ui.Double, Value: text}, nil
	case '#':
		return ui.Reply{Kind: ui.Boolean, Value: text == "t"}, nil
	case '_':
		return ui.Reply{Kind: ui.Null}, nil
	case '$', '=':
		return r.readBulk(line[0], text)
	case '*', '~', '%', '>':
		return r.readList(line[0], text, depth)
	}
	return ui.Reply{}, fmt.Errorf("unexpected reply %q", line)
}

func (r *replyReader) readBulk(kind byte, text string) (ui.Reply, error) {
	size, err := strconv.Atoi(text)
	if err != nil {
		return ui.Reply{}, err
	}
	if size < 0 {
		return ui.Reply{Kind: ui.Null}, nil
	}
	if r.room -= size + 2; r.room < 0 {
		return ui.Reply{}, fmt.Errorf("the reply is larger than %d bytes", repliesMax)
	}
	content := make([]byte, size+2)
	if _, err := io.ReadFull(r.in, content); err != nil {
		return ui.Reply{}, err
	}
	content = content[:size]
	if kind == '=' && size >= 4 { // a verbatim string begins with its format
		content = content[4:]
	}
	return ui.Reply{Kind: ui.Bulk, Value: content}, nil
}

func (r *replyReader) readList(kind byte, text string, depth int) (ui.Reply, error) {
	count, err := strconv.Atoi(text)
	if err != nil {
		return ui.Reply{}, err
	}
	if count < 0 {
		return ui.Reply{Kind: ui.Null}, nil
	}
	reply := ui.Reply{Kind: ui.Array}
	if kind == '%' {
		reply.Kind = ui.Map
		count *= 2
	}
	list := []ui.Reply{}
	for range count {
		one, err := r.read(depth + 1)
		if err != nil {
			return ui.Reply{}, err
		}
		list = append(list, one)
	}
	reply.Value = list
	return reply, nil
}
