package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
)

// Block is what the directory of a file tells about one block: count entries of a stream with consecutive offsets.
type Block struct {
	Stream   uint64
	First    uint64
	Count    uint32
	FirstMs  int64
	LastMs   int64
	LastSeq  uint64
	Payload  int64 // bytes of all payloads
	Position int64
	Length   int64 // of the body
}

// Last is the offset of the last entry.
func (b *Block) Last() uint64 { return b.First + uint64(b.Count) - 1 }

// Size is what the block takes in its file.
func (b *Block) Size() int64 { return b.Length + blockHeadBytes }

// Content is a block that was read. It is shared by its readers and never changed.
type Content struct {
	Entries []Entry
	Before  Hash   // of the entry before the first, in a chained stream
	Hashes  []Hash // of the entries, in a chained stream; else nil
	size    int64  // of the body
}

// At is the entry of an offset, nil when the block does not hold it.
func (c *Content) At(offset uint64) *Entry {
	if i := offset - c.Entries[0].Offset; i < uint64(len(c.Entries)) {
		return &c.Entries[i]
	}
	return nil
}

// ErrGone is answered for a file that was removed.
var ErrGone = errors.New("the segment file was removed")

// Damage is a file that is not as it was written.
type Damage struct {
	Path     string
	Position int64
	Problem  string
	Missing  uint64 // id of a file that is not there at all, else 0
}

func (d *Damage) Error() string {
	if d.Missing != 0 {
		return fmt.Sprintf("%s: %s", d.Path, d.Problem)
	}
	return fmt.Sprintf("%s is damaged at byte %d: %s", d.Path, d.Position, d.Problem)
}

// File is an open segment. Its methods may be called from any goroutine.
type File struct {
	path   string
	seed   seed
	flags  uint64
	blocks []Block
	bytes  int64

	mu   sync.RWMutex // readers hold it shared, removal alone
	file *os.File     // nil once removed

	// After ReadRandomly the kernel reads only what is asked for from file. Long stretches of one stream are read from flow, where
	// it reads ahead; it is opened for the first of them.
	random  bool
	flowing sync.Once
	flow    *os.File
}

// flowLeast is how much of a stream must lie side by side for the kernel to read ahead in it: more than it reads ahead at most, so
// that none of that is of another stream.
const flowLeast = 16 << 20

func newFile(path string, s seed, flags uint64, file *os.File, blocks []Block) *File {
	f := &File{path: path, seed: s, flags: flags, file: file, blocks: blocks}
	for i := range blocks {
		f.bytes += blocks[i].Size()
	}
	return f
}

// ID is the number in the file's name.
func (f *File) ID() uint64 { return f.seed.id }

// Mended tells that a repair had to give up entries in this file's place.
func (f *File) Mended() bool { return f.flags&flagMended != 0 }

// First tells that the file is of the first version, which knows neither its log nor whether it was repaired.
func (f *File) First() bool { return f.seed.first }

// Blocks are sorted by stream and offset. The slice is the file's own.
func (f *File) Blocks() []Block { return f.blocks }

// Bytes is the size of all blocks.
func (f *File) Bytes() int64 { return f.bytes }

// Path is where the file stands.
func (f *File) Path() string { return f.path }

// List tells the ids of the files in a directory, and the names of those that were never finished.
func List(directory string) (ids []uint64, unfinished []string, err error) {
	names, err := os.ReadDir(directory)
	if err != nil {
		return nil, nil, err
	}
	for _, entry := range names {
		number, ours := strings.CutPrefix(entry.Name(), "segment-")
		if !ours {
			continue
		}
		if strings.HasSuffix(number, temporarySuffix) {
			unfinished = append(unfinished, entry.Name())
			continue
		}
		if id, err := strconv.ParseUint(number, 16, 64); err == nil && entry.Name() == Name(id) {
			ids = append(ids, id)
		}
	}
	return ids, unfinished, nil
}

