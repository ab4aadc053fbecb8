package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
)

// configured reads the options of a command line, with a configuration file when there is content for one.
func configured(t *testing.T, content string, arguments ...string) (o options, err error) {
	t.Helper()
	if content != "" {
		path := filepath.Join(t.TempDir(), "nexo.toml")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		arguments = append([]string{"--config", path}, arguments...)
	}
	app := &cli.App{Flags: onCommandLine(serverFlags()), ExitErrHandler: func(*cli.Context, error) {}, Writer: io.Discard,
		ErrWriter: io.Discard,
		Action: func(c *cli.Context) error {
			o, err = readOptions(c)
			return err
		}}
	err = app.Run(append([]string{"nexo"}, arguments...))
	return o, err
}

func TestFlagsWinOverEnvironmentOverFile(t *testing.T) {
	t.Setenv("NEXO_MAXCLIENTS", "222")
	const file = "port = 1\nmaxclients = 1\ntimeout = \"3s\"\nprotected-mode = false\ndashboard-allowed-hosts = [\"a\", \"b\"]\n"
	o, err := configured(t, file, "--port", "333")
	if err != nil {
		t.Fatal(err)
	}
	if o.port != 333 || o.maxClients != 222 || o.timeout != 3*time.Second || o.protected || o.host != "127.0.0.1" {
		t.Errorf("port %d, maxclients %d, timeout %v, protected %v, host %s", o.port, o.maxClients, o.timeout, o.protected, o.host)
	}
}

func TestDurationsOfTheConfiguration(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{"50ms": 50 * time.Millisecond, "2s": 2 * time.Second, "1h30m": 90 * time.Minute,
		"1.5s": 1500 * time.Millisecond,
		"1d":   day, "7D": 7 * day, "2w": 14 * day, "0": 0} {
		if o, err := configured(t, "", "--timeout", text); err != nil || o.timeout != want {
			t.Errorf("--timeout %s: %v %v", text, o.timeout, err)
		}
		if o, err := configured(t, "timeout = \""+text+"\""); err != nil || o.timeout != want {
			t.Errorf("timeout = %s: %v %v", text, o.timeout, err)
		}
		t.Setenv("NEXO_TIMEOUT", text)
		if o, err := configured(t, ""); err != nil || o.timeout != want {
			t.Errorf("NEXO_TIMEOUT=%s: %v %v", text, o.timeout, err)
		}
		os.Unsetenv("NEXO_TIMEOUT")
	}
	for _, text := range []string{"5", "1.5d", "d", "1y", "99999999d", "1 d", ""} {
		if _, err := configured(t, "", "--timeout", text); err == nil {
			t.Errorf("--timeout %q is taken", text)
		}
	}
	o, err := configured(t, "", "--stream-max-age", "2w", "--queue-dlq-ttl", "1d", "--queue-backoff", "exp 1h 1d")
	if err != nil || o.streamDefaults.MaxAge != 14*day || o.queueDefaults.DeadTTL != day.Milliseconds() ||
		o.queueDefaults.BackoffMax != day.Milliseconds() {
		t.Errorf("defaults of days: %+v %v", o.queueDefaults, err)
	}
}

func TestConfigurationFileIsRead(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for _, test := range []struct{ content, want string }{
		{"prot = 1", `key "prot" is unknown; did you mean "port"?`},
		{"password = \"x\"", "use password-file"},
		{"config = \"x\"", "cannot name another one"},
		{"port = \"x\"", "port: "},
		{"port = 1.5", "1.5 is not a string"},
		{"port = 1\nport = 2", "already been defined"},
		{"[server]\nport = 1", "server is a table, and the file has none: write port = 1"},
		{"port =", "line 1"},
		{"maxclients = 0", "--maxclients: 0 is not positive"},
		{"dashboard-allowed-hosts = [1]", "not a list of strings"},
		{"tls-cert = \"x\"", "given together"},
		{"tls-client-ca = \"x\"", "needs --tls-cert"},
		{"tls-cert = \"" + missing + "\"\ntls-key = \"" + missing + "\"", "no such file"},
	} {
		if _, err := configured(t, test.content); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %q", test.content, err, test.want)
		}
	}
	if _, err := configured(t, "", "--config", missing); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// writeCertificate makes a certificate for 127.0.0.1 that signs itself.
func writeCertificate(t *testing.T, dir string) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:        true, BasicConstraintsValid: true}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: signed},
		key: {Type: "PRIVATE KEY", Bytes: encoded}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}

func TestDoorsOfTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	certificate, key := writeCertificate(t, dir)
	socket := filepath.Join(dir, "nexo.sock")
	o, err := configured(t, "port = 0\ndashboard = false\n", "--data", filepath.Join(dir, "data"), "--unix-socket", socket,
		"--tls-cert", certificate, "--tls-key", key, "--tls-client-ca", certificate)
	if err != nil {
		t.Fatal(err)
	}
	s, err := openDoors(o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.door.Serve() }()
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
		<-served
	})
	ping := func(conn net.Conn) string {
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
			return err.Error()
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil {
			return err.Error()
		}
		return line
	}
	plain, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	if got := ping(plain); got != "+PONG\r\n" {
		t.Errorf("over the Unix socket: %q", got)
	}
	own, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(certificate)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(content)
	known, err := tls.Dial("tcp", s.door.Addr().String(), &tls.Config{RootCAs: trusted, Certificates: []tls.Certificate{own}})
	if err != nil {
		t.Fatal(err)
	}
	if got := ping(known); got != "+PONG\r\n" {
		t.Errorf("over TLS: %q", got)
	}
	stranger, err := tls.Dial("tcp", s.door.Addr().String(), &tls.Config{RootCAs: trusted})
	if err == nil {
		if got := ping(stranger); got == "+PONG\r\n" {
			t.Error("a client without a certificate is served")
		}
	}
	bare, err := net.Dial("tcp", s.door.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if got := ping(bare); got == "+PONG\r\n" {
		t.Error("a client without TLS is served")
	}
}
