package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers/store"
	"github.com/nexobroker/nexo/resp"
)

// panicking is a handler whose commands panic.
type panicking struct{}

func (panicking) Open(*resp.Conn)                        {}
func (panicking) Flush(*resp.Conn)                       {}
func (panicking) Refused(*resp.Conn, *resp.RefusedError) {}
func (panicking) Closed(*resp.Conn)                      {}

func (panicking) Command(c *resp.Conn, args [][]byte) {
	switch string(args[0]) {
	case "broker":
		var none *store.Broker
		none.Inspect(0, []byte("key"))
	case "parser":
		panic("in the parser")
	case "undelivered": // runs when the connection is closed below
		c.OnUndelivered(func() {
			var none *store.Broker
			none.Inspect(0, []byte("key"))
		})
		c.Writer().OK()
		c.Kill()
	}
}

func TestPanicInABrokerEndsTheProcess(t *testing.T) {
	for _, test := range []struct {
		command string
		ends    bool
	}{{"broker", true}, {"parser", false}, {"undelivered", true}} {
		t.Run(test.command, func(t *testing.T) {
			var log bytes.Buffer
			logger := slog.New(slog.NewTextHandler(&log, nil))
			codes, logged := make(chan int, 1), make(chan string, 1)
			exit := func(code int) {
				codes <- code
				logged <- log.String()
			}
			door, err := resp.Listen(resp.Options{Addr: "127.0.0.1:0", Panicked: fence(logger, exit)}, panicking{})
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan error, 1)
			go func() { served <- door.Serve() }()
			conn, err := net.Dial("tcp", door.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			if _, err := io.WriteString(conn, test.command+"\r\n"); err != nil {
				t.Fatal(err)
			}
			reply, _ := io.ReadAll(conn) // a reset is as good as an end
			if !test.ends && string(reply) != "-ERR internal error\r\n" {
				t.Errorf("the client reads %q", reply)
			}
			if test.ends {
				select {
				case code := <-codes:
					if code != exitPanic || !strings.Contains(<-logged, "brokers/store.") {
						t.Errorf("the process ends with %d, or does not say where the panic was", code)
					}
				case <-time.After(10 * time.Second):
					t.Error("the process goes on")
				}
				return // a process that has ended closes nothing
			}
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if err := door.Shutdown(ctx); err != nil {
				t.Error(err)
			}
			<-served
			if len(codes) > 0 {
				t.Errorf("the process ends with %d", <-codes)
			}
		})
	}
}
