package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nexobroker/nexo/aof"
)

// calls runs a command line in a directory of its own.
func calls(t *testing.T, arguments ...string) (code int, output, problems string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(append([]string{"nexo"}, arguments...), &out, &errs)
	return code, out.String(), errs.String()
}

// TestMistakesOfTheCommandLine makes them: each is one line that says what is wrong and what was meant, with the exit code of a
// mistake, never that of damage, and changes nothing.
func TestMistakesOfTheCommandLine(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for name, content := range map[string]string{"file": "", "empty.toml": "", "table.toml": "[dashboard]\nport = 18403\n",
		"other.toml": "[colours]\nred = 1\n", "typo.toml": "prot = 1\n", "secret": "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	before := listing(t, dir)
	for _, test := range []struct{ line, want string }{
		{"servr", `"servr" is not a command; did you mean "server"?`},
		{"Server", `"Server" is not a command; did you mean "server"?`},
		{"help servr", `"servr" is not a command; did you mean "server"?`},
		{"h chek", `"chek" is not a command; did you mean "check"?`},
		{"--prot 1", "--prot is not a flag of nexo server; did you mean --port?"},
		{"server -prot 1", "--prot is not a flag of nexo server; did you mean --port?"},
		{"server --max-clients 5", "did you mean --maxclients?"},
		{"server --dashbord=false", "did you mean --dashboard?"},
		{"server --port", "--port needs a value"},
		{"server --port x", `--port: "x" is not an integer`},
		{"server --port 1.5", `--port: "1.5" is not an integer`},
		{"server --port 70000", "--port: 70000 is not between 0 and 65535"},
		{"server --dashboard-port -1", "--dashboard-port: -1 is not between 0 and 65535"},
		{"server --host=", "--host: is empty"},
		{"server --data=", "--data: is empty"},
		{"server --dashboard=maybe", `--dashboard: "maybe" is not true or false`},
		{"server --dashboard false", `has its value behind =`},
		{"server ./data", `"./data" is not a flag`},
		{"server --timeout 5", `--timeout: "5" is not a duration, such as 50ms, 2s, 1h or 7d`},
		{"server --timeout -5s", "--timeout: -5s is negative"},
		{"server --store-default-ttl -5s", "--store-default-ttl: -5s is negative"},
		{"server --fsync sometimes", `--fsync: durability "sometimes"`},
		{"server --store-durability never", `--store-durability: "never" is not none, interval or always`},
		{"server --maxmemory 1.5gb", `--maxmemory: "1.5gb" is not a number of bytes`},
		{"server --proto-max-bulk-len 4gb", `--proto-max-bulk-len: "4gb" is not at least 1mb and less than 4gb`},
		{"server --maxmemory-policy lru", `--maxmemory-policy: "lru" is not one of noeviction, allkeys-lru`},
		{"server --log-level loud", `--log-level: "loud" is not debug, info, warn or error`},
		{"server --maxclients 0", "--maxclients: 0 is not positive"},
		{"server --password secret", "use --password-file or NEXO_PASSWORD"},
		{"server --password-file nowhere", "nowhere: no such file"},
		{"server --password-file secret", "secret is empty"},
		{"server --config nowhere", "nowhere: no such file"},
		{"server --config table.toml", "dashboard is a table, and the file has none: write dashboard-port = 18403"},
		{"server --config other.toml", "colours is a table, and the file has none: write key = value"},
		{"server --config typo.toml", `key "prot" is unknown; did you mean "port"?`},
		{"server --tls-cert x", "given together"},
		{"server --pprof 0.0.0.0:1", "is not an address of the loopback"},
		{"---port 1", "bad flag syntax"},
		{"check", "nexo check needs DIR"},
		{"check nowhere", "nowhere: no such file"},
		{"check file", "file is not a directory"},
		{"check folder", "folder holds no logs"},
		{"check folder more", `"more" is too much`},
		{"repair", "nexo repair needs DIR"},
		{"repair nowhere", "nowhere: no such file"},
		{"repair --apply nowhere", "nowhere: no such file"},
		{"repair nowhere --aply", "--aply is not a flag of nexo repair; did you mean --apply?"},
		{"repair folder", "folder holds no logs"},
		{"repair --missing-segment x folder", `--missing-segment: "x" is not an integer`},
		{"health localhost:7654", `"localhost:7654" is not a flag`},
		{"health --address localhost", `--address: "localhost" is not host:port`},
		{"health --port 0", "--port: 0 is not between 1 and 65535"},
		{"health --timeout 0s", "--timeout: 0s is not positive"},
		{"health --tls-cert nowhere", "nowhere: no such file"},
		{"health --tls-ca file", "file holds no certificate"},
		{"health --password secret", "use --password-file or NEXO_PASSWORD"},
		{"demo --rate 0", "--rate: 0 is not between 1 and 10000"},
		{"demo --onec", "did you mean --once?"},
		{"completion", "needs bash|zsh|fish"},
		{"completion csh", `"csh" is not bash, zsh or fish`},
		{"version now", `"now" is not a flag`},
	} {
		code, output, problems := calls(t, strings.Fields(test.line)...)
		if code != exitUsage || output != "" || strings.Count(problems, "\n") != 1 || !strings.HasPrefix(problems, "nexo: ") ||
			!strings.Contains(problems, test.want) {
			t.Errorf("nexo %s: exit %d, printed %q, %q; want %q", test.line, code, output, problems, test.want)
		}
	}
	if after := listing(t, dir); after != before {
		t.Errorf("a mistake has changed files: %s -> %s", before, after)
	}
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		list = append(list, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(list, " ")
}

func TestWhatIsNoMistake(t *testing.T) {
	for _, line := range []string{"help", "--help", "-h", "--version", "version", "server --help", "help check", "completion bash"} {
		if code, output, problems := calls(t, strings.Fields(line)...); code != 0 || output == "" || problems != "" {
			t.Errorf("nexo %s: exit %d, %d bytes, %q", line, code, len(output), problems)
		}
	}
	if _, output, _ := calls(t, "server", "--help"); !strings.Contains(output, "[$NEXO_PORT]") ||
		strings.Contains(output, "--password value") {
		t.Errorf("the help does not name the variables, or shows what is hidden:\n%s", output)
	}
}

// TestNothingListens is no mistake of the command line: exit code 1.
func TestNothingListens(t *testing.T) {
	for _, line := range []string{"health --port 1", "demo --port 1", "health --address 127.0.0.1:1", "health --port 1 --tls"} {
		code, _, problems := calls(t, strings.Fields(line)...)
		if code != exitError || strings.Count(problems, "\n") != 1 || !strings.Contains(problems, "cannot reach 127.0.0.1:1: ") ||
			!strings.Contains(problems, "--port") {
			t.Errorf("nexo %s: exit %d, %q", line, code, problems)
		}
	}
}

// serveFor serves with flags, and says at which port.
func serveFor(t *testing.T, load bool, flags ...string) (port string) {
	t.Helper()
	o, err := configured(t, "", append([]string{"--port", "0", "--dashboard=false", "--data", filepath.Join(t.TempDir(), "data")},
		flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	s, err := openDoors(o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if load {
		if err := s.load(); err != nil {
			t.Fatal(err)
		}
	}
	served := make(chan error, 1)
	go func() { served <- s.door.Serve() }()
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
		<-served
	})
	return strconv.Itoa(s.door.Addr().(*net.TCPAddr).Port)
}

// TestHealthFindsTheServerBesideIt has the environment of a container alone to go by.
func TestHealthFindsTheServerBesideIt(t *testing.T) {
	dir := t.TempDir()
	certificate, key := writeCertificate(t, dir)
	other, _ := writeCertificate(t, t.TempDir())
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	plain := serveFor(t, true)
	secured := serveFor(t, true, "--tls-cert", certificate, "--tls-key", key, "--password-file", secret)
	mutual := serveFor(t, true, "--tls-cert", certificate, "--tls-key", key, "--tls-client-ca", certificate)
	loading := serveFor(t, false)
	config := filepath.Join(dir, "nexo.toml")
	content := "port = " + secured + "\ntls-cert = \"" + certificate + "\"\npassword-file = \"" + secret + "\"\nmaxclients = 5\n"
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name        string
		environment []string
		line        string
		code        int
		want        string
	}{
		{"port", []string{"NEXO_PORT=" + plain}, "health", 0, ""},
		{"every address", []string{"NEXO_HOST=0.0.0.0", "NEXO_PORT=" + plain}, "health", 0, ""},
		{"service links", []string{"NEXO_PORT=tcp://10.96.12.7:7654", "NEXO_SERVICE_HOST=10.96.12.7"}, "health --port " + plain, 0, ""},
		{"alias", []string{"SERVER_SOCKET_TCP_PORT=" + plain}, "health", 0, ""},
		{"flag over variable", []string{"NEXO_PORT=1"}, "health --port " + plain, 0, ""},
		{"address over variable", []string{"NEXO_PORT=1"}, "health --address 127.0.0.1:" + plain, 0, ""},
		{"demo", []string{"NEXO_PORT=" + plain}, "demo --once", 0, ""},
		{"a certificate", []string{"NEXO_PORT=" + secured, "NEXO_TLS_CERT=" + certificate}, "health", 0, ""},
		{"a certificate and a password", []string{"NEXO_PORT=" + secured, "NEXO_TLS_CERT=" + certificate, "NEXO_PASSWORD_FILE=" + secret},
			"health", 0, ""},
		{"authorities", []string{"NEXO_PORT=" + secured, "NEXO_PASSWORD=hush"}, "health --tls-ca " + certificate, 0, ""},
		{"demo with all of it", []string{"NEXO_PORT=" + secured, "NEXO_TLS_CERT=" + certificate, "NEXO_PASSWORD_FILE=" + secret}, "demo --once",
			0, ""},
		{"the server's file", []string{"NEXO_CONFIG=" + config}, "health", 0, ""},
		{"a wrong password", []string{"NEXO_PORT=" + secured, "NEXO_TLS_CERT=" + certificate, "NEXO_PASSWORD=loud"}, "health", 1, "WRONGPASS"},
		{"another certificate", []string{"NEXO_PORT=" + secured}, "health --tls-cert " + other, 1, "another certificate"},
		{"authorities of others", []string{"NEXO_PORT=" + secured}, "health --tls-ca " + other, 1, "certificate"},
		{"no TLS", []string{"NEXO_PORT=" + secured}, "health", 1, "if it wants TLS, see --tls"},
		{"mutual, none shown", []string{"NEXO_PORT=" + mutual, "NEXO_TLS_CERT=" + certificate}, "health", 0, ""},
		{"mutual, one shown", []string{"NEXO_PORT=" + mutual, "NEXO_TLS_CERT=" + certificate},
			"demo --once --client-cert " + certificate + " --client-key " + key, 0, ""},
		{"loading", []string{"NEXO_PORT=" + loading}, "health", 1, "answered: LOADING Nexo is loading its logs"},
		{"loading, content with that", []string{"NEXO_PORT=" + loading}, "health --live", 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, pair := range test.environment {
				name, value, _ := strings.Cut(pair, "=")
				t.Setenv(name, value)
			}
			code, _, problems := calls(t, strings.Fields(test.line)...)
			if code != test.code || !strings.Contains(problems, test.want) || code != 0 && strings.Count(problems, "\n") != 1 {
				t.Errorf("exit %d, %q; want %d, %q", code, problems, test.code, test.want)
			}
		})
	}
}

func TestHealthGivesUpOnSilence(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := (reach{address: silent.Addr().String()}).health(ctx, true); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a server that does not answer: %v", err)
	}
}

// A data directory of which the list of its logs alone is left, as from a copy that was broken off, is damaged: it is no mistake.
func TestCheckOfAListWithoutItsLogs(t *testing.T) {
	dir := t.TempDir()
	lock, err := aof.LockDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	log, err := aof.Open(aof.Options{Dir: dir, Name: "queue", Lock: lock})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(log.Close(), os.RemoveAll(filepath.Join(dir, "queue")), os.Remove(filepath.Join(dir, "LOCK"))); err != nil {
		t.Fatal(err)
	}
	lock.Unlock()
	for _, line := range []string{"check", "repair"} {
		code, output, problems := calls(t, line, dir)
		if want := map[string]int{"check": exitCorrupted, "repair": 0}[line]; code != want ||
			!strings.Contains(output, "LOGS names this log, and its files are missing") {
			t.Errorf("%s: exit code %d, %q %q", line, code, output, problems)
		}
	}
}
