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

// Loaded lets in what waits for the brokers, which the families have by now. It is called once, when New was given a Loading.
func (s *Server) Loaded() { s.loading.Store(nil) } // who sees this sees the brokers

func (s *Server) loadingText(progress Progress) string {
	return fmt.Sprintf("LOADING Nexo is loading its logs: %d%% of %d MiB, about %d s left", progress.Percent(), progress.Total>>20,
		int64(progress.Left(s.Clock.Now()).Seconds()))
}
