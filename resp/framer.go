package resp

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unsafe"
)

// ProtocolError is what a client is told before it is disconnected for bytes that are not RESP or over a limit.
type ProtocolError struct{ Text string }

func (e *ProtocolError) Error() string { return "ERR Protocol error: " + e.Text }

var (
	errMultibulkHeader         = &ProtocolError{"too big mbulk count string"}
	errMultibulkLength         = &ProtocolError{"invalid multibulk length"}
	errMultibulkStranger       = &ProtocolError{"unauthenticated multibulk length"}
	errBulkHeader              = &ProtocolError{"too big bulk count string"}
	errBulkLength              = &ProtocolError{"invalid bulk length"}
	errBulkStranger            = &ProtocolError{"unauthenticated bulk length"}
	errBulkEnd                 = &ProtocolError{"expected CRLF after bulk"}
	errInlineTooBig            = &ProtocolError{"too big inline request"}
	errInlineQuotes            = &ProtocolError{"unbalanced quotes in request"}
	errHTTP                    = errors.New("a browser or an HTTP client was tricked into sending a request here")
	errMemory                  = errors.New("ERR the memory for all connections is used up, and this one holds the most of it")
	errFramerBroken      error = &ProtocolError{"connection is closing"}
)

// RefusedError answers a command that is over a limit. It was read past, and the connection goes on.
type RefusedError struct{ Text string }

func (e *RefusedError) Error() string { return e.Text }

// A length up to these is taken for one, and what it announces is read past when it is over a limit; beyond, it is no RESP.
const (
	skippedBulkMax      = 4 << 30
	skippedArgumentsMax = math.MaxInt32
)

// headerMax is the longest header line, type byte and CR included.
const headerMax = 32

// framer cuts a stream of bytes into commands. It keeps its place between reads, so that a command that comes byte by byte
// costs no more than one that comes whole. Bytes are read into room and announced with filled; next is then called
// until it has no more. A command over a limit is read past without being kept. Arguments alias the read buffer and hold until the next
// call of room.
//
//	buf:  ... done ... |start  *2 $3 SET $5 he|end   free
//	                              pos ->   ^ arguments so far are in spans, relative to start
type framer struct {
	maxBulk, maxBuffer, maxArguments, maxInline int
	trusted                                     bool // the client is authenticated

	buf             []byte
	start, pos, end int
	spans           []span
	args            [][]byte
	most            int           // arguments of a command since the buffer was lent
	missing         int           // arguments still to come; 0 between commands
	bulk            int           // announced length of the argument that is coming, or -1
	scanned         int           // bytes of the inline command, from start, known to hold no line feed
	refused         *RefusedError // the command that is coming is read past and answered with this
	failed          error

	lent    bool   // buf belongs to an event loop
	own     []byte // where what was left was kept while nothing was lent
	busy    bool   // the small buffer has lately been too small
	wasFull bool   // the last read filled the buffer: a bigger one would save reads
	quiet   int    // reads in a row that would have fitted in the smallest buffer
}

type span struct{ from, to int }

func newFramer(o *Options) framer {
	return framer{maxBulk: o.BulkMax, maxBuffer: o.QueryBufferMax, maxArguments: o.ArgumentsMax, maxInline: o.InlineMax, bulk: -1}
}

// next returns the next complete command; nil means that more bytes are needed. An error is final, but for a *RefusedError.
func (f *framer) next() ([][]byte, error) {
	if f.failed != nil {
		return nil, f.failed
	}
	args, err := f.frame()
	if err != nil {
		if _, refused := err.(*RefusedError); !refused {
			f.failed = errFramerBroken
		}
	}
	return args, err
}

func (f *framer) frame() ([][]byte, error) {
	for f.missing == 0 {
		if f.pos == f.end {
			return nil, nil
		}
		if f.buf[f.pos] != '*' {
			args, complete, err := f.inline()
			if err != nil || !complete || len(args) > 0 {
				return args, err
			}
			continue // an empty line
		}
		n, complete, err := f.number(errMultibulkHeader, errMultibulkLength)
		if err != nil || !complete {
			return nil, err
		}
		switch {
		case n <= 0:
			f.start = f.pos // *0 and *-1 are no command
			continue
		case n > skippedArgumentsMax:
			return nil, errMultibulkLength
		case n > unauthenticatedArguments && !f.trusted:
			return nil, errMultibulkStranger
		}
		f.missing = int(n)
		f.spans = f.spans[:0]
		if n > int64(f.maxArguments) {
			f.skip(fmt.Sprintf("ERR a command of %d arguments is over the limit of %d", n, f.maxArguments))
		}
	}
	return f.arguments()
}

