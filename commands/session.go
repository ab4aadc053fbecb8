package commands

import (
	"sort"
	"sync"
	"sync/atomic"

	"github.com/nexobroker/nexo/resp"
)

const (
	// Databases is how many keyspaces a connection can choose from.
	Databases = 16
	// DefaultUser is the one that every connection is.
	DefaultUser = "default"
)

// Session is the state of one connection. It belongs to the connection's goroutine, but for what is shown.
type Session struct {
	Database   int    // SELECT
	Name       string // CLIENT SETNAME
	User       string
	Subscribed bool // holds a subscription: in RESP2 it may send only few commands
	Quit       bool // QUIT was sent: the will is not published

	NoTouch atomic.Bool // CLIENT NO-TOUCH: reads are no uses of the keys; any goroutine

	authenticated bool
	wrongLogin    bool // the last password was wrong
	denied        bool // by protected mode
	own           bool // of the process itself, see OwnNetwork
	replies       Replies

	states [familiesMax]any // what the families keep; written under the lock of shown

	last atomic.Pointer[Spec] // the last command of the last batch

	shown struct { // what other connections see
		sync.Mutex
		name, libraryName, libraryVersion string
		database                          int
		proto                             int
	}
}

// Replies says which replies of a connection are sent.
type Replies uint8

const (
	AllReplies  Replies = iota
	NoReplies           // CLIENT REPLY OFF
	SkipReplies         // CLIENT REPLY SKIP: the next one is left out

	skippingReply // that of the command under way is left out, and no other one
)

// Shown is what others may know of what a family keeps of a connection, as of its last batch.
type Shown struct {
	Channels, Patterns, Shards int  // subscriptions
	Holds                      bool // there is a reason for a connection that says nothing
}

// State is what the family keeps of a connection; nil when there is nothing. The connection's goroutine.
func (f *Family) State(session *Session) any { return session.states[f.index] }

// Keep keeps a state. The connection's goroutine.
func (f *Family) Keep(session *Session, state any) {
	session.shown.Lock()
	defer session.shown.Unlock()
	session.states[f.index] = state
}

// EachState visits what the family keeps of every connection. Any goroutine.
func (f *Family) EachState(visit func(state any)) {
	s := f.server
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	for _, session := range s.sessions.byID {
		session.shown.Lock()
		state := session.states[f.index]
		session.shown.Unlock()
		if state != nil {
			visit(state)
		}
	}
}

// shown is what the families show of a connection. Any goroutine.
func (s *Server) shown(session *Session) (all Shown) {
	session.shown.Lock()
	states := session.states
	session.shown.Unlock()
	for _, family := range s.families {
		if state := states[family.index]; state != nil && family.Shown != nil {
			one := family.Shown(state)
			all.Channels += one.Channels
			all.Patterns += one.Patterns
			all.Shards += one.Shards
			all.Holds = all.Holds || one.Holds
		}
	}
	return all
}

// sessions finds the session of a connection.
type sessions struct {
	mu   sync.Mutex
	byID map[uint64]*Session
}

func (s *sessions) add(id uint64, session *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID == nil {
		s.byID = map[uint64]*Session{}
	}
	s.byID[id] = session
}

func (s *sessions) remove(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, id)
}

func (s *sessions) get(id uint64) *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byID[id]
}

// Client is one connection as others see it.
type Client struct {
	*resp.Conn
	Shown
	Name, User, LibraryName, LibraryVersion string
	Command                                 string // the last one; "" before the first
	Database, Protocol                      int
	NoTouch                                 bool
	Own                                     bool // of the process itself
}

// Subscriptions counts those of all kinds.
func (c *Client) Subscriptions() int { return c.Channels + c.Patterns + c.Shards }

// client is nil for a connection that has gone.
func (s *Server) client(c *resp.Conn) *Client {
	session := s.sessions.get(c.ID())
	if session == nil {
		return nil
	}
	one := &Client{Conn: c, User: session.User, NoTouch: session.NoTouch.Load(), Own: isOwn(c.RemoteAddr()), Shown: s.shown(session)}
	if last := session.last.Load(); last != nil {
		one.Command = last.full
	}
	shown := &session.shown
	shown.Lock()
	defer shown.Unlock()
	one.Name, one.LibraryName, one.LibraryVersion = shown.name, shown.libraryName, shown.libraryVersion
	one.Database, one.Protocol = shown.database, max(shown.proto, 2)
	return one
}

// Clients lists the connections in the order they came.
func (s *Server) Clients() (all []*Client) {
	if s.door == nil {
		return nil
	}
	s.door.Each(func(c *resp.Conn) bool {
		if one := s.client(c); one != nil {
			all = append(all, one)
		}
		return true
	})
	sort.Slice(all, func(i, k int) bool { return all[i].ID() < all[k].ID() })
	return all
}

// Client is the connection itself; its last command is the one under way.
func (ctx *Context) Client() *Client {
	one := ctx.Server.client(ctx.Conn)
	one.Command = ctx.spec.full
	return one
}

// Authenticated tells whether the connection has given the password, or need not.
func (ctx *Context) Authenticated() bool { return ctx.Session.authenticated }

// SetProtocol changes the protocol of what is written from now on.
func (ctx *Context) SetProtocol(version int) {
	ctx.W.SetProto(version)
	ctx.Session.shown.Lock()
	ctx.Session.shown.proto = version
	ctx.Session.shown.Unlock()
}

// SetName names the connection.
func (ctx *Context) SetName(name []byte) {
	ctx.Session.Name = string(name)
	ctx.Session.shown.Lock()
	ctx.Session.shown.name = ctx.Session.Name
	ctx.Session.shown.Unlock()
}

// SetLibrary tells the name of the client's library, SetLibraryVersion its version.
func (ctx *Context) SetLibrary(name []byte) {
	ctx.Session.shown.Lock()
	defer ctx.Session.shown.Unlock()
	ctx.Session.shown.libraryName = string(name)
}

// SetLibraryVersion tells the version of the client's library.
func (ctx *Context) SetLibraryVersion(version []byte) {
	ctx.Session.shown.Lock()
	defer ctx.Session.shown.Unlock()
	ctx.Session.shown.libraryVersion = string(version)
}

// SetDatabase chooses the keyspace of the commands to come.
func (ctx *Context) SetDatabase(n int) {
	ctx.Session.Database = n
	ctx.Session.shown.Lock()
	ctx.Session.shown.database = n
	ctx.Session.shown.Unlock()
}

// SetReplies says which replies are sent from now on.
func (ctx *Context) SetReplies(which Replies) {
	if which != SkipReplies || ctx.Session.replies != NoReplies {
		ctx.Session.replies = which
	}
}

// Confirm sends confirmations that the command has written. They are pushed, and no replies that CLIENT REPLY leaves out.
func (ctx *Context) Confirm() {
	if ctx.Session.replies != AllReplies {
		ctx.Conn.FlushReplies()
	}
}

// Reset brings the connection back to the state of a new one.
func (ctx *Context) Reset() {
	for _, family := range ctx.Server.families {
		if family.Reset != nil {
			family.Reset(ctx)
		}
	}
	ctx.SetProtocol(2)
	ctx.SetName(nil)
	ctx.SetDatabase(0)
	if ctx.Session.replies == NoReplies { // as in Redis, a reply that is to be skipped is
		ctx.SetReplies(AllReplies)
	}
	ctx.Session.NoTouch.Store(false)
	ctx.Conn.Spare(false)
	ctx.Session.authenticated = !ctx.Server.PasswordSet()
	ctx.Conn.SetAuthenticated(ctx.Session.authenticated)
}
