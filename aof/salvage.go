package aof

import (
	"io"
	"os"
)

// Salvager reads the records of one log as their broker means them, for Repair: it tells what is kept by name, and what
// the kept records need in front of them because the record that named it is lost.
type Salvager interface {
	// Keep is called with each record that is kept, in order. The body is only valid during the call.
	Keep(body []byte) error
	// Finish is called behind the last one; lossy tells that others are lost, snapshot that some of them are of the
	// snapshot, which names everything that there was before.
	Finish(lossy, snapshot bool) (Findings, error)
}

// Findings is what a Salvager has made of the kept records.
type Findings struct {
	Damage error                  // what the records contradict besides the log itself, nil for nothing
	First  [][]byte               // records to put in front of the kept ones
	Last   [][]byte               // records to put behind them
	Skip   func(body []byte) bool // kept records to leave out, nil for none
	Kept   []string               // what is kept, a line each
	Files  []string               // files beside the log that belong to its state: linked into quarantine with it
	Aside  []string               // those of them that must not stay where they are
}

// salvageWindow is how much of a damaged snapshot is looked at at a time, if no frame in it is bigger.
const salvageWindow = 4 << 20

// fileWindow is a part of a file in memory.
type fileWindow struct {
	file  *os.File
	size  int64
	base  int64
	bytes []byte
}

func (w *fileWindow) rest() int64 { return w.size - w.base - int64(len(w.bytes)) }

// load moves the window to base and makes it at least so big.
func (w *fileWindow) load(base, least int64) error {
	length := min(max(least, salvageWindow), w.size-base)
	if int64(cap(w.bytes)) < length {
		w.bytes = make([]byte, length)
	}
	w.base, w.bytes = base, w.bytes[:length]
	_, err := w.file.ReadAt(w.bytes, base)
	if err == io.EOF {
		err = nil
	}
	return err
}

// salvageSnapshot feeds the records of every block of a snapshot that proves itself by its checksum, which covers the
// log's id, the snapshot's number and the block's own index; lost is told of the blocks between them, with last 0 when
// nobody knows how many there were at the end.
func salvageSnapshot(path string, id logID, generation uint64, fn func(body []byte) error, lost func(first, last uint64)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	seed := seedOf(id, generation)
	w := fileWindow{file: file, size: info.Size()}
	if err := w.load(0, 0); err != nil {
		return err
	}
	next, end := uint64(1), int64(0)
	for {
		f, offset, length, want := resyncPart(w.bytes, w.rest(), seed, next)
		if want > 0 {
			if err := w.load(w.base+int64(offset), want); err != nil {
				return err
			}
			continue
		}
		if length == 0 {
			break
		}
		if f.kind != kindSnapshotBlock && f.kind != kindSnapshotEnd {
			w.skip(offset + 1)
			continue
		}
		if f.index > next {
			lost(next, f.index-1)
		}
		if f.kind == kindSnapshotEnd {
			return nil
		}
		if _, err := f.records(fn); err != nil {
			return err
		}
		next = f.index + 1
		w.skip(offset + length)
		end = w.base
	}
	// Exactly the end, which holds no record, may be what is damaged.
	if w.size-end != entryBytes(frameHeaderBytes+8) {
		lost(next, 0)
	}
	return nil
}

// skip moves the window's start within what it holds.
func (w *fileWindow) skip(n int) { w.base, w.bytes = w.base+int64(n), w.bytes[n:] }