// skip has what has come of this command dropped and its rest read past; text is its answer. It returns false when there is no
// command whose length is known.
func (f *framer) skip(text string) bool {
	if f.missing == 0 {
		return false
	}
	f.refused = &RefusedError{text}
	f.spans, f.args = nil, nil
	if f.bulk >= 0 { // of an argument that is coming
		f.start = min(f.pos+f.bulk, f.end)
		f.bulk -= f.start - f.pos
		f.pos = f.start
	}
	f.start = f.pos
	if rest := f.buf[f.start:f.end]; len(f.buf) > readBufferMax && len(rest) < readBufferMax {
		f.buf = make([]byte, readBufferMax)
		f.start, f.pos, f.end = 0, 0, copy(f.buf, rest)
	}
	return true
}

// readPast is arguments for a command that is refused: nothing of it stays in the buffer.
func (f *framer) readPast() ([][]byte, error) {
	for f.missing > 0 {
		if f.bulk < 0 {
			complete, err := f.bulkHeader()
			if err != nil || !complete {
				return nil, err
			}
		}
		n := min(f.bulk, f.end-f.pos)
		f.pos += n
		f.bulk -= n
		f.start = f.pos
		if f.end-f.pos < 2 {
			return nil, nil
		}
		if f.buf[f.pos] != '\r' || f.buf[f.pos+1] != '\n' {
			return nil, errBulkEnd
		}
		f.pos += 2
		f.start = f.pos
		f.bulk = -1
		f.missing--
	}
	refused := f.refused
	f.refused = nil
	return nil, refused
}

// arguments collects the bulk strings of a command whose header was read.
func (f *framer) arguments() ([][]byte, error) {
	for f.missing > 0 {
		if f.refused != nil {
			return f.readPast()
		}
		if f.bulk < 0 {
			complete, err := f.bulkHeader()
			if err != nil || !complete {
				return nil, err
			}
			if f.refused != nil {
				continue
			}
		}
		to := f.pos + f.bulk
		if f.end < to+2 {
			return nil, nil
		}
		if f.buf[to] != '\r' || f.buf[to+1] != '\n' {
			return nil, errBulkEnd // Redis would skip the two bytes unseen and go on out of step
		}
		if len(f.spans) == cap(f.spans) { // doubled, whatever their number
			f.spans = slices.Grow(f.spans, max(len(f.spans), 4))
		}
		f.spans = append(f.spans, span{f.pos - f.start, to - f.start})
		f.pos = to + 2
		f.bulk = -1
		f.missing--
	}
	args := slices.Grow(f.args[:0], len(f.spans))
	command := f.buf[f.start:f.pos]
	for _, s := range f.spans {
		args = append(args, command[s.from:s.to:s.to])
	}
	f.args = args
	f.most = max(f.most, len(args))
	f.start = f.pos
	return args, nil
}

func (f *framer) bulkHeader() (complete bool, err error) {
	if f.pos == f.end {
		return false, nil
	}
	if got := f.buf[f.pos]; got != '$' {
		return false, &ProtocolError{"expected '$', got '" + string([]byte{got}) + "'"}
	}
	n, complete, err := f.number(errBulkHeader, errBulkLength)
	if err != nil || !complete {
		return false, err
	}
	switch {
	case n < 0 || n > skippedBulkMax:
		return false, errBulkLength
	case n > unauthenticatedBulk && !f.trusted:
		return false, errBulkStranger
	}
	f.bulk = int(n)
	switch {
	case f.refused != nil:
		f.start = f.pos
	case n > int64(f.maxBulk):
		f.skip(fmt.Sprintf("ERR an argument of %d bytes is over proto-max-bulk-len, which is %d", n, f.maxBulk))
	case int64(f.pos-f.start)+n > int64(f.maxBuffer):
		f.skip(fmt.Sprintf("ERR the command is over client-query-buffer-limit, which is %d bytes", f.maxBuffer))
	}
	return true, nil
}

// number reads a header line from its type byte at pos and, once it is complete, moves past it.
func (f *framer) number(tooBig, invalid error) (n int64, complete bool, err error) {
	line := f.buf[f.pos:f.end]
	for i := 1; i < len(line) && i <= 18; i++ {
		digit := line[i] - '0'
		if digit <= 9 {
			n = n*10 + int64(digit)
			continue
		}
		if line[i] == '\r' && i > 1 && i+1 < len(line) && line[i+1] == '\n' && (line[1] != '0' || i == 2) {
			f.pos += i + 2
			return n, true, nil
		}
		break
	}
	return f.oddNumber(line, tooBig, invalid)
}

