package aof

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/wal"

	"github.com/nexobroker/nexo/brokers/latency"
)

const (
	defaultSyncInterval = time.Second
	defaultSegmentBytes = 8 << 20
	queueLimitBytes     = 256 << 20              // Ready refuses new data over this much that is not yet written
	arenaKeptBytes      = 8 << 20                // a bigger buffer is given back after use
	chunkBytes          = 4 << 20                // most that one WriteBatch gets, so that little has to be written again
	waitLimit           = 5 * time.Second        // of a Wait while writing fails
	retryPause          = 100 * time.Millisecond // between attempts to write again
	spaceCheckInterval  = time.Second
	closeLimit          = 2 * time.Second // how long Close tries to write what does not fit
)

// Options of a log. Dir and Name are required, the rest has defaults.
type Options struct {
	Dir          string        // data directory; hold its Lock
	Name         string        // of the log: its directory in Dir
	Lock         *Lock         // of Dir: the logs that are open at the same time share it; nil when there is only one
	SyncInterval time.Duration // longest time a written record stays without fsync; 1 s
	SegmentBytes int           // size at which a segment is closed; 8 MiB. About as much is held in memory
	MinFreeBytes int64         // Ready answers DISKFULL below it; 0 = only when a write has failed
	Logger       *slog.Logger  // nil = silent
	// Loading, which may be nil, hears while Inspect and Replay read the files how many bytes of them have been loaded. Its error
	// ends the reading and is returned; nothing is changed by then but what Start had to make whole.
	Loading func(bytes int64) error
}

// segmentLog is what the writer uses of *wal.Log; tests put a failing one in its place.
type segmentLog interface {
	WriteBatch(batch *wal.Batch) error
	Sync() error
	Close() error
	ClearCache() error
}

// seams are where the tests reach in; production leaves them as openLog sets them.
type seams struct {
	open  func(path string, options *wal.Options) (segmentLog, error)
	space func(path string) (free, total int64, err error)
	step  func(name string) // called between the steps of everything that changes several files
}

// Log is one broker's journal. Its methods may be called from any goroutine.
type Log struct {
	options   Options
	directory string
	logger    *slog.Logger
	seams     seams
	notify    atomic.Pointer[func(written, synced uint64)]

	// mu guards what Append, Cut and Close hand to the writer. Nothing blocks under it.
	mu struct {
		sync.Mutex
		pending  *batch // being filled
		spare    *batch // empty, for the next swap
		awake    bool   // the writer has been told of pending
		appended uint64 // last sequence given out
		cutting  bool   // from Cut to the end of its finish
		finish   chan struct{}
		closing  bool
		dead     error // set once the log has failed: Append keeps nothing any more
	}
	queuedBytes atomic.Int64 // appended and not yet written
	logBytes    atomic.Int64 // written since the last snapshot
	// snapshotBytes is the size of the last snapshot, asideBytes that of the files that keep room.
	snapshotBytes, asideBytes atomic.Int64
	bytesRead                 int64 // by Inspect, then by Replay; see loaded

	// waiting guards the waking of the Waits. The numbers are atomic so that a Wait that has nothing to wait for
	// takes no lock.
	waiting struct {
		sync.Mutex
		onWritten *sync.Cond
		onSynced  *sync.Cond
		failure   error // for good
		stalled   error // for now
		watchers  []func()
	}
	written atomic.Uint64
	synced  atomic.Uint64
	fsyncs  latency.Histogram

	failure  atomic.Pointer[Error] // for good: fsync or I/O error, or closed
	diskFull atomic.Pointer[Error]
	stalled  atomic.Pointer[Error]

	// What LOGS says of this log, read by Inspect, and the right to change it.
	listed   listed
	isListed bool
	listing  *listing

	inspection inspection // from Inspect to Start

	// manifest is the writer's while it switches generations, then its finish's; see doc.go.
	manifest manifest

	wake    chan struct{} // capacity 1
	closed  chan struct{} // closed by Close: ends pauses
	stopped chan struct{} // closed by the writer when it has ended
	writer  writer
	closing sync.Once
	result  error // of Close
}

