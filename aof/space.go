package aof

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	ballastName     = "BALLAST"
	ballastMaxBytes = 16 << 20
	ballastShare    = 16 // the ballast takes at most this part of the file system
)

// openBallast finds out how big the ballast should be and makes it. Without it the log works, but takes no new data
// until there is room.
func (w *writer) openBallast() error {
	free, total, err := w.log.seams.space(w.log.directory)
	if err != nil {
		return fmt.Errorf("ask for free space: %w", err)
	}
	w.ballastBytes = min(ballastMaxBytes, total/ballastShare)
	if info, err := os.Stat(w.ballastPath()); err == nil && info.Size() == w.ballastBytes {
		w.ballastPresent = true
	} else if err := w.makeBallast(); err != nil {
		w.refuseForSpace(fmt.Sprintf("no room for the reserve of %d MiB", w.ballastBytes>>20))
	}
	w.judgeSpace(free)
	return nil
}

func (w *writer) ballastPath() string { return filepath.Join(w.log.directory, ballastName) }

func (w *writer) makeBallast() error {
	file, err := os.OpenFile(w.ballastPath(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = preallocate(file, w.ballastBytes)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		os.Remove(w.ballastPath()) // a part of it would only take the room that is missing
		return err
	}
	w.ballastPresent = true
	return nil
}

// dropBallast gives its room to what is queued: acks, and the snapshot that may free more.
func (w *writer) dropBallast() {
	if !w.ballastPresent {
		return
	}
	w.ballastPresent = false
	if err := os.Remove(w.ballastPath()); err != nil {
		w.log.logger.Warn("cannot drop the ballast file", "error", err)
	}
}

// checkSpace asks for the free space, at most once a second.
func (w *writer) checkSpace() {
	now := time.Now()
	if w.failed() || now.Sub(w.spaceChecked) < spaceCheckInterval/2 {
		return
	}
	w.spaceChecked = now
	free, _, err := w.log.seams.space(w.log.directory)
	if err != nil {
		w.log.logger.Warn("cannot ask for free space", "error", err)
		return
	}
	w.judgeSpace(free)
}

// judgeSpace begins or ends the refusal of new data. It ends at 110% of the limit, so that it does not flutter, and only
// with the ballast back in its place.
func (w *writer) judgeSpace(free int64) {
	limit := w.log.options.MinFreeBytes
	if !w.full {
		if free < limit {
			w.refuseForSpace(fmt.Sprintf("%d MiB free, %d MiB are the limit", free>>20, limit>>20))
		}
		return
	}
	need := limit + limit/10
	if !w.ballastPresent {
		need += w.ballastBytes + w.ballastBytes/10
	}
	if free < need || w.log.stalled.Load() != nil {
		return
	}
	if !w.ballastPresent {
		if err := w.makeBallast(); err != nil {
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
