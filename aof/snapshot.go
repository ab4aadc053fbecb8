package aof

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	snapshotMagic       = "NEXOSNP1"
	snapshotHeaderBytes = 32
	snapshotSyncBytes   = 8 << 20 // fsynced in such steps, so that the log's own fsyncs never wait behind a huge one
)

// snapshotWriter writes a snapshot file block by block.
type snapshotWriter struct {
	file     *os.File
	buffer   *bufio.Writer
	seed     uint32
	block    []byte // a frame being filled, header's place included
	entry    []byte
	index    uint64
	records  uint64
	unsynced int64
	bytes    int64
}

func newSnapshotWriter(path string, id logID, generation uint64) (*snapshotWriter, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	w := &snapshotWriter{file: file, buffer: bufio.NewWriterSize(file, 256<<10), seed: seedOf(id, generation)}
	w.block = make([]byte, frameHeaderBytes, frameTargetBytes+frameHeaderBytes)
	header := append([]byte(snapshotMagic), id[:]...)
	header = binary.LittleEndian.AppendUint64(header, generation)
	_, err = w.buffer.Write(header)
	if err != nil {
		file.Close()
		return nil, err
	}
	w.bytes = snapshotHeaderBytes
	return w, nil
}

// emit adds one record; body may be reused after it returns.
func (w *snapshotWriter) emit(body []byte) error {
	if len(w.block) > frameHeaderBytes && len(w.block)+len(body) > frameTargetBytes {
		if err := w.flushBlock(kindSnapshotBlock); err != nil {
			return err
		}
	}
	w.block = appendRecord(w.block, body)
	w.records++
	return nil
}

func (w *snapshotWriter) flushBlock(kind byte) error {
	w.index++
	sealFrame(w.block, w.seed, kind, w.index, 0)
	w.entry = appendEntry(w.entry[:0], w.block)
	if _, err := w.buffer.Write(w.entry); err != nil {
		return err
	}
	w.unsynced += int64(len(w.entry))
	w.bytes += int64(len(w.entry))
	w.block = w.block[:frameHeaderBytes]
	if w.unsynced < snapshotSyncBytes {
		return nil
	}
	w.unsynced = 0
	if err := w.buffer.Flush(); err != nil {
		return err
	}
	return w.file.Sync()
}

// finish writes the end and makes the file durable.
func (w *snapshotWriter) finish() error {
	if len(w.block) > frameHeaderBytes {
		if err := w.flushBlock(kindSnapshotBlock); err != nil {
			return err
		}
	}
	w.block = binary.LittleEndian.AppendUint64(w.block, w.records)
	if err := w.flushBlock(kindSnapshotEnd); err != nil {
		return err
	}
	if err := w.buffer.Flush(); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	return w.file.Close()
}

func (w *snapshotWriter) abort() { w.file.Close() }

// writeSnapshot writes a whole snapshot file, fsyncs it and tells its size; on failure nothing is left of it.
func writeSnapshot(path string, id logID, generation uint64, dump func(emit func(body []byte) error) error) (size int64, err error) {
	w, err := newSnapshotWriter(path, id, generation)
	if err != nil {
		return 0, err
	}
	if err = dump(w.emit); err == nil {
		err = w.finish()
	}
	if err != nil {
		w.abort()
		os.Remove(path)
	}
	return w.bytes, err
}

var errSnapshotHeader = errors.New("snapshot header does not belong to this log")
var errSnapshotEnd = errors.New("snapshot has no valid end")

// readSnapshot reads and verifies a snapshot, feeding its records to fn, which may be nil. An error of fn is returned as
// it is, damage as a *damage.
func readSnapshot(path string, id logID, generation uint64, fn func(body []byte) error) (records uint64, size int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, 0, err
	}
	reader := snapshotReader{source: bufio.NewReaderSize(file, 256<<10), size: info.Size(), seed: seedOf(id, generation)}
	records, err = reader.read(id, generation, fn)
	if isDecodeError(err) {
		err = &damage{file: path, offset: reader.offset, first: reader.index + 1, before: records, cause: err}
	}
	return records, info.Size(), err
}

// snapshotReader streams a snapshot: it may be far bigger than memory, its blocks are not.
type snapshotReader struct {
	source *bufio.Reader
	size   int64
	seed   uint32
	offset int64 // end of the last valid block
	index  uint64
	buffer []byte
}

func (r *snapshotReader) read(id logID, generation uint64, fn func(body []byte) error) (records uint64, err error) {
	header := make([]byte, snapshotHeaderBytes)
	if _, err := io.ReadFull(r.source, header); err != nil {
		return 0, r.shortIs(err, errSnapshotHeader)
	}
	gotID, gotGeneration, ok := decodeSnapshotHeader(header)
	if !ok || gotID != id || gotGeneration != generation {
		return 0, errSnapshotHeader
	}
	r.offset = snapshotHeaderBytes
	for {
		f, length, err := r.next()
		if err != nil {
			return records, err
		}
		if f.index != r.index+1 || f.durable != 0 {
			return records, errFrameIndex
		}
		switch f.kind {
		case kindSnapshotBlock:
			count, err := f.records(fn)
			records += count
			if err != nil {
				return records, err
			}
		case kindSnapshotEnd:
			atEnd := r.offset+length == r.size
			if len(f.body) != 8 || binary.LittleEndian.Uint64(f.body) != records || !atEnd {
				return records, errSnapshotEnd
			}
			return records, nil
		default:
			return records, errFrameHeader
		}
		r.index, r.offset = f.index, r.offset+length
	}
}

// next reads one entry. Its length is not trusted beyond what the file has.
func (r *snapshotReader) next() (frame, int64, error) {
	size, err := binary.ReadUvarint(r.source)
	if err != nil {
		return frame{}, 0, r.shortIs(err, errSnapshotEnd)
	}
	length := int64(uvarintBytes(size))
	if size < frameHeaderBytes || size > uint64(r.size-r.offset) {
		return frame{}, 0, errEntryLength
	}
	if uint64(cap(r.buffer)) < size {
		r.buffer = make([]byte, size)
	}
	r.buffer = r.buffer[:size]
	if _, err := io.ReadFull(r.source, r.buffer); err != nil {
		return frame{}, 0, r.shortIs(err, errSnapshotEnd)
	}
	f, err := decodeFrame(r.buffer, r.seed)
	return f, length + int64(size), err
}

// shortIs turns the end of the file into damage and leaves I/O errors what they are.
func (r *snapshotReader) shortIs(err, damage error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("read snapshot: %w", err)
	}
	return damage
}

func decodeSnapshotHeader(header []byte) (id logID, generation uint64, ok bool) {
	if len(header) < snapshotHeaderBytes || string(header[:8]) != snapshotMagic {
		return logID{}, 0, false
	}
	copy(id[:], header[8:])
	return id, binary.LittleEndian.Uint64(header[24:]), true
}

// isDecodeError tells damage from errors of the file system and of callers.
func isDecodeError(err error) bool {
	switch err {
	case errEntryShort, errEntryLength, errFrameHeader, errFrameChecksum, errFrameRecords, errFrameIndex,
		errSnapshotHeader, errSnapshotEnd:
		return true
	}
	return false
}
