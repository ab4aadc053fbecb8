package resp

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inUse is the memory of the process after a collection, which a second one makes sure has swept.
func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return int64(memory.HeapAlloc + memory.StackInuse)
}

// TestIdleConnectionsHoldLittle: five KiB each, whatever they have done before. The clients are bare descriptors, which take none.
func TestIdleConnectionsHoldLittle(t *testing.T) {
	if loopsInTests < 0 {
		t.Skip("a goroutine and its buffers take more")
	}
	count := sockets(t, 10_000)
	for _, past := range []struct{ name, send, last string }{
		{"new", "PING\r\n", "+PONG\r\n"},
		{"after a pipeline", strings.Repeat("PING\r\n", 2000) + "ECHO end\r\n", "end\r\n"},
		{"after many arguments", command(strings.Split("COUNT"+strings.Repeat(" argument", 500), " ")...), ":501\r\n"},
		{"after many awaited replies", strings.Repeat("SAVE a x\r\n", 200) + "ECHO end\r\n", "end\r\n"},
		{"after a large command", command("ECHO", strings.Repeat("x", 100_000)), "x\r\n"},
		{"after a block", "PAUSE x\r\n", "+x\r\n"},
		{"in half a command", "PING\r\n*2\r\n$4\r\nECHO\r\n$500\r\n" + strings.Repeat("x", 400), "+PONG\r\n"},
		{"subscribed", "SUBSCRIBE\r\n", "+FIRST\r\n"},
	} {
		t.Run(past.name, func(t *testing.T) {
			h := newStepHandler()
			s := startServer(t, Options{MaxClients: count + 10}, h)
			stop, stopped := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(stopped)
				for !isClosed(stop) {
					if h.a.behind() > 0 {
						h.a.all()
					}
					time.Sleep(100 * time.Microsecond)
				}
			}()
			port := s.Addr().(*net.TCPAddr).Port
			number := count
			if past.name != "new" {
				number = min(count, 300)
			}
			before := inUse()
			buf := make([]byte, 64<<10)
			for range number {
				fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer syscall.Close(fd)
				if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
					t.Fatal(os.NewSyscallError("connect", err))
				}
				for rest := []byte(past.send); len(rest) > 0; {
					n, err := syscall.Write(fd, rest)
					if err != nil {
						t.Fatal(err)
					}
					rest = rest[n:]
				}
				tail := ""
				for !strings.HasSuffix(tail, past.last) {
					n, err := syscall.Read(fd, buf)
					if err != nil || n == 0 {
						t.Fatal(n, err)
					}
					tail += string(buf[:n])
					tail = tail[max(0, len(tail)-64):]
				}
			}
			close(stop)
			<-stopped
			each := (inUse() - before) / int64(number)
			t.Logf("%d connections: %d bytes each", number, each)
			most := int64(5 << 10)
			if raceEnabled {
				most *= 2
			}
			if each > most {
				t.Errorf("%d bytes each, the limit is %d", each, most)
			}
			if n := s.Counters().Connected; n != int64(number) {
				t.Error(fmt.Sprint(n, " are connected"))
			}
		})
	}
}
