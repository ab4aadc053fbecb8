package processtest

import (
	"archive/tar"
	"compress/gzip"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.String("rewrite", "", "write testdata/golden/NAME.tar.gz and NAME.txt anew with the binary that is tested")

const golden = "testdata/golden"

// goldenFlags are tiny, so that a small directory has jobs on disk, snapshots and segments.
var goldenFlags = []string{"--store-durability", "always", "--queue-memory", "1mb", "--compact-size", "64kb"}

// TestGoldenDirectories opens data directories that were written, and killed, by the builds that they are named after; current is of
// today's format. When that changes, keep it under the name of its build, and write it anew:
//
//	go test ./cmd/nexo/processtest -run TestGoldenDirectories -args -rewrite current
//	NEXO_BIN=/path/to/an/older/nexo go test ./cmd/nexo/processtest -run TestGoldenDirectories -args -rewrite NAME
//
// Beside each archive is what the build that wrote it told of every item in it. All of it must be there after a start, after a kill and
// a second start with other limits, and be of use then.
func TestGoldenDirectories(t *testing.T) {
	if *rewrite != "" {
		writeGolden(t, *rewrite)
	}
	archives, err := filepath.Glob(filepath.Join(golden, "*.tar.gz"))
	if err != nil || len(archives) < 2 {
		t.Fatalf("only %d golden directories: %v", len(archives), err)
	}
	for _, archive := range archives {
		name := strings.TrimSuffix(filepath.Base(archive), ".tar.gz")
		if *rewrite != "" && *rewrite != name {
			continue
		}
		t.Run(name, func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join(golden, name+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "data")
			unpack(t, archive, dir)
			tool(t, 0, "check", dir)
			for _, flags := range [][]string{goldenFlags, {"--store-durability", "always"}, goldenFlags} {
				s := start(t, dir, flags...)
				s.await(t)
				sameText(t, string(want), goldenItems(t, s))
				s.kill()
			}
			useGolden(t, dir)
			tool(t, 0, "check", dir)
		})
	}
}

// sameText shows the first lines that differ.
func sameText(t *testing.T, want, got string) {
	t.Helper()
	if want == got {
		return
	}
	wanted, found := strings.Split(want, "\n"), strings.Split(got, "\n")
	shown := 0
	for i := range max(len(wanted), len(found)) {
		line := func(lines []string) string {
			if i < len(lines) {
				return lines[i]
			}
			return "(nothing)"
		}
		if line(wanted) != line(found) {
			t.Errorf("line %d\nwant %s\ngot  %s", i+1, line(wanted), line(found))
			if shown++; shown == 5 {
				break
			}
		}
	}
	t.FailNow()
}

// writeGolden fills a directory, kills the server, and keeps the files and what it told of them.
func writeGolden(t *testing.T, name string) {
	dir := filepath.Join(t.TempDir(), "data")
	s := start(t, dir, goldenFlags...)
	s.await(t)
	fillGolden(t, s)
	c := sessionOf(t, s)
	until(t, s, "delayed jobs, leases and dead letters on disk", func() bool {
		found := fieldsOf(c.must("QINFO shelved"), "timed-on-disk")[0]
		onDisk, err := strconv.Atoi(found)
		return err == nil && onDisk > goldenShelf
	})
	for log, churn := range map[string]func(){
		"queue": func() {
			words := []any{}
			for range 100 {
				words = append(words, strings.Repeat("c", 500))
			}
			c.must("QMPUSH churn 100", words...)
			c.must("QPURGE churn")
		},
		"stream":   func() { c.must("XAPPEND short 100") },
		"store":    func() { c.must("SET churn", strings.Repeat("c", 200_000)) },
		"retained": func() { c.must("NPUB churn", strings.Repeat("c", 200_000), "RETAIN") },
	} {
		until(t, s, "a snapshot of "+log, func() bool {
			churn()
			return len(namedSnapshots(dir, log)) > 0
		})
	}
	for _, directory := range []string{"queue-backlog", "segments"} {
		until(t, s, "files in "+directory, func() bool {
			found, err := filepath.Glob(filepath.Join(dir, directory, "*"))
			return err == nil && len(found) > 0
		})
	}
	fillGoldenLate(t, s)
	s.kill()
	s = start(t, dir, goldenFlags...)
	s.await(t)
	items := goldenItems(t, s)
	s.kill()
	if err := os.MkdirAll(golden, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(golden, name+".txt"), []byte(items), 0o644); err != nil {
		t.Fatal(err)
	}
	pack(t, dir, filepath.Join(golden, name+".tar.gz"))
}

