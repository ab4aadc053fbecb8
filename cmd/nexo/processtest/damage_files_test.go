package processtest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var wholeFlags = []string{"--store-durability", "always", "--queue-memory", "1mb", "--compact-size", "512kb", "--log-level", "warn"}

// wholeDirectory is a data directory with every kind of file, of a server that was killed.
func wholeDirectory(t *testing.T, mark string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	s := start(t, dir, wholeFlags...)
	s.await(t)
	for n := range 40 {
		mustDo(t, s, "SET", fmt.Sprint("key", n), fmt.Sprintf("%s value %d", mark, n))
		mustDo(t, s, "NPUB", fmt.Sprint("topic/", n), fmt.Sprintf("%s message %d", mark, n), "RETAIN")
	}
	for batch := range 16 {
		words := []any{"QMPUSH", "jobs", 500}
		for n := range 500 {
			words = append(words, fmt.Sprintf("%s job %d %s", mark, batch*500+n, strings.Repeat("x", 400)))
		}
		mustDo(t, s, append(words, "PRIORITY", batch%2)...)
		words = []any{"XMAPPEND", fmt.Sprint("stream", batch%2), 60}
		for n := range 60 {
			words = append(words, fmt.Sprintf("%s entry %d %s", mark, batch*60+n, strings.Repeat("y", 1000)))
		}
		mustDo(t, s, words...)
	}
	mustDo(t, s, "QPUSH", "jobs", mark+" delayed", "DELAY", "10h")
	for range 3 {
		job := mustDo(t, s, "QPOP", "jobs", "LEASE", "10h").([]any)[0].([]any)
		mustDo(t, s, "QNACK", "jobs", job[0], "DEAD")
	}
	mustDo(t, s, "QPOP", "jobs", "COUNT", 3, "LEASE", "10h")
	deadline := time.Now().Add(30 * time.Second)
	for !hasEveryKind(dir) {
		if time.Now().After(deadline) {
			t.Fatalf("not every kind of file appears\n%s", s.log)
		}
		mustDo(t, s, "QPUSH", "done", thrownAway) // what dies makes a compaction worth its while
		mustDo(t, s, "QPURGE", "done")
		mustDo(t, s, "XAPPEND", "dropped", thrownAway)
		mustDo(t, s, "XDROP", "dropped")
	}
	for n := range 5 { // and something behind the snapshots
		mustDo(t, s, "QPUSH", "jobs", fmt.Sprintf("%s last job %d", mark, n))
		mustDo(t, s, "XAPPEND", "stream0", fmt.Sprintf("%s last entry %d", mark, n))
	}
	s.kill()
	return dir
}

// thrownAway is in what is purged and dropped again. It may come back with a repair that has lost the record of that.
var thrownAway = strings.Repeat("z", 100_000)

// hasEveryKind tells whether snapshots list files beside the logs.
func hasEveryKind(dir string) bool {
	files, _ := filepath.Glob(filepath.Join(dir, "queue-backlog", "jobs-*"))
	segments, _ := filepath.Glob(filepath.Join(dir, "segments", "segment-????????????????"))
	queue, stream := namedSnapshots(dir, "queue"), namedSnapshots(dir, "stream")
	if len(files) < 2 || len(segments) < 2 || len(queue) == 0 || len(stream) == 0 {
		return false
	}
	snapshot, err := os.Stat(queue[0])
	listed := 0
	for _, path := range files {
		if info, statErr := os.Stat(path); err == nil && statErr == nil && info.ModTime().Before(snapshot.ModTime()) {
			listed++
		}
	}
	return listed >= 2
}

// fileDamage changes one file; false when it cannot be done to this one.
type fileDamage struct {
	name    string
	telling bool // tried always
	do      func(t *testing.T, dir, twin, path string) bool
}

func (d fileDamage) always() fileDamage {
	d.telling = true
	return d
}

func changed(name string, change func(raw []byte) []byte) fileDamage {
	return fileDamage{name, false, func(t *testing.T, dir, _, path string) bool {
		raw, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		now := change(bytes.Clone(raw))
		if bytes.Equal(raw, now) {
			return false
		}
		if err := os.WriteFile(filepath.Join(dir, path), now, 0o600); err != nil {
			t.Fatal(err)
		}
		return true
	}}
}

func flipped(name string, at func(size int) int) fileDamage {
	return changed(name, func(raw []byte) []byte {
		if i := at(len(raw)); i >= 0 && i < len(raw) {
			raw[i] ^= 0x10
		}
		return raw
	})
}

