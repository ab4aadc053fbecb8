package processtest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ask gets a page of a dashboard.
func ask(t *testing.T, url string, headers ...string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// TestDashboard looks at the dashboard of a real process that the demo has filled, and stops it while a socket is open.
func TestDashboard(t *testing.T) {
	port := freePort(t)
	s := start(t, t.TempDir(), "--dashboard=true", "--dashboard-port", fmt.Sprint(port))
	s.await(t)
	base := fmt.Sprintf("http://127.0.0.1:%d", port)
	for path, want := range map[string]string{"/livez": "ok\n", "/readyz": "ok\n"} {
		if status, body := ask(t, base+path); status != 200 || body != want {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	output, err := exec.CommandContext(ctx, nexoBinary(t), "demo", "--once", "--address", s.addr).CombinedOutput()
	if err != nil || !strings.Contains(string(output), "is filled") {
		t.Fatalf("demo: %v\n%s", err, output)
	}
	if _, body := ask(t, base+"/metrics"); !strings.Contains(body, `nexo_queue_events_total{queue="mails",event="pushed"} `) ||
		!strings.Contains(body, "\nnexo_streams 2\n") {
		t.Errorf("metrics: %s", body)
	}
	if status, body := ask(t, base+"/", "Accept", "text/html"); status != 200 || !strings.Contains(body, `<base href="/">`) {
		t.Errorf("the page: %d %s", status, body)
	}

	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /api/ws?v=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nOrigin: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", port, base)
	var seen strings.Builder
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	for part := make([]byte, 4096); !strings.Contains(seen.String(), `{"t":"hello","v":1,`); {
		n, err := conn.Read(part)
		if err != nil {
			t.Fatalf("the socket: %v after %q", err, seen.String())
		}
		seen.Write(part[:n])
	}
	began := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-s.done
	if took := time.Since(began); s.err != nil || took > 5*time.Second {
		t.Errorf("stopped after %v with %v\n%s", took, s.err, s.log)
	}
}

// TestDashboardPortTaken tells a port that was asked for from the one that was not.
func TestDashboardPortTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := start(t, t.TempDir(), "--dashboard=true", "--dashboard-port", fmt.Sprint(taken.Addr().(*net.TCPAddr).Port))
	<-s.done
	if s.err == nil || !strings.Contains(s.log.String(), "address already in use") {
		t.Errorf("a port that was asked for and is taken: %v\n%s", s.err, s.log)
	}
	other, err := net.Listen("tcp", "127.0.0.1:8080") // somebody else may hold it already, which does as well
	if err == nil {
		defer other.Close()
	}
	s = start(t, t.TempDir(), "--dashboard=true")
	s.await(t)
	if !strings.Contains(s.log.String(), "no dashboard: its port is taken; choose another with --dashboard-port") {
		t.Errorf("the default port is taken, and the log says\n%s", s.log)
	}
}