// pack keeps the files of a directory but for those that every start makes: the lock and the reserves of disk space.
func pack(t *testing.T, dir, archive string) {
	t.Helper()
	file, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	packed, err := gzip.NewWriterLevel(file, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	entries := tar.NewWriter(packed)
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() == "LOCK" || entry.Name() == "BALLAST" {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return entries.WriteHeader(&tar.Header{Name: relative, Typeflag: tar.TypeDir, Mode: 0o700})
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := entries.WriteHeader(&tar.Header{Name: relative, Mode: 0o600, Size: int64(len(content))}); err != nil {
			return err
		}
		_, err = entries.Write(content)
		return err
	})
	for _, step := range []func() error{func() error { return err }, entries.Close, packed.Close} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := file.Stat(); err != nil || info.Size() > 150<<10 {
		t.Fatalf("%s has %d bytes: %v", archive, info.Size(), err)
	}
}

const (
	goldenJobs    = 700
	goldenEntries = 300
	goldenShelf   = 1500
	farMillis     = "4102500000000" // on the first of January 2100, in the middle of an hour
	farSeconds    = "4102500000"
	longTime      = "20000d"
)

func goldenJob(n int) string { return fmt.Sprintf("job %05d %s", n, strings.Repeat("j", 2500)) }

// session sends commands that must not fail over one connection.
type session struct {
	t *testing.T
	*client
}

