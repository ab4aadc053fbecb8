package processtest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

var build struct {
	sync.Once
	path string
	err  error
}

// nexoBinary is the path of the nexo binary under test.
func nexoBinary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("NEXO_BIN"); path != "" {
		return path
	}
	build.Do(func() {
		dir, err := os.MkdirTemp("", "nexo-bin-")
		if err != nil {
			build.err = err
			return
		}
		build.path = filepath.Join(dir, "nexo")
		out, err := exec.Command("go", "build", "-o", build.path, "github.com/nexobroker/nexo/cmd/nexo").CombinedOutput()
		if err != nil {
			build.err = fmt.Errorf("build nexo: %w\n%s", err, out)
		}
	})
	if build.err != nil {
		t.Fatal(build.err)
	}
	return build.path
}

// server is one life of the process.
type server struct {
	addr string
	cmd  *exec.Cmd
	log  *lockedBuffer
	done chan struct{}
	err  error
}

// lockedBuffer keeps the first megabyte of what the process printed.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.buf.Len() < 1<<20 {
		b.buf.Write(p)
	}
	return len(p), nil
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// freePort asks the kernel for a port that nobody listens on.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// start runs the binary and returns at once; await waits until it serves.
func start(t testing.TB, dir string, flags ...string) *server {
	t.Helper()
	port := freePort(t)
	args := append([]string{"server", "--host", "127.0.0.1", "--port", fmt.Sprint(port), "--data", dir, "--dashboard=false"}, flags...)
	s := &server{
		addr: fmt.Sprintf("127.0.0.1:%d", port),
		cmd:  exec.Command(nexoBinary(t), args...),
		log:  &lockedBuffer{},
		done: make(chan struct{}),
	}
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.done)
	}()
	t.Cleanup(s.kill)
	return s
}

// await returns once the server answers PING; it fails the test when the process ends first or does not answer for too long.
func (s *server) await(t testing.TB) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		select {
		case <-s.done:
			t.Fatalf("the server ended while starting: %v\n%s", s.err, s.log)
		default:
		}
		c, err := dial(s.addr)
		if err == nil {
			reply, err := c.do("PING")
			c.Close()
			if err == nil && reply == "PONG" {
				return
			}
		}
		time.Sleep(2 * time.Millisecond) // the poll of a foreign process's port: there is nothing to wait on
	}
	t.Fatalf("the server did not answer within %v\n%s", patience, s.stacks())
}

// stacks ends a server that does not answer, and tells what its goroutines were at.
func (s *server) stacks() string {
	_ = s.cmd.Process.Signal(syscall.SIGQUIT)
	select {
	case <-s.done:
	case <-time.After(10 * time.Second):
		s.kill()
	}
	return s.log.String()
}

// kill ends the process with SIGKILL and waits for it.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}
