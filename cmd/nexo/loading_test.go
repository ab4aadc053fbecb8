package main

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/commands"
)

// startOn opens the doors of a server on a directory, with no port but free ones.
func startOn(t *testing.T, dir string, logger *slog.Logger) *server {
	t.Helper()
	o, err := configured(t, "", "--port", "0", "--dashboard-port", "0", "--data", dir, "--store-durability", "interval")
	if err != nil {
		t.Fatal(err)
	}
	s, err := openDoors(o, logger)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestLoadingStopsAndLeavesTheLogs asks the load to stop at its first step, and finds everything at the next start.
func TestLoadingStopsAndLeavesTheLogs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	push := func(s *server) {
		_, receipt, err := s.source.brokers.queue.Push([]byte("q"), [][]byte{[]byte("job")}, &queue.PushOptions{}, nil)
		if err := errors.Join(err, receipt.Wait()); err != nil {
			t.Fatal(err)
		}
	}
	stop := func(s *server) {
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
	}
	s := startOn(t, dir, slog.New(slog.DiscardHandler))
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	push(s)
	stop(s)
	s = startOn(t, dir, slog.New(slog.DiscardHandler))
	s.loading.stopped.Store(true)
	if err := s.load(); !errors.Is(err, errStopped) {
		t.Errorf("a load that was asked to stop: %v", err)
	}
	stop(s)
	s = startOn(t, dir, slog.New(slog.DiscardHandler))
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	push(s)
	if n, err := s.source.brokers.queue.Len([]byte("q"), queue.Ready); n != 2 || err != nil {
		t.Errorf("%d jobs after a stopped load and one more push, want 2: %v", n, err)
	}
	stop(s)
}

func TestLoadingProgress(t *testing.T) {
	l := &loading{began: time.Now().Add(-10 * time.Second), sizes: map[string]int64{"queue": 100 << 20, "stream": 300 << 20}, total: 400 << 20}
	if p := l.progress(); p.Log != "" || p.Percent() != 0 || p.Left(time.Now()) != time.Second {
		t.Errorf("before the first log: %+v", p)
	}
	queue := l.of("queue")
	if err := queue(50 << 20); err != nil || l.progress().Loaded != 50<<20 {
		t.Errorf("half a log: %v %+v", err, l.progress())
	}
	if err := queue(999 << 20); err != nil || l.progress().Loaded != 100<<20 {
		t.Errorf("a log that has grown: %v %+v", err, l.progress())
	}
	if text := l.text(); text != "Nexo is loading its logs: 25% of 400 MiB, about 30s left" {
		t.Error(text)
	}
	stream := l.of("stream")
	if err := stream(300 << 20); err != nil || l.progress().Percent() != 99 || l.progress().Log != "stream" {
		t.Errorf("all read, and not yet there: %v %+v", err, l.progress())
	}
	l.stopped.Store(true)
	if err := stream(300 << 20); !errors.Is(err, errStopped) {
		t.Errorf("asked to stop: %v", err)
	}
	if p := (commands.Progress{}); p.Percent() != 0 || p.Left(time.Now()) != time.Second {
		t.Errorf("nothing to load: %d %v", p.Percent(), p.Left(time.Now()))
	}
}
