package aof

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// damage is a place in the files where they stop making sense, before anybody has judged what it means.
type damage struct {
	file   string
	offset int64
	first  uint64 // first frame lost, 0 when it is not about frames
	last   uint64 // last frame lost, 0 when unknown
	before uint64 // valid records before it
	after  uint64 // valid records after it
	torn   bool   // an unfinished write at the very end: it was never promised to anybody
	cause  error
}

func (d *damage) Error() string { return fmt.Sprintf("%s at offset %d: %v", d.file, d.offset, d.cause) }
func (d *damage) Unwrap() error { return d.cause }

func isDamage(err error) bool {
	var d *damage
	return errors.As(err, &d)
}

// segmentFile is one file of a generation.
type segmentFile struct {
	path  string
	first uint64
}

func segmentName(first uint64) string { return fmt.Sprintf("%020d", first) }
func generationName(n uint64) string  { return "wal-" + strconv.FormatUint(n, 10) }
func snapshotName(n uint64) string    { return "snap-" + strconv.FormatUint(n, 10) }
func numberOf(prefix, name string) uint64 {
	rest, found := strings.CutPrefix(name, prefix)
	if !found {
		return 0
	}
	number, err := strconv.ParseUint(rest, 10, 64)
	if err != nil || strconv.FormatUint(number, 10) != rest {
		return 0
	}
	return number
}

const copySuffix = ".copy" // of a last segment that is being rewritten at start

// listSegments lists the segments of a generation in order. What tidwall/wal would act on by itself (its START and END
// files, other names that begin like a segment) is damage: nothing here ever makes such files.
func listSegments(directory string) ([]segmentFile, error) {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return nil, err
	}
	var segments []segmentFile
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasSuffix(name, copySuffix) {
			continue
		}
		first, err := strconv.ParseUint(name, 10, 64)
		if err != nil || first == 0 || segmentName(first) != name || !entry.Type().IsRegular() {
			return nil, &damage{file: filepath.Join(directory, name), cause: errStrangeFile}
		}
		segments = append(segments, segmentFile{path: filepath.Join(directory, name), first: first})
	}
	return segments, nil
}

var (
	errStrangeFile    = errors.New("file does not belong in a log")
	errMissingSegment = errors.New("a segment is missing or short")
	errMissingFrames  = errors.New("frames that had been fsynced are missing")
	errMissingFile    = errors.New("file is missing")
	errOldManifest    = errors.New("MANIFEST is older than the files beside it")
)

// generationScan is what reading a whole generation found.
type generationScan struct {
	frames    uint64
	records   uint64
	bytes     int64 // of valid frames
	lastIndex uint64
	clean     bool // it ends with a CLOSE frame, or has no frame
	segments  []segmentFile
	tail      int64 // end of the valid bytes in the last segment
	tailBytes int64 // size of the last segment
}

// scanner reads generations. It reuses its buffer from segment to segment.
type scanner struct {
	seed    uint32
	buffer  []byte
	visit   func(body []byte) error // may be nil
	loaded  func(read int64) error  // hears of each valid frame; may be nil
	synced  uint64                  // the watermark's claim for this generation
	isLast  bool                    // of the log: only there may a write be torn
	current generationScan
}

// scan reads every frame in order. Damage is answered as a *damage together with what was found before it.
func (s *scanner) scan(directory string) (generationScan, error) {
	segments, err := listSegments(directory)
	if errors.Is(err, os.ErrNotExist) {
		return generationScan{}, &damage{file: directory, first: 1, last: s.synced, cause: errMissingFile}
	}
	if err != nil {
		return generationScan{}, err
	}
	s.current = generationScan{segments: segments, clean: true}
	if len(segments) == 0 {
		return s.current, s.gap(filepath.Join(directory, segmentName(1)), s.synced)
	}
	for i, segment := range segments {
		if segment.first != s.current.lastIndex+1 {
			return s.current, s.gapBefore(segments[i:])
		}
		if err := s.scanSegment(segments[i:]); err != nil {
			return s.current, err
		}
	}
	if s.current.lastIndex < s.synced {
		missing := s.gap(segments[len(segments)-1].path, s.synced)
		missing.offset, missing.cause = s.current.tail, errMissingFrames
		return s.current, missing
	}
	return s.current, nil
}

