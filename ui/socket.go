package ui

import (
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

const (
	feedVersion  = 1
	frameMax     = 16 << 10 // of what a browser sends
	queuedFrames = 64
	// queuedBytes is what frames that were not sent yet may take of memory; one frame is always taken.
	queuedBytes  = 4 << 20
	writeTimeout = 5 * time.Second
	pingEvery    = 15 * time.Second
	silenceMax   = 60 * time.Second // the browser pings every 15 s
)

// socket is one browser. The reader is the request's goroutine, the writer another one.
type socket struct {
	feed *feed
	conn *websocket.Conn
	out  chan []byte
	done chan struct{}
	once sync.Once
	held atomic.Int64 // bytes in out

	subscriptions map[int]*subscription // guarded by feed.mu
}

// queue hands a frame to the writer without waiting; false when the browser is too slow to take it.
func (s *socket) queue(frame []byte) bool {
	size := int64(len(frame))
	if held := s.held.Add(size); held <= queuedBytes || held == size {
		select {
		case s.out <- frame:
			return true
		default:
		}
	}
	s.held.Add(-size)
	return false
}

func (s *socket) end() { s.once.Do(func() { close(s.done) }) }

// serve is GET api/ws?v=1.
func (f *feed) serve(w http.ResponseWriter, r *http.Request) {
	s := f.server
	switch {
	case r.Method != http.MethodGet:
		writeProblem(w, problem(http.StatusMethodNotAllowed, "METHOD", "a socket is opened with GET"))
		return
	case !websocket.IsWebSocketUpgrade(r):
		writeProblem(w, problem(http.StatusUpgradeRequired, "UPGRADE", "this address speaks WebSocket"))
		return
	case !s.originAllowed(r):
		writeProblem(w, problem(http.StatusForbidden, "ORIGIN", "the upgrade does not come from a page of this dashboard"))
		return
	case r.URL.Query().Get("v") != "1":
		writeProblem(w, problem(http.StatusBadRequest, "VERSION", "the feed has version %d", feedVersion))
		return
	}
	if p := s.authorize(r); p != nil {
		writeProblem(w, p)
		return
	}
	stays := s.staysLoggedIn(r)
	one := &socket{feed: f, out: make(chan []byte, queuedFrames), done: make(chan struct{}), subscriptions: map[int]*subscription{}}
	if !f.enter(one) {
		writeProblem(w, problem(http.StatusServiceUnavailable, "TOOMANY", "%d sockets are open", socketsMax))
		return
	}
	defer f.leave(one)
	upgrader := websocket.Upgrader{HandshakeTimeout: writeTimeout, CheckOrigin: s.originAllowed}
	conn, err := upgrader.Upgrade(w, r, nil) // answers errors itself
	if err != nil {
		return
	}
	one.conn = conn
	one.queue(encode(struct {
		Type     string `json:"t"`
		Version  int    `json:"v"`
		Boot     string `json:"boot"`
		Server   string `json:"srv"`
		ReadOnly bool   `json:"ro"`
		Now      int64  `json:"now"`
	}{"hello", feedVersion, s.boot, s.options.Version, s.options.ReadOnly, s.options.Now().UnixMilli()}))
	f.work.Go(func() { one.write(stays) })
	one.read()
}

// enter counts a socket, unless there are too many; leave takes it out with all it watches.
func (f *feed) enter(s *socket) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || len(f.sockets) >= socketsMax {
		return false
	}
	f.sockets[s] = true
	return true
}

func (f *feed) leave(s *socket) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id := range s.subscriptions {
		f.unsubscribeLocked(s, id)
	}
	delete(f.sockets, s)
	s.end()
}

// write sends what is queued until the end. Closing the connection ends the reader too.
func (s *socket) write(stillLoggedIn func() bool) {
	defer s.conn.Close()
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	for {
		frame := []byte(nil)
		select {
		case frame = <-s.out:
			s.held.Add(-int64(len(frame)))
		case <-ping.C:
			if !stillLoggedIn() {
				s.sayGoodbye(websocket.ClosePolicyViolation, "the login has ended")
				return
			}
			frame = []byte(`{"t":"ping"}`)
		case <-s.done:
			s.sayGoodbye(websocket.CloseGoingAway, "")
			return
		}
		_ = s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		if err := s.conn.WriteMessage(websocket.TextMessage, frame); err != nil {
			return
		}
	}
}

func (s *socket) sayGoodbye(code int, text string) {
	_ = s.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, text), time.Now().Add(time.Second))
}

// browserFrame is a frame that a browser sends.
type browserFrame struct {
	Type  string     `json:"t"`
	ID    int        `json:"id"`
	Topic string     `json:"topic"`
	Query topicQuery `json:"q"`
}

func (s *socket) read() {
	s.conn.SetReadLimit(frameMax)
	for {
		_ = s.conn.SetReadDeadline(time.Now().Add(silenceMax))
		_, text, err := s.conn.ReadMessage()
		if err != nil {
			return
		}
		var frame browserFrame
		if err := json.Unmarshal(text, &frame); err != nil {
			s.queue(errorFrame(0, problem(http.StatusBadRequest, "BADFRAME", "the frame cannot be read: %v", err)))
			continue
		}
		switch frame.Type {
		case "sub":
			if err := s.feed.subscribe(s, frame.ID, frame.Topic, frame.Query); err != nil {
				s.queue(errorFrame(frame.ID, problemOf(err)))
			}
		case "unsub":
			s.feed.unsubscribe(s, frame.ID)
		case "ping":
		default:
			s.queue(errorFrame(frame.ID, problem(http.StatusBadRequest, "BADFRAME", "there is no frame %q", shorten(frame.Type))))
		}
	}
}
