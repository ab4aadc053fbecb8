package aof

import (
	"fmt"
	"os"
	"path/filepath"
)

// compaction is one Cut and its finish.
type compaction struct {
	switched   chan error // the writer's answer, capacity 1
	generation uint64     // set before the answer: everything older is replaced by the snapshot
	cutBytes   int64      // LogBytes at the switch
}

// Cut begins a compaction: records appended before it will be replaced by the snapshot that finish writes, those after it
// are kept. It only marks the place, so it may be called under the broker's lock; the writer switches generations when
// it comes to the mark. Call finish once, outside the lock. Until it has returned nil the old files stay the truth, and
// after an error they still are.
func (l *Log) Cut() (finish func(dump func(emit func(body []byte) error) error) error, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.mu.cutting:
		return nil, ErrCompacting
	case l.mu.dead != nil:
		return nil, l.mu.dead
	case l.mu.closing:
		return nil, ErrClosed
	}
	c := &compaction{switched: make(chan error, 1)}
	l.mu.cutting = true
	l.mu.pending.cut, l.mu.pending.cutFrame = c, len(l.mu.pending.frames)
	l.mu.awake = true
	l.wakeWriter() // does not block
	return func(dump func(emit func(body []byte) error) error) error { return l.finish(c, dump) }, nil
}

// cutAsked tells that a Cut waits for the writer, or that its finish runs.
func (l *Log) cutAsked() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.cutting
}

func (l *Log) finish(c *compaction, dump func(emit func(body []byte) error) error) error {
	l.mu.Lock()
	if l.mu.closing {
		l.mu.Unlock()
		return ErrClosed
	}
	done := make(chan struct{})
	l.mu.finish = done
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.mu.cutting = false
		l.mu.finish = nil
		l.mu.Unlock()
		close(done)
	}()
	select {
	case err := <-c.switched:
		if err != nil {
			return fmt.Errorf("begin compaction: %w", err)
		}
	case <-l.stopped:
		return ErrClosed
	}
	return l.snapshot(c, dump)
}

// snapshot writes snap-N, names it in MANIFEST and removes what it replaces.
func (l *Log) snapshot(c *compaction, dump func(emit func(body []byte) error) error) error {
	path := filepath.Join(l.directory, snapshotName(c.generation))
	guarded := func(emit func(body []byte) error) error {
		return dump(func(body []byte) error {
			if l.isClosing() {
				return ErrClosed
			}
			return emit(body)
		})
	}
	size, err := writeSnapshot(path+".tmp", l.manifest.id, c.generation, guarded)
	if err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	l.seams.step("snapshot: written")
	if err := os.Rename(path+".tmp", path); err != nil {
		os.Remove(path + ".tmp")
		return fmt.Errorf("name snapshot: %w", err)
	}
	if err := syncDirectory(l.directory); err != nil {
		return fmt.Errorf("name snapshot: %w", err)
	}
	l.seams.step("snapshot: renamed")
	old := l.manifest
	next := manifest{id: old.id, snapshot: c.generation, generations: []uint64{c.generation}}
	if replaced, err := writeManifest(l.directory, next); err != nil {
		if replaced {
			// A restart may find the old one or the new one. Both are whole as long as nothing is removed, but the
			// next compaction could not know from which it starts.
			l.fail(&Error{code: CodeIO, message: "journal failed: restart needed", cause: err})
		} else {
			os.Remove(path)
		}
		return err
	}
	l.manifest = next
	l.logBytes.Add(-c.cutBytes)
	l.snapshotBytes.Store(size)
	l.seams.step("snapshot: manifest written")
	l.removeReplaced(old)
	l.seams.step("snapshot: old files removed")
	return nil
}

// removeReplaced removes the files that the new snapshot replaces. What cannot be removed is removed by the next Open.
func (l *Log) removeReplaced(old manifest) {
	var paths []string
	if old.snapshot != 0 {
		paths = append(paths, snapshotName(old.snapshot))
	}
	for _, generation := range old.generations {
		if generation < l.manifest.snapshot {
			paths = append(paths, generationName(generation))
		}
	}
	for _, path := range paths {
		if err := os.RemoveAll(filepath.Join(l.directory, path)); err != nil {
			l.logger.Warn("cannot remove what a snapshot has replaced", "file", path, "error", err)
		}
		l.seams.step("snapshot: removed " + path)
	}
	if err := syncDirectory(l.directory); err != nil {
		l.logger.Warn("cannot make the removal of old files durable", "error", err)
	}
}

// switchGeneration runs in the writer when it comes to the mark of a Cut. When the new generation cannot be made the old
// one goes on and the compaction has failed.
func (w *writer) switchGeneration(c *compaction) {
	w.makeRoomForCut()
	if !w.sync() {
		c.switched <- w.log.failure.Load()
		return
	}
	w.publish()
	next, err := w.makeNextGeneration()
	if err != nil {
		c.switched <- err
		return
	}
	// Everything in the old generation is on disk, so its last fsync has nothing to say; its file must be released.
	if err := w.wal.Close(); err != nil {
		w.wal = next
		w.failFor(err)
		c.switched <- err
		return
	}
	w.wal = next
	w.generation++
	w.seed = seedOf(w.id, w.generation)
	w.index, w.durable = 0, 0
	w.tailFirst, w.tailBytes = 1, 0
	if !w.storeWatermark(0) {
		c.switched <- w.log.failure.Load()
		return
	}
	c.generation, c.cutBytes = w.generation, w.log.logBytes.Load()
	c.switched <- nil
}

// makeNextGeneration makes the files of the next generation and names it in MANIFEST; only then may it be written to.
func (w *writer) makeNextGeneration() (segmentLog, error) {
	l := w.log
	number := w.generation + 1
	path := filepath.Join(l.directory, generationName(number))
	undo := func(err error) (segmentLog, error) {
		if removeErr := os.RemoveAll(path); removeErr != nil {
			l.logger.Warn("cannot remove an unused generation", "error", removeErr)
		}
		return nil, fmt.Errorf("make generation %d: %w", number, err)
	}
	if err := makeGeneration(l.directory, number); err != nil {
		return undo(err)
	}
	l.seams.step("cut: generation made")
	opened, err := w.openWAL(path)
	if err != nil {
		return undo(err)
	}
	next := l.manifest
	next.generations = append(append([]uint64(nil), l.manifest.generations...), number)
	replaced, err := writeManifest(l.directory, next)
	if err != nil && replaced {
		w.failFor(err)
		return nil, err
	}
	if err != nil {
		_ = opened.Close() // nothing is in it
		return undo(err)
	}
	l.manifest = next
	l.seams.step("cut: manifest written")
	if err := w.remember(number, 0); err != nil {
		w.failFor(err)
		_ = opened.Close() // nothing is in it
		return nil, err
	}
	l.seams.step("cut: listed")
	return opened, nil
}
