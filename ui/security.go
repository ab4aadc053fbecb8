package ui

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	cookieName    = "nexo_session"
	sessionLength = 12 * time.Hour
	sessionsMax   = 1000
)

// policy lets pages load what this server serves and nothing else. The socket is named by 'self' too, in every current browser.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; " +
	"manifest-src 'self'; form-action 'self'; base-uri 'self'; frame-ancestors 'none'"

func (s *Server) secureHeaders(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// admit is the gate of every request: protected mode, the Host, and for what is not a GET, the site it comes from. A page of
// another site that has its own name resolve to this machine (DNS rebinding) is stopped by the Host.
func (s *Server) admit(r *http.Request, path string) *Problem {
	if remote := remoteAddress(r); s.source.Credentials() == "" && s.source.Denies(remote) {
		return problem(http.StatusForbidden, "DENIED", "no password is set, and without one only this machine may see the dashboard: "+
			"set a password, or, on a network you trust, start the server with --protected-mode=false")
	}
	if !s.anyHost(r, path) && !s.hostAllowed(r) {
		return problem(http.StatusForbidden, "HOST", "the Host %q is not allowed: see --dashboard-allowed-hosts", shorten(r.Host))
	}
	if err := s.crossing.Check(r); err != nil {
		return problem(http.StatusForbidden, "ORIGIN", "the request comes from another site")
	}
	return nil
}

// anyHost tells of what machines ask for, under whatever name they know this one by, such as that of a service of a cluster. Health
// tells nothing that a page of another site could use. The metrics hold names: without a password they are for what is not a browser.
func (s *Server) anyHost(r *http.Request, path string) bool {
	switch path {
	case "/livez", "/readyz":
		return true
	case "/metrics":
		return s.source.Credentials() != "" || !fromBrowser(r)
	}
	return false
}

// fromBrowser tells of a request that carries what browsers send by themselves, and what a page cannot keep from being sent.
func fromBrowser(r *http.Request) bool {
	for _, name := range []string{"Accept-Language", "Sec-Fetch-Site", "Sec-Ch-Ua", "Origin", "Referer", "Cookie"} {
		if r.Header.Get(name) != "" {
			return true
		}
	}
	return strings.HasPrefix(r.UserAgent(), "Mozilla/")
}

func shorten(text string) string { return text[:min(len(text), 100)] }

// remoteAddress is the address of the peer.
func remoteAddress(r *http.Request) net.Addr {
	address, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return &net.UnixAddr{Name: r.RemoteAddr, Net: "unknown"}
	}
	return net.TCPAddrFromAddrPort(address)
}

func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// hostAllowed tells whether the Host is localhost, a loopback address, the address that was connected to, or one of the names
// given. An address cannot be rebound, but one that is not ours is nothing a client of ours would send.
func (s *Server) hostAllowed(r *http.Request) bool {
	if slices.ContainsFunc(s.options.Hosts, func(allowed string) bool { return strings.EqualFold(allowed, r.Host) }) {
		return true
	}
	name := hostName(r.Host)
	if name == "" {
		return false
	}
	if strings.EqualFold(name, "localhost") || slices.ContainsFunc(s.options.Hosts, func(allowed string) bool { return strings.EqualFold(allowed, name) }) {
		return true
	}
	ip, err := netip.ParseAddr(name)
	if err != nil {
		return false
	}
	if ip.Unmap().IsLoopback() {
		return true
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local == nil {
		return false
	}
	own, err := netip.ParseAddr(hostName(local.String()))
	return err == nil && own.Unmap() == ip.Unmap()
}

// hostName takes the port off; "" for what is not host or host:port.
func hostName(host string) string {
	if !strings.Contains(host, ":") {
		return host
	}
	if inner, ok := strings.CutPrefix(host, "["); ok && strings.HasSuffix(inner, "]") {
		return strings.TrimSuffix(inner, "]")
	}
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		return ""
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return ""
	}
	return name
}

// originAllowed is asked for upgrades, which are GETs and yet open a channel that other sites' pages could use with the user's
// cookie: the Origin must be there, and be that of the page we served, by name and port.
func (s *Server) originAllowed(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) != 1 {
		return false
	}
	origin, err := url.Parse(origins[0])
	if err != nil || (origin.Scheme != "http" && origin.Scheme != "https") || origin.Host == "" || origin.Path != "" || origin.User != nil {
		return false
	}
	if strings.EqualFold(origin.Host, r.Host) {
		return true
	}
	return slices.ContainsFunc(s.options.Hosts, func(allowed string) bool { return strings.EqualFold(allowed, origin.Host) })
}

// sessions are the logins of browsers.
type sessions struct {
	mu     sync.Mutex
	byName map[string]login
}

type login struct {
	credentials string // in force when it was made: a new password ends all logins
	until       time.Time
}

