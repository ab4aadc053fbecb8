package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/nexobroker/nexo/ui"
)

const demoRateMax = 10_000

func demoCommand() *cli.Command {
	return &cli.Command{Name: "demo", Usage: "fill all four brokers of a running server with the traffic of a small web shop, until stopped",
		Flags: append(reachFlags(),
			&cli.IntFlag{Name: "rate", Value: 40, Usage: "actions a second of each part of the shop"},
			&cli.BoolFlag{Name: "once", Usage: "only put data in, and end"},
			&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "of the random numbers"},
		),
		Action: func(c *cli.Context) error {
			server, err := readReach(c)
			if err != nil {
				return err
			}
			rate := c.Int("rate")
			if rate < 1 || rate > demoRateMax {
				return usageError("--rate: %d is not between 1 and %d", rate, demoRateMax)
			}
			ctx, stop := signal.NotifyContext(c.Context, syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			d := &demo{
				address: server.address, password: server.password, tls: server.tls,
				seed: c.Uint64("seed"), pause: time.Second / time.Duration(rate),
			}
			if err := d.fill(ctx); err != nil {
				return err
			}
			fmt.Fprintf(c.App.Writer, "%s is filled: %d commands\n", d.address, d.commands.Load())
			if c.Bool("once") {
				return nil
			}
			fmt.Fprintln(c.App.Writer, "the shop is open; stop it with ctrl-c")
			err = d.run(ctx)
			fmt.Fprintf(c.App.Writer, "%d commands\n", d.commands.Load())
			return err
		}}
}

// demo is a web shop: people look at pages and fill carts, shelves report their temperature, orders become events, and mails,
// thumbnails and payments are jobs, some of which fail.
type demo struct {
	address, password string
	tls               *tls.Config // nil: none
	seed              uint64
	pause             time.Duration
	commands          atomic.Uint64
}

// demoClient is one connection of the shop. It belongs to one goroutine.
type demoClient struct {
	demo    *demo
	conn    net.Conn
	replies replyReader
	random  *rand.Rand
}

// dial connects, names the connection for the list of clients, and logs in.
func (d *demo) dial(ctx context.Context, name string) (*demoClient, error) {
	conn, err := reach{d.address, d.password, d.tls}.dial(ctx)
	if err != nil {
		return nil, err
	}
	var number uint64
	for _, b := range []byte(name) { // every part has random numbers of its own, the same in every run
		number = number*31 + uint64(b)
	}
	c := &demoClient{demo: d, conn: conn, replies: replyReader{in: bufio.NewReader(conn)}, random: rand.New(rand.NewPCG(d.seed, number))}
	hello := []string{"HELLO", "3"}
	if d.password != "" {
		hello = append(hello, "AUTH", "default", d.password)
	}
	if _, err := c.do(append(hello, "SETNAME", "demo:"+name)...); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// do runs one command; an error reply is an error.
func (c *demoClient) do(args ...string) (ui.Reply, error) {
	if _, err := c.conn.Write(appendCommand(nil, args...)); err != nil {
		return ui.Reply{}, err
	}
	c.replies.room = repliesMax
	reply, err := c.replies.read(0)
	c.demo.commands.Add(1)
	if err == nil && reply.Kind == ui.Failure {
		err = fmt.Errorf("%s: %s", args[0], reply.Text())
	}
	return reply, err
}

// all runs commands until one fails.
func (c *demoClient) all(lines ...[]string) error {
	for _, line := range lines {
		if _, err := c.do(line...); err != nil {
			return err
		}
	}
	return nil
}

// fill makes what the shop needs, and a past: so much that every page of the dashboard has something to show.
func (d *demo) fill(ctx context.Context) error {
	c, err := d.dial(ctx, "fill")
	if err != nil {
		return err
	}
	defer c.conn.Close()
	if err := c.all(demoObjects()...); err != nil {
		return err
	}
	for range 300 {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, act := range []func(*demoClient) error{(*demoClient).visit, (*demoClient).order, (*demoClient).measure, (*demoClient).click} {
			if err := act(c); err != nil {
				return err
			}
		}
	}
	return c.failSome()
}

// demoObjects are the queues, streams and groups of the shop.
func demoObjects() [][]string {
	return [][]string{
		{"QCREATE", "mails", "LEASE", "20s", "MAXATTEMPTS", "3", "BACKOFF", "EXP", "2s", "1m", "IFNX"},
		{"QCREATE", "payments", "MAXATTEMPTS", "5", "BACKOFF", "EXP", "1s", "1m", "IFNX"},
		{"QCREATE", "thumbnails", "LEASE", "1m", "IFNX"},
		{"QCREATE", "webhooks", "MAXATTEMPTS", "2", "BACKOFF", "FIXED", "1s", "IFNX"},
		{"QCREATE", "reports", "IFNX"},
		{"XCREATE", "orders", "INTEGRITY", "CHAIN", "IFNX"},
		{"XCREATE", "clicks", "MAXLEN", "100000", "IFNX"},
		{"XGCREATE", "orders", "billing", "IFNX"},
		{"XGCREATE", "orders", "warehouse", "IFNX"},
		{"XGCREATE", "clicks", "analytics", "MAXDELIVER", "3", "IFNX"},
	}
}

// run keeps the shop open until the context ends. A part that fails ends all.
func (d *demo) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var parts sync.WaitGroup
	part := func(name string, speed float64, act func(*demoClient) error) {
		parts.Go(func() {
			if err := d.part(ctx, name, time.Duration(float64(d.pause)/speed), act); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	part("web-1", 1, (*demoClient).visit)
	part("web-2", 1, (*demoClient).visit)
	part("checkout", 0.25, (*demoClient).order)
	part("shelves", 0.5, (*demoClient).measure)
	part("tracker", 1, (*demoClient).click)
	part("mailer-1", 1, worker("mails", 0.05))
	part("mailer-2", 1, worker("mails", 0.05))
	part("payments", 1, worker("payments", 0.1))
	part("images", 0.2, worker("thumbnails", 0))
	part("webhooks", 1, worker("webhooks", 0.4))
	part("billing", 1, consumer("orders", "billing", 0))
	part("warehouse", 0.1, consumer("orders", "warehouse", 0)) // is always behind
	part("analytics", 1, consumer("clicks", "analytics", 0.02))
	parts.Go(func() {
		if err := d.watch(ctx); err != nil && ctx.Err() == nil {
			cancel(fmt.Errorf("monitor: %w", err))
		}
	})
	<-ctx.Done()
	parts.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// part repeats one action with pauses that vary as people do, in waves of a minute.
func (d *demo) part(ctx context.Context, name string, pause time.Duration, act func(*demoClient) error) error {
	c, err := d.dial(ctx, name)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	defer stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
		if err := act(c); err != nil {
			return err
		}
		timer.Reset(c.wave(pause))
	}
}

// watch subscribes as a monitor would, so that what is published reaches somebody.
func (d *demo) watch(ctx context.Context) error {
	c, err := d.dial(ctx, "monitor")
	if err != nil {
		return err
	}
	defer c.conn.Close()
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	defer stop()
	if _, err := c.conn.Write(appendCommand(nil, "PSUBSCRIBE", "shelves/+/temperature", "shop/#")); err != nil {
		return err
	}
	for {
		c.replies.room = repliesMax
		if _, err := c.replies.read(0); err != nil {
			return err
		}
	}
}
