package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nexobroker/nexo/aof"
	"github.com/nexobroker/nexo/commands"
)

// errStopped ends the loading of logs when the process is asked to stop meanwhile.
var errStopped = errors.New("stopped while loading")

// loading is what the start of the process knows of its way through the logs. The doors are open by then and answer from it.
type loading struct {
	began   time.Time
	stopped atomic.Bool
	total   int64
	sizes   map[string]int64

	log    atomic.Pointer[string]
	loaded atomic.Int64 // bytes of all logs
}

// newLoading looks how much there is to load.
func newLoading(data string, logs []string) (*loading, error) {
	l := &loading{began: time.Now(), sizes: map[string]int64{}}
	for _, name := range logs {
		size, err := aof.SizeToLoad(data, name)
		if err != nil {
			return nil, fmt.Errorf("look at log %s: %w", name, err)
		}
		l.sizes[name] = size
		l.total += size
	}
	return l, nil
}

// of begins with the first reading of a log, and returns what hears of the progress of both readings.
func (l *loading) of(name string) (progress func(bytes int64) error) {
	told := int64(0)
	l.log.Store(&name)
	return func(bytes int64) error {
		if l.log.Load() != &name {
			l.log.Store(&name)
		}
		now := min(bytes, l.sizes[name])
		l.loaded.Add(now - told)
		told = now
		if l.stopped.Load() {
			return errStopped
		}
		return nil
	}
}

func (l *loading) progress() commands.Progress {
	p := commands.Progress{Loaded: l.loaded.Load(), Total: l.total, Began: l.began}
	if name := l.log.Load(); name != nil {
		p.Log = *name
	}
	return p
}

// tell writes the progress to the log each second until the context ends.
func (l *loading) tell(ctx context.Context, logger *slog.Logger) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			p := l.progress()
			logger.Info("loading the logs", "log", p.Log, "loaded_mib", p.Loaded>>20, "total_mib", p.Total>>20, "percent", p.Percent(),
				"left", p.Left(time.Now()))
		case <-ctx.Done():
			return
		}
	}
}

func (l *loading) text() string {
	p := l.progress()
	return fmt.Sprintf("Nexo is loading its logs: %d%% of %d MiB, about %v left", p.Percent(), p.Total>>20, p.Left(time.Now()))
}

// loadingPage is the dashboard until there is something to show. It tells nothing but the progress, so it asks for no password.
type loadingPage struct {
	loading  *loading
	basePath string
}

func (p loadingPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if rest, ok := strings.CutPrefix(path, strings.TrimRight(p.basePath, "/")); ok && strings.HasPrefix(rest, "/") {
		path = rest
	}
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	if path == "/livez" {
		_, _ = io.WriteString(w, "ok\n")
		return
	}
	h.Set("Retry-After", "1")
	text := p.loading.text()
	switch {
	case strings.HasPrefix(path, "/api/"):
		h.Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"code": "LOADING", "message": text}})
	case path == "/readyz" || path == "/metrics":
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, text+"\n")
	default:
		h.Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintf(w, `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="light dark">`+
			`<meta http-equiv="refresh" content="1"><title>Nexo is loading</title></head><body><h1>Nexo is loading</h1><p role="status">%s.</p>`+
			`<p>This page asks again each second.</p></body></html>`, html.EscapeString(text))
	}
}
