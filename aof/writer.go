package aof

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tidwall/wal"
)

// writer is the goroutine that owns the wal of the current generation. All its fields are its own.
type writer struct {
	log        *Log
	id         logID
	generation uint64
	wal        segmentLog // nil after a failed write, until it is opened again
	walBatch   wal.Batch
	seed       uint32
	watermark  *os.File

	// The end of the last whole write: what a failed one is taken back to.
	index       uint64 // last frame written
	tailFirst   uint64 // name of the last segment
	tailBytes   int64  // size of it
	lastWritten uint64 // sequence of the last record written

	durable    uint64 // last frame fsynced
	lastSynced uint64 // sequence of the last record fsynced
	syncTimer  *time.Timer
	timerSet   bool

	full         bool     // refusing new data for want of space
	ballast      setAside // given to what is queued
	reserve      setAside // given to a compaction only
	spaceChecked time.Time
	unchecked    int64 // bytes written since
	nudged       time.Time

	closeDeadline time.Time // when writing what is queued is given up
	closeResult   error
}

func (w *writer) directory() string {
	return filepath.Join(w.log.directory, generationName(w.generation))
}

func (w *writer) run() {
	defer close(w.log.stopped)
	spaceTicker := time.NewTicker(spaceCheckInterval)
	defer spaceTicker.Stop()
	w.syncTimer = time.NewTimer(time.Hour)
	defer w.syncTimer.Stop()
	for {
		select {
		case <-w.log.wake:
		case <-w.syncTimer.C:
			w.timerSet = false
			if !w.failed() && w.sync() {
				w.publish()
			}
		case <-spaceTicker.C:
			w.checkSpace()
			w.nudge()
			continue
		}
		b, closing := w.take()
		w.commit(b)
		w.log.queuedBytes.Add(-b.bodies)
		b.reset()
		if closing {
			w.stop()
			return
		}
	}
}

// take swaps the pending batch for the spare one: appends go on while this one is written. The batch taken last becomes
// the spare: the writer has reset it before it comes here again.
func (w *writer) take() (b *batch, closing bool) {
	l := w.log
	l.mu.Lock()
	defer l.mu.Unlock()
	b = l.mu.pending
	l.mu.pending, l.mu.spare = l.mu.spare, b
	l.mu.awake = false
	return b, l.mu.closing
}

func (w *writer) failed() bool { return w.log.failure.Load() != nil }

func (w *writer) publish() { w.log.publish(w.lastWritten, w.lastSynced) }

// commit writes a batch and makes it as durable as its records ask.
func (w *writer) commit(b *batch) {
	next := 0
	for !w.failed() {
		if b.cut != nil && b.cutFrame == next {
			w.switchGeneration(b.cut)
			b.cut = nil
			continue
		}
		if next == len(b.frames) {
			break
		}
		end := w.chunkEnd(b, next)
		if err := w.writeFrames(b.arena, b.frames[next:end]); err != nil {
			w.writeFailed(err)
			continue
		}
		w.lastWritten = b.frames[end-1].last
		next = end
		if w.log.stalled.Load() != nil {
			w.stallEnded()
		}
	}
	if w.failed() {
		if b.cut != nil {
			b.cut.switched <- w.log.failure.Load()
		}
		return
	}
	if b.sync {
		if b.lazy {
			w.publish() // those who wait for the kernel only need not wait for the disk
		}
		if !w.sync() {
			return
		}
	} else if w.index > w.durable && !w.timerSet {
		w.syncTimer.Reset(w.log.options.SyncInterval)
		w.timerSet = true
	}
	w.publish()
}

// chunkEnd limits what one WriteBatch gets. While the disk is full it gets one frame, so that what fits is written.
func (w *writer) chunkEnd(b *batch, start int) int {
	limit := len(b.frames)
	if b.cut != nil {
		limit = b.cutFrame
	}
	end := start + 1
	if w.log.stalled.Load() != nil {
		return end
	}
	for end < limit && b.frames[end].end-b.frames[start].start <= chunkBytes {
		end++
	}
	return end
}

