package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
)

// reachFlags say where a running server is and how to get in. Where the server has the same parameter they have its variable,
// so that a tool beside a server, as in its container, finds it.
func reachFlags() []cli.Flag {
	env := func(name string) []string { return []string{variablePrefix + name} }
	return []cli.Flag{
		&cli.StringFlag{Name: "address", Usage: "host:port of the server, in place of --host and --port"},
		&cli.StringFlag{Name: "host", EnvVars: env("HOST"), Value: "127.0.0.1", Usage: "host of the server"},
		&cli.IntFlag{Name: "port", EnvVars: env("PORT"), Value: 7654, Usage: "port of the server"},
		&cli.StringFlag{Name: "config", EnvVars: env("CONFIG"),
			Usage: "configuration file of the server, for what neither flags nor variables say"},
		&cli.StringFlag{Name: "password-file", EnvVars: env("PASSWORD_FILE"), Usage: "file that holds the password of the default user"},
		&cli.StringFlag{Name: "password", EnvVars: env("PASSWORD"), Hidden: true, Usage: "password of the default user (environment only)"},
		&cli.BoolFlag{Name: "tls", Usage: "connect with TLS, and trust the authorities of this machine"},
		&cli.StringFlag{Name: "tls-ca", Usage: "file with the authorities (PEM) that the server's certificate must come from; connects with TLS"},
		&cli.StringFlag{Name: "tls-cert", EnvVars: env("TLS_CERT"),
			Usage: "file with the server's own certificate (PEM), which alone is trusted; connects with TLS"},
		&cli.StringFlag{Name: "client-cert", Usage: "file with the certificate (PEM) to show to a server with --tls-client-ca"},
		&cli.StringFlag{Name: "client-key", Usage: "file with the key (PEM) of --client-cert"},
	}
}

// reach is the way to a server.
type reach struct {
	address, password string
	tls               *tls.Config // nil: none
}

func readReach(c *cli.Context) (r reach, err error) {
	if c.IsSet("password") {
		return r, usageError("%v", errPasswordArgument)
	}
	flags := reachFlags()
	if _, err := applyEnvironment(c, flags, os.Environ()); err != nil {
		return r, usageError("%v", err)
	}
	if err := applyFile(c, flags); err != nil {
		return r, usageError("%v", err)
	}
	host, port := c.String("host"), c.Int("port")
	switch host {
	case "0.0.0.0": // where a server listens that is asked at its own machine
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	if port < 1 || port > 65535 {
		return r, usageError("--port: %d is not between 1 and 65535", port)
	}
	if r.address = net.JoinHostPort(host, strconv.Itoa(port)); c.String("address") != "" {
		r.address = c.String("address")
		var number string
		if host, number, err = net.SplitHostPort(r.address); err != nil {
			return r, usageError("--address: %q is not host:port", r.address)
		}
		if n, err := strconv.ParseUint(number, 10, 16); err != nil || n == 0 {
			return r, usageError("--address: %q is not host:port", r.address)
		}
	}
	if r.password, err = readPassword(c); err != nil {
		return r, usageError("%v", err)
	}
	if r.tls, err = reachTLS(c, host); err != nil {
		return r, usageError("%v", err)
	}
	return r, nil
}

func reachTLS(c *cli.Context, host string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	authorities, own := c.String("tls-ca"), c.String("tls-cert")
	switch {
	case authorities != "":
		content, err := os.ReadFile(authorities)
		if err != nil {
			return nil, fmt.Errorf("--tls-ca: %w", err)
		}
		if config.RootCAs = x509.NewCertPool(); !config.RootCAs.AppendCertsFromPEM(content) {
			return nil, fmt.Errorf("--tls-ca: %s holds no certificate", authorities)
		}
	case own != "":
		content, err := os.ReadFile(own)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert: %w", err)
		}
		block, _ := pem.Decode(content)
		if block == nil || block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("--tls-cert: %s holds no certificate", own)
		}
		// Whose name is in it does not matter: it is this server's and nobody else's.
		config.InsecureSkipVerify = true
		config.VerifyConnection = func(state tls.ConnectionState) error {
			if !bytes.Equal(state.PeerCertificates[0].Raw, block.Bytes) {
				return fmt.Errorf("the server has another certificate than %s", own)
			}
			return nil
		}
	case !c.Bool("tls"):
		return nil, nil
	}
	certificate, key := c.String("client-cert"), c.String("client-key")
	if certificate != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			return nil, fmt.Errorf("--client-cert, --client-key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// dial connects.
func (r reach) dial(ctx context.Context) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.address)
	if err != nil {
		hint := ""
		if errors.Is(err, syscall.ECONNREFUSED) {
			hint = " (--host and --port, or NEXO_HOST and NEXO_PORT, say where the server is)"
		}
		return nil, fmt.Errorf("cannot reach %s: %w%s", r.address, err, hint)
	}
	if r.tls == nil {
		return conn, nil
	}
	secure := tls.Client(conn, r.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS with %s: %w", r.address, err)
	}
	return secure, nil
}

func healthCommand() *cli.Command {
	return &cli.Command{Name: "health", Usage: "ask a running server for a PONG; exit code 0 when it answers",
		Flags: append(reachFlags(),
			durationFlag("timeout", "", 2*time.Second, "longest time to wait"),
			&cli.BoolFlag{Name: "live", Usage: "content with a server that is still loading its logs"},
		),
		Action: func(c *cli.Context) error {
			r, err := readReach(c)
			if err != nil {
				return err
			}
			if c.Duration("timeout") <= 0 {
				return usageError("--timeout: %v is not positive", c.Duration("timeout"))
			}
			ctx, cancel := context.WithTimeout(c.Context, c.Duration("timeout"))
			defer cancel()
			return r.health(ctx, c.Bool("live"))
		}}
}

// health is nil when the server serves. One that asks for a password, or for a certificate, is there.
func (r reach) health(ctx context.Context, live bool) error {
	conn, err := r.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	var request []byte
	if r.password != "" {
		request = appendCommand(request, "AUTH", r.password)
	}
	if _, err := conn.Write(appendCommand(request, "PING")); err != nil {
		return err
	}
	replies := bufio.NewReader(conn)
	line, err := replies.ReadString('\n')
	if err == nil && r.password != "" && line == "+OK\r\n" {
		line, err = replies.ReadString('\n')
	}
	var alert *net.OpError
	switch {
	case errors.As(err, &alert) && alert.Op == "remote error" && strings.HasSuffix(alert.Err.Error(), "certificate required"):
		return nil
	case errors.Is(err, io.EOF) && r.tls == nil:
		return fmt.Errorf("%s closed the connection; if it wants TLS, see --tls, --tls-ca and --tls-cert", r.address)
	case err != nil:
		return fmt.Errorf("%s does not answer: %w", r.address, err)
	case line == "+PONG\r\n", strings.HasPrefix(line, "-NOAUTH "), live && strings.HasPrefix(line, "-LOADING "):
		return nil
	}
	return fmt.Errorf("%s answered: %s", r.address, strings.TrimSpace(strings.TrimPrefix(line, "-")))
}
