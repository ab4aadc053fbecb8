package processtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hold makes the load of the streams' log wait: its MANIFEST becomes a pipe that nobody writes to. The returned function puts
// the file back and lets the load go on.
func hold(t *testing.T, dir string) (release func()) {
	t.Helper()
	path := filepath.Join(dir, "stream", "MANIFEST")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".kept"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		pipe, err := os.OpenFile(path, os.O_RDWR, 0) // not O_WRONLY, which would wait for a reader that may have ended
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".kept", path); err != nil {
			t.Fatal(err)
		}
		if _, err := pipe.Write(content); err != nil {
			t.Fatal(err)
		}
		if err := pipe.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// until polls what happens in another process. It counts its looks, not the time: the machine may stand still between two.
func until(t *testing.T, s *server, what string, holds func() bool) {
	t.Helper()
	for range 15_000 {
		if holds() {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	t.Fatalf("%s: not within 30 s\n%s", what, s.log)
}

// awaitLoading waits until the server answers that it is at the streams' log.
func awaitLoading(t *testing.T, s *server) *client {
	t.Helper()
	var c *client
	until(t, s, "the port is open while logs are loaded", func() (open bool) {
		var err error
		c, err = dial(s.addr)
		return err == nil
	})
	t.Cleanup(func() { c.Close() })
	until(t, s, "the streams' log is loaded", func() bool {
		info, err := c.do("INFO", "persistence")
		return err == nil && strings.Contains(info.(string), "\nloading_log:stream\r\n")
	})
	return c
}

func isLoading(err error) bool {
	var reply replyError
	return errors.As(err, &reply) && strings.HasPrefix(string(reply), "LOADING Nexo is loading its logs: ")
}

func exitOf(s *server) int {
	<-s.done
	return s.cmd.ProcessState.ExitCode()
}

// filledDirectory has a hundred jobs and a stream.
func filledDirectory(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s := start(t, dir)
	s.await(t)
	c, err := dial(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range 100 {
		if _, err := c.do("QPUSH", "q", fmt.Sprint("job ", i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.do("XAPPEND", "events", "one"); err != nil {
		t.Fatal(err)
	}
	s.kill()
	return dir
}

// TestDoorsAreOpenWhileLoading looks at every door of a server whose load does not go on, lets it go on, and finds the data.
func TestDoorsAreOpenWhileLoading(t *testing.T) {
	dir := filledDirectory(t)
	release := hold(t, dir)
	port := freePort(t)
	s := start(t, dir, "--dashboard=true", "--dashboard-port", fmt.Sprint(port))
	c := awaitLoading(t, s)
	for _, command := range []string{"PING", "GET k", "QPOP q", "NPUB a b", "CONFIG SET maxmemory 1gb"} {
		var words []any
		for _, word := range strings.Fields(command) {
			words = append(words, word)
		}
		if _, err := c.do(words...); !isLoading(err) {
			t.Errorf("%s: %v", command, err)
		}
	}
	if reply, err := c.do("HELLO", "2"); err != nil {
		t.Errorf("HELLO: %v %v", reply, err)
	}
	info, err := c.do("INFO")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"loading:1", "loading_total_bytes:", "loading_loaded_bytes:", "loading_loaded_perc:",
		"loading_eta_seconds:"} {
		if !strings.Contains(info.(string), "\r\n"+line) {
			t.Errorf("INFO lacks %s:\n%s", line, info)
		}
	}
	if strings.Contains(info.(string), "loading_loaded_bytes:0\r") {
		t.Errorf("the queue's log is loaded, and INFO says\n%s", info)
	}
	base := fmt.Sprintf("http://127.0.0.1:%d", port)
	for path, want := range map[string]struct {
		status int
		text   string
	}{
		"/livez": {200, "ok\n"}, "/readyz": {503, "Nexo is loading its logs: "}, "/metrics": {503, "Nexo is loading its logs: "},
		"/": {503, "<h1>Nexo is loading</h1>"}, "/queues": {503, "<h1>Nexo is loading</h1>"},
		"/api/session": {503, `{"error":{"code":"LOADING",`},
	} {
		if status, body := ask(t, base+path); status != want.status || !strings.Contains(body, want.text) {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	until(t, s, "the log tells the progress", func() bool { return strings.Count(s.log.String(), `msg="loading the logs" log=stream`) >= 2 })

	second := start(t, dir)
	if code := exitOf(second); code != 1 || !strings.Contains(second.log.String(), "in use") {
		t.Errorf("a second server on the directory: exit %d\n%s", code, second.log)
	}
	if _, err := c.do("PING"); !isLoading(err) {
		t.Errorf("the first server after the second: %v", err)
	}
	release()
	s.await(t)
	if n, err := c.do("QLEN", "q"); err != nil || n != int64(100) {
		t.Errorf("QLEN on the connection that waited: %v %v", n, err)
	}
	until(t, s, "/readyz is 200", func() bool {
		status, body := ask(t, base+"/readyz")
		return status == 200 && body == "ok\n"
	})
	if status, body := ask(t, base+"/", "Accept", "text/html"); status != 200 || !strings.Contains(body, `<base href="/">`) {
		t.Errorf("the page once loaded: %d %s", status, body)
	}
}

// TestStopWhileLoading asks a server to stop whose load hangs, in both ways, and finds everything at the next start.
func TestStopWhileLoading(t *testing.T) {
	for _, how := range []string{"SIGTERM", "SHUTDOWN"} {
		t.Run(how, func(t *testing.T) {
			dir := filledDirectory(t)
			release := hold(t, dir)
			s := start(t, dir)
			c := awaitLoading(t, s)
			began := time.Now()
			if how == "SIGTERM" {
				if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
			} else if _, err := c.Write(appendCommand(nil, "SHUTDOWN")); err != nil {
				t.Fatal(err)
			}
			if code := exitOf(s); code != 0 || time.Since(began) > 20*time.Second || !strings.Contains(s.log.String(), "msg=stopping ") {
				t.Errorf("exit %d after %v\n%s", code, time.Since(began), s.log)
			}
			release()
			s = start(t, dir)
			s.await(t)
			c, err := dial(s.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if n, err := c.do("QLEN", "q"); err != nil || n != int64(100) {
				t.Errorf("QLEN after the stop: %v %v", n, err)
			}
		})
	}
}

// TestPortTakenTouchesNoLog starts on a port that another program has.
func TestPortTakenTouchesNoLog(t *testing.T) {
	dir := filledDirectory(t)
	files := func() (list []string) {
		err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() || entry.Name() == "LOCK" {
				return err
			}
			info, err := entry.Info()
			list = append(list, fmt.Sprint(path, " ", info.Size(), " ", info.ModTime().UnixNano()))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	before := files()
	other := start(t, t.TempDir())
	other.await(t)
	_, port, _ := strings.Cut(other.addr, ":")
	output, err := exec.Command(nexoBinary(t), "server", "--port", port, "--data", dir, "--dashboard=false").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || strings.Count(string(output), "\n") != 1 ||
		!strings.Contains(string(output), "address already in use: another program has the port; choose one with --port") {
		t.Errorf("a port that is taken: %v\n%s", err, output)
	}
	if after := files(); strings.Join(before, "\n") != strings.Join(after, "\n") {
		t.Errorf("a start on a port that is taken changed files:\n%s\n->\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	if c, err := dial(other.addr); err != nil {
		t.Error(err)
	} else if reply, err := c.do("PING"); err != nil || reply != "PONG" {
		t.Errorf("the server that has the port: %v %v", reply, err)
	}
}

// TestServiceNamedNexo starts in the environment that Kubernetes makes beside a Service named nexo.
func TestServiceNamedNexo(t *testing.T) {
	for _, pair := range []string{"NEXO_PORT=tcp://10.96.12.7:7654", "NEXO_SERVICE_HOST=10.96.12.7", "NEXO_SERVICE_PORT=7654",
		"NEXO_PORT_7654_TCP=tcp://10.96.12.7:7654",
		"NEXO_PORT_7654_TCP_PROTO=tcp", "NEXO_PORT_7654_TCP_PORT=7654", "NEXO_PORT_7654_TCP_ADDR=10.96.12.7", "NEXO_ENV=prod",
		"NEXO_LOG=nexo=debug"} {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
	s := start(t, t.TempDir())
	s.await(t)
	for _, name := range []string{"NEXO_PORT ", "NEXO_SERVICE_HOST", "NEXO_PORT_7654_TCP_ADDR", "names=NEXO_ENV", "names=NEXO_LOG"} {
		if !strings.Contains(s.log.String(), name) {
			t.Errorf("the log does not tell that %s is passed over:\n%s", name, s.log)
		}
	}
	health := exec.Command(nexoBinary(t), "health", "--address", s.addr)
	if output, err := health.CombinedOutput(); err != nil {
		t.Errorf("health in that environment: %v\n%s", err, output)
	}
}