// oddNumber is number for lines that are incomplete, negative or wrong.
func (f *framer) oddNumber(line []byte, tooBig, invalid error) (n int64, complete bool, err error) {
	end := bytes.IndexByte(line[:min(len(line), headerMax)], '\r')
	if end < 0 {
		if len(line) >= headerMax {
			return 0, false, tooBig
		}
		return 0, false, nil
	}
	if end+1 == len(line) {
		return 0, false, nil
	}
	text := string(line[1:end])
	digits := strings.TrimPrefix(text, "-")
	canonical := digits == "0" && text == "0" || digits != "" && digits[0] >= '1' && digits[0] <= '9'
	if !canonical || line[end+1] != '\n' {
		return 0, false, invalid
	}
	if n, err = strconv.ParseInt(text, 10, 64); err != nil {
		return 0, false, invalid
	}
	f.pos += end + 2
	return n, true, nil
}

// inline reads a command that is one line of words. An empty line is complete and has no arguments.
func (f *framer) inline() (args [][]byte, complete bool, err error) {
	limit := f.maxInline
	if !f.trusted {
		limit = min(limit, unauthenticatedBulk)
	}
	data := f.buf[f.start:f.end]
	feed := bytes.IndexByte(data[f.scanned:], '\n')
	if feed < 0 {
		f.scanned = len(data)
		if len(data) > limit {
			return nil, false, errInlineTooBig
		}
		return nil, false, nil
	}
	feed += f.scanned
	if feed > limit {
		return nil, false, errInlineTooBig
	}
	f.scanned = 0
	f.start += feed + 1
	f.pos = f.start
	line := bytes.TrimSuffix(data[:feed:feed], []byte{'\r'})
	if f.args, err = splitWords(f.args[:0], line); err != nil {
		return nil, false, err
	}
	f.most = max(f.most, len(f.args))
	switch {
	case isHTTP(f.args):
		return nil, false, errHTTP
	case len(f.args) > unauthenticatedArguments && !f.trusted:
		return nil, false, errMultibulkStranger
	case len(f.args) > f.maxArguments:
		return nil, false, errMultibulkLength
	}
	return f.args, true, nil
}

// isHTTP knows the first lines by which a browser could be made to talk to this port: a request line, or the header
// that follows one.
func isHTTP(args [][]byte) bool {
	if len(args) == 0 {
		return false
	}
	switch len(args[0]) {
	case 3:
		return len(args) == 3 && bytes.EqualFold(args[0], []byte("get")) && bytes.HasPrefix(args[2], []byte("HTTP/"))
	case 4:
		return bytes.EqualFold(args[0], []byte("post"))
	case 5:
		return bytes.EqualFold(args[0], []byte("host:"))
	}
	return false
}

// splitWords cuts an inline command as Redis does: words between blanks, "double quotes" with \n \r \t \b \a \xHH and
// \any, 'single quotes' with \'; a closing quote must end its word; a zero byte ends the line. Words that need decoding are decoded
// in place: the result is never longer than the source.
func splitWords(args [][]byte, line []byte) ([][]byte, error) {
	if zero := bytes.IndexByte(line, 0); zero >= 0 {
		line = line[:zero]
	}
	for at := 0; ; {
		for at < len(line) && isBlank(line[at]) {
			at++
		}
		if at == len(line) {
			return args, nil
		}
		word := line[at:at:len(line)]
		var quote byte
		ended := false
		for !ended {
			if at == len(line) {
				if quote != 0 {
					return nil, errInlineQuotes
				}
				break
			}
			b := line[at]
			at++
			switch {
			case quote == 0:
				switch b {
				case ' ', '\n', '\r', '\t':
					ended = true
				case '"', '\'':
					quote = b
				default:
					word = append(word, b)
				}
			case b == quote:
				if at < len(line) && !isBlank(line[at]) {
					return nil, errInlineQuotes
				}
				ended = true
			case b == '\\' && quote == '"' && at < len(line):
				decoded, length := unescape(line[at:])
				word = append(word, decoded)
				at += length
			case b == '\\' && quote == '\'' && at < len(line) && line[at] == '\'':
				word = append(word, '\'')
				at++
			default:
				word = append(word, b)
			}
		}
		args = append(args, word[:len(word):len(word)])
	}
}

// unescape decodes what follows a backslash and says how many bytes that was.
func unescape(rest []byte) (decoded byte, length int) {
	if rest[0] == 'x' && len(rest) >= 3 {
		if v, err := strconv.ParseUint(string(rest[1:3]), 16, 8); err == nil {
			return byte(v), 3
		}
	}
	switch rest[0] {
	case 'n':
		return '\n', 1
	case 'r':
		return '\r', 1
	case 't':
		return '\t', 1
	case 'b':
		return '\b', 1
	case 'a':
		return '\a', 1
	}
	return rest[0], 1
}

