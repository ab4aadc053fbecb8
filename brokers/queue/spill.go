package queue

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexobroker/nexo/brokers"
)

const (
	// spillUnwritten is how many bytes may wait to be written before no more runs are cut.
	spillUnwritten = 32 << 20
	// spillRetry is how long after a failure the next write is tried.
	spillRetry = time.Second
	runPrefix  = "run-"
)

// spill is the directory of runs. Its goroutine alone writes and removes files.
type spill struct {
	directory string // "": nothing is ever cut
	failed    func(error)
	last      atomic.Uint64 // number of the last run
	unwritten atomic.Int64  // bytes of runs that are in RAM
	stored    atomic.Int64  // bytes of runs that are in files
	blocked   atomic.Bool   // the last write failed

	// mu guards the queue of the goroutine, and who reads which run and where.
	mu struct {
		sync.Mutex
		write  []*run
		remove []uint64
	}
	progress *sync.Cond // on mu: a write has ended
	wake     chan struct{}
	closing  sync.Once
	stop     chan struct{}
	done     chan struct{}
	writes   func(path string, bytes []byte) error // os.WriteFile, but for tests
}

// openSpill empties the directory: what a process before this one left means nothing.
func openSpill(directory string, failed func(error)) (*spill, error) {
	s := &spill{
		directory: directory, failed: failed, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
		writes: func(path string, bytes []byte) error { return os.WriteFile(path, bytes, 0o600) },
	}
	s.progress = sync.NewCond(&s.mu)
	if directory == "" {
		close(s.done)
		return s, nil
	}
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory for jobs on disk: %w", err)
	}
	entries, err := os.ReadDir(directory)
	if err != nil {
		return nil, fmt.Errorf("empty the directory for jobs on disk: %w", err)
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), runPrefix) {
			continue
		}
		if err := os.Remove(filepath.Join(directory, entry.Name())); err != nil {
			return nil, fmt.Errorf("empty the directory for jobs on disk: %w", err)
		}
	}
	go s.run()
	return s, nil
}

// close ends the goroutine and removes the files.
func (s *spill) close() {
	if s.directory == "" {
		return
	}
	s.closing.Do(func() { close(s.stop) })
	<-s.done
	// Whoever still reads a run is told that the broker is closed; what cannot be removed goes with the next start.
	files, _ := filepath.Glob(filepath.Join(s.directory, runPrefix+"*"))
	for _, path := range files {
		_ = os.Remove(path)
	}
}

// open tells whether runs may be cut now.
func (s *spill) open() bool {
	return s.directory != "" && !s.blocked.Load() && s.unwritten.Load() < spillUnwritten
}

// awaitRoom waits until runs may be cut again, unless writing fails. Replay needs it: it is faster than the disk.
func (s *spill) awaitRoom() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.unwritten.Load() >= spillUnwritten && !s.blocked.Load() {
		s.progress.Wait()
	}
}

func (s *spill) path(number uint64) string {
	return filepath.Join(s.directory, runPrefix+strconv.FormatUint(number, 10))
}

// add takes a run that has just been cut: its first reader is the bucket.
func (s *spill) add(r *run) {
	r.number = s.last.Add(1)
	r.readers = 1
	s.unwritten.Add(r.size)
	s.mu.Lock()
	s.mu.write = append(s.mu.write, r)
	s.mu.Unlock()
	s.signal()
}

func (s *spill) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// pin keeps a run readable until unpin.
func (s *spill) pin(r *run) {
	s.mu.Lock()
	r.readers++
	s.mu.Unlock()
}

func (s *spill) unpin(r *run) {
	s.mu.Lock()
	r.readers--
	if r.readers > 0 {
		s.mu.Unlock()
		return
	}
	if r.bytes != nil {
		r.bytes = nil
		s.unwritten.Add(-r.size)
	} else {
		s.mu.remove = append(s.mu.remove, r.number)
		s.stored.Add(-r.size)
	}
	s.mu.Unlock()
	s.signal()
}

// read returns the encoded jobs of a pinned run.
func (s *spill) read(r *run) ([]byte, error) {
	s.mu.Lock()
	bytes := r.bytes
	s.mu.Unlock()
	if bytes != nil {
		return bytes, nil
	}
	bytes, err := os.ReadFile(s.path(r.number))
	if err != nil {
		return nil, brokers.Errorf("IOERR", "jobs that had been moved to disk cannot be read: %v", err)
	}
	return bytes, nil
}

func (s *spill) run() {
	defer close(s.done)
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-s.wake:
		case <-retry.C:
		}
		if err := s.work(); err != nil {
			if !s.blocked.Swap(true) && s.failed != nil {
				s.failed(fmt.Errorf("moving jobs to disk: %w", err))
			}
			s.mu.Lock()
			s.progress.Broadcast()
			s.mu.Unlock()
			retry.Reset(spillRetry)
		} else {
			s.blocked.Store(false)
		}
	}
}

// work removes what may go, which makes room, and then writes what is to be written.
func (s *spill) work() error {
	for {
		s.mu.Lock()
		remove := s.mu.remove
		s.mu.remove = nil
		var r *run
		var bytes []byte
		for len(s.mu.write) > 0 && r == nil {
			if bytes = s.mu.write[0].bytes; bytes != nil {
				r = s.mu.write[0]
			} else {
				s.mu.write = s.mu.write[1:] // nobody needs it any more
			}
		}
		if r == nil {
			s.mu.write = nil
		}
		s.mu.Unlock()
		for _, number := range remove {
			_ = os.Remove(s.path(number)) // what stays goes with the next start
		}
		if r == nil {
			return nil
		}
		if err := s.writes(s.path(r.number), bytes); err != nil {
			_ = os.Remove(s.path(r.number))
			return err
		}
		s.written(r)
	}
}

// written lets go of the bytes of a run that is in its file now.
func (s *spill) written(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.progress.Broadcast()
	s.mu.write = s.mu.write[1:]
	if r.bytes == nil { // gone while it was written
		s.mu.remove = append(s.mu.remove, r.number)
		return
	}
	r.bytes = nil
	s.unwritten.Add(-r.size)
	s.stored.Add(r.size)
}
