package segment

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"
)

// rows writes a file of blocks of some KiB: entries of 1 KiB, so many of each stream.
func rows(t testing.TB, blockBytes int, streams ...int) *File {
	t.Helper()
	w, err := Create(t.TempDir(), 1, testLog, blockBytes)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range streams {
		for offset := 1; offset <= n; offset++ {
			payload := bytes.Repeat([]byte{byte(i + 1)}, 1024)
			copy(payload, fmt.Sprint(offset, " "))
			if err := w.Add(uint64(i+1), Entry{Offset: uint64(offset), Ms: 1, Seq: uint64(offset), Payload: payload}, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	f, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func offsets(run Run) (first, last uint64, blocks int) {
	if len(run) == 0 {
		return 0, 0, 0
	}
	end := run[len(run)-1].Entries
	return run[0].Entries[0].Offset, end[len(end)-1].Offset, len(run)
}

func TestRunsEndWhereTheReaderOrTheStreamDoes(t *testing.T) {
	f := rows(t, 4<<10, 10, 40, 10)
	f.ReadRandomly()
	if !f.random {
		t.Skip("this kernel takes no advice")
	}
	second := 0
	for f.blocks[second].Stream != 2 {
		second++
	}
	per := int(f.blocks[second].Count)
	for _, c := range []struct {
		block, entries int
		bytes          int64
		want           int // blocks
	}{
		{0, 1, 1 << 30, 1}, {0, per, 1 << 30, 1}, {0, per + 1, 1 << 30, 2}, {0, 1 << 30, 1, 1}, {0, 1 << 30, 1024*int64(per) + 1, 2},
		{2, 3 * per, 1 << 30, 3}, {0, 1 << 30, 1 << 30, 40 / per}, {40/per - 1, 1 << 30, 1 << 30, 1},
	} {
		var cache Cache
		run, err := cache.LoadRun(f, &f.blocks[second+c.block], c.entries, c.bytes, nil)
		if err != nil {
			t.Fatal(err)
		}
		first, last, blocks := offsets(run)
		if want := uint64(c.block*per + 1); first != want || last != want+uint64(c.want*per)-1 || blocks != c.want {
			t.Errorf("%+v: %d to %d in %d blocks", c, first, last, blocks)
		}
		for _, content := range run {
			for _, e := range content.Entries {
				if !bytes.HasPrefix(e.Payload, fmt.Append(nil, e.Offset, " ")) || e.Payload[1023] != 2 {
					t.Fatalf("the payload of %d is %.9q", e.Offset, e.Payload)
				}
			}
		}
		again, err := cache.LoadRun(f, &f.blocks[second+c.block], c.entries, c.bytes, nil)
		if err != nil || again[0] != run[0] {
			t.Error("it is not kept", err)
		}
	}
}

func TestRunsEndBeforeDamage(t *testing.T) {
	f := rows(t, 4<<10, 40)
	f.ReadRandomly()
	per := uint64(f.blocks[0].Count)
	raw, err := os.ReadFile(f.Path())
	if err != nil {
		t.Fatal(err)
	}
	raw[f.blocks[2].Position+f.blocks[2].Size()-1] ^= 1
	if err := os.WriteFile(f.Path(), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if !f.random {
		t.Skip("this kernel takes no advice")
	}
	var cache Cache
	run, err := cache.LoadRun(f, &f.blocks[0], 1<<30, 1<<30, nil)
	if _, last, blocks := offsets(run); err != nil || last != 2*per || blocks != 2 {
		t.Fatal(last, blocks, err)
	}
	var damage *Damage
	if run, err = cache.LoadRun(f, &f.blocks[2], 1<<30, 1<<30, nil); len(run) != 0 || !errors.As(err, &damage) || damage.Position != f.blocks[2].Position {
		t.Fatal(run, err)
	}
	if run, err = cache.LoadRun(f, &f.blocks[3], 1<<30, 1<<30, nil); err != nil || len(run) != len(f.blocks)-3 {
		t.Fatal(len(run), err)
	}
	if err := os.Truncate(f.Path(), f.blocks[5].Position+9); err != nil {
		t.Fatal(err)
	}
	cache = Cache{}
	if run, err = cache.LoadRun(f, &f.blocks[3], 1<<30, 1<<30, nil); err != nil || len(run) != 2 {
		t.Fatal("cut behind two blocks:", len(run), err)
	}
	if err := f.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := cache.LoadRun(f, &f.blocks[6], 1<<30, 1<<30, nil); !errors.Is(err, ErrGone) {
		t.Fatal(err)
	}
}

// In a long stretch of one stream the kernel reads ahead, and stops before the stretch ends.
func TestLongStretchesFlow(t *testing.T) {
	f := rows(t, 0, 20, 17<<10, 20)
	if !f.flows(&f.blocks[0]) {
		t.Error("the kernel's way is changed without being asked")
	}
	f.ReadRandomly()
	if !f.random {
		t.Skip("this kernel takes no advice")
	}
	before := openFiles(t)
	var cache Cache
	var got uint64
	flowing := 0
	for i := range f.blocks {
		b := &f.blocks[i]
		if f.flows(b) {
			flowing++
		}
		if b.Stream != 2 || got >= b.Last() {
			continue
		}
		run, err := cache.LoadRun(f, b, 1000, 1<<20, nil)
		if err != nil {
			t.Fatal(err)
		}
		if f.flows(b) && len(run) != 1 {
			t.Fatalf("%d blocks are read where the kernel reads ahead", len(run))
		}
		first, last, _ := offsets(run)
		if first != got+1 {
			t.Fatalf("%d follows %d", first, got)
		}
		got = last
	}
	if got != 17<<10 || flowing < 10 || flowing > 40 {
		t.Errorf("read to %d, and %d of %d blocks flow", got, flowing, len(f.blocks))
	}
	if n := openFiles(t); n != before+1 {
		t.Errorf("%d files more are open", n-before)
	}
	if err := f.Close(); err != nil || openFiles(t) != before-1 {
		t.Error(err, openFiles(t)-before)
	}
}

func openFiles(t testing.TB) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("no /proc")
	}
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