// Open is Inspect and Start.
func Open(options Options) (*Log, error) {
	return openLog(options, productionSeams())
}

// Inspect reads the log's files and changes nothing. It answers a *CorruptionError when they contradict themselves, or what
// LOGS says. A log that has not been started holds nothing that would have to be closed.
func Inspect(options Options) (*Log, error) {
	return inspectLog(options, productionSeams())
}

// Start recovers the files that Inspect has read, creating them when there are none, and starts the writer. Call it once,
// before anything else.
func (l *Log) Start() error {
	if err := l.start(l.inspection); err != nil {
		return fmt.Errorf("open log %s: %w", l.options.Name, err)
	}
	l.inspection = inspection{}
	go l.writer.run()
	return nil
}

func productionSeams() seams {
	return seams{
		open: func(path string, options *wal.Options) (segmentLog, error) {
			log, err := wal.Open(path, options)
			if err != nil {
				return nil, err // not the nil *wal.Log, which is no nil segmentLog
			}
			return log, nil
		},
		space: fileSystemSpace,
		step:  func(string) {},
	}
}

func openLog(options Options, with seams) (*Log, error) {
	l, err := inspectLog(options, with)
	if err == nil {
		err = l.Start()
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

func inspectLog(options Options, with seams) (*Log, error) {
	if err := options.complete(); err != nil {
		return nil, err
	}
	l := &Log{
		options:   options,
		directory: logDirectory(options.Dir, options.Name),
		logger:    options.Logger.With("log", options.Name),
		seams:     with,
		wake:      make(chan struct{}, 1),
		closed:    make(chan struct{}),
		stopped:   make(chan struct{}),
	}
	l.waiting.onWritten = sync.NewCond(&l.waiting)
	l.waiting.onSynced = sync.NewCond(&l.waiting)
	l.mu.pending, l.mu.spare = &batch{}, &batch{}
	l.writer.log = l
	l.listing = &listing{}
	if options.Lock != nil {
		l.listing = &options.Lock.listing
	}
	inspection, err := l.inspect()
	if err != nil {
		return nil, fmt.Errorf("open log %s: %w", options.Name, err)
	}
	l.inspection = inspection
	return l, nil
}

func (o *Options) complete() error {
	if o.Dir == "" || !isLogName(o.Name) {
		return fmt.Errorf("log options: directory %q or name %q is not usable", o.Dir, o.Name)
	}
	if o.SyncInterval <= 0 {
		o.SyncInterval = defaultSyncInterval
	}
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = defaultSegmentBytes
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// isLogName keeps a name from leaving the data directory.
func isLogName(name string) bool {
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return name != ""
}

// ID tells the log from every other, for as long as it lives.
func (l *Log) ID() [16]byte { return l.writer.id }

// Replay feeds every surviving record in order, those of the snapshot first. Call it once, before the first Append.
// The body is only valid during the call; an error of fn ends the replay and is returned.
func (l *Log) Replay(fn func(body []byte) error) error {
	l.mu.Lock()
	late := l.mu.appended > 0
	l.mu.Unlock()
	if late {
		return ErrReplayed
	}
	return l.replay(fn)
}

// Notify sets the function that is called after each batch with the highest sequence written and fsynced, before the
// Waits return and with no lock held. Set it once, before the first Append.
func (l *Log) Notify(fn func(written, synced uint64)) { l.notify.Store(&fn) }

// Ready is nil when data may be added, or an *Error to refuse with.
func (l *Log) Ready() error {
	if e := l.failure.Load(); e != nil {
		return e
	}
	if e := l.diskFull.Load(); e != nil {
		return e
	}
	if e := l.stalled.Load(); e != nil {
		return e
	}
	if l.queuedBytes.Load() > queueLimitBytes {
		return &Error{code: CodeIO, message: fmt.Sprintf("journal is behind: over %d MiB wait to be written", queueLimitBytes>>20)}
	}
	return nil
}

// Append queues one record, which it copies, and returns its sequence number. It never blocks and never fails. sync asks
// that the record's batch be fsynced at once.
func (l *Log) Append(body []byte, sync bool) uint64 {
	l.mu.Lock()
	l.mu.appended++
	seq := l.mu.appended
	if l.mu.dead != nil || l.mu.closing {
		l.mu.Unlock()
		return seq // its Wait says why
	}
	l.mu.pending.add(body, seq, sync)
	l.queuedBytes.Add(int64(len(body)))
	wake := !l.mu.awake
	l.mu.awake = true
	l.mu.Unlock()
	if wake {
		l.wakeWriter()
	}
	return seq
}

func (l *Log) wakeWriter() {
	select {
	case l.wake <- struct{}{}:
	default: // it has been told already
	}
}

// WaitWritten returns when the record has been given to the kernel: it survives the death of the process.
func (l *Log) WaitWritten(seq uint64) error {
	return l.wait(l.waiting.onWritten, &l.written, seq)
}

// WaitSynced returns when the record has been fsynced: it survives a power loss.
func (l *Log) WaitSynced(seq uint64) error {
	return l.wait(l.waiting.onSynced, &l.synced, seq)
}

func (l *Log) wait(changed *sync.Cond, reached *atomic.Uint64, seq uint64) error {
	if reached.Load() >= seq {
		return nil
	}
	l.waiting.Lock()
	defer l.waiting.Unlock()
	var deadline time.Time
	for reached.Load() < seq {
		if l.waiting.failure != nil {
			return l.waiting.failure
		}
		if l.waiting.stalled != nil {
			// While it is stalled the writer wakes everybody after each attempt, so this needs no timer of its own.
			now := time.Now()
			if deadline.IsZero() {
				deadline = now.Add(waitLimit)
			} else if now.After(deadline) {
				return outcomeUnknown(l.waiting.stalled)
			}
		}
		changed.Wait()
	}
	return nil
}

// Reached tells, without waiting, whether a Wait for seq would return by now, and with what, for one that has waited so long.
func (l *Log) Reached(seq uint64, synced bool, waited time.Duration) (done bool, err error) {
	reached := &l.written
	if synced {
		reached = &l.synced
	}
	if reached.Load() >= seq {
		return true, nil
	}
	l.waiting.Lock()
	defer l.waiting.Unlock()
	switch {
	case reached.Load() >= seq:
		return true, nil
	case l.waiting.failure != nil:
		return true, l.waiting.failure
	case l.waiting.stalled != nil && waited > waitLimit:
		return true, outcomeUnknown(l.waiting.stalled)
	}
	return false, nil
}

// Watch has wake called whenever what Reached tells may have changed: after a batch, a failure, and each attempt while writing
// does not work. It is called with no lock held, on the writer's goroutine, and must be short.
func (l *Log) Watch(wake func()) {
	l.waiting.Lock()
	l.waiting.watchers = append(slices.Clone(l.waiting.watchers), wake)
	l.waiting.Unlock()
}

// tellLocked wakes the Waits and returns who else is to be told once the lock is released.
func (l *Log) tellLocked() []func() {
	l.waiting.onWritten.Broadcast()
	l.waiting.onSynced.Broadcast()
	return l.waiting.watchers
}

func callAll(watchers []func()) {
	for _, wake := range watchers {
		wake()
	}
}

func outcomeUnknown(stalled error) error {
	return &Error{code: CodeIO, message: "not yet durable: the record is still queued, its outcome is unknown", cause: stalled}
}

// Fsyncs counts how long the fsyncs of records took, by bucket of package latency.
func (l *Log) Fsyncs() latency.Counts { return l.fsyncs.Counts() }

// LogBytes is how much log there is since the last snapshot: what a restart has to replay.
func (l *Log) LogBytes() int64 { return l.logBytes.Load() }

// Close writes and fsyncs what is queued, marks the clean end and releases the files. Records that could not be written,
// on a full disk, are named in the error; their Waits fail.
func (l *Log) Close() error {
	l.closing.Do(func() {
		l.mu.Lock()
		l.mu.closing = true
		finish := l.mu.finish
		l.mu.Unlock()
		close(l.closed)
		l.wakeWriter()
		<-l.stopped
		if finish != nil {
			// A snapshot under way ends at its next record; it must not change files that another may open next.
			<-finish
		}
		l.result = l.writer.closeResult
	})
	return l.result
}

func (l *Log) isClosing() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// publish tells the broker and then the Waits how far the log has come.
func (l *Log) publish(written, synced uint64) {
	if written == l.written.Load() && synced == l.synced.Load() {
		return
	}
	if fn := l.notify.Load(); fn != nil && *fn != nil {
		(*fn)(written, synced)
	}
	l.waiting.Lock()
	l.written.Store(written)
	l.synced.Store(synced)
	watchers := l.tellLocked()
	l.waiting.Unlock()
	callAll(watchers)
}

// fail ends the log for good.
func (l *Log) fail(e *Error) {
	if !l.failure.CompareAndSwap(nil, e) {
		return
	}
	if !errors.Is(e, ErrClosed) {
		l.logger.Error("journal failed, restart needed", "error", e.Error())
	}
	l.mu.Lock()
	l.mu.dead = e
	l.mu.Unlock()
	l.waiting.Lock()
	l.waiting.failure = e
	watchers := l.tellLocked()
	l.waiting.Unlock()
	callAll(watchers)
}

// setStalled tells the Waits that writing does not work for now (or, with nil, that it does again) and lets those that
// have waited too long give up.
func (l *Log) setStalled(e *Error) {
	l.stalled.Store(e)
	l.waiting.Lock()
	l.waiting.stalled = nil
	if e != nil {
		l.waiting.stalled = e
	}
	watchers := l.tellLocked()
	l.waiting.Unlock()
	callAll(watchers)
}

// batch is what is appended while the writer is busy: one arena of frames, each with room for its header.
type batch struct {
	arena    []byte
	frames   []frameSpan
	bodies   int64 // bytes of the records alone
	sync     bool  // a record asked for fsync
	lazy     bool  // a record did not
	cut      *compaction
	cutFrame int // the cut stands before this frame
}

// frameSpan is the place of a frame in the arena.
type frameSpan struct {
	start, end int
	last       uint64 // sequence of its last record
}

func (b *batch) add(body []byte, seq uint64, sync bool) {
	n := len(b.frames)
	open := n > 0 && !(b.cut != nil && b.cutFrame == n) &&
		b.frames[n-1].end-b.frames[n-1].start+len(body) <= frameTargetBytes
	if !open {
		start := len(b.arena)
		var header [frameHeaderBytes]byte
		b.arena = append(b.arena, header[:]...)
		b.frames = append(b.frames, frameSpan{start: start})
		n++
	}
	b.arena = appendRecord(b.arena, body)
	span := &b.frames[n-1]
	span.end, span.last = len(b.arena), seq
	b.bodies += int64(len(body))
	b.sync = b.sync || sync
	b.lazy = b.lazy || !sync
}

// reset empties the batch for reuse and gives back what a burst has made too big.
func (b *batch) reset() {
	arena, frames := b.arena[:0], b.frames[:0]
	if cap(arena) > arenaKeptBytes {
		arena, frames = nil, nil
	}
	*b = batch{arena: arena, frames: frames}
}

// loaded tells Options.Loading of bytes that were read. Inspect reads each of them once to check it and Replay once more, so each
// time it is half loaded.
func (l *Log) loaded(read int64) error {
	if l.options.Loading == nil {
		return nil
	}
	l.bytesRead += read
	return l.options.Loading(l.bytesRead / 2)
}

func isMissing(err error) bool { return errors.Is(err, os.ErrNotExist) }
