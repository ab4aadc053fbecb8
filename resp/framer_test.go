package resp

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/tidwall/redcon"
)

// frameAll feeds input in chunks whose sizes chunk chooses and returns the commands and the error that ended them.
func frameAll(input []byte, trusted bool, chunk func(left int) int) (commands [][]string, err error) {
	o := Options{}.withDefaults()
	f := newFramer(&o)
	f.trusted = trusted
	for {
		for {
			args, err := f.next()
			if refused, ok := err.(*RefusedError); ok {
				commands = append(commands, []string{refused.Text})
				continue
			}
			if err != nil {
				return commands, err
			}
			if args == nil {
				break
			}
			command := []string{}
			for _, arg := range args {
				command = append(command, string(arg))
			}
			commands = append(commands, command)
		}
		if len(input) == 0 {
			return commands, nil
		}
		n := copy(f.room(), input[:chunk(len(input))])
		f.filled(n)
		input = input[n:]
	}
}

func whole(left int) int { return left }
func bytewise(int) int   { return 1 }

func TestFramerVectors(t *testing.T) {
	long := strings.Repeat("a", 70<<10)
	for _, test := range []struct {
		input string
		want  [][]string
		err   string
	}{
		{"*1\r\n$4\r\nPING\r\n", [][]string{{"PING"}}, ""},
		{"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n*1\r\n$1\r\nx\r\n", [][]string{{"ECHO", ""}, {"x"}}, ""},
		{"*0\r\n*-1\r\n*-9223372036854775808\r\n\r\n\n   \r\nPING\r\n", [][]string{{"PING"}}, ""},
		{"*2\r\n$3\r\nGET\r\n$4\r\n\r\n\x00\xff\r\n", [][]string{{"GET", "\r\n\x00\xff"}}, ""},
		{"SET  key\tvalue \r\nGET key\n", [][]string{{"SET", "key", "value"}, {"GET", "key"}}, ""},
		{`SET "a b\x41\n\r\t\a\b\q\"" 'it\'s \n'` + "\r\n", [][]string{{"SET", "a bA\n\r\t\a\bq\"", `it's \n`}}, ""},
		{`SET "\x4" x"y" ""` + "\r\n", [][]string{{"SET", "x4", "xy", ""}}, ""},
		{"PING\x00 more\r\n", [][]string{{"PING"}}, ""},
		{"PING\r\nSET \"foo\"bar\r\n", [][]string{{"PING"}}, "ERR Protocol error: unbalanced quotes in request"},
		{"SET 'foo\r\n", nil, "ERR Protocol error: unbalanced quotes in request"},
		{"*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nSET\r\n:1\r\n", [][]string{{"PING"}}, "ERR Protocol error: expected '$', got ':'"},
		{"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n", nil, "ERR Protocol error: expected '$', got 'f'"},
		{"*1\r\n$-1\r\n", nil, "ERR Protocol error: invalid bulk length"},
		{"*1\r\n$-2\r\n", nil, "ERR Protocol error: invalid bulk length"},
		{"*1\r\n$blabla\r\n", nil, "ERR Protocol error: invalid bulk length"},
		{"*1\r\n$+3\r\nabc\r\n", nil, "ERR Protocol error: invalid bulk length"},
		{"*1\r\n$03\r\nabc\r\n", nil, "ERR Protocol error: invalid bulk length"},
		{"*1\r\n$4294967297\r\n", nil, "ERR Protocol error: invalid bulk length"},
		{"*1\r\n$2000000000\r\n", nil, ""}, // it is read past
		{"*1\r\n$9223372036854775807\r\nxx", nil, "ERR Protocol error: invalid bulk length"},
		{"*1\r\n$99999999999999999999999\r\n", nil, "ERR Protocol error: invalid bulk length"},
		{"*1\r\n$3\r\nabcde", nil, "ERR Protocol error: expected CRLF after bulk"},
		{"*3000000000\r\n", nil, "ERR Protocol error: invalid multibulk length"},
		{"*9223372036854775807\r\n", nil, "ERR Protocol error: invalid multibulk length"},
		{"*2147483648\r\n", nil, "ERR Protocol error: invalid multibulk length"},
		{"*1048577\r\n", nil, ""},
		{"*\r\n", nil, "ERR Protocol error: invalid multibulk length"},
		{"*blabla\r\n", nil, "ERR Protocol error: invalid multibulk length"},
		{"*-0\r\n", nil, "ERR Protocol error: invalid multibulk length"},
		{"*1\rx", nil, "ERR Protocol error: invalid multibulk length"},
		{"*" + long, nil, "ERR Protocol error: too big mbulk count string"},
		{"*1\r\n$" + long, nil, "ERR Protocol error: too big bulk count string"},
		{long, nil, "ERR Protocol error: too big inline request"},
		{long + "\r\n", nil, "ERR Protocol error: too big inline request"},
		{"PING\r\nPOST / HTTP/1.1\r\nHost: x\r\n\r\nSET a b\r\n", [][]string{{"PING"}}, errHTTP.Error()},
		{"GET / HTTP/1.1\r\n", nil, errHTTP.Error()},
		{"Host: x\r\n", nil, errHTTP.Error()},
		{"GET / \r\n", [][]string{{"GET", "/"}}, ""},
		{"*1\r\n$4\r\nPI", nil, ""},
	} {
		random := func(left int) int { return 1 + rand.IntN(min(left, 9)) }
		for name, chunk := range map[string]func(int) int{"whole": whole, "bytewise": bytewise, "random": random} {
			got, err := frameAll([]byte(test.input), true, chunk)
			text := ""
			if err != nil {
				text = err.Error()
			}
			if !reflect.DeepEqual(got, test.want) || text != test.err {
				t.Errorf("%.40q %s: got %q, %q; want %q, %q", test.input, name, got, text, test.want, test.err)
			}
		}
	}
}

