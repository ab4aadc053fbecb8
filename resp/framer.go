package resp

import (
	"bytes"
	"fmt"
)

// limits bounds what one client can make the framer hold.
type limits struct {
	bulk      int // bytes of one argument
	command   int // bytes of one command
	arguments int
	inline    int // bytes of one inline command
}

// headerMax is the longest "*n" or "$n" line: a sign, 19 digits and room for leading zeros.
const headerMax = 32

// protocolError is a violation of the protocol: it is answered and the connection closed.
type protocolError string

func (e protocolError) Error() string { return "ERR Protocol error: " + string(e) }

// framer cuts a byte stream into commands. It looks at each byte once: what it has learned of an unfinished command is
// kept between reads. The arguments it returns are slices of its buffer, valid until the next call of space.
type framer struct {
	buf        []byte
	start, end int // the bytes not yet returned
	pos        int // how far the unfinished command has been looked at
	remaining  int // arguments still to come; 0 between commands
	bulk       int // length of the argument under way; -1 when its header is to come
	offsets    []int
	args       [][]byte
	limits     limits
	inlineBuf  []byte
}

const readSize = 64 << 10

func newFramer(l limits) framer {
	return framer{bulk: -1, limits: l}
}

// space returns the room to read into, making some first; written tells how much of it was used.
func (f *framer) space() []byte {
	if f.start == f.end {
		f.start, f.end, f.pos = 0, 0, 0
		if cap(f.buf) > 4*readSize || f.buf == nil {
			f.buf = make([]byte, readSize)
		}
	}
	if len(f.buf)-f.end < readSize/4 {
		f.makeRoom()
	}
	return f.buf[f.end:]
}

func (f *framer) makeRoom() {
	pending := f.end - f.start
	target := f.buf
	if pending > len(f.buf)/2 {
		// Memory follows the bytes that came, never the bytes announced.
		target = make([]byte, 2*len(f.buf))
	}
	copy(target, f.buf[f.start:f.end])
	f.pos -= f.start
	for i := range f.offsets {
		f.offsets[i] -= f.start
	}
	f.buf, f.start, f.end = target, 0, pending
}

func (f *framer) written(n int) { f.end += n }

// idle tells whether no unfinished command is held.
func (f *framer) idle() bool { return f.start == f.end }

// next returns the next whole command, or nil when more bytes are needed.
func (f *framer) next() ([][]byte, error) {
	for f.remaining == 0 {
		if f.pos >= f.end {
			return nil, nil
		}
		if f.buf[f.start] != '*' {
			args, err := f.inline()
			if err != nil || args == nil {
				return nil, err
			}
			if len(args) > 0 {
				return args, nil
			}
			continue
		}
		n, ok, err := f.header("too big mbulk count string", "invalid multibulk length")
		if err != nil || !ok {
			return nil, err
		}
		if n > int64(f.limits.arguments) {
			if f.limits.arguments <= unauthenticatedArguments {
				return nil, protocolError("unauthenticated multibulk length")
			}
			return nil, protocolError("invalid multibulk length")
		}
		if n <= 0 { // ignored, as Redis does
			f.start = f.pos
			continue
		}
		f.remaining, f.offsets = int(n), f.offsets[:0]
	}
	return f.arguments()
}

// arguments goes on with the arguments of the array under way.
func (f *framer) arguments() ([][]byte, error) {
	for f.remaining > 0 {
		if f.bulk < 0 {
			if f.pos >= f.end {
				return nil, nil
			}
			if kind := f.buf[f.pos]; kind != '$' {
				return nil, protocolError(fmt.Sprintf("expected '$', got '%c'", printable(kind)))
			}
			n, ok, err := f.header("too big bulk count string", "invalid bulk length")
			if err != nil || !ok {
				return nil, err
			}
			if n < 0 || n > int64(f.limits.bulk) {
				if f.limits.bulk <= unauthenticatedBulk {
					return nil, protocolError("unauthenticated bulk length")
				}
				return nil, protocolError("invalid bulk length")
			}
			if int64(f.pos-f.start)+n > int64(f.limits.command) {
				return nil, protocolError(fmt.Sprintf("command is over %d bytes", f.limits.command))
			}
			f.bulk = int(n)
		}
		if f.end-f.pos < f.bulk+2 {
			return nil, nil
		}
		f.offsets = append(f.offsets, f.pos, f.pos+f.bulk)
		f.pos += f.bulk + 2
		f.bulk = -1
		f.remaining--
	}
	f.args = f.args[:0]
	for i := 0; i < len(f.offsets); i += 2 {
		from, to := f.offsets[i], f.offsets[i+1]
		f.args = append(f.args, f.buf[from:to:to])
	}
	f.start, f.offsets = f.pos, f.offsets[:0]
	return f.args, nil
}

