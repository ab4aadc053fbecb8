package clients

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// server is the real binary on a free port; it can be stopped and started again on the same port and data.
type server struct {
	t       *testing.T
	addr    string
	data    string
	command *exec.Cmd
	held    bool // it may stay at loading its logs
}

func startServer(t *testing.T) *server {
	t.Helper()
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, addr: probe.Addr().String(), data: t.TempDir()}
	if err := probe.Close(); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *server) start() {
	s.t.Helper()
	binary := os.Getenv("NEXO_BIN")
	if binary == "" {
		s.t.Fatal("NEXO_BIN must be the path of the nexo binary")
	}
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.command = exec.Command(binary, "server", "--port", port, "--data", s.data)
	log, err := os.OpenFile(filepath.Join(s.data, "..", "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	s.command.Stdout, s.command.Stderr = log, log
	if err := s.command.Start(); err != nil {
		s.t.Fatal(err)
	}
	log.Close()
	if err := s.awaitPong(10 * time.Second); err != nil && !(s.held && strings.Contains(err.Error(), "LOADING")) {
		text, _ := os.ReadFile(log.Name())
		s.t.Fatalf("the server did not start: %v\n%s", err, text)
	}
}

func (s *server) awaitPong(limit time.Duration) error {
	var last error
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if last = ping(s.addr); last == nil || s.held && strings.Contains(last.Error(), "LOADING") {
			return last
		}
	}
	return last
}

func ping(addr string) error {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(line, "+PONG") {
		return fmt.Errorf("PING answered %q", line)
	}
	return nil
}

// stop ends the server and waits until it is gone, so that the port is free again.
func (s *server) stop() {
	if s.command == nil {
		return
	}
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Errorf("stopping the server: %v", err)
	}
	gone := make(chan error, 1)
	go func(command *exec.Cmd) { gone <- command.Wait() }(s.command)
	s.command = nil
	select {
	case err := <-gone:
		if err != nil {
			s.t.Errorf("the server ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		s.t.Error("the server did not end within 20 s of SIGTERM")
	}
}

// restart starts again, and calls meanwhile while the server is loading its logs: it waits, because a file of one of them is a
// pipe that nobody has written to yet.
func (s *server) restart(meanwhile func()) {
	s.t.Helper()
	s.stop()
	manifest := filepath.Join(s.data, "stream", "MANIFEST")
	content, err := os.ReadFile(manifest)
	if err == nil {
		err = os.Rename(manifest, manifest+".kept")
	}
	if err == nil {
		err = syscall.Mkfifo(manifest, 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.held = true
	s.start()
	meanwhile()
	s.held = false
	pipe, err := os.OpenFile(manifest, os.O_RDWR, 0)
	if err == nil {
		err = os.Rename(manifest+".kept", manifest)
	}
	if err == nil {
		_, err = pipe.Write(content)
	}
	if err == nil {
		err = pipe.Close()
	}
	if err == nil {
		err = s.awaitPong(10 * time.Second)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}