func TestFramerBeforeAuth(t *testing.T) {
	for input, want := range map[string]error{
		"*11\r\n":                                 errMultibulkStranger,
		"*2\r\n$4\r\nAUTH\r\n$16385\r\n":          errBulkStranger,
		strings.Repeat("a", 16<<10+1):             errInlineTooBig,
		"a b c d e f g h i j k\r\n":               errMultibulkStranger,
		"*10\r\n":                                 nil,
		"*2\r\n$4\r\nAUTH\r\n$16384\r\n" + "xxxx": nil,
	} {
		if _, err := frameAll([]byte(input), false, bytewise); err != want {
			t.Errorf("%.30q: %v, want %v", input, err, want)
		}
	}
}

// TestFramerMemory: a size announced costs nothing, and a big command is not remembered.
func TestFramerMemory(t *testing.T) {
	o := Options{}.withDefaults()
	f := newFramer(&o)
	f.trusted = true
	f.feed([]byte("*65536\r\n$33554432\r\nabc"))
	if args, err := f.next(); args != nil || err != nil {
		t.Fatal(args, err)
	}
	if f.room(); len(f.buf) > readBufferMax || cap(f.spans) > 16 {
		t.Fatalf("announcing took %d bytes and %d spans", len(f.buf), cap(f.spans))
	}
	f = newFramer(&o)
	f.trusted = true
	f.feed([]byte("*1\r\n$10000000\r\n"))
	for left := 10_000_002; left > 0; {
		if args, err := f.next(); args != nil || err != nil {
			t.Fatal("a command before its end", err)
		}
		n := min(left, len(f.room()))
		copy(f.room(), bytes.Repeat([]byte("x"), n)[:n])
		if left == n {
			copy(f.buf[f.end+n-2:], "\r\n")
		}
		f.filled(n)
		left -= n
	}
	args, err := f.next()
	if err != nil || len(args) != 1 || len(args[0]) != 10_000_000 {
		t.Fatal(len(args), err)
	}
	if len(f.buf) > 2*10_000_000 {
		t.Fatalf("buffer of %d bytes", len(f.buf))
	}
	if f.room(); len(f.buf) > readBufferMax {
		t.Fatalf("still %d bytes", len(f.buf))
	}
}

