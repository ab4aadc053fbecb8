package ui

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// Options is what the dashboard is made of.
type Options struct {
	Version string
	// BasePath is the path in front of every address when a proxy puts the dashboard below one; "" for none. Requests are
	// answered with and without it.
	BasePath string
	// TrustForwardedPrefix takes the base path from X-Forwarded-Prefix.
	TrustForwardedPrefix bool
	// Hosts are names besides localhost, the loopback addresses and the address that was connected to, that the Host header
	// may hold; one with a port allows just this port. They may also be origins of upgrades, as a proxy's name is.
	Hosts        []string
	ReadOnly     bool
	HidePayloads bool
	Logger       *slog.Logger
	Now          func() time.Time // nil: time.Now
}

// Server is the dashboard: an http.Handler. Close ends its sockets and tasks.
type Server struct {
	options  Options
	source   Source
	boot     string
	pages    *pages
	sessions sessions
	tasks    tasks
	feed     *feed
	reads    map[string]read
	changes  map[string]change
	crossing *http.CrossOriginProtection
	waiting  atomic.Int64 // passwords that wait to be checked
	// Who has series of its own in the metrics.
	queueSeries, streamSeries series

	large chan struct{} // has an element for each large body in memory
}

// Check refuses options that New would refuse, for who has its source only later.
func (o Options) Check() error {
	if path := strings.TrimRight(o.BasePath, "/"); path != "" {
		return checkBasePath(path)
	}
	return nil
}

// New makes the dashboard of a server.
func New(options Options, source Source) (*Server, error) {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if err := options.Check(); err != nil {
		return nil, err
	}
	options.BasePath = strings.TrimRight(options.BasePath, "/")
	pages, err := loadPages()
	if err != nil {
		return nil, err
	}
	s := &Server{
		options: options, source: source, boot: token()[:16], pages: pages,
		crossing: http.NewCrossOriginProtection(), large: make(chan struct{}, largeBodiesMax),
	}
	s.reads, s.changes = s.readRoutes(), s.changeRoutes()
	s.feed = newFeed(s)
	return s, nil
}

// Placeholder tells whether the build of ui/web is missing, so that a plain page is served instead.
func (s *Server) Placeholder() bool { return s.pages.placeholder }

// Close ends the sockets and the tasks under way.
func (s *Server) Close() {
	s.tasks.close()
	s.feed.close()
}

// token is 256 random bits.
func token() string {
	var bits [32]byte
	_, _ = rand.Read(bits[:]) // never fails
	return hex.EncodeToString(bits[:])
}

// Problem is an answer other than the result: it becomes the status and {"error":{"code","message"}}.
type Problem struct {
	Status        int
	Code, Message string
}

func (p *Problem) Error() string { return p.Code + " " + p.Message }

func problem(status int, code, format string, args ...any) *Problem {
	return &Problem{status, code, fmt.Sprintf(format, args...)}
}

// NotFound is the problem of a source that does not know a name.
func NotFound(code, format string, args ...any) *Problem {
	return problem(http.StatusNotFound, code, format, args...)
}

// ServeHTTP checks the request and finds its route.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.secureHeaders(w.Header())
	prefix := s.prefix(r)
	path := r.URL.Path
	if rest, ok := strings.CutPrefix(path, prefix); ok && prefix != "" && (rest == "" || rest[0] == '/') {
		path = rest
	}
	if p := s.admit(r, path); p != nil {
		writeProblem(w, p)
		return
	}
	if path == "" {
		http.Redirect(w, r, prefix+"/", http.StatusPermanentRedirect)
		return
	}
	switch {
	case path == "/livez":
		s.plain(w, r, func() (int, string) { return http.StatusOK, "ok\n" })
	case path == "/readyz":
		s.plain(w, r, s.ready)
	case path == "/metrics":
		s.metrics(w, r)
	case strings.HasPrefix(path, "/api/"):
		s.api(w, r, strings.TrimPrefix(path, "/api/"), prefix)
	default:
		s.pages.serve(w, r, path, prefix)
	}
}