func isBlank(b byte) bool { return b == ' ' || b >= '\t' && b <= '\r' }

// giveRoom gives the room for the places of arguments, which is needed only while a command is under way.
func (f *framer) giveRoom() (spans []span, args [][]byte) {
	if f.most == 0 { // they point to nothing
		args, f.args = f.args, nil
	}
	if f.missing == 0 {
		spans, f.spans = f.spans, nil
	}
	return spans, args
}

// partial tells whether a command has begun and is not complete.
func (f *framer) partial() bool { return f.start < f.end || f.missing > 0 }

// room returns where to read the next bytes. The buffer starts small, goes to its working size once a read fills it,
// grows geometrically for a command that does not fit, and goes back when it is not needed.
func (f *framer) room() []byte {
	if f.start == f.end {
		f.start, f.pos, f.end = 0, 0, 0
		if !f.lent {
			f.fit()
		}
	}
	if f.wasFull && len(f.buf) < readBufferMax {
		f.grow(readBufferMax)
	}
	f.wasFull = false
	if f.start > 0 && len(f.buf)-f.end < len(f.buf)/2 {
		copy(f.buf, f.buf[f.start:f.end])
		f.pos -= f.start
		f.end -= f.start
		f.start = 0
	}
	if f.end == len(f.buf) {
		f.grow(max(2*len(f.buf), readBufferMin))
	}
	return f.buf[f.end:]
}

// fit gives an empty buffer the size that the last reads ask for.
func (f *framer) fit() {
	if len(f.buf) > 4*readBufferMax || len(f.buf) > readBufferMin && f.quiet > quietMax {
		f.buf = make([]byte, readBufferMin)
		f.spans, f.args = nil, nil
	}
}

// grow makes the buffer size bytes long, or as long as the argument that is coming needs if that is less.
func (f *framer) grow(size int) {
	if f.bulk >= 0 {
		if need := f.pos + f.bulk + 2; need > len(f.buf) && size > readBufferMax {
			size = min(size, need)
		}
	}
	larger := make([]byte, size)
	copy(larger, f.buf[:f.end])
	f.buf = larger
}

// memory is what the buffer and the places of the arguments take.
func (f *framer) memory() int {
	return len(f.buf) + cap(f.spans)*int(unsafe.Sizeof(span{})) + cap(f.args)*int(unsafe.Sizeof([]byte{}))
}

// filled announces n bytes read into room.
func (f *framer) filled(n int) {
	f.end += n
	f.wasFull = f.end == len(f.buf)
	if f.end <= readBufferMin {
		f.quiet++
	} else {
		f.quiet = 0
	}
}

// feed copies data in, as if it had been read.
func (f *framer) feed(data []byte) {
	for len(data) > 0 {
		n := copy(f.room(), data)
		f.filled(n)
		data = data[n:]
	}
}

// restMax is up to how many bytes are kept in a buffer of their own when a lent one is given back.
const restMax = 1 << 10

// quietMax is after how many reads in a row that a small buffer would have held a large one is given up.
const quietMax = 64

// argumentsKept is for how many arguments room is kept between commands.
const argumentsKept = 1024

// wants tells how large a buffer the framer is to borrow for what comes next; 0 when its own will do.
func (f *framer) wants() int {
	size := readBufferMin
	if f.busy || f.end-f.start > readBufferMin/2 {
		size = readBufferMax
	}
	if len(f.buf) >= size {
		return 0
	}
	return size
}

// borrow frames in buf, which is as large as wants asks for, until giveBack.
func (f *framer) borrow(buf []byte) {
	rest := copy(buf, f.buf[f.start:f.end])
	f.pos -= f.start
	f.start, f.end = 0, rest
	f.own, f.buf, f.lent = f.buf, buf, true
}

// giveBack returns a buffer that is not needed for now. What little is left in it is kept elsewhere, what is much keeps the
// buffer.
func (f *framer) giveBack() []byte {
	f.lent = false
	switch {
	case f.quiet > quietMax:
		f.busy = false
	case f.wasFull:
		f.busy = true
	}
	rest := f.buf[f.start:f.end]
	if len(rest) > restMax {
		return nil
	}
	buf := f.buf
	f.buf = nil
	if len(rest) > 0 {
		f.buf = append(f.own[:0], rest...)
	}
	f.own = nil
	f.pos -= f.start
	f.start, f.end = 0, len(rest)
	if f.missing == 0 && cap(f.spans) > argumentsKept { // else they are the places of what has come of a command
		f.spans = nil
	}
	if cap(f.args) > argumentsKept {
		f.args = nil
	} else {
		clear(f.args[:min(f.most, cap(f.args))]) // they would keep a buffer that the loop gives up, or one that grew for a large command
	}
	f.most = 0
	return buf
}