// Open reads the directory of a file and verifies it; the blocks are verified as they are read. A file of another log is
// damage, unless it is of the first version.
func Open(directory string, id uint64, log Log) (*File, error) {
	path := filepath.Join(directory, Name(id))
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	f, err := readDirectory(path, seedOf(id, log), file)
	if err != nil {
		file.Close()
		return nil, err
	}
	return f, nil
}

// readHeader completes the seed with the version of the file.
func readHeader(header []byte, s *seed) (problem string) {
	switch {
	case string(header) == string(encodeHeader(headerMagic, s.id, s.log)):
	case string(header) == string(encodeHeader(firstMagic, s.id, Log{})):
		s.first = true
	case string(header) == string(encodeHeader(headerMagic, s.id, Log(header[16:28]))):
		return "it belongs to another data directory"
	default:
		return "the header is not that of segment " + strconv.FormatUint(s.id, 16)
	}
	return ""
}

func readDirectory(path string, s seed, file *os.File) (*File, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	damaged := func(position int64, problem string) error {
		return &Damage{Path: path, Position: position, Problem: problem}
	}
	size := info.Size()
	if size < headerBytes+trailerBytes {
		return nil, damaged(0, fmt.Sprintf("%d bytes are too few", size))
	}
	var header [headerBytes]byte
	if _, err := file.ReadAt(header[:], 0); err != nil {
		return nil, err
	}
	if problem := readHeader(header[:], &s); problem != "" {
		return nil, damaged(0, problem)
	}
	var trailer [trailerBytes]byte
	if _, err := file.ReadAt(trailer[:], size-trailerBytes); err != nil {
		return nil, err
	}
	if string(trailer[24:]) != trailerMagic || crc32.Checksum(trailer[:20], castagnoli) != binary.BigEndian.Uint32(trailer[20:]) {
		return nil, damaged(size-trailerBytes, "the trailer is not whole")
	}
	position, length := binary.BigEndian.Uint64(trailer[:]), binary.BigEndian.Uint64(trailer[8:])
	if room := uint64(size - trailerBytes); position < headerBytes || position > room || length != room-position {
		return nil, damaged(size-trailerBytes, "the trailer names a place outside the file")
	}
	directory := make([]byte, length)
	if _, err := file.ReadAt(directory, int64(position)); err != nil {
		return nil, err
	}
	if s.directory(directory, int64(position)) != binary.BigEndian.Uint32(trailer[16:]) {
		return nil, damaged(int64(position), "the checksum of the block directory does not match")
	}
	flags := uint64(0)
	if !s.first {
		n := 0
		if flags, n = binary.Uvarint(directory); n != 1 || flags > flagMended {
			return nil, damaged(int64(position), "the flags of the block directory cannot be")
		}
		directory = directory[n:]
	}
	blocks, problem := decodeDirectory(directory, int64(position))
	if problem != "" {
		return nil, damaged(int64(position), problem)
	}
	return newFile(path, s, flags, file, blocks), nil
}

// decodeDirectory checks all that later code relies on: order, no overlap, and places that fill the file up to end.
func decodeDirectory(b []byte, end int64) (blocks []Block, problem string) {
	const notWhole = "the block directory is not whole"
	number := func() uint64 {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > math.MaxInt64 {
			b, problem = nil, notWhole
			return 0
		}
		b = b[size:]
		return n
	}
	count := number()
	if problem != "" || count > uint64(len(b)) {
		return nil, notWhole
	}
	blocks = make([]Block, 0, count)
	place := int64(headerBytes)
	for range count {
		k := Block{Stream: number(), First: number()}
		entries := number()
		k.FirstMs = int64(number())
		span := int64(number())
		k.LastSeq, k.Payload, k.Position, k.Length = number(), int64(number()), int64(number()), int64(number())
		if problem != "" {
			return nil, problem
		}
		k.Count, k.LastMs = uint32(entries), k.FirstMs+span
		if entries == 0 || entries > math.MaxUint32 || k.LastMs < k.FirstMs || k.Position != place || k.Length > blockMax || k.First == 0 {
			return nil, "a block that cannot be"
		}
		if n := len(blocks); n > 0 {
			if before := &blocks[n-1]; k.Stream < before.Stream || k.Stream == before.Stream && k.First <= before.Last() {
				return nil, "the blocks are out of order"
			}
		}
		place += k.Size()
		blocks = append(blocks, k)
	}
	if len(b) > 0 || place != end {
		return nil, notWhole
	}
	return blocks, ""
}