func (l *sessions) add(credentials string, now time.Time) (name string) {
	name = token()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byName == nil {
		l.byName = map[string]login{}
	}
	oldest, earliest := "", time.Time{}
	for other, one := range l.byName {
		if now.After(one.until) {
			delete(l.byName, other)
		} else if oldest == "" || one.until.Before(earliest) {
			oldest, earliest = other, one.until
		}
	}
	if len(l.byName) >= sessionsMax {
		delete(l.byName, oldest)
	}
	l.byName[name] = login{credentials, now.Add(sessionLength)}
	return name
}

func (l *sessions) valid(name, credentials string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	one, known := l.byName[name]
	return known && one.credentials == credentials && now.Before(one.until)
}

func (l *sessions) remove(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.byName, name)
}

// authorize is nil when a request may see anything: there is no password, it carries the cookie of a login, or the password itself
// in an Authorization header, for scripts and for what collects the metrics.
func (s *Server) authorize(r *http.Request) *Problem {
	credentials := s.source.Credentials()
	if credentials == "" || s.hasSession(r, credentials) {
		peerOf(r).known.Store(true)
		return nil
	}
	if user, password, given := r.BasicAuth(); given {
		return s.checkPassword(r, user, password)
	}
	return problem(http.StatusUnauthorized, "NOAUTH", "log in first")
}

func (s *Server) hasSession(r *http.Request, credentials string) bool {
	cookie, err := r.Cookie(cookieName)
	return err == nil && s.sessions.valid(cookie.Value, credentials, s.options.Now())
}

// checkPassword may take a while, when many wrong passwords come from the same address.
func (s *Server) checkPassword(r *http.Request, user, password string) *Problem {
	from := peerOf(r)
	right, checked := false, false
	if s.waiting.Add(1) <= waitingMax {
		from.waits.Store(true)
		right, checked = s.source.Login(r.Context(), remoteHost(r), user, password, from.wrongLogin.Load())
		from.waits.Store(false)
	}
	s.waiting.Add(-1)
	from.known.Store(right)
	switch {
	case !checked:
		return problem(http.StatusTooManyRequests, "WAIT", "too many wrong passwords come from this address: the password was not checked, try again")
	case !right:
		from.wrongLogin.Store(true)
		return problem(http.StatusUnauthorized, "WRONGPASS", "the user or the password is wrong")
	}
	from.wrongLogin.Store(false)
	return nil
}

// staysLoggedIn makes the question whether a request that was let in would be let in again, without its password being checked anew.
func (s *Server) staysLoggedIn(r *http.Request) func() bool {
	before := s.source.Credentials()
	bySession := s.hasSession(r, before)
	return func() bool {
		now := s.source.Credentials()
		return now == "" || s.hasSession(r, now) || now == before && !bySession
	}
}

type sessionState struct {
	Login        bool   `json:"login"`
	User         string `json:"user"`
	ReadOnly     bool   `json:"readOnly"`
	Version      string `json:"version"`
	Boot         string `json:"boot"`
	HidePayloads bool   `json:"hidePayloads"`
	Port         int    `json:"port"` // of RESP, for the commands that pages propose
}

// session is what a page asks first. Before the login it tells nothing but that there is one.
func (s *Server) session(r *http.Request) sessionState {
	if s.authorize(r) != nil {
		return sessionState{Login: true}
	}
	return sessionState{
		User: "default", ReadOnly: s.options.ReadOnly, Version: s.options.Version, Boot: s.boot,
		HidePayloads: s.options.HidePayloads, Port: s.source.Port(),
	}
}

func (s *Server) logInOrOut(w http.ResponseWriter, r *http.Request, name, prefix string) {
	if r.Method != http.MethodPost {
		writeProblem(w, problem(http.StatusMethodNotAllowed, "METHOD", "%s is answered with POST only", name))
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(loginTimeout)) // a test's writer may have none
	body, p := readBody(w, r, loginBodyMax)
	if p != nil {
		writeProblem(w, p)
		return
	}
	cookie := &http.Cookie{Name: cookieName, Path: prefix + "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: secure(r)}
	if name == "logout" {
		if old, err := r.Cookie(cookieName); err == nil {
			s.sessions.remove(old.Value)
		}
		cookie.MaxAge = -1
	} else {
		credentials := s.source.Credentials() // before the check: a password changed meanwhile makes the login void
		user, password := body.optional("user", "default"), body.optional("password", "")
		if err := body.err; err != nil {
			writeProblem(w, problemOf(err))
			return
		}
		if p := s.checkPassword(r, user, password); p != nil {
			writeProblem(w, p)
			return
		}
		cookie.Value, cookie.MaxAge = s.sessions.add(credentials, s.options.Now()), int(sessionLength.Seconds())
	}
	http.SetCookie(w, cookie)
	s.respond(w, r, func() (any, error) { return struct{}{}, nil })
}

// secure tells whether the browser came over TLS: here, or to the proxy that passed it on. The word of a client that is no proxy
// costs only itself its cookie.
func secure(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
}