func (s *scanner) gap(file string, last uint64) *damage {
	return &damage{file: file, first: s.current.lastIndex + 1, last: last, before: s.current.records, cause: errMissingSegment}
}

// gapBefore reports a segment that does not start where the one before it ended.
func (s *scanner) gapBefore(rest []segmentFile) error {
	missing := s.gap(rest[0].path, rest[0].first-1)
	if rest[0].first <= s.current.lastIndex {
		missing.first, missing.last = rest[0].first, s.current.lastIndex
	}
	for _, segment := range rest {
		bytes, err := s.read(segment.path)
		if err != nil {
			return err
		}
		missing.after += s.survivors(bytes, segment.first, nil)
	}
	return missing
}

func (s *scanner) read(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if int64(cap(s.buffer)) < info.Size() {
		s.buffer = make([]byte, info.Size())
	}
	s.buffer = s.buffer[:info.Size()]
	_, err = io.ReadFull(file, s.buffer)
	return s.buffer, err
}

// scanSegment reads the first of the segments that are left.
func (s *scanner) scanSegment(rest []segmentFile) error {
	bytes, err := s.read(rest[0].path)
	if err != nil {
		return err
	}
	s.current.tail, s.current.tailBytes = 0, int64(len(bytes))
	for offset := 0; offset < len(bytes); {
		f, length, err := decodeEntry(bytes[offset:], s.seed)
		if err == nil && f.index != s.current.lastIndex+1 {
			err = errFrameIndex
		}
		if err == nil && f.kind != kindRecords && f.kind != kindClose {
			err = errFrameHeader
		}
		if err != nil {
			return s.judge(rest, bytes, offset, err)
		}
		count, err := f.records(s.visit)
		if err != nil {
			return err
		}
		offset += length
		s.current.frames++
		s.current.records += count
		s.current.bytes += int64(length)
		s.current.lastIndex = f.index
		s.current.clean = f.kind == kindClose
		s.current.tail = int64(offset)
		if s.loaded != nil {
			if err := s.loaded(int64(length)); err != nil {
				return err
			}
		}
	}
	return nil
}

// judge decides between a torn write and corruption. Torn is only what nobody was ever told to be on disk: it stands at
// the end of the last segment of the last generation, above the watermark, with no valid frame behind it that was
// written when it had been fsynced.
func (s *scanner) judge(rest []segmentFile, bytes []byte, offset int, cause error) error {
	lost := s.current.lastIndex + 1
	found := &damage{file: rest[0].path, offset: int64(offset), first: lost, before: s.current.records, cause: cause}
	durable, next := s.synced, uint64(0)
	note := func(f frame) {
		durable = max(durable, f.durable)
		if next == 0 {
			next = f.index
		}
	}
	found.after = s.survivors(bytes[offset:], lost+1, note)
	for _, segment := range rest[1:] {
		bytes, err := s.read(segment.path)
		if err != nil {
			return err
		}
		found.after += s.survivors(bytes, max(segment.first, lost+1), note)
	}
	if next != 0 {
		found.last = next - 1
	}
	found.torn = s.isLast && len(rest) == 1 && durable < lost
	return found
}

// survivors counts the valid records in damaged bytes and shows their frames to note, which may be nil.
func (s *scanner) survivors(bytes []byte, minimum uint64, note func(frame)) (records uint64) {
	for {
		f, offset, length, found := resync(bytes, s.seed, minimum)
		if !found {
			return records
		}
		if note != nil {
			note(f)
		}
		count, _ := f.records(nil) // a decoded frame has well-formed records
		records += count
		bytes, minimum = bytes[offset+length:], f.index+1
	}
}
