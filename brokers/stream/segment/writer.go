package segment

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
)

const (
	headerBytes     = 32
	trailerBytes    = 32
	blockHeadBytes  = 8
	headerMagic     = "NEXOSEG2"
	firstMagic      = "NEXOSEG1" // of files that do not know their log
	flagMended      = 1          // in the block directory
	trailerMagic    = "NEXOEND1"
	flagChained     = 1
	defaultBlock    = 64 << 10
	blockMax        = 1 << 30 // no payload comes near it
	syncEvery       = 16 << 20
	temporarySuffix = ".tmp"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// HashBytes is the size of a hash of the integrity chain.
const HashBytes = 32

// Hash is a hash of the integrity chain.
type Hash = [HashBytes]byte

// Entry is one entry of a stream. The payload is never changed.
type Entry struct {
	Offset  uint64
	Ms      int64
	Seq     uint64
	Payload []byte
}

// Link is an entry's place in the integrity chain.
type Link struct{ Before, Hash Hash }

// Log tells the files of one stream log from those of every other: the first bytes of its id.
type Log [12]byte

// Name is the name of the file with this id.
func Name(id uint64) string { return fmt.Sprintf("segment-%016x", id) }

// Writer writes one segment file. It is used by one goroutine, and ends with Commit or Abort.
type Writer struct {
	path       string
	id         uint64
	seed       seed
	flags      uint64
	blockBytes int
	file       *os.File
	out        *bufio.Writer
	position   int64
	unsynced   int64
	blocks     []Block
	err        error

	block   Block // the one being filled
	chained bool
	before  Hash
	lastMs  int64
	body    []byte
	head    []byte
}

// Create begins a file of a log in a directory. Blocks are closed at about blockBytes; 0 is 64 KiB.
func Create(directory string, id uint64, log Log, blockBytes int) (*Writer, error) {
	if blockBytes == 0 {
		blockBytes = defaultBlock
	}
	path := filepath.Join(directory, Name(id))
	file, err := os.OpenFile(path+temporarySuffix, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	w := &Writer{path: path, id: id, seed: seedOf(id, log), blockBytes: blockBytes, file: file, out: bufio.NewWriterSize(file, 256<<10)}
	w.write(encodeHeader(headerMagic, id, log))
	return w, nil
}

func encodeHeader(magic string, id uint64, log Log) []byte {
	b := make([]byte, headerBytes-4)
	copy(b, magic)
	binary.BigEndian.PutUint64(b[8:], id)
	copy(b[16:], log[:])
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// Mend notes that entries are missing in the file, or around its blocks, because a repair had to give them up.
func (w *Writer) Mend() { w.flags |= flagMended }

// Add appends an entry: those of a stream together and by offset, the streams by number. Of a chained stream link tells the
// hashes; of another it is nil. An error is kept, and Commit answers it too.
func (w *Writer) Add(stream uint64, e Entry, link *Link) error {
	if w.err != nil {
		return w.err
	}
	if b := w.block; b.Count > 0 {
		switch {
		case stream < b.Stream || stream == b.Stream && e.Offset <= b.Last():
			w.err = fmt.Errorf("segment: entry %d of stream %d behind %d of %d", e.Offset, stream, b.Last(), b.Stream)
			return w.err
		case stream != b.Stream || e.Offset != b.Last()+1 || len(w.body) >= w.blockBytes || (link != nil) != w.chained,
			len(w.body)+len(e.Payload) > 2*w.blockBytes:
			w.endBlock()
		}
	}
	if w.block.Count == 0 {
		w.block = Block{Stream: stream, First: e.Offset, FirstMs: e.Ms, Position: w.position}
		w.lastMs, w.chained = e.Ms, link != nil
		if link != nil {
			w.before = link.Before
		}
	}
	w.block.Count++
	w.block.LastMs, w.block.LastSeq = e.Ms, e.Seq
	w.block.Payload += int64(len(e.Payload))
	w.body = binary.AppendUvarint(w.body, uint64(e.Ms-w.lastMs))
	w.lastMs = e.Ms
	w.body = binary.AppendUvarint(w.body, e.Seq)
	w.body = binary.AppendUvarint(w.body, uint64(len(e.Payload)))
	w.body = append(w.body, e.Payload...)
	if link != nil {
		w.body = append(w.body, link.Hash[:]...)
	}
	return w.err
}

func (w *Writer) endBlock() {
	b := &w.block
	if b.Count == 0 || w.err != nil {
		return
	}
	head := append(w.head[:0], make([]byte, blockHeadBytes)...)
	head = binary.AppendUvarint(head, b.Stream)
	head = binary.AppendUvarint(head, b.First)
	var flags byte
	if w.chained {
		flags = flagChained
	}
	head = append(head, flags)
	head = binary.AppendUvarint(head, uint64(b.Count))
	head = binary.AppendUvarint(head, uint64(b.FirstMs))
	if w.chained {
		head = append(head, w.before[:]...)
	}
	b.Length = int64(len(head) - blockHeadBytes + len(w.body))
	if b.Length > blockMax {
		w.err = fmt.Errorf("segment: a block of %d bytes", b.Length)
		return
	}
	w.seed.putHead(head, b.Position, head[blockHeadBytes:], w.body)
	w.write(head)
	w.write(w.body)
	w.blocks = append(w.blocks, *b)
	w.head, w.body, w.block = head, w.body[:0], Block{}
}

// putHead writes length and checksum of a block whose body is in two parts.
func (s seed) putHead(head []byte, position int64, first, second []byte) {
	sum := crc32.Update(s.at(position), castagnoli, first)
	binary.BigEndian.PutUint32(head, uint32(len(first)+len(second)))
	binary.BigEndian.PutUint32(head[4:], crc32.Update(sum, castagnoli, second))
}

// seed begins the checksums of a file, so that a part of another log, file or place is not taken for one of it. That of a
// file of the first version knows no log.
type seed struct {
	id    uint64
	first bool
	log   Log
}

func seedOf(id uint64, log Log) seed { return seed{id: id, log: log} }

func (s seed) at(position int64) uint32 {
	var place [16 + len(Log{})]byte
	binary.BigEndian.PutUint64(place[:], s.id)
	binary.BigEndian.PutUint64(place[8:], uint64(position))
	if s.first {
		return crc32.Checksum(place[:16], castagnoli)
	}
	copy(place[16:], s.log[:])
	return crc32.Checksum(place[:], castagnoli)
}

// directory is the checksum of a block directory that stands at position.
func (s seed) directory(b []byte, position int64) uint32 {
	if s.first {
		return crc32.Checksum(b, castagnoli)
	}
	return crc32.Update(s.at(position), castagnoli, b)
}

func (w *Writer) write(b []byte) {
	if w.err != nil {
		return
	}
	var n int
	n, w.err = w.out.Write(b)
	w.position += int64(n)
	// A bit at a time: one fsync of a whole file would keep the journals' fsyncs waiting.
	if w.unsynced += int64(n); w.unsynced >= syncEvery && w.err == nil {
		if w.err = w.out.Flush(); w.err == nil {
			w.err = w.file.Sync()
		}
		w.unsynced = 0
	}
}

// Empty tells that nothing was added.
func (w *Writer) Empty() bool { return len(w.blocks) == 0 && w.block.Count == 0 }

// Commit makes the file durable under its name and opens it.
func (w *Writer) Commit() (*File, error) {
	w.endBlock()
	directory := encodeDirectory(w.flags, w.blocks)
	trailer := binary.BigEndian.AppendUint64(nil, uint64(w.position))
	trailer = binary.BigEndian.AppendUint64(trailer, uint64(len(directory)))
	trailer = binary.BigEndian.AppendUint32(trailer, w.seed.directory(directory, w.position))
	trailer = binary.BigEndian.AppendUint32(trailer, crc32.Checksum(trailer, castagnoli))
	w.write(directory)
	w.write(append(trailer, trailerMagic...))
	if w.err == nil {
		w.err = w.out.Flush()
	}
	if w.err == nil {
		w.err = w.file.Sync()
	}
	if w.err == nil {
		w.err = os.Rename(w.path+temporarySuffix, w.path)
	}
	if w.err != nil {
		return nil, errors.Join(w.err, w.Abort())
	}
	if err := SyncDirectory(filepath.Dir(w.path)); err != nil {
		w.file.Close()
		return nil, errors.Join(err, os.Remove(w.path))
	}
	return newFile(w.path, w.seed, w.flags, w.file, w.blocks), nil
}

// Abort removes what was written.
func (w *Writer) Abort() error {
	w.file.Close() // nothing of it is needed
	return os.Remove(w.path + temporarySuffix)
}

func encodeDirectory(flags uint64, blocks []Block) []byte {
	b := binary.AppendUvarint(nil, flags)
	b = binary.AppendUvarint(b, uint64(len(blocks)))
	for i := range blocks {
		k := &blocks[i]
		for _, n := range []uint64{k.Stream, k.First, uint64(k.Count), uint64(k.FirstMs), uint64(k.LastMs - k.FirstMs), k.LastSeq,
			uint64(k.Payload), uint64(k.Position), uint64(k.Length)} {
			b = binary.AppendUvarint(b, n)
		}
	}
	return b
}

// SyncDirectory makes the names in a directory durable.
func SyncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	defer directory.Close()
	return directory.Sync()
}
