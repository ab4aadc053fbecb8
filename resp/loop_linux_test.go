package resp

import (
	"context"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestNobodyRingsAClosedBell: who has decided to wake a loop that then ends writes into no file that has got the bell's number.
func TestNobodyRingsAClosedBell(t *testing.T) {
	s, err := Listen(Options{Addr: "127.0.0.1:0", Loops: 1}, newTestHandler())
	if err != nil {
		t.Fatal(err)
	}
	l := s.loops[0]
	bell := l.bell
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the loop has ended", func() bool {
		l.ringing.Lock()
		defer l.ringing.Unlock()
		return l.ringing.ended
	})
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(ends[0])
	defer syscall.Close(ends[1])
	mine := ends[0]
	switch bell {
	case ends[0]:
		mine = ends[1]
	case ends[1]:
	default: // nothing else opens files meanwhile, so the number is free
		if err := syscall.Dup3(ends[1], bell, syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(bell)
	}
	l.asleep.Store(true) // as when it is woken from two sides at once
	l.journalMoved()
	if n, err := syscall.Read(mine, make([]byte, 16)); err != syscall.EAGAIN {
		t.Errorf("%d bytes were written into somebody else's file, %v", n, err)
	}
}

// wrapped has the methods of a TCP listener, but for its Accept.
type wrapped struct {
	*net.TCPListener
	accepted chan struct{}
}

func (w wrapped) Accept() (net.Conn, error) {
	nc, err := w.TCPListener.Accept()
	if err == nil {
		close(w.accepted)
	}
	return nc, err
}

func TestAWrappedListenerAcceptsItself(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := wrapped{listener.(*net.TCPListener), make(chan struct{})}
	startServer(t, Options{UnixSocket: t.TempDir() + "/s", Listeners: []net.Listener{w}}, newTestHandler())
	nc, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	<-w.accepted
}

// TestAcceptedSocketsAreAsPackageNetMakesThem compares what a loop sets with what package net does.
func TestAcceptedSocketsAreAsPackageNetMakesThem(t *testing.T) {
	options := map[string][2]int{
		"TCP_NODELAY": {syscall.IPPROTO_TCP, syscall.TCP_NODELAY}, "SO_KEEPALIVE": {syscall.SOL_SOCKET, syscall.SO_KEEPALIVE},
		"TCP_KEEPIDLE": {syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE}, "TCP_KEEPINTVL": {syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL},
		"TCP_KEEPCNT": {syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT},
	}
	config := net.ListenConfig{KeepAlive: 60 * time.Second}
	listener, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	near, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	setTCP(fd, 60*time.Second)
	raw, err := far.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for name, option := range options {
		ours, err := syscall.GetsockoptInt(fd, option[0], option[1])
		if err != nil {
			t.Fatal(name, os.NewSyscallError("getsockopt", err))
		}
		_ = raw.Control(func(fd uintptr) {
			if theirs, err := syscall.GetsockoptInt(int(fd), option[0], option[1]); err != nil || ours != theirs {
				t.Errorf("%s is %d, package net has %d, %v", name, ours, theirs, err)
			}
		})
	}
}

// TestALargeReplyLeavesTheLoopToOthers: one client's reply of many megabytes, read as fast as it comes, is written in turns.
func TestALargeReplyLeavesTheLoopToOthers(t *testing.T) {
	h := newStepHandler()
	s := startServer(t, Options{Loops: 1}, h)
	c := dial(t, s)
	conn := h.only(t)
	large := strings.Repeat("v", 8<<20)
	go c.send(command("ECHO", large) + "PING\r\n")
	c.expect("$8388608", large, "+PONG")
	eventually(t, "nothing is held", func() bool { return conn.Outbox() == 0 && s.Counters().Memory <= aheadChunkMax })
}

// TestAShareOfOutputIsNotTheLastOne: what one connection is sent at once may be more than it may write in a turn, while nothing else
// happens in its loop. It gets the rest in the next turns, and not when the sweeper, whose clock moves each second, wakes the loop.
func TestAShareOfOutputIsNotTheLastOne(t *testing.T) {
	h := newFanHandler()
	s := startServer(t, Options{Loops: min(loopsInTests, 1)}, h)
	receiver, sender := dial(t, s), dial(t, s)
	receiver.send("NAME receiver\r\n")
	receiver.expect("+receiver")
	const rounds = 20
	swept := 0
	for range rounds {
		clock := s.clock.Load()
		sender.send("FAN receiver\r\n") // in the loop's own goroutine, so that one turn has all of it
		sender.expect("+OK")
		for range fanCount {
			if line, err := receiver.ReadString('\n'); err != nil || len(line) != fanBytes {
				t.Fatalf("%d bytes, %v", len(line), err)
			}
		}
		if s.clock.Load() != clock {
			swept++
		}
	}
	if swept > rounds/2 {
		t.Errorf("%d of %d times the sweeper came before the end of the output", swept, rounds)
	}
}

const (
	fanCount = 4
	fanBytes = shareMax + 10_000
)

// fanHandler sends more to a connection than one turn of its loop writes.
type fanHandler struct{ *stepHandler }

func newFanHandler() *fanHandler { return &fanHandler{newStepHandler()} }

func (h *fanHandler) Command(c *Conn, args [][]byte) {
	switch string(args[0]) {
	case "FAN":
		to, _ := h.names.Load(string(args[1]))
		for range fanCount {
			to.(*Conn).Push(NewMessage([]byte("+" + strings.Repeat("f", fanBytes-3) + "\r\n")))
		}
		c.Writer().OK()
	default:
		h.stepHandler.Command(c, args)
	}
}
