package queue

import (
	"errors"
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
	// spillBatch is how many runs are written before they are synced, one after the other.
	spillBatch  = 16
	runPrefix   = "jobs-"
	olderPrefix = "run-" // of files that never outlived their process
	lostSuffix  = ".lost"
)

// spill is the directory of runs. Its goroutine alone writes and removes files, once the start has swept the directory.
type spill struct {
	directory string // "": nothing is ever cut
	failed    func(error)
	found     map[uint64]string // number and name of the files that were there at the start, until the sweep
	foreign   []string          // names of files of an older format, which mean nothing
	first     uint64            // lower numbers are those of earlier lives
	last      atomic.Uint64     // number of the last run
	unwritten atomic.Int64      // bytes of runs that are in RAM
	stored    atomic.Int64      // bytes of runs that are in files
	blocked   atomic.Bool       // the last write failed
	lazy      atomic.Bool       // runs are synced when loading has ended: it need not wait, for the journal has their jobs

	// mu guards the queue of the goroutine, and who reads which run and where.
	mu struct {
		sync.Mutex
		write  []*run
		remove []uint64
		listed map[uint64]bool // numbers of the runs that a snapshot lists
		late   []*run          // written and not synced
	}
	progress *sync.Cond // on mu: a write has ended
	wake     chan struct{}
	closing  sync.Once
	stop     chan struct{}
	done     chan struct{}
	writes   func(path string, bytes []byte) (*os.File, error) // writeFile, but for tests
}

// writeFile makes a file that is still to be synced and closed.
func writeFile(path string, bytes []byte) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err = file.Write(bytes); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// openSpill looks at what earlier lives have left. Nothing is removed before the sweep.
func openSpill(directory string, failed func(error)) (*spill, error) {
	s := &spill{
		directory: directory, failed: failed, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
		writes: writeFile, first: 1,
	}
	s.mu.listed = map[uint64]bool{}
	s.progress = sync.NewCond(&s.mu)
	if directory == "" {
		close(s.done)
		return s, nil
	}
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory for jobs on disk: %w", err)
	}
	var err error
	if s.found, err = runNumbers(directory); err != nil {
		return nil, err
	}
	for number := range s.found {
		s.first = max(s.first, number+1)
	}
	// Above those given up, too: what is said of one file must not be said of another.
	lost, _ := filepath.Glob(filepath.Join(directory, runPrefix+"*"+lostSuffix))
	for _, path := range lost {
		if number, isRun := runNumber(strings.TrimSuffix(filepath.Base(path), lostSuffix)); isRun {
			s.first = max(s.first, number+1)
		}
	}
	older, _ := filepath.Glob(filepath.Join(directory, olderPrefix+"*"))
	for _, path := range older {
		s.foreign = append(s.foreign, filepath.Base(path))
	}
	s.last.Store(s.first - 1)
	s.lazy.Store(true)
	go s.run()
	return s, nil
}

// runNumbers are the files of runs in a directory: number and name.
func runNumbers(directory string) (map[uint64]string, error) {
	entries, err := os.ReadDir(directory)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("look at the directory for jobs on disk: %w", err)
	}
	found := map[uint64]string{}
	for _, entry := range entries {
		if number, isRun := runNumber(entry.Name()); isRun {
			found[number] = entry.Name()
		}
	}
	return found, nil
}

// runNumber tells the number of a run by the name of its file.
func runNumber(name string) (number uint64, isRun bool) {
	text, isRun := strings.CutPrefix(name, runPrefix)
	number, err := strconv.ParseUint(text, 10, 64)
	return number, isRun && err == nil
}

// sweep removes what earlier lives have left and no snapshot lists. The start calls it when it has read the whole journal: before,
// nobody knows what is listed.
func (s *spill) sweep() error {
	names := s.foreign
	for number, name := range s.found {
		if !s.mu.listed[number] {
			names = append(names, name)
		}
	}
	s.found, s.foreign = nil, nil
	for _, name := range names {
		if err := os.Remove(filepath.Join(s.directory, name)); err != nil {
			return fmt.Errorf("clear the directory for jobs on disk: %w", err)
		}
	}
	return nil
}

// adopt takes a run that a snapshot lists: its readers are the bucket and the snapshot. lost tells that somebody has given its jobs
// up.
func (s *spill) adopt(r *run) (lost bool, err error) {
	if lost, err = s.present(r); err != nil {
		return false, err
	}
	storeMax(&s.last, r.number)
	if lost {
		return true, nil
	}
	r.readers = 2
	r.durable = true
	s.stored.Add(r.size)
	s.mu.listed[r.number] = true
	return false, nil
}

