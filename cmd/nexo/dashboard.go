package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/nexobroker/nexo/commands"
	"github.com/nexobroker/nexo/ui"
)

func dashboardFlags() []cli.Flag {
	env := func(name string) []string { return []string{"NEXO_DASHBOARD" + name} }
	return []cli.Flag{
		&cli.BoolFlag{Name: "dashboard", EnvVars: env(""), Value: true, Usage: "serve the dashboard, /metrics, /livez and /readyz over HTTP"},
		&cli.StringFlag{Name: "dashboard-host", EnvVars: env("_HOST"), Value: "127.0.0.1", Usage: "address that the dashboard listens on"},
		&cli.IntFlag{Name: "dashboard-port", EnvVars: env("_PORT"), Value: 8080,
			Usage: "port that the dashboard listens on; 0 takes a free one. When it is not given and 8080 is taken, the server starts without " +
				"a dashboard and says so"},
		&cli.StringFlag{Name: "dashboard-allowed-hosts", EnvVars: env("_ALLOWED_HOSTS"),
			Usage: "names, separated by commas, under which the dashboard may be asked for besides localhost and its own address, such as " +
				"nexo.example.com behind a proxy"},
		&cli.StringFlag{Name: "dashboard-base-path", EnvVars: env("_BASE_PATH"),
			Usage: "path in front of the dashboard's addresses, such as /nexo, when a proxy puts it there"},
		&cli.BoolFlag{Name: "dashboard-trust-forwarded-prefix", EnvVars: env("_TRUST_FORWARDED_PREFIX"),
			Usage: "take the base path from X-Forwarded-Prefix; only behind a proxy that sets it"},
		&cli.BoolFlag{Name: "dashboard-read-only", EnvVars: env("_READ_ONLY"), Usage: "refuse every change that comes from the dashboard"},
		&cli.BoolFlag{Name: "dashboard-hide-payloads", EnvVars: env("_HIDE_PAYLOADS"), Usage: "never send payloads and values to the dashboard"},
	}
}

// dashboardOptions is the dashboard's part of the configuration.
type dashboardOptions struct {
	enabled      bool
	host         string
	port         int
	portGiven    bool
	allowedHosts []string
	basePath     string
	trustPrefix  bool
	readOnly     bool
	hidePayloads bool
}

func readDashboardOptions(c *cli.Context) dashboardOptions {
	o := dashboardOptions{
		enabled: c.Bool("dashboard"), host: c.String("dashboard-host"), port: c.Int("dashboard-port"), portGiven: c.IsSet("dashboard-port"),
		basePath: c.String("dashboard-base-path"), trustPrefix: c.Bool("dashboard-trust-forwarded-prefix"),
		readOnly: c.Bool("dashboard-read-only"), hidePayloads: c.Bool("dashboard-hide-payloads"),
	}
	for _, name := range strings.Split(c.String("dashboard-allowed-hosts"), ",") {
		if name = strings.TrimSpace(name); name != "" {
			o.allowedHosts = append(o.allowedHosts, name)
		}
	}
	return o
}

// dashboard is the HTTP door.
type dashboard struct {
	options  ui.Options
	loading  loadingPage
	commands *commands.Server
	pages    atomic.Pointer[ui.Server] // nil until show
	http     *http.Server
	listener net.Listener
	logger   *slog.Logger
}

// openDashboard listens; from serve on it answers that the server is loading, until show was called and the commands have their
// brokers: it is ready in the very moment in which RESP is. It is nil, nil when the default port is taken by somebody else: a
// server of data must not stay down because of another program's web page, as long as nobody asked for that port.
func openDashboard(o dashboardOptions, table *commands.Server, progress *loading, logger *slog.Logger) (*dashboard, error) {
	d := &dashboard{logger: logger, commands: table, loading: loadingPage{progress, o.basePath}, options: ui.Options{
		Version: commands.Version, BasePath: o.basePath, TrustForwardedPrefix: o.trustPrefix, Hosts: o.allowedHosts,
		ReadOnly: o.readOnly, HidePayloads: o.hidePayloads, Logger: logger,
	}}
	if err := d.options.Check(); err != nil {
		return nil, fmt.Errorf("dashboard: %w", err)
	}
	address := net.JoinHostPort(o.host, strconv.Itoa(o.port))
	listener, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) && !o.portGiven {
		logger.Warn("no dashboard: its port is taken; choose another with --dashboard-port", "address", address)
		return nil, nil
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("%w: another program has the port; choose one with --dashboard-port", err)
	}
	if err != nil {
		return nil, fmt.Errorf("dashboard: %w", err)
	}
	d.listener = ui.LimitConnections(listener)
	d.http = ui.NewHTTPServer(d, slog.NewLogLogger(logger.Handler(), slog.LevelDebug))
	return d, nil
}

// show prepares what shows a server, before its commands are let in.
func (d *dashboard) show(source ui.Source) error {
	pages, err := ui.New(d.options, source)
	if err != nil {
		return fmt.Errorf("dashboard: %w", err)
	}
	d.pages.Store(pages)
	built := "built"
	if pages.Placeholder() {
		built = "placeholder"
	}
	d.logger.Info("dashboard", "url", "http://"+d.listener.Addr().String()+"/", "pages", built)
	return nil
}

func (d *dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, loading := d.commands.Loading(); !loading {
		if pages := d.pages.Load(); pages != nil {
			pages.ServeHTTP(w, r)
			return
		}
	}
	d.loading.ServeHTTP(w, r)
}

func (d *dashboard) serve() {
	if err := d.http.Serve(d.listener); !errors.Is(err, http.ErrServerClosed) {
		d.logger.Error("the dashboard has stopped", "error", err)
	}
}

// close ends the sockets first, since the HTTP server does not know them.
func (d *dashboard) close() error {
	if pages := d.pages.Load(); pages != nil {
		pages.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := d.http.Shutdown(ctx); err != nil {
		return d.http.Close()
	}
	return nil
}

// residentMemory is what the process takes of the machine's memory.
func residentMemory() int64 {
	content, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	words := strings.Fields(string(content))
	if len(words) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(words[1], 10, 64)
	return pages * int64(os.Getpagesize())
}