func printable(b byte) byte {
	if b < 0x20 || b > 0x7e {
		return '?'
	}
	return b
}

// header reads the number of a "*n" or "$n" line at pos; ok is false while the line is unfinished.
func (f *framer) header(tooLong, invalid string) (n int64, ok bool, err error) {
	line := f.buf[f.pos:f.end]
	if len(line) > headerMax {
		line = line[:headerMax]
	}
	end := bytes.IndexByte(line, '\r')
	if end < 0 {
		if len(line) == headerMax {
			return 0, false, protocolError(tooLong)
		}
		return 0, false, nil
	}
	if f.pos+end+1 >= f.end {
		return 0, false, nil
	}
	digits := line[1:end]
	negative := len(digits) > 0 && digits[0] == '-'
	if negative {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 19 {
		return 0, false, protocolError(invalid)
	}
	for _, b := range digits {
		if b < '0' || b > '9' || n > (1<<63-1-9)/10 {
			return 0, false, protocolError(invalid)
		}
		n = n*10 + int64(b-'0')
	}
	if negative {
		n = -n
	}
	f.pos += end + 2
	return n, true, nil
}

// inline reads a command typed as a line. It returns nil while the line is unfinished and an empty slice for a blank one.
func (f *framer) inline() ([][]byte, error) {
	at := bytes.IndexByte(f.buf[f.pos:f.end], '\n')
	if at < 0 {
		f.pos = f.end
		if f.end-f.start > f.limits.inline {
			return nil, protocolError("too big inline request")
		}
		return nil, nil
	}
	line := f.buf[f.start : f.pos+at]
	f.pos += at + 1
	f.start = f.pos
	if len(line) > f.limits.inline {
		return nil, protocolError("too big inline request")
	}
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	var ok bool
	f.args, f.inlineBuf, ok = splitLine(line, f.args[:0], f.inlineBuf[:0])
	if !ok {
		return nil, protocolError("unbalanced quotes in request")
	}
	if len(f.args) > f.limits.arguments {
		return nil, protocolError("too many arguments in an inline request")
	}
	if f.args == nil {
		f.args = [][]byte{}
	}
	return f.args, nil
}

// splitLine cuts a line into words as a shell does: "..." with the escapes \n \r \t \b \a \xHH, '...' with \' only. The
// words are slices of buf.
func splitLine(line []byte, args [][]byte, buf []byte) ([][]byte, []byte, bool) {
	if cap(buf) < len(line) {
		buf = make([]byte, 0, len(line)) // words never grow, so earlier slices stay valid
	}
	i := 0
	for {
		for i < len(line) && space(line[i]) {
			i++
		}
		if i >= len(line) {
			return args, buf, true
		}
		from := len(buf)
		var quote byte
		for ; ; i++ {
			if i >= len(line) {
				if quote != 0 {
					return args, buf, false
				}
				break
			}
			b := line[i]
			switch {
			case quote == '"' && b == '\\' && i+3 < len(line) && line[i+1] == 'x' && hexDigit(line[i+2]) >= 0 && hexDigit(line[i+3]) >= 0:
				buf = append(buf, byte(hexDigit(line[i+2])<<4|hexDigit(line[i+3])))
				i += 3
				continue
			case quote == '"' && b == '\\' && i+1 < len(line):
				i++
				buf = append(buf, unescape(line[i]))
				continue
			case quote == '\'' && b == '\\' && i+1 < len(line) && line[i+1] == '\'':
				i++
				buf = append(buf, '\'')
				continue
			case quote != 0 && b == quote:
				// A closing quote must be followed by a space or the end.
				if i+1 < len(line) && !space(line[i+1]) {
					return args, buf, false
				}
				quote = 0
				i++
			case quote != 0:
				buf = append(buf, b)
				continue
			case space(b):
			case b == '"' || b == '\'':
				quote = b
				continue
			default:
				buf = append(buf, b)
				continue
			}
			break
		}
		args = append(args, buf[from:len(buf):len(buf)])
	}
}

func space(b byte) bool { return b == ' ' || (b >= '\t' && b <= '\r') || b == 0 }

func unescape(b byte) byte {
	switch b {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'a':
		return '\a'
	}
	return b
}

func hexDigit(b byte) int {
	switch {
	case b >= '0' && b <= '9':
		return int(b - '0')
	case b >= 'a' && b <= 'f':
		return int(b-'a') + 10
	case b >= 'A' && b <= 'F':
		return int(b-'A') + 10
	}
	return -1
}
