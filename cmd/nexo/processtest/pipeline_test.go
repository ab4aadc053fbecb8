package processtest

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// figure is a number of INFO.
func figure(t *testing.T, s *server, name string) int64 {
	t.Helper()
	found := regexp.MustCompile(name + `:(\d+)`).FindStringSubmatch(mustDo(t, s, "INFO").(string))
	if found == nil {
		t.Fatalf("INFO does not tell %s", name)
	}
	n, _ := strconv.ParseInt(found[1], 10, 64)
	return n
}

// TestPipelineWrittenBeforeItIsRead: a client in one blocking write of all its commands gets every reply, in order, whatever their
// number and size.
func TestPipelineWrittenBeforeItIsRead(t *testing.T) {
	s := start(t, t.TempDir(), "--fsync", "interval")
	s.await(t)
	value := strings.Repeat("v", 500)
	mustDo(t, s, "SET", "k", value)
	mustDo(t, s, "QCREATE", "q")
	var pushed bytes.Buffer
	const jobs = 300_000
	for i := 1; i <= jobs; i++ {
		fmt.Fprintf(&pushed, "$%d\r\n%d\r\n", len(strconv.Itoa(i)), i)
	}
	for _, pipeline := range []struct {
		name    string
		command []byte
		count   int
		replies []byte
	}{
		{"GET", appendCommand(nil, "GET", "k"), 200_000, bytes.Repeat([]byte("$500\r\n"+value+"\r\n"), 200_000)},
		{"QPUSH", appendCommand(nil, "QPUSH", "q", "hello"), jobs, pushed.Bytes()},
	} {
		c, err := dial(s.addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
		if _, err := c.Write(bytes.Repeat(pipeline.command, pipeline.count)); err != nil {
			t.Fatalf("%s: the pipeline is not taken: %v", pipeline.name, err)
		}
		got := make([]byte, len(pipeline.replies))
		if n, err := io.ReadFull(c.r, got); err != nil || !bytes.Equal(got, pipeline.replies) {
			t.Errorf("%s: %d of %d bytes came: %v", pipeline.name, n, len(got), err)
		}
		c.Close()
	}
	if n := figure(t, s, "timed_out_clients"); n != 0 {
		t.Errorf("%d clients were cut", n)
	}
}

// TestJobOfADeadClientComesBack: a consumer that dies with much sent behind its QPOP BLOCK keeps no job for the length of a lease.
func TestJobOfADeadClientComesBack(t *testing.T) {
	s := start(t, t.TempDir())
	s.await(t)
	mustDo(t, s, "QCREATE", "q", "LEASE", "1h")
	c, err := dial(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	block := appendCommand(nil, "QPOP", "q", "BLOCK", "1h")
	if _, err := c.Write(append(block, bytes.Repeat(appendCommand(nil, "PING"), 100_000)...)); err != nil { // 1.4 MB
		t.Fatal(err)
	}
	c.Close()
	until(t, s, "the dead client is gone", func() bool { return figure(t, s, "connected_clients") == 1 })
	mustDo(t, s, "QPUSH", "q", "x")
	if job, ok := mustDo(t, s, "QPOP", "q").([]any); !ok || len(job) != 1 {
		t.Error("the job went to a dead client")
	}
}

// TestStopDoesNotWaitForAStalledReader: SIGTERM ends the process soon, although one client does not read what it asked for.
func TestStopDoesNotWaitForAStalledReader(t *testing.T) {
	s := start(t, t.TempDir())
	s.await(t)
	mustDo(t, s, "SET", "k", bytes.Repeat([]byte("v"), 16<<20))
	c, err := dial(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.Conn.(*net.TCPConn).SetReadBuffer(32 << 10)
	if _, err := c.Write(bytes.Repeat(appendCommand(nil, "GET", "k"), 10)); err != nil {
		t.Fatal(err)
	}
	// A reply waits, but for what the kernel has taken of it.
	until(t, s, "a reply waits", func() bool { return figure(t, s, "used_memory_clients") >= 8<<20 })
	began := time.Now()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	<-s.done
	if took := time.Since(began); took > 6*time.Second || s.err != nil {
		t.Errorf("stopping took %v: %v\n%s", took, s.err, s.log)
	}
}
