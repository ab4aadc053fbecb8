package commandstest

import (
	"net"
	"os/exec"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"
)

// OpenRedis starts a real redis-server on a random port.
func OpenRedis(t testing.TB) (addr string) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("the differential tests need a real redis-server 7: install it with `apt-get install redis-server` or `brew install redis`")
	}
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = probe.Addr().String()
	probe.Close()
	_, port, _ := net.SplitHostPort(addr)
	command := exec.Command(path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Kill()
		command.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return addr
		}
		if time.Now().After(deadline) {
			t.Fatal("redis-server does not accept connections: ", err)
		}
	}
}

// unordered are commands whose replies hold keys in an order that is nobody's business.
func unordered(command string) bool {
	return command == "KEYS" || command == "SCAN"
}

func comparable(words []string, reply string) string {
	command := strings.ToUpper(words[0])
	if unordered(command) && !strings.HasPrefix(reply, "-") {
		parts := strings.SplitAfter(reply, "\r\n")
		sort.Strings(parts)
		return strings.Join(parts, "")
	}
	return reply
}

// almost tells that two servers have told the same time to live, though they were asked one after the other.
func almost(words []string, want, got string) bool {
	apart := map[string]int{"TTL": 1, "PTTL": 1000}[strings.ToUpper(words[0])]
	if apart == 0 || want[0] != ':' || got[0] != ':' {
		return false
	}
	a, errA := strconv.Atoi(strings.TrimSpace(want[1:]))
	b, errB := strconv.Atoi(strings.TrimSpace(got[1:]))
	return errA == nil && errB == nil && a > 0 && b > 0 && max(a, b)-min(a, b) <= apart
}

// CompareReplies sends the same command to both; the raw replies must be equal.
func CompareReplies(t *testing.T, redis, nexo *Client, words []string) {
	t.Helper()
	want, got := redis.Do(words...), nexo.Do(words...)
	if comparable(words, want) != comparable(words, got) && !almost(words, want, got) {
		t.Errorf("%q\n redis %q\n nexo  %q", words, want, got)
	}
}