func (s *Server) plain(w http.ResponseWriter, r *http.Request, answer func() (int, string)) {
	if !readsOnly(r) {
		writeProblem(w, problem(http.StatusMethodNotAllowed, "METHOD", "only GET is answered here"))
		return
	}
	status, text := answer()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

func (s *Server) ready() (int, string) {
	if err := s.source.Ready(); err != nil {
		return http.StatusServiceUnavailable, err.Error() + "\n"
	}
	return http.StatusOK, "ok\n"
}

func readsOnly(r *http.Request) bool {
	return r.Method == http.MethodGet || r.Method == http.MethodHead
}

// api finds the route of an API request. A GET reads, a POST changes; there is nothing else.
func (s *Server) api(w http.ResponseWriter, r *http.Request, name, prefix string) {
	w.Header().Set("Cache-Control", "no-store")
	switch name {
	case "ws":
		s.feed.serve(w, r)
		return
	case "session":
		s.respond(w, r, func() (any, error) { return s.session(r), nil })
		return
	case "login", "logout":
		s.logInOrOut(w, r, name, prefix)
		return
	}
	if p := s.authorize(r); p != nil {
		writeProblem(w, p)
		return
	}
	read, reads := s.reads[name]
	change, changes := s.changes[name]
	switch {
	case readsOnly(r) && reads:
		s.respond(w, r, func() (any, error) { return read(newQuery(r)) })
	case r.Method == http.MethodPost && changes:
		s.change(w, r, name, change)
	case reads || changes:
		writeProblem(w, problem(http.StatusMethodNotAllowed, "METHOD", "%s is not answered with %s", name, r.Method))
	default:
		writeProblem(w, NotFound("NOROUTE", "there is no api/%s", name))
	}
}

// read answers a GET.
type read func(q *query) (any, error)

// change answers a POST. Its body has been read.
type change struct {
	run func(q *body) (any, error)
	// reads tells of a request that it changes nothing, so that a read-only dashboard may answer it; nil: never.
	reads func(q *body) bool
	limit int64 // of the body, when it is more than smallBodyMax
}

func (s *Server) change(w http.ResponseWriter, r *http.Request, name string, c change) {
	limit := max(c.limit, smallBodyMax)
	if limit > listBodyMax && (r.ContentLength < 0 || r.ContentLength > listBodyMax) {
		if p := s.enterLarge(r); p != nil {
			writeProblem(w, p)
			return
		}
		defer func() { <-s.large }()
	}
	body, p := readBody(w, r, limit)
	if p != nil {
		writeProblem(w, p)
		return
	}
	if s.options.ReadOnly && (c.reads == nil || !c.reads(body)) {
		writeProblem(w, problem(http.StatusForbidden, "READONLY", "this dashboard is read-only"))
		return
	}
	s.respond(w, r, func() (any, error) {
		result, err := c.run(body)
		s.options.Logger.Info("dashboard", append([]any{"change", name, "client", r.RemoteAddr, "failed", err != nil}, body.audit(result)...)...)
		return result, err
	})
}

// enterLarge waits until there is memory for one more large body.
func (s *Server) enterLarge(r *http.Request) *Problem {
	patience := time.NewTimer(largeBodyPatience)
	defer patience.Stop()
	select {
	case s.large <- struct{}{}:
		return nil
	case <-patience.C:
	case <-r.Context().Done():
	}
	return problem(http.StatusTooManyRequests, "BUSY", "%d large bodies are being read: try again", largeBodiesMax)
}

// readBody takes a JSON object from a request of this site.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) (*body, *Problem) {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return nil, problem(http.StatusUnsupportedMediaType, "CONTENTTYPE", "Content-Type must be application/json")
	}
	if r.ContentLength > limit {
		return nil, problem(http.StatusRequestEntityTooLarge, "TOOBIG", "the body has %d bytes, and may have %d here", r.ContentLength, limit)
	}
	var text bytes.Buffer
	if r.ContentLength > 0 {
		text.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	if _, err := text.ReadFrom(http.MaxBytesReader(w, r.Body, limit)); err != nil {
		return nil, problem(http.StatusRequestEntityTooLarge, "TOOBIG", "the body cannot be read: %v", err)
	}
	b := &body{ctx: r.Context()}
	if err := json.Unmarshal(text.Bytes(), &b.fields); err != nil {
		return nil, problem(http.StatusBadRequest, "BADJSON", "the body is not a JSON object: %v", err)
	}
	return b, nil
}

// respond writes what a route answered. Encoding comes first, so that a failure can still be told.
func (s *Server) respond(w http.ResponseWriter, r *http.Request, answer func() (any, error)) {
	result, err := answer()
	if err != nil {
		writeProblem(w, problemOf(err))
		return
	}
	text, err := json.Marshal(result)
	if err != nil {
		s.options.Logger.Error("BUG: an answer cannot be encoded", "path", r.URL.Path, "error", err)
		writeProblem(w, problem(http.StatusInternalServerError, "INTERNAL", "the answer cannot be encoded"))
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(text)
}

// problemOf gives an error of the source its status. Those of the brokers begin with their code word, as their replies do.
func problemOf(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	if p = replyProblem(err.Error()); p.Code == "ERR" {
		p.Status = http.StatusInternalServerError
	}
	return p
}

// replyProblem gives an error reply its status: CODE text.
func replyProblem(text string) *Problem {
	code, message, found := strings.Cut(text, " ")
	if !found || code != strings.ToUpper(code) || len(code) < 2 {
		code, message = "ERR", text
	}
	status := http.StatusBadRequest
	switch code {
	case "NOQUEUE", "NOSTREAM", "NOGROUP":
		status = http.StatusNotFound
	case "QEXISTS", "SEXISTS", "GEXISTS":
		status = http.StatusConflict
	case "IOERR", "DISKFULL", "OOM":
		status = http.StatusServiceUnavailable
	}
	return &Problem{status, code, message}
}

func writeProblem(w http.ResponseWriter, p *Problem) {
	text, _ := json.Marshal(map[string]any{"error": map[string]string{"code": p.Code, "message": p.Message}})
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if p.Status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(text)
}
