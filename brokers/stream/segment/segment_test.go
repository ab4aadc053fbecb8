package segment

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// written is an entry as the tests write and read it.
type written struct {
	Stream uint64
	Entry  Entry
	Link   *Link
}

var testLog = Log{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}

func hashOf(n uint64) (h Hash) {
	h[0], h[31] = byte(n), byte(n>>8)
	return h
}

// sample has two plain streams and a chained one, a hole, an empty payload and one larger than a block.
func sample() (list []written) {
	for _, stream := range []uint64{1, 2, 9} {
		for offset := uint64(5); offset < 40; offset++ {
			if stream == 1 && offset == 20 {
				continue
			}
			e := Entry{Offset: offset, Ms: 1_700_000_000_000 + int64(offset/3), Seq: offset % 3, Payload: fmt.Appendf(nil, "payload %d of %d", offset, stream)}
			if offset == 7 {
				e.Payload = []byte{}
			}
			if offset == 11 {
				e.Payload = bytes.Repeat([]byte("x"), 500)
			}
			var link *Link
			if stream == 2 {
				link = &Link{Before: hashOf(offset - 1), Hash: hashOf(offset)}
			}
			list = append(list, written{stream, e, link})
		}
	}
	return list
}

func write(t testing.TB, directory string, id uint64, list []written) *File {
	t.Helper()
	w, err := Create(directory, id, testLog, 200)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range list {
		if err := w.Add(x.Stream, x.Entry, x.Link); err != nil {
			t.Fatal(err)
		}
	}
	f, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// readAll reads every block; a file that cannot be opened or a block that cannot be read is the error.
func readAll(directory string, id uint64) (list []written, err error) {
	f, err := Open(directory, id, testLog)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for _, b := range f.Blocks() {
		content, err := f.Load(&b)
		if err != nil {
			return nil, err
		}
		before := content.Before
		for i, e := range content.Entries {
			x := written{Stream: b.Stream, Entry: e}
			if content.Hashes != nil {
				x.Link = &Link{Before: before, Hash: content.Hashes[i]}
				before = content.Hashes[i]
			}
			list = append(list, x)
		}
	}
	return list, nil
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	directory := t.TempDir()
	f := write(t, directory, 7, sample())
	if len(f.Blocks()) < 10 {
		t.Fatalf("%d blocks are too few to test with", len(f.Blocks()))
	}
	got, err := readAll(directory, 7)
	if err != nil || !reflect.DeepEqual(got, sample()) {
		t.Fatal(err, got)
	}
	reopened, err := Open(directory, 7, testLog)
	if err != nil || !reflect.DeepEqual(reopened.Blocks(), f.Blocks()) || reopened.Bytes() != f.Bytes() {
		t.Fatal(err)
	}
	defer reopened.Close()
	if _, unfinished, err := List(directory); len(unfinished) > 0 || err != nil {
		t.Fatal(unfinished, err)
	}
}

func TestOrderIsKept(t *testing.T) {
	for _, second := range []written{{Stream: 1, Entry: Entry{Offset: 5}}, {Stream: 1, Entry: Entry{Offset: 4}}, {Stream: 0, Entry: Entry{Offset: 9}}} {
		w, err := Create(t.TempDir(), 1, testLog, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Add(1, Entry{Offset: 5}, nil); err != nil {
			t.Fatal(err)
		}
		if w.Add(second.Stream, second.Entry, nil) == nil {
			t.Fatal("taken:", second)
		}
		if _, err := w.Commit(); err == nil {
			t.Fatal("an error is forgotten")
		}
	}
}

func TestReadersOfARemovedFileAreTold(t *testing.T) {
	f := write(t, t.TempDir(), 1, sample())
	var cache Cache
	kept, err := cache.Load(f, &f.Blocks()[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := cache.Load(f, &f.Blocks()[1]); !errors.Is(err, ErrGone) {
		t.Fatal(err)
	}
	if again, err := cache.Load(f, &f.Blocks()[0]); err != nil || again != kept {
		t.Fatal("what was read before is no longer right:", err)
	}
	if _, err := os.Stat(f.Path()); !os.IsNotExist(err) {
		t.Fatal(err)
	}
}

// TestEveryChangeIsFound flips every bit, and cuts the file at every byte: nothing may be read that was not written.
func TestEveryChangeIsFound(t *testing.T) {
	directory := t.TempDir()
	f := write(t, directory, 3, sample()[:12])
	raw, err := os.ReadFile(f.Path())
	if err != nil {
		t.Fatal(err)
	}
	damaged := func(what string, changed []byte) {
		if err := os.WriteFile(f.Path(), changed, 0o600); err != nil {
			t.Fatal(err)
		}
		var damage *Damage
		if _, err := readAll(directory, 3); !errors.As(err, &damage) {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for i := range raw {
		for bit := range 8 {
			changed := bytes.Clone(raw)
			changed[i] ^= 1 << bit
			damaged(fmt.Sprintf("bit %d of byte %d", bit, i), changed)
		}
		damaged(fmt.Sprintf("cut at %d", i), raw[:i])
	}
	damaged("a byte more", append(bytes.Clone(raw), 0))
	damaged("another file's content", rename(t, raw, 4))
}

// rename gives a file's header the id of another.
func rename(t *testing.T, raw []byte, id uint64) []byte {
	t.Helper()
	return append(encodeHeader(headerMagic, id, testLog), raw[headerBytes:]...)
}

// TestFilesOfAnotherLogAreNotRead gives a log the file of another under the same number, whole, or a block of it in the same
// place: neither is taken, and a repair makes a file of nothing, so that nothing of another log is served.
func TestFilesOfAnotherLogAreNotRead(t *testing.T) {
	directory, other := t.TempDir(), Log{99}
	f := write(t, directory, 3, sample())
	var damage *Damage
	if _, err := Open(directory, 3, other); !errors.As(err, &damage) || damage.Problem != "it belongs to another data directory" {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(f.Path())
	if err != nil {
		t.Fatal(err)
	}
	b := f.Blocks()[0]
	if _, _, problem := decodeBlock(seedOf(3, other), b.Position, raw[b.Position:b.Position+b.Size()]); problem == "" {
		t.Fatal("a block of another log is taken")
	}
	// The parts of a file that begins with the other's header.
	if err := os.WriteFile(f.Path(), append(encodeHeader(headerMagic, 3, other), raw[headerBytes:]...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(directory, 3, other); !errors.As(err, &damage) {
		t.Fatal(err)
	}
	reports, err := Repair(directory, other)
	if err != nil || reports[0].Entries != 0 || reports[0].Aside == "" {
		t.Fatal(reports, err)
	}
	again, err := Open(directory, 3, other)
	if err != nil || !again.Mended() || len(again.Blocks()) > 0 {
		t.Fatal(err)
	}
	again.Close()
}

// TestFilesOfTheFirstVersionAreRead reads one that was written before files knew their log, by any log, and repairs it.
func TestFilesOfTheFirstVersionAreRead(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("testdata", "first-version"))
	if err != nil {
		t.Fatal(err)
	}
	directory := t.TempDir()
	path := filepath.Join(directory, Name(7))
	put := func(raw []byte) {
		t.Helper()
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(raw)
	if got, err := readAll(directory, 7); err != nil || !reflect.DeepEqual(got, sample()) {
		t.Fatal(err, got)
	}
	f, err := Open(directory, 7, testLog)
	if err != nil || !f.First() || f.Mended() {
		t.Fatal(err)
	}
	f.Close()
	for i := range raw {
		changed := bytes.Clone(raw)
		changed[i] ^= 1
		put(changed)
		var damage *Damage
		if _, err := readAll(directory, 7); !errors.As(err, &damage) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	raw[len(raw)-1] ^= 1
	put(raw)
	if _, err := Repair(directory, testLog); err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(directory, 7); err != nil || !reflect.DeepEqual(got, sample()) {
		t.Fatal(err, got)
	}
}

func TestRepairKeepsWhatIsValid(t *testing.T) {
	for _, place := range []string{"block", "directory", "trailer"} {
		t.Run(place, func(t *testing.T) {
			directory := t.TempDir()
			f := write(t, directory, 3, sample())
			raw, err := os.ReadFile(f.Path())
			if err != nil {
				t.Fatal(err)
			}
			lost := f.Blocks()[4]
			want := sample()
			switch place {
			case "block":
				raw[lost.Position+20] ^= 1
				kept := want[:0]
				for _, x := range want {
					if x.Stream != lost.Stream || x.Entry.Offset < lost.First || x.Entry.Offset > lost.Last() {
						kept = append(kept, x)
					}
				}
				want = kept
			case "directory":
				raw[len(raw)-trailerBytes-3] ^= 1
			case "trailer":
				raw = raw[:len(raw)-5]
			}
			if err := os.WriteFile(f.Path(), raw, 0o600); err != nil {
				t.Fatal(err)
			}
			reports, err := Check(directory, testLog)
			if err != nil || len(reports) != 1 || len(reports[0].Damage) != 1 || reports[0].Entries != uint64(len(want)) {
				t.Fatal(reports, err)
			}
			if after, err := os.ReadFile(f.Path()); err != nil || !bytes.Equal(after, raw) {
				t.Fatal("a check changes the file")
			}
			reports, err = Repair(directory, testLog)
			if err != nil || reports[0].Aside == "" {
				t.Fatal(reports, err)
			}
			if got, err := readAll(directory, 3); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatal(err, got)
			}
			if aside, err := os.ReadFile(reports[0].Aside); err != nil || !bytes.Equal(aside, raw) {
				t.Fatal("the damaged file is not kept:", err)
			}
			if reports, err = Repair(directory, testLog); err != nil || reports[0].Aside != "" {
				t.Fatal("a good file is repaired:", reports, err)
			}
		})
	}
}

func TestPutEmpty(t *testing.T) {
	directory := t.TempDir()
	if err := PutEmpty(directory, 5, testLog); err != nil {
		t.Fatal(err)
	}
	if list, err := readAll(directory, 5); err != nil || len(list) > 0 {
		t.Fatal(list, err)
	}
	if PutEmpty(directory, 5, testLog) == nil {
		t.Fatal("a file is replaced")
	}
	if reports, err := Check(filepath.Join(directory, "none"), testLog); err != nil || len(reports) > 0 {
		t.Fatal(reports, err)
	}
}

func FuzzBlock(f *testing.F) {
	file := write(f, f.TempDir(), 1, sample())
	raw, err := os.ReadFile(file.Path())
	if err != nil {
		f.Fatal(err)
	}
	for _, b := range file.Blocks() {
		f.Add(raw[b.Position+blockHeadBytes : b.Position+b.Size()])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		content, b, problem := decodeBlock(seedOf(1, testLog), 32, seal(1, 32, body))
		if problem != "" {
			return
		}
		if int(b.Count) != len(content.Entries) || b.First != content.Entries[0].Offset || b.Last() != content.Entries[len(content.Entries)-1].Offset {
			t.Fatal(b, content)
		}
	})
}

// seal puts length and a right checksum before a body, so that a target gets behind them.
func seal(id uint64, position int64, body []byte) []byte {
	w := bytes.NewBuffer(nil)
	head := make([]byte, blockHeadBytes)
	seedOf(id, testLog).putHead(head, position, nil, body)
	w.Write(head)
	w.Write(body)
	return w.Bytes()
}

func FuzzDirectory(f *testing.F) {
	file := write(f, f.TempDir(), 1, sample())
	bare := func(blocks []Block) []byte { return encodeDirectory(0, blocks)[1:] } // without the flags
	f.Add(bare(file.Blocks()), file.Bytes()+headerBytes)
	f.Fuzz(func(t *testing.T, raw []byte, end int64) {
		blocks, problem := decodeDirectory(raw, end)
		if problem == "" && len(raw) > 0 && !bytes.Equal(bare(blocks), raw) {
			// A number may be written in more bytes than it needs; what it says must be the same.
			again, problem := decodeDirectory(bare(blocks), end)
			if problem != "" || !reflect.DeepEqual(again, blocks) {
				t.Fatal(problem)
			}
		}
	})
}
