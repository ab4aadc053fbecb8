package commands

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/nexobroker/nexo/resp"
)

// access is who may use the server.
type access struct {
	password atomic.Pointer[[sha256.Size]byte] // nil: none
	guard    atomic.Bool                       // protected mode asked for
	logins   logins
}

const (
	deniedText = "DENIED Nexo is running in protected mode because no password is set. In this mode connections are only " +
		"accepted from the loopback interface. To connect from another computer set a password (--password-file or " +
		"NEXO_PASSWORD), or, on a network you trust, start the server with --protected-mode=false."
	wrongPassText = "WRONGPASS invalid username-password pair or user is disabled."
)

func (a *access) setPassword(password string) {
	if password == "" {
		a.password.Store(nil)
		return
	}
	hash := sha256.Sum256([]byte(password))
	a.password.Store(&hash)
}

func (a *access) passwordHash() (hash [sha256.Size]byte, set bool) {
	if p := a.password.Load(); p != nil {
		return *p, true
	}
	return hash, false
}

// PasswordSet tells whether there is one.
func (s *Server) PasswordSet() bool { return s.access.password.Load() != nil }

// guards tells whether protected mode is in force: without a password it keeps strangers out.
func (s *Server) guards() bool { return s.access.guard.Load() && !s.PasswordSet() }

// denies tells whether protected mode keeps this client out: no password, and not from this machine.
func (s *Server) denies(c *resp.Conn) bool { return s.deniesAddress(c.RemoteAddr()) }

func (s *Server) deniesAddress(remote net.Addr) bool {
	if !s.guards() {
		return false
	}
	if remote.Network() == "unix" || isOwn(remote) {
		return false
	}
	ip, err := netip.ParseAddr(hostOf(remote)) // knows the zones of link-local addresses
	return err != nil || !ip.Unmap().IsLoopback()
}

// rightPassword checks the pair in constant time.
func (s *Server) rightPassword(user, password []byte) bool {
	given := sha256.Sum256(password)
	wanted, set := s.access.passwordHash()
	right := !set || subtle.ConstantTimeCompare(given[:], wanted[:]) == 1
	return right && bytes.Equal(user, []byte(DefaultUser))
}

// Login lets the connection in when the pair is right, and answers when it is not. It waits for its turn.
func (ctx *Context) Login(user, password []byte) bool {
	s := ctx.Server
	attempt := s.access.logins.enter(hostOf(ctx.Conn.RemoteAddr()), ctx.Session.wrongLogin)
	switch ctx.awaitTurn(attempt) {
	case resp.Woken:
	case resp.Gone:
		s.access.logins.leave(attempt, false)
		return false
	default: // CLIENT UNBLOCK, or the server stops
		s.access.logins.leave(attempt, false)
		ctx.W.Error(notCheckedText)
		return false
	}
	right := s.rightPassword(user, password)
	s.access.logins.leave(attempt, !right)
	if !right {
		ctx.Session.wrongLogin = true
		ctx.W.Error(wrongPassText)
		return false
	}
	ctx.Session.wrongLogin = false
	ctx.Session.authenticated = true
	ctx.Conn.SetAuthenticated(true)
	return true
}

// awaitTurn blocks only when it must: a block writes out what was answered so far.
func (ctx *Context) awaitTurn(attempt *loginAttempt) resp.Wake {
	select {
	case <-attempt.turn:
		return resp.Woken
	default:
		return ctx.Conn.Block(0, attempt.turn)
	}
}

// Login checks a user and password for a client of the dashboard at the given address; failedBefore tells that its connection has
// given a wrong one. checked is false when too many others were in line, or the context has ended: then nothing was checked.
func (s *Server) Login(ctx context.Context, host, user, password string, failedBefore bool) (right, checked bool) {
	attempt := s.access.logins.enter(host, failedBefore)
	ended := make(chan struct{})
	patience := s.Clock.AfterFunc(loginPatience, func() { close(ended) })
	defer patience.Stop()
	select {
	case <-attempt.turn:
	case <-ended:
		s.access.logins.leave(attempt, false)
		return false, false
	case <-ctx.Done():
		s.access.logins.leave(attempt, false)
		return false, false
	}
	right = s.rightPassword([]byte(user), []byte(password))
	s.access.logins.leave(attempt, !right)
	return right, true
}

func hostOf(addr net.Addr) string {
	host, _, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	return host
}

// Credentials names the password in force without telling it; "" when there is none.
func (s *Server) Credentials() string {
	hash, set := s.access.passwordHash()
	if !set {
		return ""
	}
	again := sha256.Sum256(hash[:])
	return hex.EncodeToString(again[:])
}

// Denies tells whether protected mode keeps clients at this address out.
func (s *Server) Denies(remote net.Addr) bool { return s.deniesAddress(remote) }
