package keyspace_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers/brokertest"
	"github.com/nexobroker/nexo/brokers/store"
	"github.com/nexobroker/nexo/commands/commandstest"
	"github.com/nexobroker/nexo/commands/keyspace"
)

var rewriteStoreScripts = flag.Bool("rewrite-store-scripts", false, "write the replies into testdata/store/*.txt instead of comparing them")

// Scripts are commands with their raw replies below them, indented, line ends as \r\n is left out. A line "@advance 5s"
// moves the clock, "@proto 3" opens a new connection, "#" comments.
func TestStoreScripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/store/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatal("no scripts: ", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			script, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := runStoreScript(t, string(script))
			if *rewriteStoreScripts {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			compareLines(t, string(script), got)
		})
	}
}

func runStoreScript(t *testing.T, script string) string {
	clock := brokertest.NewClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	addr := openKeyspaceDoor(t, store.Options{Clock: clock, DefaultTTL: time.Hour})
	client := commandstest.Dial(t, addr, 2)
	var out strings.Builder
	for _, line := range strings.Split(strings.TrimRight(script, "\n"), "\n") {
		if strings.HasPrefix(line, "  ") {
			continue
		}
		out.WriteString(line + "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		words := commandstest.Fields(t, line)
		switch words[0] {
		case "@advance":
			d, err := time.ParseDuration(words[1])
			if err != nil {
				t.Fatal(err)
			}
			clock.Advance(d)
		case "@proto":
			proto, err := strconv.Atoi(words[1])
			if err != nil {
				t.Fatal(err)
			}
			client = commandstest.Dial(t, addr, proto)
		default:
			reply := strings.TrimSuffix(client.Do(words...), "\r\n")
			for _, part := range strings.Split(reply, "\r\n") {
				fmt.Fprintf(&out, "  %s\n", strings.Trim(strconv.Quote(part), `"`))
			}
		}
	}
	return out.String()
}

func compareLines(t *testing.T, want, got string) {
	t.Helper()
	if want == got {
		return
	}
	wantLines, gotLines := strings.Split(want, "\n"), strings.Split(got, "\n")
	command := ""
	for i := range max(len(wantLines), len(gotLines)) {
		if i >= len(wantLines) || i >= len(gotLines) || wantLines[i] != gotLines[i] {
			t.Fatalf("line %d, after %q:\n got  %q\n want %q", i+1, command, at(gotLines, i), at(wantLines, i))
		}
		if !strings.HasPrefix(wantLines[i], "  ") {
			command = wantLines[i]
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(nothing)"
}

func TestMemoryLimitAnswersOOM(t *testing.T) {
	client := commandstest.Dial(t, openKeyspaceDoor(t, store.Options{MaxMemory: 5000}), 2)
	const oom = "-OOM command not allowed when used memory > 'maxmemory'.\r\n"
	for i := 0; client.Do("SET", fmt.Sprint("k", i), strings.Repeat("x", 1000)) != oom; i++ {
		if i > 100 {
			t.Fatal("the limit does not hold")
		}
	}
	for _, command := range []string{"SET a b", "SETNX a b", "APPEND k0 x", "INCR n", "INCRBYFLOAT n 1", "MSET a b", "MSETNX a b",
		"SETRANGE a 0 x", "COPY k0 a", "GETSET k0 x", "SETEX a 10 b", "NSET a b", "NMSET 1 a b", "NINCR n", "NLIMIT l 1 1000"} {
		if reply := client.Do(strings.Fields(command)...); reply != oom {
			t.Errorf("%s: %q", command, reply)
		}
	}
	for _, command := range []string{"GET k0", "EXPIRE k0 100", "RENAME k0 k00", "GETDEL k1", "DEL k00", "SET a b"} {
		if reply := client.Do(strings.Fields(command)...); reply[0] == '-' {
			t.Errorf("%s: %q", command, reply)
		}
	}
}

func FuzzKeyspaceArguments(f *testing.F) {
	for _, line := range strings.Split(strings.TrimSpace(differentialTable), "\n") {
		if name, rest, found := strings.Cut(line, " "); found && name != "SELECT" {
			f.Add(name, strings.ReplaceAll(rest, " ", "\n"))
		}
	}
	for _, seed := range []string{"NSET\nk\nv\nIFEQ\nx\nGET", "NSCAN\n0\nPREFIX\na\nCOUNT\n5\nWITHTTL", "NLIMIT\nk\n5\n1s\nCOST\n2",
		"NMSET\n2\na\n1\nb\n2\nNX\nEX\n5", "NINCR\nk\nBYFLOAT\n1\nEX\n5\nENX", "NEXPIRE\nk\n5d\nGT", "NGET\nk\nWITHTTL"} {
		name, rest, _ := strings.Cut(seed, "\n")
		f.Add(name, rest)
	}
	client := commandstest.Dial(f, openKeyspaceDoor(f, store.Options{MaxMemory: 64 << 20, MaxMemoryPolicy: "allkeys-random"}), 2)
	// SETRANGE and APPEND may make values of 512 MiB, that is their right; the fuzzer need not.
	heavy := map[string]bool{"SETRANGE": true}
	families := map[string]bool{}
	for _, spec := range keyspace.New(keyspace.Options{}).Family().Specs {
		families[strings.ToUpper(spec.Name)] = !heavy[strings.ToUpper(spec.Name)]
	}
	f.Fuzz(func(t *testing.T, name, rest string) {
		if !families[strings.ToUpper(name)] || len(rest) > 4096 {
			return
		}
		client.T = t
		if reply := client.Do(append([]string{name}, strings.Split(rest, "\n")...)...); reply == "" || strings.HasPrefix(reply, "-ERR internal") {
			t.Errorf("%q: %q", name+" "+rest, reply)
		}
	})
}
