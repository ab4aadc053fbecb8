package commands

import (
	"fmt"
	"time"
)

// Progress is how far the logs have been read at the start of the process.
type Progress struct {
	Log           string // under way; "" before the first
	Loaded, Total int64  // bytes
	Began         time.Time
}

// Percent is rounded down: 100 is said of what is whole alone.
func (p Progress) Percent() int64 {
	if p.Total <= 0 {
		return 0
	}
	return min(p.Loaded*100/p.Total, 99)
}

// Left is how long the rest will take at the speed so far, in whole seconds and at least one, since client libraries wait
// as long before they ask again.
func (p Progress) Left(now time.Time) time.Duration {
	elapsed := now.Sub(p.Began)
	if elapsed < time.Second || p.Loaded <= 0 {
		return time.Second
	}
	left := float64(elapsed) / float64(p.Loaded) * float64(max(p.Total-p.Loaded, 0))
	return max(time.Duration(left).Round(time.Second), time.Second)
}

// Loading tells how far the logs are; ok is false once the brokers are there.
func (s *Server) Loading() (progress Progress, ok bool) {
	if ask := s.loading.Load(); ask != nil {
		return (*ask)(), true
	}
	return Progress{}, false
}

// Loaded gives the commands their brokers, and lets in what waits for them. It is called once, when New was given a Loading.
func (s *Server) Loaded(deps Deps) {
	s.Store, s.PubSub, s.Queue, s.Stream = deps.Store, deps.PubSub, deps.Queue, deps.Stream
	s.loading.Store(nil) // who sees this sees the brokers
}

func (s *Server) loadingText(progress Progress) string {
	return fmt.Sprintf("LOADING Nexo is loading its logs: %d%% of %d MiB, about %d s left", progress.Percent(), progress.Total>>20,
		int64(progress.Left(s.Clock.Now()).Seconds()))
}

// infoPersistence has the fields of Redis that tools and client libraries wait by.
func (s *Server) infoPersistence(line func(format string, args ...any)) {
	progress, loading := s.Loading()
	line("loading:%d", boolInt(loading))
	line("async_loading:0")
	if !loading {
		return
	}
	percent := 0.0
	if progress.Total > 0 {
		percent = float64(progress.Loaded) * 100 / float64(progress.Total)
	}
	line("loading_start_time:%d", progress.Began.Unix())
	line("loading_total_bytes:%d", progress.Total)
	line("loading_loaded_bytes:%d", progress.Loaded)
	line("loading_loaded_perc:%.2f", percent)
	line("loading_eta_seconds:%d", int64(progress.Left(s.Clock.Now()).Seconds()))
	line("loading_log:%s", progress.Log)
}

// onceLoaded leaves a section of INFO empty until there are brokers to ask.
func (s *Server) onceLoaded(write func(line func(format string, args ...any))) func(line func(format string, args ...any)) {
	return func(line func(format string, args ...any)) {
		if _, loading := s.Loading(); !loading {
			write(line)
		}
	}
}