// writeFrames seals the frames and writes them with one WriteBatch. The fields that mark the end of the log move only
// when everything has been written.
func (w *writer) writeFrames(arena []byte, spans []frameSpan) error {
	index := w.index
	for _, span := range spans {
		index++
		bytes := arena[span.start:span.end]
		sealFrame(bytes, w.seed, kindRecords, index, w.durable)
		w.walBatch.Write(index, bytes)
	}
	err := w.wal.WriteBatch(&w.walBatch)
	w.clearBatch(spans)
	if err != nil {
		return err
	}
	tailFirst, tailBytes := w.tailFirst, w.tailBytes
	added := int64(0)
	if tailBytes > int64(w.log.options.SegmentBytes) {
		tailFirst, tailBytes = w.index+1, 0
	}
	for i, span := range spans {
		size := entryBytes(span.end - span.start)
		added += size
		tailBytes += size
		if tailBytes >= int64(w.log.options.SegmentBytes) {
			tailFirst, tailBytes = w.index+uint64(i)+2, 0
		}
	}
	if tailFirst != w.tailFirst {
		if err := w.segmentAppeared(); err != nil {
			return err
		}
	}
	w.index, w.tailFirst, w.tailBytes = index, tailFirst, tailBytes
	w.log.logBytes.Add(added)
	if w.unchecked += added; w.unchecked >= spaceCheckBytes {
		w.checkSpace()
	}
	return nil
}

// segmentAppeared makes the name of a new segment durable before anything in it is acked. The wal keeps the segment
// before it in memory for readers; there are none.
func (w *writer) segmentAppeared() error {
	if err := syncDirectory(w.directory()); err != nil {
		return err
	}
	return w.wal.ClearCache()
}

// clearBatch empties the wal's batch, which keeps its memory, unless a huge record has made that too big.
func (w *writer) clearBatch(spans []frameSpan) {
	if spans[len(spans)-1].end-spans[0].start > 2*chunkBytes {
		w.walBatch = wal.Batch{}
		return
	}
	w.walBatch.Clear()
}

// sync fsyncs what is written and publishes nothing; false means the log has failed.
func (w *writer) sync() bool {
	if w.timerSet {
		w.syncTimer.Stop()
		w.timerSet = false
	}
	if w.index > w.durable {
		began := time.Now()
		if err := w.wal.Sync(); err != nil {
			w.failFor(err)
			return false
		}
		w.log.fsyncs.Add(time.Since(began))
	}
	return w.markSynced()
}

// markSynced records that everything written is on disk; false means the log has failed, and nothing of it may be told.
func (w *writer) markSynced() bool {
	if w.durable != w.index {
		if !w.storeWatermark(w.index) {
			return false
		}
		w.durable = w.index
	}
	w.lastSynced = w.lastWritten
	return true
}

// storeWatermark stores the claim of the last fsync. It is also the proof that this fsync can be believed: a file system
// that has given up answers 0 to an fsync (ext4 does once it is read-only) and an error to the next write. So an error
// here fails the log before anybody is told.
func (w *writer) storeWatermark(index uint64) bool {
	bytes := watermark{id: w.id, generation: w.generation, index: index}.encode()
	_, err := w.watermark.WriteAt(bytes[:], 0)
	if isOutOfSpace(err) && w.ballast.present {
		// Only a file system that never writes in place comes here: for it the reserve is there.
		w.refuseForSpace("no space left to write the watermark")
		w.drop(&w.ballast)
		_, err = w.watermark.WriteAt(bytes[:], 0)
	}
	if err != nil {
		w.failFor(fmt.Errorf("write WATERMARK: %w", err))
	}
	return err == nil
}

func (w *writer) failFor(err error) {
	w.log.fail(&Error{code: CodeIO, message: "journal failed: restart needed", cause: err})
}

// writeFailed deals with a failed WriteBatch: on return the log has failed, or the files end where the last whole write
// ended and writing may be tried again.
func (w *writer) writeFailed(err error) {
	if !isRetryable(err) {
		w.failFor(err)
		return
	}
	again := w.log.stalled.Load() != nil
	w.stallBegan(err)
	for !w.failed() {
		if again {
			w.pause(err)
		}
		again = true
		switch err = w.rewind(); {
		case w.failed():
			return
		case err == nil:
			if w.markSynced() { // rewind has fsynced all there is
				w.publish()
			}
			return
		case !isRetryable(err):
			w.failFor(err)
			return
		}
	}
}

// stallBegan refuses new data, and drops the ballast to make room for what is queued already.
func (w *writer) stallBegan(err error) {
	if w.log.stalled.Load() != nil {
		return
	}
	code := CodeIO
	if isOutOfSpace(err) {
		code = CodeDiskFull
		w.refuseForSpace("no space left to write the journal")
		w.drop(&w.ballast)
	}
	w.log.logger.Warn("journal cannot write for now", "error", err)
	w.log.setStalled(&Error{code: code, message: "journal cannot write for now", cause: err})
}

