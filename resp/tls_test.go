package resp

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// selfSigned makes a certificate for 127.0.0.1 and a pool that trusts it.
func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// TestTLS: silent clients neither stop others nor stay, and commands, blocks and pushes work as on a plain socket.
func TestTLS(t *testing.T) {
	certificate, pool := selfSigned(t)
	h := newTestHandler()
	s := startServer(t, Options{TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}, HandshakeTimeout: 300 * time.Millisecond}, h)
	silent := make([]client, 5)
	for i := range silent {
		silent[i] = dial(t, s)
	}
	nc, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{RootCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
	c := client{nc, bufio.NewReader(nc), t}
	c.send(strings.Repeat("PING\r\n", 3000))
	for range 3000 {
		c.expect("+PONG")
	}
	c.send("BLOCKSHORT\r\nSUBSCRIBE\r\nPING\r\n")
	c.expect(":1", "+SUBSCRIBED", "+FIRST", "+PONG")
	for _, quiet := range silent {
		quiet.expectClosed()
	}
	// A client may see the close before the failure is counted.
	for deadline := time.Now().Add(5 * time.Second); s.Counters().HandshakeFailures != 5; {
		if time.Now().After(deadline) {
			t.Fatal(s.Counters().HandshakeFailures, "failed handshakes")
		}
		runtime.Gosched()
	}
	c.send("QUIT\r\n")
	c.expect("+OK")
	if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
		t.Errorf("no orderly end: %q, %v", rest, err)
	}
}
