package aof

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// Code words of Error.
const (
	CodeIO       = "IOERR"
	CodeDiskFull = "DISKFULL"
)

// Error is what Ready and the Waits answer. Its text starts with its code word, so that it can be shown as it is.
type Error struct {
	code    string
	message string
	cause   error
}

// Code is the code word: IOERR or DISKFULL.
func (e *Error) Code() string { return e.code }

func (e *Error) Error() string {
	if e.cause == nil {
		return e.code + " " + e.message
	}
	return e.code + " " + e.message + ": " + e.cause.Error()
}

func (e *Error) Unwrap() error { return e.cause }

// ErrCompacting is returned by Cut while another compaction runs.
var ErrCompacting = errors.New("a compaction is already running")

// ErrClosed is the cause of what a closed log answers.
var ErrClosed = errors.New("journal is closed")

// ErrReplayed is returned by a Replay that comes after the first Append.
var ErrReplayed = errors.New("replay after the first append")

// ErrLossNotAccepted is returned by Repair when records are lost and RepairOptions.AcceptLoss is not set.
var ErrLossNotAccepted = errors.New("records are lost: repair needs the loss accepted")

// CorruptionError is returned by Open when the files contradict themselves in a way that no crash explains. Nothing has
// been changed on disk.
type CorruptionError struct {
	File       string // the damaged or missing file
	Offset     int64  // where in it
	Generation uint64 // 0 when it is not about a generation
	FirstIndex uint64 // first frame that is lost, 0 when unknown
	LastIndex  uint64 // last frame that is lost, 0 when unknown
	Before     uint64 // valid records before the damage
	After      uint64 // valid records after it
	Reason     string
	Repair     string // the command that repairs it
}

func (e *CorruptionError) Error() string {
	text := fmt.Sprintf("log is corrupt: %s at offset %d: %s", e.File, e.Offset, e.Reason)
	if e.FirstIndex != 0 {
		last := "?"
		if e.LastIndex != 0 {
			last = fmt.Sprint(e.LastIndex)
		}
		text += fmt.Sprintf(" (frames %d-%s of generation %d)", e.FirstIndex, last, e.Generation)
	}
	return text + fmt.Sprintf("; %d valid records before, %d after; to repair: %s", e.Before, e.After, e.Repair)
}

// InUseError is returned by LockDirectory when another process holds the directory.
type InUseError struct {
	Directory string
	PID       int // 0 when the holder has not written it
}

func (e *InUseError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("data directory %s is in use by another process", e.Directory)
	}
	return fmt.Sprintf("data directory %s is in use by pid %d", e.Directory, e.PID)
}

// isOutOfSpace tells the write errors that freeing space ends.
func isOutOfSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) ||
		errors.Is(err, io.ErrShortWrite)
}

// isOutOfFiles tells the errors that closing files ends.
func isOutOfFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// isRetryable tells whether a failed write may be undone and tried again. A failed fsync never may, whatever its errno:
// the kernel has already forgotten which pages were not written.
func isRetryable(err error) bool {
	return !isSyncError(err) && (isOutOfSpace(err) || isOutOfFiles(err))
}

func isSyncError(err error) bool {
	var path *os.PathError
	return errors.As(err, &path) && path.Op == "sync"
}
