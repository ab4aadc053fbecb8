package resp

import (
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// System calls that never block: the sockets are non-blocking and epoll is only asked, so the scheduler need not be told.

func epollReady(fd int, events []syscall.EpollEvent) int {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(fd), uintptr(unsafe.Pointer(&events[0])),
			uintptr(len(events)), 0, 0, 0)
		if errno == syscall.EINTR {
			continue
		}
		if errno != 0 {
			return 0
		}
		return int(n)
	}
}

func readSocket(fd int, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

func writeSocket(fd int, p []byte) (int, error) {
	// SIGPIPE of a socket whose reader has gone is ignored by the runtime, but for standard output and error.
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

func newBell() (int, error) {
	fd, _, errno := syscall.RawSyscall(syscall.SYS_EVENTFD2, 0, syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if errno != 0 {
		return -1, os.NewSyscallError("eventfd", errno)
	}
	return int(fd), nil
}

var one = [8]byte{1}

// ring wakes a loop. The counter is never read: each write is an edge of its own.
func ring(bell int) { _, _ = writeSocket(bell, one[:]) }

// acceptSockets accepts plain connections as sockets that the runtime's poller has never seen, and gives them to the loops in
// turn. It returns false when the listener is of another kind, such as TLS, or there are no loops.
func (s *Server) acceptSockets(listener net.Listener) (took bool) {
	var of syscall.Conn
	switch plain := listener.(type) { // no wrapper of one: its Accept is not to be passed by
	case *net.TCPListener:
		of = plain
	case *net.UnixListener:
		of = plain
	}
	if of == nil || len(s.loops) == 0 {
		return false
	}
	file, err := sameSocket(of.SyscallConn())
	if err != nil {
		s.options.Logger.Warn("connections get a goroutine each, the event loops cannot accept them", "error", err)
		return false
	}
	// A descriptor of its own keeps the socket open, so it goes when the listener does.
	accepted := make(chan struct{})
	defer close(accepted)
	go func() {
		select {
		case <-s.draining:
		case <-accepted:
		}
		file.Close()
	}()
	raw, err := file.SyscallConn()
	if err != nil {
		return false
	}
	local := listener.Addr()
	s.acceptFrom(listener, func() error {
		fd, peer, err := acceptSocket(raw)
		if err != nil {
			return err
		}
		s.admitSocket(fd, local, peer)
		return nil
	})
	return true
}

// sameSocket is another descriptor of a listening socket, on which accept4 can be called: a net.Listener does not allow that.
func sameSocket(raw syscall.RawConn, err error) (*os.File, error) {
	if err != nil {
		return nil, err
	}
	fd := -1
	if controlled := raw.Control(func(listener uintptr) {
		var n uintptr
		var errno syscall.Errno
		if n, _, errno = syscall.Syscall(syscall.SYS_FCNTL, listener, syscall.F_DUPFD_CLOEXEC, 0); errno != 0 {
			err = os.NewSyscallError("fcntl", errno)
		}
		fd = int(n)
	}); controlled != nil {
		return nil, controlled
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "listener"), nil // it is non-blocking, as the other one is
}

func acceptSocket(raw syscall.RawConn) (fd int, peer syscall.Sockaddr, err error) {
	closed := raw.Read(func(listener uintptr) bool {
		for {
			fd, peer, err = syscall.Accept4(int(listener), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
			if err != syscall.EINTR && err != syscall.ECONNABORTED {
				return err != syscall.EAGAIN
			}
		}
	})
	if closed != nil {
		return -1, nil, closed
	}
	return fd, peer, os.NewSyscallError("accept", err)
}

// admitSocket gives a new socket to a loop, or refuses it.
func (s *Server) admitSocket(fd int, listener net.Addr, peer syscall.Sockaddr) {
	if listener.Network() == "tcp" {
		setTCP(fd, s.options.KeepAlive)
	}
	c := s.newConn()
	c.remote, c.local = address(listener, peer), listener
	if name, err := syscall.Getsockname(fd); err == nil && listener.Network() == "tcp" {
		c.local = address(listener, name)
	}
	c.io.fd = fd
	c.io.loop = s.loops[int(c.id)%len(s.loops)]
	switch s.register(c) {
	case admitted:
		c.io.loop.mark(c, markNew)
		return
	case refusedFull:
		_, _ = writeSocket(fd, []byte(fullText)) // it always fits in a new socket's buffer
	}
	syscall.Close(fd)
}

// setTCP gives an accepted socket what package net gives its own. A socket that does not take it works without.
func setTCP(fd int, keepAlive time.Duration) {
	const interval, count = 15, 9 // package net's defaults
	seconds := max(1, int((keepAlive+time.Second-1)/time.Second))
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1)
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, seconds)
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, interval)
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, count)
}

func address(listener net.Addr, from syscall.Sockaddr) net.Addr {
	switch a := from.(type) {
	case *syscall.SockaddrInet4:
		return &net.TCPAddr{IP: append(net.IP(nil), a.Addr[:]...), Port: a.Port}
	case *syscall.SockaddrInet6:
		zone := ""
		if a.ZoneId != 0 {
			if i, err := net.InterfaceByIndex(int(a.ZoneId)); err == nil {
				zone = i.Name
			}
		}
		return &net.TCPAddr{IP: append(net.IP(nil), a.Addr[:]...), Port: a.Port, Zone: zone}
	case *syscall.SockaddrUnix:
		return &net.UnixAddr{Name: a.Name, Net: "unix"}
	}
	return listener
}