func (w *writer) stallEnded() {
	w.log.setStalled(nil)
	w.log.logger.Info("journal writes again")
}

// pause waits before the next attempt, and gives up when Close has waited long enough.
func (w *writer) pause(err error) {
	w.log.setStalled(w.log.stalled.Load())
	w.checkSpace()
	if w.spaceChecked != w.nudged {
		w.nudged = w.spaceChecked
		w.nudge()
	}
	if w.log.cutAsked() {
		w.makeRoomForCut() // what stands before the mark must be written, too
	}
	if !w.log.isClosing() {
		select {
		case <-time.After(retryPause):
		case <-w.log.closed:
		}
		return
	}
	if w.closeDeadline.IsZero() {
		w.closeDeadline = time.Now().Add(closeLimit)
	}
	if time.Now().After(w.closeDeadline) {
		w.failFor(fmt.Errorf("records were still queued when it was closed: %w", err))
		return
	}
	time.Sleep(retryPause)
}

// rewind takes the segments back to the end of the last whole write and opens the wal again. It may be called again
// after a failure.
func (w *writer) rewind() error {
	if w.wal != nil {
		err := w.wal.Close()
		w.wal = nil
		// A wal that could not create its next segment holds no file, and says so with ErrInvalid.
		if isSyncError(err) && !errors.Is(err, os.ErrInvalid) {
			w.failFor(err)
			return err
		}
	}
	segments, err := listSegments(w.directory())
	if err != nil {
		return err
	}
	for _, segment := range segments {
		if segment.first > w.tailFirst {
			if err := os.Remove(segment.path); err != nil {
				return err
			}
		}
	}
	if err := truncateSynced(filepath.Join(w.directory(), segmentName(w.tailFirst)), w.tailBytes); err != nil {
		return err
	}
	if err := syncDirectory(w.directory()); err != nil {
		return err
	}
	w.wal, err = w.openWAL(w.directory())
	return err
}

func truncateSynced(path string, size int64) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	err = file.Truncate(size)
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (w *writer) openWAL(directory string) (segmentLog, error) {
	return w.log.seams.open(directory, &wal.Options{
		NoSync:           true,
		SegmentSize:      w.log.options.SegmentBytes,
		LogFormat:        wal.Binary,
		SegmentCacheSize: 1,
		NoCopy:           true,
		AllowEmpty:       true,
		DirPerms:         0o700,
		FilePerms:        0o600,
	})
}

// stop ends a life: a CLOSE frame says that nothing is missing behind it.
func (w *writer) stop() {
	defer w.watermark.Close()
	if w.failed() {
		w.closeResult = w.log.failure.Load()
		w.releaseWAL()
		return
	}
	defer w.log.fail(&Error{code: CodeIO, message: "journal is closed", cause: ErrClosed})
	if !w.sync() {
		w.closeResult = w.log.failure.Load()
		w.releaseWAL()
		return
	}
	w.publish()
	if err := w.writeClose(); err != nil {
		// Everything is durable; the next start only has to look harder. For want of space that is all there is to say.
		w.log.logger.Warn("journal closed without its end mark", "error", err)
		if !isRetryable(err) {
			w.closeResult = &Error{code: CodeIO, message: "journal closed without its end mark", cause: err}
		}
		w.releaseWAL()
		return
	}
	if w.closeResult = w.wal.Close(); w.closeResult != nil {
		return
	}
	if err := w.remember(w.generation, w.durable-1); err != nil { // the end mark is not worth a refusal
		w.closeResult = &Error{code: CodeIO, message: "journal closed without its place in LOGS", cause: err}
	}
}

// releaseWAL closes the files of a wal that has failed. What its last fsync answers means nothing any more.
func (w *writer) releaseWAL() {
	if w.wal != nil {
		_ = w.wal.Close()
		w.wal = nil
	}
}

func (w *writer) writeClose() error {
	var bytes [frameHeaderBytes]byte
	sealFrame(bytes[:], w.seed, kindClose, w.index+1, w.durable)
	w.walBatch.Clear()
	w.walBatch.Write(w.index+1, bytes[:])
	if err := w.wal.WriteBatch(&w.walBatch); err != nil {
		return err
	}
	if err := syncDirectory(w.directory()); err != nil {
		return err
	}
	if err := w.wal.Sync(); err != nil {
		return err
	}
	w.index++
	if !w.storeWatermark(w.index) {
		return w.log.failure.Load()
	}
	w.durable = w.index
	return nil
}