// index is where a block of the file stands in its directory.
func (f *File) index(b *Block) int {
	return sort.Search(len(f.blocks), func(i int) bool { return f.blocks[i].Position >= b.Position })
}

// firstOf is where the blocks of a stream begin in the directory.
func (f *File) firstOf(stream uint64) int {
	return sort.Search(len(f.blocks), func(i int) bool { return f.blocks[i].Stream >= stream })
}

// sideBySide are a block of the file and those of its stream behind it that a reader needs for that many entries or bytes of
// payload, as far as one read takes them; only the block where the kernel reads ahead anyhow.
func (f *File) sideBySide(b *Block, entries int, bytes int64) []Block {
	first := f.index(b)
	if f.flows(b) {
		return f.blocks[first : first+1]
	}
	n, size := 1, b.Size()
	for entries, bytes = entries-int(b.Count), bytes-b.Payload; entries > 0 && bytes > 0 && first+n < len(f.blocks); n++ {
		next := &f.blocks[first+n]
		if size += next.Size(); next.Stream != b.Stream || size > sideMax {
			break
		}
		entries, bytes = entries-int(next.Count), bytes-next.Payload
	}
	return f.blocks[first : first+n]
}

// Load reads one block and verifies it.
func (f *File) Load(b *Block) (*Content, error) {
	raw := make([]byte, b.Size())
	f.mu.RLock()
	if f.file == nil {
		f.mu.RUnlock()
		return nil, ErrGone
	}
	_, err := f.reader(b).ReadAt(raw, b.Position)
	f.mu.RUnlock()
	if errors.Is(err, io.EOF) {
		return nil, &Damage{Path: f.path, Position: b.Position, Problem: "the file ends before the block does"}
	}
	if err != nil {
		return nil, err
	}
	return f.verified(b, raw)
}

// verified takes a block apart that was read.
func (f *File) verified(b *Block, raw []byte) (*Content, error) {
	content, found, problem := decodeBlock(f.seed, b.Position, raw)
	if problem == "" && found != *b {
		problem = "the block is not the one of the directory"
	}
	if problem != "" {
		return nil, &Damage{Path: f.path, Position: b.Position, Problem: problem}
	}
	return content, nil
}

// ReadRandomly tells the kernel to read what is asked for and nothing behind it, but in long stretches of one stream: it would read
// megabytes, most of them of other streams. What a reader goes on with is asked for by Cache.
func (f *File) ReadRandomly() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file != nil {
		f.random = adviseRandom(f.file)
	}
}

// flows tells whether the kernel reads ahead from a block on.
func (f *File) flows(b *Block) bool {
	if !f.random {
		return true
	}
	end := sort.Search(len(f.blocks), func(i int) bool { return f.blocks[i].Stream > b.Stream })
	last := &f.blocks[end-1]
	return last.Position+last.Size()-b.Position >= flowLeast
}

// reader is what to read a block from. The caller holds mu, and file is not nil.
func (f *File) reader(b *Block) *os.File {
	if !f.random || !f.flows(b) {
		return f.file
	}
	f.flowing.Do(func() { f.flow, _ = os.Open(f.path) })
	if f.flow == nil {
		return f.file // the same bytes, only later
	}
	return f.flow
}