func TestFramerDoesNotAllocate(t *testing.T) {
	o := Options{}.withDefaults()
	f := newFramer(&o)
	f.trusted = true
	batch := bytes.Repeat([]byte("*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\nGET key\r\n"), 100)
	run := func() {
		f.feed(batch)
		for args, err := f.next(); args != nil; args, err = f.next() {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	run()
	run()
	f.quiet = 0
	if n := testing.AllocsPerRun(50, run); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzFramer(f *testing.F) {
	for _, seed := range []string{
		"*1\r\n$4\r\nPING\r\n", "SET \"a\\x41\" 'b'\r\n", "*0\r\n*2\r\n$1\r\na\r\n$2\r\nbc\r\n", "*1\r\n$9223372036854775807\r\nxx", "GET / HTTP/1.1\r\n",
	} {
		f.Add([]byte(seed), uint64(1))
	}
	f.Fuzz(func(t *testing.T, input []byte, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 1))
		want, wantErr := frameAll(input, true, whole)
		for _, chunk := range []func(int) int{bytewise, func(left int) int { return 1 + random.IntN(left) }} {
			got, err := frameAll(input, true, chunk)
			same := err == wantErr || err != nil && wantErr != nil && err.Error() == wantErr.Error()
			if !reflect.DeepEqual(got, want) || !same {
				t.Fatalf("chunks change the result: %q, %v; whole %q, %v", got, err, want, wantErr)
			}
		}
		// What we take as RESP arrays is a dialect that redcon knows too.
		if wantErr == nil && len(want) > 0 {
			for _, command := range want {
				encoded := redcon.AppendArray(nil, len(command))
				for _, arg := range command {
					encoded = redcon.AppendBulkString(encoded, arg)
				}
				complete, args, _, left, err := redcon.ReadNextCommand(encoded, nil)
				if err != nil || !complete || len(left) > 0 || len(args) != len(command) {
					t.Fatalf("redcon: %q, %v, %v, %q", args, complete, err, left)
				}
				again, err := frameAll(encoded, true, bytewise)
				if err != nil || len(again) != 1 || !reflect.DeepEqual(again[0], command) {
					t.Fatalf("framed again: %q, %v; was %q", again, err, command)
				}
			}
		}
		if wantErr == nil && bytes.HasPrefix(input, []byte("*")) && len(want) > 0 && input[1] >= '1' && input[1] <= '9' {
			_, args, _, _, err := redcon.ReadNextCommand(input, nil)
			if err != nil || len(args) != len(want[0]) {
				t.Fatalf("redcon reads %q, %v where we read %q", args, err, want[0])
			}
			for i := range args {
				if string(args[i]) != want[0][i] {
					t.Fatalf("redcon reads %q where we read %q", args, want[0])
				}
			}
		}
	})
}

func TestProtocolErrorIsTyped(t *testing.T) {
	_, err := frameAll([]byte("*x\r\n"), true, whole)
	var protocol *ProtocolError
	if !errors.As(err, &protocol) || protocol.Text != "invalid multibulk length" {
		t.Fatal(err)
	}
}

// TestALentBufferComesBackBetweenArguments: what has come of a command is kept when the buffer is given back, also behind one with
// so many arguments that the room for them is not kept; and nothing keeps a buffer that was given back.
func TestALentBufferComesBackBetweenArguments(t *testing.T) {
	f := newFramer(new(Options{}.withDefaults()))
	f.trusted = true
	many := "*3000\r\n" + strings.Repeat("$1\r\nx\r\n", 3000)
	whole := many + "*3\r\n$4\r\nECHO\r\n$5\r\nfirst\r\n$6\r\nsecond\r\n"
	for cut := len(many); cut <= len(whole); cut++ {
		var commands [][][]byte
		for _, part := range []string{whole[:cut], whole[cut:]} {
			for len(part) > 0 {
				if size := f.wants(); size > 0 {
					f.borrow(make([]byte, size))
				}
				n := copy(f.room(), part)
				f.filled(n)
				part = part[n:]
				for {
					args, err := f.next()
					if err != nil {
						t.Fatal(cut, err)
					}
					if args == nil {
						break
					}
					var kept [][]byte
					for _, arg := range args {
						kept = append(kept, bytes.Clone(arg))
					}
					commands = append(commands, kept)
				}
				f.giveBack()
				for _, arg := range f.args[:cap(f.args)] {
					if arg != nil {
						t.Fatal("an argument still holds the buffer")
					}
				}
			}
		}
		if len(commands) != 2 || len(commands[0]) != 3000 || fmt.Sprintf("%s", commands[1]) != "[ECHO first second]" {
			t.Fatalf("cut at %d: %d commands, the last is %s", cut, len(commands), commands[len(commands)-1])
		}
	}
}
