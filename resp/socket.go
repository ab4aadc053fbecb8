package resp

import (
	"net"
	"syscall"
)

// socket asks the operating system for what net.Conn does not tell. The zero socket, of a pipe, knows nothing.
type socket struct {
	raw syscall.RawConn
}

func newSocket(nc net.Conn) (s socket) {
	if with, ok := nc.(syscall.Conn); ok {
		if raw, err := with.SyscallConn(); err == nil {
			s.raw = raw
		}
	}
	return s
}

// queued is how many bytes the kernel holds that the peer's has not taken; 0 where it does not say.
func (s *socket) queued() (n int) {
	if s.raw != nil {
		_ = s.raw.Control(func(fd uintptr) { n = queuedBytes(fd) }) // closed: nothing is queued
	}
	return n
}

// hungUp tells whether the peer has closed its end, whatever is still to be read; false where the system does not say.
func (s *socket) hungUp() (yes bool) {
	if s.raw != nil {
		_ = s.raw.Control(func(fd uintptr) { yes = peerHungUp(fd) }) // closed: the goroutine that reads knows
	}
	return yes
}