var fileDamages = []fileDamage{
	flipped("first byte flipped", func(int) int { return 0 }),
	flipped("byte of the header flipped", func(int) int { return 20 }),
	flipped("byte at a fourth flipped", func(size int) int { return size / 4 }),
	flipped("byte in the middle flipped", func(size int) int { return size / 2 }).always(),
	flipped("byte near the end flipped", func(size int) int { return size - 10 }),
	flipped("last byte flipped", func(size int) int { return size - 1 }),
	changed("emptied", func([]byte) []byte { return nil }).always(),
	changed("cut to its first byte", func(raw []byte) []byte { return raw[:min(len(raw), 1)] }),
	changed("cut in the header", func(raw []byte) []byte { return raw[:min(len(raw), 17)] }),
	changed("cut in the middle", func(raw []byte) []byte { return raw[:len(raw)/2] }).always(),
	changed("cut by one byte", func(raw []byte) []byte { return raw[:max(len(raw)-1, 0)] }),
	changed("zeros for its last half", func(raw []byte) []byte { clear(raw[len(raw)/2:]); return raw }).always(),
	changed("zeros for its last 40 bytes", func(raw []byte) []byte { clear(raw[max(len(raw)-40, 0):]); return raw }),
	changed("zeros behind it", func(raw []byte) []byte { return append(raw, make([]byte, 4096)...) }),
	{"removed", true, func(t *testing.T, dir, _, path string) bool { return os.Remove(filepath.Join(dir, path)) == nil }},
	{"from another directory", true, func(t *testing.T, dir, twin, path string) bool {
		raw, err := os.ReadFile(filepath.Join(twin, nameInTwin(twin, path)))
		return err == nil && os.WriteFile(filepath.Join(dir, path), raw, 0o600) == nil
	}},
	{"exchanged with its neighbour", true, func(t *testing.T, dir, _, path string) bool {
		other := neighbour(dir, path)
		if other == "" {
			return false
		}
		whole, aside := filepath.Join(dir, path), filepath.Join(dir, path+".aside")
		err := errors.Join(os.Rename(whole, aside), os.Rename(filepath.Join(dir, other), whole), os.Rename(aside, filepath.Join(dir, other)))
		return err == nil
	}},
}

// nameInTwin is the file of another directory that stands for this one: their numbers may differ.
func nameInTwin(twin, path string) string {
	if _, err := os.Stat(filepath.Join(twin, path)); err == nil {
		return path
	}
	kind := kindOfFile(path)
	for _, other := range filesOf(twin) {
		if kindOfFile(other) == kind {
			return other
		}
	}
	return path
}

// neighbour is another file of the same kind, or of the same kind in another log.
func neighbour(dir, path string) string {
	var others []string
	for _, other := range filesOf(dir) {
		if other != path && filepath.Base(kindOfFile(other)) == filepath.Base(kindOfFile(path)) {
			others = append(others, other)
		}
	}
	if len(others) == 0 {
		return ""
	}
	return others[len(others)/2]
}

// kindOfFile is a path without its numbers.
func kindOfFile(path string) string {
	return regexp.MustCompile(`(wal-|snap-|jobs-|segment-|/)[0-9a-f]+(/|$)`).ReplaceAllString(
		regexp.MustCompile(`(wal-|snap-)\d+`).ReplaceAllString(path, "${1}N"), "${1}N${2}")
}

// filesOf are the files of a data directory, but for those of quarantine.
func filesOf(dir string) (paths []string) {
	_ = filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !strings.Contains(path, "quarantine") {
			relative, _ := filepath.Rel(dir, path)
			paths = append(paths, relative)
		}
		return err
	})
	slices.Sort(paths)
	return paths
}

// copyDirectory leaves out what is set aside for a full disk, which a start makes anew.
func copyDirectory(t *testing.T, from, to string, besides string) {
	t.Helper()
	for _, path := range filesOf(from) {
		if name := filepath.Base(path); (name == "BALLAST" || name == "RESERVE") && path != besides {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(from, path))
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(to, path)), 0o700)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, path), raw, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// inventory is all that a server serves: how often each thing is there, and the errors of what cannot be read.
type inventory struct {
	things map[string]int
	errors []string
}

func (v *inventory) add(thing string) { v.things[thing]++ }

