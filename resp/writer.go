package resp

import (
	"math"
	"strconv"

	"github.com/tidwall/redcon"
)

// Writer builds replies in one buffer, in the shapes of the connection's protocol version. Containers are announced
// with their element count and filled by the calls that follow.
type Writer struct {
	buf   []byte
	proto int
}

// NewWriter returns a writer for protocol 2 or 3.
func NewWriter(proto int) *Writer { return &Writer{proto: proto} }

// Proto is 2 or 3.
func (w *Writer) Proto() int { return w.proto }

// SetProto changes the shapes of what is written from now on.
func (w *Writer) SetProto(proto int) { w.proto = proto }

// Len is the number of bytes written and not yet taken.
func (w *Writer) Len() int { return len(w.buf) }

// Bytes is what was written; it is valid until the next call.
func (w *Writer) Bytes() []byte { return w.buf }

// Truncate drops what was written after the first n bytes.
func (w *Writer) Truncate(n int) { w.buf = w.buf[:n] }

// Reset empties the buffer, keeping its memory unless it has grown past keep bytes.
func (w *Writer) Reset(keep int) {
	if cap(w.buf) > keep {
		w.buf = nil
		return
	}
	w.buf = w.buf[:0]
}

func (w *Writer) Raw(b []byte)          { w.buf = append(w.buf, b...) }
func (w *Writer) OK()                   { w.buf = append(w.buf, "+OK\r\n"...) }
func (w *Writer) SimpleString(s string) { w.buf = redcon.AppendString(w.buf, s) }

// Error writes an error whose first word is its code; line breaks become spaces.
func (w *Writer) Error(text string)   { w.buf = redcon.AppendError(w.buf, text) }
func (w *Writer) Int(n int64)         { w.buf = redcon.AppendInt(w.buf, n) }
func (w *Writer) Bulk(b []byte)       { w.buf = redcon.AppendBulk(w.buf, b) }
func (w *Writer) BulkString(s string) { w.buf = redcon.AppendBulkString(w.buf, s) }
func (w *Writer) BulkInt(n int64)     { w.buf = redcon.AppendBulkInt(w.buf, n) }
func (w *Writer) Array(n int)         { w.buf = redcon.AppendArray(w.buf, n) }

// BulkUint writes an unsigned number as a bulk string, as ids are sent.
func (w *Writer) BulkUint(n uint64) {
	var digits [20]byte
	w.Bulk(strconv.AppendUint(digits[:0], n, 10))
}

// Null is "no value" where a string was due: $-1, or _ in RESP3.
func (w *Writer) Null() {
	if w.proto >= 3 {
		w.buf = append(w.buf, "_\r\n"...)
		return
	}
	w.buf = append(w.buf, "$-1\r\n"...)
}

// NullArray is "no value" where an array was due: *-1, or _ in RESP3.
func (w *Writer) NullArray() {
	if w.proto >= 3 {
		w.buf = append(w.buf, "_\r\n"...)
		return
	}
	w.buf = append(w.buf, "*-1\r\n"...)
}

// Map announces n pairs: a map in RESP3, a flat array of 2n elements in RESP2.
func (w *Writer) Map(n int) {
	if w.proto >= 3 {
		w.header('%', n)
		return
	}
	w.Array(2 * n)
}

// Set announces n elements: a set in RESP3, an array in RESP2.
func (w *Writer) Set(n int) {
	if w.proto >= 3 {
		w.header('~', n)
		return
	}
	w.Array(n)
}

// Push announces an out-of-band message of n elements: a push in RESP3, an array in RESP2.
func (w *Writer) Push(n int) {
	if w.proto >= 3 {
		w.header('>', n)
		return
	}
	w.Array(n)
}

// Double is a double in RESP3 and its text in RESP2.
func (w *Writer) Double(f float64) {
	text := FormatFloat(f)
	if w.proto >= 3 {
		w.buf = append(w.buf, ',')
		w.buf = append(w.buf, text...)
		w.buf = append(w.buf, '\r', '\n')
		return
	}
	w.BulkString(text)
}

// Bool is a boolean in RESP3 and 1 or 0 in RESP2.
func (w *Writer) Bool(b bool) {
	switch {
	case w.proto >= 3 && b:
		w.buf = append(w.buf, "#t\r\n"...)
	case w.proto >= 3:
		w.buf = append(w.buf, "#f\r\n"...)
	case b:
		w.Int(1)
	default:
		w.Int(0)
	}
}

// Verbatim is plain text for people: a verbatim string of format txt in RESP3, a bulk string in RESP2.
func (w *Writer) Verbatim(text string) {
	if w.proto >= 3 {
		w.header('=', len(text)+4)
		w.buf = append(w.buf, "txt:"...)
		w.buf = append(w.buf, text...)
		w.buf = append(w.buf, '\r', '\n')
		return
	}
	w.BulkString(text)
}

func (w *Writer) header(kind byte, n int) {
	w.buf = append(w.buf, kind)
	w.buf = strconv.AppendInt(w.buf, int64(n), 10)
	w.buf = append(w.buf, '\r', '\n')
}

// FormatFloat writes a float as Redis does: 17 significant digits at most, no exponent for everyday sizes, inf and nan by name.
func FormatFloat(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case math.IsNaN(f):
		return "nan"
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}
