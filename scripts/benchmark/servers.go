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
}

func (s *server) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

func (b *bench) start(binary, directory string) error {
	var err error
	if b.nexo, err = startServer("nexo", directory, func(port, data string) *exec.Cmd {
		return exec.Command(binary, "server", "--port", port, "--data", data, "--fsync", "always")
	}); err != nil {
		return err
	}
	if b.redis, err = startServer("redis", directory, func(port, data string) *exec.Cmd {
		return exec.Command("redis-server", "--port", port, "--dir", data, "--save", "", "--appendonly", "no")
	}); err != nil {
		return err
	}
	b.redisAOF, err = startServer("redis-aof", directory, func(port, data string) *exec.Cmd {
		return exec.Command("redis-server", "--port", port, "--dir", data, "--save", "", "--appendonly", "yes",
			"--appendfsync", "always")
	})
	return err
}

func (b *bench) stop() {
	for _, s := range []*server{b.nexo, b.redis, b.redisAOF} {
		if s != nil {
			s.stop()
		}
	}
}

func startServer(name, directory string, command func(port, data string) *exec.Cmd) (*server, error) {
	if err := os.Mkdir(filepath.Join(directory, name), 0o755); err != nil {
		return nil, err
	}
	return startServerAgain(name, directory, command)
}

// startServerAgain starts a server on the data that it left.
func startServerAgain(name, directory string, command func(port, data string) *exec.Cmd) (*server, error) {
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
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err := dial(s); err == nil {
			reply, err := c.do("PING")
			c.Close()
			if err == nil && reply == "PONG" {
				return s, nil
			}
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(s.log)
			s.stop()
			return nil, fmt.Errorf("%s did not start: %s", name, text)
		}
	}
}

// stop ends the process, gently first.
func (s *server) stop() {
	gone := make(chan struct{})
	go func() {
		s.command.Wait()
		close(gone)
	}()
	s.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-gone:
	case <-time.After(15 * time.Second):
		fmt.Fprintf(os.Stderr, "bench: %s did not stop within 15 s and is killed\n", s.name)
		s.command.Process.Kill()
		<-gone
	}
}
