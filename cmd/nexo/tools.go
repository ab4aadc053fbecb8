package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/urfave/cli/v2"
)

func healthCommand() *cli.Command {
	return &cli.Command{Name: "health", Usage: "ask a running server for a PONG; exit code 0 when it answers",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "address", Value: "127.0.0.1:7654", Usage: "host:port of the server"},
			&cli.DurationFlag{Name: "timeout", Value: 2 * time.Second, Usage: "longest time to wait"},
		},
		Action: func(c *cli.Context) error {
			conn, err := net.DialTimeout("tcp", c.String("address"), c.Duration("timeout"))
			if err != nil {
				return err
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(c.Duration("timeout"))); err != nil {
				return err
			}
			if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
				return err
			}
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil {
				return err
			}
			// A server that asks for a password is alive.
			if line != "+PONG\r\n" && line[:min(len(line), 7)] != "-NOAUTH" {
				return fmt.Errorf("the server answered %q", line)
			}
			return nil
		}}
}
