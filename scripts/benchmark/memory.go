package main

import (
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

const idleConnections = 10_000

// memory opens many connections that send a PING each and are quiet from then on, and divides what the resident memory of
// a fresh server grows by. A server gives memory back late, if at all, so each round has servers of its own.
func (b *bench) memory() error {
	n := max(idleConnections/b.divide, 100)
	if err := wantFiles(n + 200); err != nil {
		return err
	}
	clients := strconv.Itoa(n + 100)
	fresh := 0
	measure := func(name string, command func(port, data string) *exec.Cmd) (float64, error) {
		fresh++
		s, err := startServer(fmt.Sprintf("%s-memory-%d", name, fresh), b.directory, command)
		if err != nil {
			return 0, err
		}
		defer s.stop()
		return idleMemory(s, n)
	}
	nexo := func(s *server) (float64, error) {
		return measure(s.name, func(port, data string) *exec.Cmd {
			return nexoCommand(s.command.Path, port, data, "--maxclients", clients)
		})
	}
	redis := func(s *server) (float64, error) {
		return measure(s.name, func(port, data string) *exec.Cmd {
			return exec.Command("redis-server", "--port", port, "--dir", data, "--save", "", "--maxclients", clients)
		})
	}
	r, err := runRace(b, nexo, redis, b.redis)
	if err != nil {
		return err
	}
	line := r.row(fmt.Sprintf("%d connections that sent a PING once, each", n), itself, kibibytes, atMost(5*1024).named("<= 5 KiB"))
	line.judged = r.nexo
	b.report.add(line)
	return nil
}

// idleMemory returns the bytes by which the server grows with each of n connections.
func idleMemory(s *server, n int) (float64, error) {
	before, err := s.settledMemory(time.Second)
	if err != nil {
		return 0, err
	}
	connections := make([]net.Conn, 0, n)
	defer func() {
		for _, c := range connections {
			c.Close()
		}
	}()
	ping, reply := encode(nil, "PING"), make([]byte, len("+PONG\r\n"))
	for range n {
		c, err := net.DialTimeout("tcp", s.addr(), 5*time.Second)
		if err != nil {
			return 0, err
		}
		connections = append(connections, c)
		c.SetDeadline(time.Now().Add(limit))
		if _, err := c.Write(ping); err != nil {
			return 0, err
		}
		if _, err := c.Read(reply); err != nil || string(reply) != "+PONG\r\n" {
			return 0, fmt.Errorf("%s answered %q to connection %d: %v", s.name, reply, len(connections), err)
		}
	}
	after, err := s.settledMemory(4 * time.Second)
	return (after - before) / float64(n), err
}

// wantFiles checks that this process, and so the servers that it starts, may open n files. (The runtime has raised the limit
// as far as it goes, for this process alone: what servers get is what the shell had, see scripts/bench.)
func wantFiles(n int) error {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now); err != nil {
		return err
	}
	if now.Cur < uint64(n) {
		return fmt.Errorf("%d open files are allowed, %d are needed: raise `ulimit -n`", now.Cur, n)
	}
	return nil
}