func sessionOf(t *testing.T, s *server) session {
	t.Helper()
	c, err := dial(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return session{t, c}
}

// must takes the words of a command in one text, and further words behind it.
func (c session) must(command string, more ...any) any {
	c.t.Helper()
	var words []any
	for _, word := range strings.Fields(command) {
		words = append(words, word)
	}
	reply, err := c.do(append(words, more...)...)
	if err != nil {
		c.t.Fatalf("%s %.60v: %v", command, more, err)
	}
	return reply
}

func fillGolden(t *testing.T, s *server) {
	c := sessionOf(t, s)
	fillGoldenQueues(c)
	fillGoldenStreams(c)
	for i := range 150 { // topics; a third of them is cleared
		c.must(fmt.Sprintf("NPUB plant/%d/state v%d-%s RETAIN", i, i, strings.Repeat("t", 300)))
		if i%3 == 0 {
			c.must(fmt.Sprintf("NPUB plant/%d/state", i), "", "RETAIN")
		}
		if i%10 == 1 {
			c.must(fmt.Sprintf("NPUB plant/%d/until v RETAIN PXAT %s", i, farMillis))
		}
	}
	for round := range 3 { // each key is overwritten; a third of them is deleted
		for i := range 120 {
			c.must(fmt.Sprintf("SET key:%03d value-%d-%d-%s", i, i, round, strings.Repeat("v", 300)))
		}
	}
	for i := 0; i < 120; i += 3 {
		c.must(fmt.Sprintf("DEL key:%03d", i))
		c.must(fmt.Sprintf("PEXPIREAT key:%03d %s", i+1, farMillis))
	}
	c.must("INCRBY counter 41")
	c.must("SELECT 3")
	c.must("SET other database")
	c.must("SELECT 0")
}

func fillGoldenQueues(c session) {
	c.must("QCREATE jobs")
	for n := 0; n < goldenJobs; n += 100 {
		words := []any{}
		for i := range 100 {
			words = append(words, goldenJob(n+i))
		}
		c.must("QMPUSH jobs 100", append(words, "PRIORITY", n/100%3)...)
	}
	c.must("QCREATE states LEASE " + longTime + " MAXATTEMPTS 2 BACKOFF FIXED " + longTime + " JITTER 0 DEDUPWINDOW " + longTime +
		" MAXLEN 1000 OVERFLOW DROPOLDEST SYNC INTERVAL")
	for i := range 60 {
		c.must(fmt.Sprintf("QPUSH states state-%02d DEDUP key-%02d PRIORITY %d TTL %s", i, i, i/20, longTime))
	}
	for i := range 40 {
		c.must(fmt.Sprintf("QPUSH states later-%02d AT %s MAXATTEMPTS 7", i, farMillis))
	}
	handles := func(count int) (words []any) {
		for _, job := range c.must(fmt.Sprint("QPOP states COUNT ", count)).([]any) {
			words = append(words, job.([]any)[0])
		}
		return words
	}
	c.must("QACK states", handles(10)...)
	c.must("QNACK states", append(handles(10), "REASON", "it was bad", "DEAD")...)
	c.must("QNACK states", append(handles(5), "REASON", "try again")...)
	c.must("QNACK states", append(handles(3), "RELEASE")...)
	handles(13) // are in flight: three of them for the second time
	c.must("QDEL states 60")
	fillGoldenShelves(c)
	c.must("QPUSH paused waits")
	c.must("QPAUSE paused")
}

// fillGoldenShelves makes more delayed jobs, leases and dead letters than memory takes.
func fillGoldenShelves(c session) {
	c.must("QCREATE shelved LEASE " + longTime + " MAXATTEMPTS 1")
	push := func(options ...any) {
		for n := 0; n < goldenShelf; n += 100 {
			words := []any{}
			for i := range 100 {
				words = append(words, fmt.Sprintf("shelved %03d %s", n+i, strings.Repeat("s", 1000)))
			}
			c.must("QMPUSH shelved 100", append(words, options...)...)
		}
	}
	push()
	push("AT", farMillis)
	for n := 0; n < goldenShelf; n += 100 {
		var handles []any
		for _, job := range c.must("QPOP shelved COUNT 100").([]any) {
			handles = append(handles, job.([]any)[0])
		}
		c.must("QNACK shelved", append(handles[:50], "REASON", "it was bad", "DEAD")...)
	}
}

func fillGoldenStreams(c session) {
	c.must("XCREATE events MAXAGE 0 DEDUPWINDOW " + longTime)
	c.must("XGCREATE events workers ACKWAIT " + longTime + " MAXDELIVER 3 MAXPENDING 500")
	for i := range goldenEntries {
		c.must("XAPPEND events", fmt.Sprintf("entry %04d %s", i, strings.Repeat("e", 800)))
	}
	c.must("XCONSUME events workers ada COUNT 60")
	c.must("XCONSUME events workers bob COUNT 20")
	c.must("XACK events workers #1..#40")
	c.must("XACK events workers 45 47")
	c.must("XNACK events workers FATAL IDS 2 50 51 REASON poison")
	c.must("XCREATE chain MAXAGE 0 INTEGRITY CHAIN")
	c.must("XMAPPEND chain 3 first second third")
	c.must("XCREATE short MAXAGE 0 MAXLEN 10")
	for i := range 100 {
		c.must(fmt.Sprintf("XAPPEND short %d", i))
	}
}

// fillGoldenLate adds what is in the logs and in no snapshot, run or segment.
func fillGoldenLate(t *testing.T, s *server) {
	c := sessionOf(t, s)
	c.must("QPUSH late in-the-log PRIORITY 255")
	c.must("QPUSH states once DEDUP known")
	c.must("XAPPEND events once DEDUP known")
	c.must("XACK events workers 49")
	c.must("XMAPPEND chain 2 fourth fifth")
	c.must("NPUB late in-the-log RETAIN EXAT " + farSeconds)
	c.must("SET late in-the-log EXAT " + farSeconds)
}

// useGolden does with the data what clients do: everything that was handed out or remembered is still worth something.
func useGolden(t *testing.T, dir string) {
	s := start(t, dir, goldenFlags...)
	s.await(t)
	c := sessionOf(t, s)
	for _, job := range c.must("QPEEK states STATE INFLIGHT COUNT 100").([]any)[2].([]any) {
		fields := fieldsOf(job, "id", "deliveries")
		if n := c.must(fmt.Sprintf("QACK states %s-%s", fields[0], fields[1])); n != int64(1) {
			t.Errorf("the job in flight %v was acknowledged %v times", fields, n)
		}
	}
	if first := c.must("QPUSH states again DEDUP known").([]any); first[1] != int64(0) {
		t.Errorf("a job that the queue knows was pushed: %v", first)
	}
	if first := c.must("XAPPEND events again DEDUP known").([]any); first[1] != int64(0) || first[0] != int64(goldenEntries+1) {
		t.Errorf("an entry that the stream knows was appended: %v", first)
	}
	if n := c.must("XACK events workers #1..#80"); n != int64(35) { // of 80: 40, 2 and 1 were acknowledged, 2 are parked
		t.Errorf("%v entries were pending", n)
	}
	var order []string
	for {
		jobs, _ := c.must("QPOP jobs COUNT 100 LEASE 1h").([]any)
		if len(jobs) == 0 {
			break
		}
		var handles []any
		for _, job := range jobs {
			handles = append(handles, job.([]any)[0])
			order = append(order, job.([]any)[1].(string))
		}
		c.must("QACK jobs", handles...)
	}
	var want []string
	for priority := 2; priority >= 0; priority-- {
		for n := range goldenJobs {
			if n/100%3 == priority {
				want = append(want, goldenJob(n))
			}
		}
	}
	if !slices.Equal(order, want) {
		t.Errorf("%d of %d jobs came, or in another order", len(order), len(want))
	}
	s.kill()
	s = start(t, dir, goldenFlags...)
	s.await(t)
	c = sessionOf(t, s)
	if n := c.must("QLEN jobs"); n != int64(0) {
		t.Errorf("%v acknowledged jobs are back", n)
	}
	if n := c.must("QLEN states INFLIGHT"); n != int64(0) {
		t.Errorf("%v acknowledged jobs are in flight", n)
	}
	s.kill()
}

// fieldsOf picks fields of a map in its flat form, as text.
func fieldsOf(reply any, names ...string) (values []string) {
	fields := mapOf(reply)
	for _, name := range names {
		value := "(none)"
		if field, ok := fields[name]; ok {
			value = fmt.Sprint(field)
		}
		values = append(values, value)
	}
	return values
}

// hourOf writes a time in milliseconds to the hour: what is measured in steady time moves by a millisecond from start to start.
func hourOf(millis int64) string {
	if millis <= 0 {
		return fmt.Sprint(millis)
	}
	return time.UnixMilli(millis).UTC().Format("2006-01-02T15")
}
