package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// server is one server process on a loopback port.
type server struct {
	name    string
	port    int
	command *exec.Cmd
	log     string
	gone    chan struct{} // closed when the process has ended
}

func (s *server) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// nexoCommand starts a nexo that answers after the fsync. The dashboard is on, as it is for everyone who does not turn it off, at
// a port that nobody else has.
func nexoCommand(binary, port, data string, more ...string) *exec.Cmd {
	return exec.Command(binary, append([]string{"server", "--port", port, "--data", data, "--fsync", "always", "--dashboard-port", "0"},
		more...)...)
}

func (b *bench) start() error {
	var err error
	if b.nexo, err = startServer("nexo", b.directory, func(port, data string) *exec.Cmd {
		return nexoCommand(b.binary, port, data)
	}); err != nil {
		return err
	}
	if b.other != "" {
		if b.otherNexo, err = startServer("other", b.directory, func(port, data string) *exec.Cmd {
			return nexoCommand(b.other, port, data)
		}); err != nil {
			return err
		}
	}
	if b.redis, err = startServer("redis", b.directory, func(port, data string) *exec.Cmd {
		return exec.Command("redis-server", "--port", port, "--dir", data, "--save", "", "--appendonly", "no")
	}); err != nil {
		return err
	}
	b.redisAOF, err = startServer("redis-aof", b.directory, func(port, data string) *exec.Cmd {
		return exec.Command("redis-server", "--port", port, "--dir", data, "--save", "", "--appendonly", "yes",
			"--appendfsync", "always")
	})
	return err
}

// nexos are the binaries of nexo that are measured.
func (b *bench) nexos() []*server {
	if b.otherNexo == nil {
		return []*server{b.nexo}
	}
	return []*server{b.nexo, b.otherNexo}
}

func (b *bench) stop() {
	for _, s := range []*server{b.nexo, b.otherNexo, b.redis, b.redisAOF} {
		if s != nil {
			s.stop()
		}
	}
}

// send sends one command over a connection of its own.
func (s *server) send(words ...string) error {
	c, err := dial(s)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.do(words...)
	return err
}

func startServer(name, directory string, command func(port, data string) *exec.Cmd) (*server, error) {
	if err := os.Mkdir(filepath.Join(directory, name), 0o755); err != nil {
		return nil, err
	}
	return startServerAgain(name, directory, command)
}

// startServerAgain starts a server on the data that it left.
func startServerAgain(name, directory string, command func(port, data string) *exec.Cmd) (*server, error) {
	s, err := launch(name, directory, command)
	if err != nil {
		return nil, err
	}
	return s, s.awaitReady()
}

// launch starts a server and does not wait for it.
func launch(name, directory string, command func(port, data string) *exec.Cmd) (*server, error) {
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{name: name, port: probe.Addr().(*net.TCPAddr).Port, log: filepath.Join(directory, name+".log")}
	if err := probe.Close(); err != nil {
		return nil, err
	}
	s.command = command(strconv.Itoa(s.port), filepath.Join(directory, name))
	log, err := os.Create(s.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.command.Stdout, s.command.Stderr = log, log
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	s.gone = make(chan struct{})
	go func() {
		s.command.Wait()
		close(s.gone)
	}()
	return s, nil
}

// awaitReady returns once the server answers PING, which it does not while it reads what it left on the disk.
func (s *server) awaitReady() error {
	for deadline := time.Now().Add(5 * limit); ; time.Sleep(5 * time.Millisecond) {
		if c, err := dial(s); err == nil {
			reply, err := c.do("PING")
			c.Close()
			if err == nil && reply == "PONG" {
				return nil
			}
		}
		select {
		case <-s.gone:
		default:
			if time.Now().Before(deadline) {
				continue
			}
		}
		text, _ := os.ReadFile(s.log)
		s.stop()
		return fmt.Errorf("%s did not start: %s", s.name, text)
	}
}

// kill ends the process as a crash does.
func (s *server) kill() {
	s.command.Process.Kill()
	<-s.gone
}

// stop ends the process, gently first.
func (s *server) stop() {
	s.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.gone:
	case <-time.After(15 * time.Second):
		fmt.Fprintf(os.Stderr, "bench: %s did not stop within 15 s and is killed\n", s.name)
		s.kill()
	}
}