// present looks for the file of a run that a snapshot lists. lost tells that it is not there, or not as long as it was, and that
// somebody has given its jobs up.
func (s *spill) present(r *run) (lost bool, err error) {
	if s.directory == "" {
		return false, fmt.Errorf("%d jobs are in a file, and no directory for such files is given", r.count)
	}
	stat, err := os.Stat(s.path(r.number))
	if err == nil && stat.Size() == r.size {
		return false, nil
	}
	if _, given := os.Stat(s.path(r.number) + lostSuffix); given == nil {
		return true, nil
	}
	if err == nil {
		err = fmt.Errorf("it has %d bytes and had %d", stat.Size(), r.size)
	}
	return false, &DamageError{Path: s.path(r.number), Jobs: r.count, Problem: err}
}

// list notes which runs the snapshot lists that is now, or may be, what a start reads first.
func (s *spill) list(runs []*run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.mu.listed)
	for _, r := range runs {
		s.mu.listed[r.number] = true
	}
}

// close ends the goroutine and removes the files of this life that no snapshot lists.
func (s *spill) close() {
	if s.directory == "" {
		return
	}
	s.closing.Do(func() { close(s.stop) })
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	// Whoever still reads a run is told that the broker is closed; what cannot be removed goes with the next start.
	for number := s.first; number <= s.last.Load(); number++ {
		if !s.mu.listed[number] {
			_ = os.Remove(s.path(number))
		}
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
		var batch []*run
		var contents [][]byte
		passed := 0
		for ; passed < len(s.mu.write) && len(batch) < spillBatch; passed++ {
			if r := s.mu.write[passed]; r.bytes != nil { // else nobody needs it any more
				batch, contents = append(batch, r), append(contents, r.bytes)
			}
		}
		if len(batch) == 0 {
			s.mu.write = nil
		}
		s.mu.Unlock()
		for _, number := range remove {
			_ = os.Remove(s.path(number)) // what stays goes with the next start
		}
		if len(batch) == 0 {
			if again, err := s.syncLate(); err != nil || !again {
				return err
			}
			continue
		}
		lazy := s.lazy.Load()
		if err := s.store(batch, contents, lazy); err != nil {
			return err
		}
		s.written(batch, passed, lazy)
	}
}

// syncLate syncs some of the runs that were written while loading. One whose sync fails stays readable as long as its checksum holds,
// but no snapshot ever lists it.
func (s *spill) syncLate() (again bool, err error) {
	if s.lazy.Load() {
		return false, nil
	}
	s.mu.Lock()
	late := s.mu.late[:min(len(s.mu.late), spillBatch)]
	s.mu.Unlock()
	if len(late) == 0 {
		return false, nil
	}
	for _, r := range late {
		file, openErr := os.Open(s.path(r.number))
		switch {
		case openErr == nil:
			err = errors.Join(err, file.Sync(), file.Close())
		case !errors.Is(openErr, os.ErrNotExist): // a file that has gone with its jobs needs no sync
			err = errors.Join(err, openErr)
		}
	}
	if err == nil {
		err = syncDirectory(s.directory)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.late = s.mu.late[len(late):]
	for _, r := range late {
		r.durable = err == nil
	}
	return true, err
}

// behind tells that runs are still to be synced which the next snapshot could list then.
func (s *spill) behind() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.late) > 0
}

// loaded ends the time in which runs are not synced.
func (s *spill) loaded() {
	s.lazy.Store(false)
	s.signal()
}

// store makes the files of some runs, durable with their names unless lazy, or none.
func (s *spill) store(batch []*run, contents [][]byte, lazy bool) (err error) {
	files := make([]*os.File, 0, len(batch))
	for i, r := range batch {
		var file *os.File
		if file, err = s.writes(s.path(r.number), contents[i]); err != nil {
			break
		}
		files = append(files, file)
	}
	for _, file := range files {
		if err == nil && !lazy {
			err = file.Sync()
		}
		err = errors.Join(err, file.Close())
	}
	if err == nil && !lazy {
		err = syncDirectory(s.directory)
	}
	if err != nil {
		// A file whose sync has failed must not be synced again: the next try makes new ones.
		for _, r := range batch {
			_ = os.Remove(s.path(r.number))
		}
	}
	return err
}

func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}

// written lets go of the bytes of runs that are in their files now.
func (s *spill) written(batch []*run, passed int, lazy bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.progress.Broadcast()
	s.mu.write = s.mu.write[passed:]
	for _, r := range batch {
		if r.bytes == nil { // gone while it was written
			s.mu.remove = append(s.mu.remove, r.number)
			continue
		}
		if r.bytes, r.durable = nil, !lazy; lazy {
			s.mu.late = append(s.mu.late, r)
		}
		s.unwritten.Add(-r.size)
		s.stored.Add(r.size)
	}
}

// durable tells whether a pinned run is in a file that a power loss does not take.
func (s *spill) durable(r *run) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return r.durable
}
