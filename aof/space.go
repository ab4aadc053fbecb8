package aof

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	ballastName     = "BALLAST"
	ballastMaxBytes = 16 << 20
	ballastShare    = 16 // the ballast takes at most this part of the file system

	reserveName  = "RESERVE"
	reserveShare = 4 // of the ballast's size

	spaceCheckBytes = 4 << 20 // of log between two looks at the free space, besides the clock
)

// setAside is a file of zeros that is removed when its room is needed.
type setAside struct {
	name    string
	bytes   int64
	present bool
}

// openReserves finds out how much should be set aside and does it, what a compaction needs before what records need.
// Without it the log works, but takes no new data until there is room.
func (w *writer) openReserves() error {
	free, total, err := w.log.seams.space(w.log.directory)
	if err != nil {
		return fmt.Errorf("ask for free space: %w", err)
	}
	w.ballast = setAside{name: ballastName, bytes: min(ballastMaxBytes, total/ballastShare)}
	w.reserve = setAside{name: reserveName, bytes: w.ballast.bytes / reserveShare}
	for _, aside := range []*setAside{&w.reserve, &w.ballast} {
		info, err := os.Stat(filepath.Join(w.log.directory, aside.name))
		if aside.present = err == nil && info.Size() == aside.bytes; aside.present {
			w.log.asideBytes.Add(aside.bytes)
		} else if err := w.put(aside); err != nil {
			w.refuseForSpace(fmt.Sprintf("no room for the reserve of %d MiB", (w.ballast.bytes+w.reserve.bytes)>>20))
		}
	}
	w.judgeSpace(free)
	return nil
}

// put makes the file, unless it is there.
func (w *writer) put(aside *setAside) error {
	if aside.present {
		return nil
	}
	path := filepath.Join(w.log.directory, aside.name)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = preallocate(file, aside.bytes)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		os.Remove(path) // a part of it would only take the room that is missing
		return err
	}
	aside.present = true
	w.log.asideBytes.Add(aside.bytes)
	return nil
}

// drop gives the room back: that of the ballast to what is queued, that of the reserve to a compaction.
func (w *writer) drop(aside *setAside) {
	if !aside.present {
		return
	}
	aside.present = false
	w.log.asideBytes.Add(-aside.bytes)
	if err := os.Remove(filepath.Join(w.log.directory, aside.name)); err != nil {
		w.log.logger.Warn("cannot remove a file that keeps room", "file", aside.name, "error", err)
	}
}

// missingReserves is how much has been given away.
func (w *writer) missingReserves() (bytes int64) {
	for _, aside := range []*setAside{&w.ballast, &w.reserve} {
		if !aside.present {
			bytes += aside.bytes
		}
	}
	return bytes
}

// makeRoomForCut gives everything that was set aside to a compaction that is to free more.
func (w *writer) makeRoomForCut() {
	if w.full {
		w.drop(&w.ballast)
		w.drop(&w.reserve)
	}
}

// withRoom runs a step of recovery, and once more without the ballast when the disk is full: such a step must not keep
// the log from being opened, since only a log that is open can be compacted.
func (l *Log) withRoom(step func() error) error {
	err := step()
	if !isOutOfSpace(err) {
		return err
	}
	if removeErr := os.Remove(filepath.Join(l.directory, ballastName)); removeErr != nil {
		if isMissing(removeErr) {
			return err
		}
		return errors.Join(err, removeErr)
	}
	return step()
}

// checkSpace asks for the free space, at most once a second or each so many bytes of log.
func (w *writer) checkSpace() {
	now := time.Now()
	if w.failed() || w.unchecked < spaceCheckBytes && now.Sub(w.spaceChecked) < spaceCheckInterval/2 {
		return
	}
	w.spaceChecked, w.unchecked = now, 0
	free, _, err := w.log.seams.space(w.log.directory)
	if err != nil {
		w.log.logger.Warn("cannot ask for free space", "error", err)
		return
	}
	w.judgeSpace(free)
}

// judgeSpace begins or ends the refusal of new data. It ends at 110% of the limit, so that it does not flutter, and only
// with everything set aside that should be.
func (w *writer) judgeSpace(free int64) {
	limit := w.log.options.MinFreeBytes
	if !w.full {
		if free < limit {
			w.refuseForSpace(fmt.Sprintf("%d MiB free, %d MiB are the limit", free>>20, limit>>20))
		}
		return
	}
	need := limit + limit/10
	if missing := w.missingReserves(); missing > 0 {
		need += missing + missing/10
	}
	if free < need || w.log.stalled.Load() != nil {
		return
	}
	for _, aside := range []*setAside{&w.reserve, &w.ballast} {
		if err := w.put(aside); err != nil {
			return // another took the room; the next check sees
		}
	}
	w.full = false
	w.log.diskFull.Store(nil)
	w.log.logger.Info("disk has room again, new data is taken")
}

func (w *writer) refuseForSpace(why string) {
	if w.full {
		return
	}
	w.full = true
	w.log.diskFull.Store(&Error{code: CodeDiskFull, message: why})
	w.log.logger.Warn("disk is full, new data is refused", "reason", why)
}

// nudge calls the broker without news while the disk is full: nothing else may come that would make it look whether a
// compaction frees room.
func (w *writer) nudge() {
	l := w.log
	if fn := l.notify.Load(); w.full && !w.failed() && !l.isClosing() && fn != nil && *fn != nil {
		(*fn)(l.written.Load(), l.synced.Load())
	}
}

// Space tells the broker whether new data is refused for want of space, how many bytes a snapshot may take, what is set
// aside for it among them, and how many the last one has.
func (l *Log) Space() (short bool, room, snapshot int64) {
	short, snapshot = l.diskFull.Load() != nil, l.snapshotBytes.Load()
	free, _, err := l.seams.space(l.directory)
	if err != nil {
		return short, 0, snapshot // no room that we know of: nothing is tried
	}
	return short, max(free+l.asideBytes.Load()-l.queuedBytes.Load(), 0), snapshot
}
