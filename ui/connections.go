package ui

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of what strangers can hold. They are in docs/dashboard.md.
const (
	connectionsMax = 512 // without the sockets of the feed, of which there are socketsMax
	headerMax      = 32 << 10
	headerTimeout  = 5 * time.Second
	readTimeout    = time.Minute      // of a whole request
	loginTimeout   = 10 * time.Second // of the body of a login
	writeTimeoutOf = 2 * time.Minute  // of an answer
	idleTimeout    = 2 * time.Minute
	// waitingMax is how many passwords may wait to be checked: there is always room for those who are known.
	waitingMax = connectionsMax / 2

	loginBodyMax = 4 << 10
	smallBodyMax = 64 << 10
	listBodyMax  = 1 << 20  // of routes that take a list of ids or names
	bodyMax      = 24 << 20 // of routes that take a payload: 16 MiB in base64
	// largeBodiesMax is how many bodies above listBodyMax are in memory at once. Others wait for largeBodyPatience.
	largeBodiesMax    = 2
	largeBodyPatience = 10 * time.Second
)

// NewHTTPServer makes the server of a handler with the limits on what requests may take. Its listener comes from LimitConnections.
func NewHTTPServer(handler http.Handler, errors *log.Logger) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeoutOf,
		IdleTimeout: idleTimeout, MaxHeaderBytes: headerMax, ConnContext: rememberPeer, ConnState: noteState, ErrorLog: errors,
	}
}

// LimitConnections bounds the connections of a listener, and remembers of each what its requests were.
func LimitConnections(listener net.Listener) net.Listener {
	return &limitedListener{Listener: listener, most: connectionsMax}
}

// peer is what is known of a connection. It outlives its requests.
type peer struct {
	wrongLogin atomic.Bool // the last password it gave was wrong
	waits      atomic.Bool // for a password to be checked
	known      atomic.Bool // a request of its may see everything
	idle       atomic.Bool // between two requests
}

type peerKey struct{}

func rememberPeer(ctx context.Context, conn net.Conn) context.Context {
	if limited, ok := conn.(*limitedConn); ok {
		return context.WithValue(ctx, peerKey{}, &limited.peer)
	}
	return ctx
}

func peerOf(r *http.Request) *peer {
	if remembered, ok := r.Context().Value(peerKey{}).(*peer); ok {
		return remembered
	}
	return &peer{}
}

func noteState(conn net.Conn, state http.ConnState) {
	limited, ok := conn.(*limitedConn)
	if !ok {
		return
	}
	limited.peer.idle.Store(state == http.StateIdle)
	if state == http.StateHijacked {
		limited.listener.forget(limited)
	}
}

// limitedListener keeps a bounded number of connections. When there are too many, a new one takes the place of one that matters less:
// one that gave a wrong password, then the oldest that is not known and does not wait for a password to be checked, then the oldest of
// those that are known and idle. So slow requests, and floods of connections, keep nobody out.
type limitedListener struct {
	net.Listener
	most int

	mu    sync.Mutex
	conns []*limitedConn // oldest first
}

type limitedConn struct {
	net.Conn
	listener *limitedListener
	peer     peer
}

func (c *limitedConn) Close() error {
	c.listener.forget(c)
	return c.Conn.Close()
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		made := &limitedConn{Conn: conn, listener: l}
		victim, room := l.enter(made)
		if victim != nil {
			_ = victim.Close()
		}
		if room {
			return made, nil
		}
		refuse(conn)
	}
}

// refuse tells why without waiting: what does not fit into the socket's buffer is not sent.
func refuse(conn net.Conn) {
	_ = conn.SetWriteDeadline(time.Now().Add(time.Millisecond))
	_, _ = io.WriteString(conn, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	_ = conn.Close()
}

// enter adds a connection, if need be in place of another one.
func (l *limitedListener) enter(conn *limitedConn) (victim *limitedConn, room bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.conns) >= l.most {
		if victim = l.leastLocked(); victim == nil {
			return nil, false
		}
		l.forgetLocked(victim)
	}
	l.conns = append(l.conns, conn)
	return victim, true
}

// leastLocked is the connection that matters least, nil when each is in use.
func (l *limitedListener) leastLocked() (least *limitedConn) {
	lowest := 3
	for _, c := range l.conns {
		rank := 3
		switch p := &c.peer; {
		case p.waits.Load():
		case !p.known.Load() && p.wrongLogin.Load():
			rank = 0
		case !p.known.Load():
			rank = 1
		case p.idle.Load():
			rank = 2
		}
		if rank < lowest {
			least, lowest = c, rank
		}
	}
	return least
}

func (l *limitedListener) forget(conn *limitedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forgetLocked(conn)
}

func (l *limitedListener) forgetLocked(conn *limitedConn) {
	for i, c := range l.conns {
		if c == conn {
			l.conns = append(l.conns[:i], l.conns[i+1:]...)
			return
		}
	}
}
