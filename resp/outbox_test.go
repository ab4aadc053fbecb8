package resp

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestPushesAndRepliesKeepTheirOrder pushes from elsewhere while replies of all sizes leave; neither may break the other,
// and each keeps its own order.
func TestPushesAndRepliesKeepTheirOrder(t *testing.T) {
	h := newTestHandler()
	s := startServer(t, Options{}, h)
	c := dial(t, s)
	conn := h.only(t)
	const count = 20_000
	var sending sync.WaitGroup
	sending.Go(func() {
		for i := range count {
			conn.Push(NewMessage(fmt.Appendf(nil, "+P%d\r\n", i)))
			if i%100 == 0 {
				time.Sleep(10 * time.Microsecond)
			}
		}
	})
	sending.Go(func() {
		for i := range count {
			if _, err := fmt.Fprintf(c.Conn, "ECHO %d\r\n", i); err != nil {
				t.Error(err)
				return
			}
		}
	})
	pushed, replied := 0, 0
	for pushed < count || replied < count {
		line, err := c.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line[0] == '+' {
			if line != fmt.Sprintf("+P%d\r\n", pushed) {
				t.Fatalf("push %d is %q", pushed, line)
			}
			pushed++
			continue
		}
		value, err := c.ReadString('\n')
		if err != nil || value != fmt.Sprintf("%d\r\n", replied) {
			t.Fatalf("reply %d is %q %q", replied, line, value)
		}
		replied++
	}
	sending.Wait()
	eventually(t, "an empty outbox", func() bool { return conn.Outbox() == 0 })
}

func TestConfirmationComesBeforePushes(t *testing.T) {
	s := startServer(t, Options{}, newTestHandler())
	c := dial(t, s)
	c.send("PING\r\nSUBSCRIBE\r\nREPLAY\r\nPING\r\n")
	c.expect("+PONG", "+SUBSCRIBED", "+FIRST")
	for range 1000 {
		c.expect("+OLD")
	}
	c.expect("+NEW", "+PONG")
	c.send("QUIT\r\n")
	c.expect("+OK")
	c.expectClosed()
}

func TestLargePushes(t *testing.T) {
	h := newTestHandler()
	s := startServer(t, Options{}, h)
	c := dial(t, s)
	conn := h.only(t)
	var want bytes.Buffer
	for i := range 200 {
		message := []byte(fmt.Sprintf("+%d%s\r\n", i, strings.Repeat("x", i*500)))
		want.Write(message)
		if !conn.Push(NewMessage(message)) {
			t.Fatal("refused")
		}
	}
	got := make([]byte, want.Len())
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Fatal("changed on the way", err)
	}
}

func TestOutputLimits(t *testing.T) {
	message := bytes.Repeat([]byte("m"), 64<<10)
	fill := func(conn *Conn, most int) (pushed int) {
		for pushed < most && conn.Push(NewMessage(message)) {
			pushed += len(message)
		}
		return pushed
	}
	h := newTestHandler()
	s := startServer(t, Options{}, h)
	c := dial(t, s)
	conn := h.only(t)
	if pushed := fill(conn, 1<<30); pushed > 48<<20 || pushed < 32<<20 {
		t.Errorf("cut after %d bytes", pushed)
	}
	if conn.Push(NewMessage(message)) {
		t.Error("a push to a connection that was cut")
	}
	eventually(t, "closed", func() bool { return h.closed.Load() == 1 })
	if n := s.Counters().CutForOutput; n != 1 {
		t.Error(n, "cuts")
	}
	c.Conn.Close()

	h = newTestHandler()
	s = startServer(t, Options{OutboxSoftBytes: 1 << 20, OutboxSoftTime: 200 * time.Millisecond}, h)
	dial(t, s)
	conn = h.only(t)
	fill(conn, 16<<20)
	eventually(t, "closed", func() bool { return h.closed.Load() == 1 })
	if n := s.Counters().CutForOutput; n != 1 {
		t.Error(n, "cuts at the soft limit")
	}
}

// BenchmarkFanOut measures messages pushed to 1,000 subscribers until the last has read them.
func BenchmarkFanOut(b *testing.B) {
	for _, batch := range []int{1, 16} {
		b.Run(fmt.Sprintf("subscribers=1000/batch=%d", batch), func(b *testing.B) { fanOut(b, 1000, batch) })
	}
}

func fanOut(b *testing.B, subscribers, batch int) {
	h := newTestHandler()
	s := startServer(b, Options{}, h)
	message := []byte("*3\r\n$7\r\nmessage\r\n$5\r\ntopic\r\n$100\r\n" + strings.Repeat("x", 100) + "\r\n")
	var received atomic.Int64
	for range subscribers {
		nc, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer nc.Close()
		go func() {
			buf := make([]byte, 16<<10)
			for {
				n, err := nc.Read(buf)
				if err != nil {
					return
				}
				received.Add(int64(n))
			}
		}()
	}
	eventually(b, "connected", func() bool { return s.Counters().Connected == int64(subscribers) })
	var conns []*Conn
	s.Each(func(c *Conn) bool { conns = append(conns, c); return true })
	b.ResetTimer()
	sent := int64(0)
	for range b.N {
		shared := NewMessage(message)
		for _, c := range conns {
			for range batch {
				c.Push(shared)
			}
		}
		sent += int64(len(message) * batch * subscribers)
		for sent-received.Load() > 4<<20 {
			time.Sleep(50 * time.Microsecond)
		}
	}
	for received.Load() < sent {
		time.Sleep(50 * time.Microsecond)
	}
	b.ReportMetric(float64(b.N*batch*subscribers)/b.Elapsed().Seconds(), "deliveries/s")
}
