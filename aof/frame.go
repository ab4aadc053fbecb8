package aof

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// Kinds of frame.
const (
	kindRecords       = 1
	kindClose         = 2
	kindSnapshotBlock = 3
	kindSnapshotEnd   = 4
)

const (
	frameHeaderBytes = 21
	frameTargetBytes = 64 << 10 // a frame that has reached it takes no more records
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// logID tells the files of one log from those of every other.
type logID [16]byte

// seedOf is where the checksums of a generation start.
func seedOf(id logID, generation uint64) uint32 {
	var bytes [24]byte
	copy(bytes[:], id[:])
	binary.LittleEndian.PutUint64(bytes[16:], generation)
	return crc32.Checksum(bytes[:], castagnoli)
}

// frame is one decoded frame; body aliases what it was decoded from.
type frame struct {
	kind    byte
	index   uint64
	durable uint64
	body    []byte
}

// sealFrame fills in the header of a frame of which the body already stands behind the header's place.
func sealFrame(bytes []byte, seed uint32, kind byte, index, durable uint64) {
	bytes[4] = kind
	binary.LittleEndian.PutUint64(bytes[5:], index)
	binary.LittleEndian.PutUint64(bytes[13:], durable)
	binary.LittleEndian.PutUint32(bytes, crc32.Update(seed, castagnoli, bytes[4:]))
}

// appendRecord packs one record behind others.
func appendRecord(bytes, body []byte) []byte {
	bytes = binary.AppendUvarint(bytes, uint64(len(body)))
	return append(bytes, body...)
}

func uvarintBytes(value uint64) int {
	n := 1
	for value >= 0x80 {
		value >>= 7
		n++
	}
	return n
}

// entryBytes is what a frame of the given size occupies in a segment.
func entryBytes(size int) int64 { return int64(uvarintBytes(uint64(size)) + size) }

// appendEntry frames bytes the way tidwall/wal's Binary format does.
func appendEntry(destination, bytes []byte) []byte {
	destination = binary.AppendUvarint(destination, uint64(len(bytes)))
	return append(destination, bytes...)
}

// Why an entry does not decode.
var (
	errEntryShort    = errors.New("entry ends early")
	errEntryLength   = errors.New("entry length is not plausible")
	errFrameHeader   = errors.New("frame header is not plausible")
	errFrameChecksum = errors.New("frame checksum does not match")
	errFrameRecords  = errors.New("records do not fill their frame")
	errFrameIndex    = errors.New("frame is out of sequence")
)

// decodeEntry reads the entry at the start of bytes and tells how many bytes it occupies.
func decodeEntry(bytes []byte, seed uint32) (frame, int, error) {
	size, n := binary.Uvarint(bytes)
	switch {
	case n == 0:
		return frame{}, 0, errEntryShort
	case n < 0 || n != uvarintBytes(size) || size < frameHeaderBytes:
		return frame{}, 0, errEntryLength
	case size > uint64(len(bytes)-n):
		return frame{}, 0, errEntryShort
	}
	f, err := decodeFrame(bytes[n:n+int(size)], seed)
	return f, n + int(size), err
}

func decodeFrame(bytes []byte, seed uint32) (frame, error) {
	f := frame{
		kind:    bytes[4],
		index:   binary.LittleEndian.Uint64(bytes[5:]),
		durable: binary.LittleEndian.Uint64(bytes[13:]),
		body:    bytes[frameHeaderBytes:],
	}
	if f.kind < kindRecords || f.kind > kindSnapshotEnd || f.durable >= f.index {
		return frame{}, errFrameHeader
	}
	if crc32.Update(seed, castagnoli, bytes[4:]) != binary.LittleEndian.Uint32(bytes) {
		return frame{}, errFrameChecksum
	}
	if _, err := f.records(nil); err != nil {
		return frame{}, err
	}
	return f, nil
}

// records feeds the records of a frame to fn, which may be nil, and counts them.
func (f frame) records(fn func(body []byte) error) (count uint64, err error) {
	if f.kind != kindRecords && f.kind != kindSnapshotBlock {
		return 0, nil
	}
	rest := f.body
	for len(rest) > 0 {
		size, n := binary.Uvarint(rest)
		if n <= 0 || size > uint64(len(rest)-n) {
			return count, errFrameRecords
		}
		end := n + int(size)
		if fn != nil {
			if err := fn(rest[n:end:end]); err != nil {
				return count, err
			}
		}
		rest = rest[end:]
		count++
	}
	if count == 0 {
		return 0, errFrameRecords
	}
	return count, nil
}

// resync looks for the first valid frame with an index of at least minimum in damaged bytes, trying each offset.
func resync(bytes []byte, seed uint32, minimum uint64) (f frame, offset, length int, found bool) {
	f, offset, length, _ = resyncPart(bytes, 0, seed, minimum)
	return f, offset, length, length > 0
}

const entryHeaderMax = binary.MaxVarintLen64 + frameHeaderBytes

// resyncPart is resync in a part of a file behind which rest bytes stand: want > 0 asks for that many bytes from offset
// on, without which what stands there cannot be judged. Frames of which the header is not plausible cost no checksum, so
// garbage is passed over quickly.
func resyncPart(bytes []byte, rest int64, seed uint32, minimum uint64) (f frame, offset, length int, want int64) {
	whole := uint64(len(bytes)) + uint64(rest)
	for offset := range bytes {
		if rest > 0 && len(bytes)-offset < entryHeaderMax {
			return frame{}, offset, 0, min(entryHeaderMax, int64(len(bytes)-offset)+rest)
		}
		size, n := binary.Uvarint(bytes[offset:])
		if n <= 0 || n != uvarintBytes(size) || size < frameHeaderBytes || size > whole-uint64(offset+n) {
			continue
		}
		at := bytes[offset+n:]
		index := binary.LittleEndian.Uint64(at[5:])
		// Each frame lost in between has taken bytes, so the index cannot have run further than they allow.
		if index < minimum || index-minimum > whole {
			continue
		}
		if size > uint64(len(at)) {
			if at[4] < kindRecords || at[4] > kindSnapshotEnd {
				continue
			}
			return frame{}, offset, 0, int64(n) + int64(size)
		}
		if f, length, err := decodeEntry(bytes[offset:], seed); err == nil {
			return f, offset, length, 0
		}
	}
	return frame{}, 0, 0, 0
}
