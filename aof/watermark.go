package aof

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
)

const (
	watermarkName  = "WATERMARK"
	watermarkBytes = 36
)

// watermarkPath is outside of the log's directory: who puts an older one in its place does not take the claim back.
func watermarkPath(dir, name string) string { return filepath.Join(dir, watermarkName+"-"+name) }

// innerWatermarkPath is where earlier versions had it.
func innerWatermarkPath(dir, name string) string {
	return filepath.Join(logDirectory(dir, name), watermarkName)
}

// watermark claims that the frames up to index of a generation are on disk.
type watermark struct {
	id         logID
	generation uint64
	index      uint64
}

func (w watermark) encode() [watermarkBytes]byte {
	var bytes [watermarkBytes]byte
	copy(bytes[4:], w.id[:])
	binary.LittleEndian.PutUint64(bytes[20:], w.generation)
	binary.LittleEndian.PutUint64(bytes[28:], w.index)
	binary.LittleEndian.PutUint32(bytes[:], crc32.Checksum(bytes[4:], castagnoli))
	return bytes
}

var errWatermark = errors.New("WATERMARK is damaged")

func decodeWatermark(bytes []byte) (watermark, error) {
	if len(bytes) != watermarkBytes ||
		binary.LittleEndian.Uint32(bytes) != crc32.Checksum(bytes[4:], castagnoli) {
		return watermark{}, errWatermark
	}
	w := watermark{
		generation: binary.LittleEndian.Uint64(bytes[20:]),
		index:      binary.LittleEndian.Uint64(bytes[28:]),
	}
	copy(w.id[:], bytes[4:])
	return w, nil
}

// readWatermark answers the zero watermark when there is none or, with an error, when it cannot be trusted. That is not
// fatal: the file is not fsynced, so a power loss may damage it, and without it only the proof of a loss is missing. An earlier
// version may have written to the log since: of two watermarks of one log that which claims more counts.
func readWatermark(dir, name string) (w watermark, path string, err error) {
	path = watermarkPath(dir, name)
	w, err = readMark(path)
	inner := innerWatermarkPath(dir, name)
	within, innerErr := readMark(inner)
	isBetter := innerErr == nil && (errors.Is(err, errWatermark) || err == nil && within.id == w.id && within.claimsMore(w))
	if isMissing(err) || isBetter {
		return within, inner, innerErr
	}
	return w, path, err
}

func readMark(path string) (watermark, error) {
	bytes, err := os.ReadFile(path)
	if err != nil {
		return watermark{}, err
	}
	return decodeWatermark(bytes)
}

func (w watermark) claimsMore(other watermark) bool {
	return w.generation > other.generation || w.generation == other.generation && w.index > other.index
}

// createWatermark makes the file with its full size on disk, so that the later pwrites cannot run out of space, and removes
// that of an earlier version.
func createWatermark(dir, name string, w watermark) (*os.File, error) {
	file, err := os.OpenFile(watermarkPath(dir, name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	bytes := w.encode()
	_, err = file.WriteAt(bytes[:], 0)
	if err == nil {
		err = file.Truncate(watermarkBytes)
	}
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = syncDirectory(dir)
	}
	if err == nil {
		if err = os.Remove(innerWatermarkPath(dir, name)); isMissing(err) {
			err = nil
		}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}