// loadSide reads blocks that lie side by side with one read into a buffer that is large enough, and appends them to run. It ends
// before the first that is not whole; that is an error when it is the first of all.
func (f *File) loadSide(blocks []Block, buffer []byte, run []*Content) ([]*Content, error) {
	first, last := &blocks[0], &blocks[len(blocks)-1]
	raw := buffer[:last.Position+last.Size()-first.Position]
	f.mu.RLock()
	if f.file == nil {
		f.mu.RUnlock()
		return run, ErrGone
	}
	n, err := f.file.ReadAt(raw, first.Position)
	f.mu.RUnlock()
	if err != nil && !errors.Is(err, io.EOF) {
		return run, err
	}
	for i := range blocks {
		b := &blocks[i]
		at := b.Position - first.Position
		if at+b.Size() > int64(n) {
			err = &Damage{Path: f.path, Position: b.Position, Problem: "the file ends before the block does"}
		} else {
			var content *Content
			if content, err = f.verified(b, append([]byte(nil), raw[at:at+b.Size()]...)); err == nil {
				run = append(run, content)
				continue
			}
		}
		if i > 0 {
			return run, nil // the next read begins with it
		}
		return run, err
	}
	return run, nil
}

// ahead asks the kernel to have blocks in memory soon.
func (f *File) ahead(blocks []Block) {
	if len(blocks) == 0 {
		return
	}
	first, last := &blocks[0], &blocks[len(blocks)-1]
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.file != nil {
		adviseNeeded(f.file, first.Position, last.Position+last.Size()-first.Position)
	}
}

// decodeBlock takes a block apart and tells what the directory should say of it. Payloads stay slices of raw.
func decodeBlock(s seed, position int64, raw []byte) (content *Content, b Block, problem string) {
	if len(raw) < blockHeadBytes || int64(binary.BigEndian.Uint32(raw)) != int64(len(raw))-blockHeadBytes {
		return nil, b, "the length of a block does not match"
	}
	body := raw[blockHeadBytes:]
	if crc32.Update(s.at(position), castagnoli, body) != binary.BigEndian.Uint32(raw[4:]) {
		return nil, b, "the checksum of a block does not match"
	}
	r := bodyReader{b: body}
	b = Block{Stream: r.number(), First: r.number(), Position: position, Length: int64(len(body))}
	flags := r.take(1)
	count := r.number()
	b.FirstMs = int64(r.number())
	if r.short || count == 0 || count > uint64(len(r.b)) || flags[0] > flagChained {
		return nil, b, "a block is not whole"
	}
	content = &Content{Entries: make([]Entry, count), size: int64(len(body))}
	if flags[0] == flagChained {
		copy(content.Before[:], r.take(HashBytes))
		content.Hashes = make([]Hash, min(count, uint64(len(r.b))/HashBytes)) // no more than can follow
	}
	ms := b.FirstMs
	for i := range content.Entries {
		ms += int64(r.number())
		e := Entry{Offset: b.First + uint64(i), Ms: ms, Seq: r.number()}
		e.Payload = r.take(r.number())
		content.Entries[i] = e
		b.Payload += int64(len(e.Payload))
		if i < len(content.Hashes) {
			copy(content.Hashes[i][:], r.take(HashBytes))
		}
		b.LastSeq = e.Seq
		if r.short {
			return nil, b, "a block is not whole"
		}
	}
	b.Count, b.LastMs = uint32(count), ms
	if len(r.b) > 0 || flags[0] == flagChained && len(content.Hashes) != len(content.Entries) {
		return nil, b, "a block is not whole"
	}
	return content, b, ""
}

type bodyReader struct {
	b     []byte
	short bool
}

func (r *bodyReader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 || n > math.MaxInt64 {
		r.short, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *bodyReader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.short, r.b = true, nil
		return make([]byte, 1)[:min(n, 1)]
	}
	taken := r.b[:n:n]
	r.b = r.b[n:]
	return taken
}

// Close ends reading; the file stays.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	f.flowing.Do(func() {})
	if f.flow != nil {
		err = errors.Join(err, f.flow.Close())
	}
	return err
}

// Remove takes the file away; readers from now on get ErrGone.
func (f *File) Remove() error { return errors.Join(f.Close(), os.Remove(f.path)) }