// read asks; an IOERR is noted and answers nil.
func (v *inventory) read(t *testing.T, s *server, c *client, words ...any) []any {
	t.Helper()
	reply, err := c.do(words...)
	var refused replyError
	if errors.As(err, &refused) {
		if !strings.HasPrefix(refused.Error(), "IOERR") {
			t.Fatalf("%v answers %s", words, refused)
		}
		v.errors = append(v.errors, fmt.Sprint(words[0], " ", refused))
		return nil
	}
	if err != nil {
		t.Fatalf("%v: %v\n%s", words, err, s.stacks())
	}
	list, _ := reply.([]any)
	return list
}

func inventoryOf(t *testing.T, s *server) (v inventory) {
	t.Helper()
	c, err := dial(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	v.things = map[string]int{}
	for _, key := range v.read(t, s, c, "KEYS", "*") {
		value, err := c.do("GET", key)
		v.add(fmt.Sprintf("key %v: %v %v", key, value, err))
	}
	for _, item := range v.read(t, s, c, "NRETAINED", "#", "COUNT", 1000)[1].([]any) {
		v.add(fmt.Sprintf("topic %v: %v", item.([]any)[0], item.([]any)[1]))
	}
	for _, queue := range v.read(t, s, c, "QLIST")[1].([]any) {
		for _, state := range []string{"READY", "DELAYED", "INFLIGHT", "DEAD"} {
			for next := int64(0); next >= 0; {
				page := v.read(t, s, c, "QPEEK", queue, "STATE", state, "OFFSET", next, "COUNT", 1000)
				if page == nil {
					break
				}
				next = page[1].(int64)
				for _, item := range page[2].([]any) {
					view, err := viewOf(item)
					v.add(fmt.Sprintf("job %d: %s %v", view.id, view.payload, err))
				}
			}
		}
	}
	for _, name := range v.read(t, s, c, "XLIST")[1].([]any) {
		v.entries(t, s, c, name.(string))
	}
	return v
}

// entries reads a stream, going on behind what cannot be read.
func (v *inventory) entries(t *testing.T, s *server, c *client, name string) {
	t.Helper()
	ends := mapOf(v.read(t, s, c, "XSTAT", name))
	for at, count := ends["first"].(int64), 1000; at < ends["next"].(int64); {
		page := v.read(t, s, c, "XFETCH", name, at, "COUNT", count, "MAXBYTES", 16<<20)
		if page == nil {
			at, count = at+1, 1
			continue
		}
		list := page[3].([]any)
		for _, item := range list {
			v.add(fmt.Sprintf("entry: %v", item.([]any)[2]))
		}
		if at, count = page[0].(int64), 1000; len(list) == 0 {
			break
		}
	}
}

// against compares with what there was: nothing else may be there, nor anything twice. It tells how much is missing.
func (v inventory) against(t *testing.T, whole inventory) (missing int) {
	t.Helper()
	for thing, n := range v.things {
		if !strings.Contains(thing, thrownAway) && whole.things[thing] == 0 || n > 1 {
			t.Errorf("%d times there, and was %d times: %.100s", n, whole.things[thing], thing)
		}
	}
	for thing := range whole.things {
		if v.things[thing] == 0 {
			missing++
		}
	}
	return missing
}

// tested picks the files whose damage is tried: of each kind the first, and of those with many the last, too. Of what every log has in
// the same way one is enough, unless all are asked for.
func tested(dir string, all bool) (paths []string) {
	kinds := map[string][]string{}
	for _, path := range filesOf(dir) {
		kind := kindOfFile(path)
		switch base := filepath.Base(path); base {
		case "BALLAST", "RESERVE", "MANIFEST", "WATERMARK":
			if !all {
				kind = base
			}
		}
		kinds[kind] = append(kinds[kind], path)
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		list := kinds[kind]
		if paths = append(paths, list[0]); len(list) > 1 && kind != filepath.Base(kind) {
			paths = append(paths, list[len(list)-1])
		}
	}
	return paths
}

// TestDamagedFiles damages one file at a time, of each kind that a data directory has. A start serves everything, or answers an error
// for what is damaged, or is refused with what to do about it; and then it serves what the repair has said, and nothing else.
// NEXO_DAMAGES=all tries every damage of every log's files.
func TestDamagedFiles(t *testing.T) {
	dir, twin := wholeDirectory(t, "ours"), wholeDirectory(t, "theirs")
	base := filepath.Join(t.TempDir(), "base")
	copyDirectory(t, dir, base, "")
	s := start(t, base, wholeFlags...)
	s.await(t)
	whole := inventoryOf(t, s)
	s.kill()
	if len(whole.errors) > 0 || len(whole.things) < 9000 {
		t.Fatalf("%d things, %v", len(whole.things), whole.errors)
	}
	all := os.Getenv("NEXO_DAMAGES") == "all"
	for _, path := range tested(dir, all) {
		for _, damage := range fileDamages {
			if !all && !damage.telling {
				continue
			}
			t.Run(path+" "+damage.name, func(t *testing.T) {
				tried := filepath.Join(t.TempDir(), "data")
				copyDirectory(t, dir, tried, path)
				if !damage.do(t, tried, twin, path) {
					t.Skip("cannot be done to this file")
				}
				t.Log(servedAfter(t, tried, whole))
			})
		}
	}
}

// servedAfter starts on a damaged directory, does what it is told to, and tells how it went.
func servedAfter(t *testing.T, dir string, whole inventory) (how string) {
	t.Helper()
	s := start(t, dir, wholeFlags...)
	select {
	case <-waitServing(t, s):
		found := inventoryOf(t, s)
		s.kill()
		missing := found.against(t, whole)
		if missing == 0 {
			return "served whole"
		}
		if len(found.errors) == 0 {
			t.Fatalf("%d of %d things are missing, and nothing tells of it\n%s", missing, len(whole.things), s.log)
		}
		how = fmt.Sprintf("%d things cannot be read (%.120s); ", missing, found.errors[0])
	case <-s.done:
		if code := s.cmd.ProcessState.ExitCode(); code != 3 {
			t.Fatalf("exit code %d, want 3\n%s", code, s.log)
		}
		if how = "refused; "; !strings.Contains(s.log.String(), "nexo repair ") {
			t.Errorf("the refusal names no command:\n%s", s.log)
		}
	}
	command := exec.Command(nexoBinary(t), "check", dir)
	said, err := command.CombinedOutput()
	if command.ProcessState.ExitCode() != 3 {
		t.Fatalf("a check finds nothing (%v):\n%s\n%s", err, said, s.log)
	}
	told := repairAsRefused(t, dir, s.log.String()+string(said))
	s = start(t, dir, wholeFlags...)
	s.await(t)
	found := inventoryOf(t, s)
	s.kill()
	missing := found.against(t, whole)
	if len(found.errors) > 0 {
		t.Errorf("still unreadable: %v", found.errors)
	}
	if missing > 0 && !regexp.MustCompile(`lost|damaged|gives? up|given up`).MatchString(told) {
		t.Errorf("%d things are missing, and the repair has not told so:\n%s", missing, told)
	}
	tellsHowMany(t, told, found)
	return fmt.Sprintf("%srepaired, %d of %d things are missing", how, missing, len(whole.things))
}

// repairAsRefused does what the refusal, or a check, says.
func repairAsRefused(t *testing.T, dir, said string) (told string) {
	t.Helper()
	if !strings.Contains(said, dir) {
		t.Errorf("neither the log nor a check names a file:\n%s", said)
	}
	arguments := []string{"repair", "--apply", dir}
	if missing := regexp.MustCompile(`--missing-segment=\d+`).FindString(said); missing != "" {
		arguments = []string{"repair", missing, "--apply", dir}
	} else {
		dry := tool(t, 0, "repair", dir)
		if !strings.Contains(dry, "--apply") {
			t.Errorf("the dry run does not say how it is done:\n%s", dry)
		}
	}
	told = tool(t, 0, arguments...)
	tool(t, 0, "check", dir)
	return told
}

// tellsHowMany compares what a repair has said to keep with what is there.
func tellsHowMany(t *testing.T, told string, found inventory) {
	t.Helper()
	count := func(prefix string) (n int) {
		for thing := range found.things {
			if strings.HasPrefix(thing, prefix) { // those thrown away, too
				n++
			}
		}
		return n
	}
	for prefix, pattern := range map[string]string{
		"job ":   `kept: queue '[^']+' with (\d+)( )jobs`,
		"entry:": `kept: stream '[^']+' with (\d+) entries in the log, (\d+) in segment files`,
	} {
		lines := regexp.MustCompile(pattern).FindAllStringSubmatch(told, -1)
		sum := 0
		for _, line := range lines {
			for _, word := range line[1:] {
				n := 0
				_, _ = fmt.Sscan(word, &n)
				sum += n
			}
		}
		if n := count(prefix); len(lines) > 0 && sum != n {
			t.Errorf("the repair has said to keep %d of the kind %q, and %d are there:\n%s", sum, prefix, n, told)
		}
	}
}
