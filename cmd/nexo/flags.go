package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/brokers/store"
	"github.com/nexobroker/nexo/brokers/stream"
	"github.com/nexobroker/nexo/commands"
)

// serverFlags is the one table of the configuration: flag, environment variable, default and meaning. docs/configuration.md is
// generated from it.
func serverFlags() []cli.Flag {
	env := func(name string) []string { return []string{variablePrefix + name} }
	flags := []cli.Flag{
		&cli.StringFlag{Name: "config", EnvVars: env("CONFIG"), Usage: "TOML file with more parameters, by the names of the flags"},
		&cli.StringFlag{Name: "host", EnvVars: env("HOST"), Value: "127.0.0.1", Usage: "address that RESP listens on"},
		&cli.IntFlag{Name: "port", EnvVars: env("PORT"), Value: 7654, Usage: "port that RESP listens on; 0 takes a free one"},
		&cli.StringFlag{Name: "unix-socket", EnvVars: env("UNIX_SOCKET"),
			Usage: "path of a Unix socket that RESP listens on too, open to the owner only"},
		&cli.StringFlag{Name: "tls-cert", EnvVars: env("TLS_CERT"),
			Usage: "file with the certificate (PEM) that makes the port of RESP a TLS port"},
		&cli.StringFlag{Name: "tls-key", EnvVars: env("TLS_KEY"), Usage: "file with the certificate's key (PEM)"},
		&cli.StringFlag{Name: "tls-client-ca", EnvVars: env("TLS_CLIENT_CA"),
			Usage: "file with the authorities (PEM) that a client's certificate must come from; none is asked for without"},
		&cli.StringFlag{Name: "data", EnvVars: env("DATA"), Value: "./data", Usage: "data directory"},
		&cli.StringFlag{Name: "fsync", EnvVars: env("FSYNC"), Value: "always",
			Usage: "when a durable reply is sent: always (after fsync), interval (after write) or never"},
		durationFlag("fsync-interval", "FSYNC_INTERVAL", 50*time.Millisecond, "longest time that a written record stays without fsync"),
		&cli.StringFlag{Name: "password-file", EnvVars: env("PASSWORD_FILE"), Usage: "file that holds the password of the default user"},
		&cli.StringFlag{Name: "password", EnvVars: env("PASSWORD"), Hidden: true, Usage: "password of the default user (environment only)"},
		&cli.BoolFlag{Name: "protected-mode", EnvVars: env("PROTECTED_MODE"), Value: true,
			Usage: "without a password, refuse clients from other machines"},
		&cli.IntFlag{Name: "maxclients", EnvVars: env("MAXCLIENTS"), Value: 10_000, Usage: "connections at once"},
		durationFlag("timeout", "TIMEOUT", 0, "close clients idle for this long, which are owed nothing, wait for nothing, hold no will nor "+
			"a lease that ends with them, and subscribe to nothing; 0 never"),
		durationFlag("client-write-timeout", "CLIENT_WRITE_TIMEOUT", time.Minute,
			"close clients whose replies wait while they neither read nor send one byte for this long; 0 never"),
		&cli.StringFlag{Name: "client-query-buffer-limit", EnvVars: env("CLIENT_QUERY_BUFFER_LIMIT"), Value: "1gb",
			Usage: "bytes that one client may send ahead of what is run; it is not read any further then. A command must fit in"},
		&cli.StringFlag{Name: "proto-max-bulk-len", EnvVars: env("PROTO_MAX_BULK_LEN"), Value: "512mb",
			Usage: "largest argument of a command; a command with a longer one is read past and answered with an error"},
		&cli.IntFlag{Name: "max-arguments", EnvVars: env("MAX_ARGUMENTS"), Value: 1 << 20,
			Usage: "arguments of a command; one with more is read past and answered with an error"},
		&cli.StringFlag{Name: "maxmemory-clients", EnvVars: env("MAXMEMORY_CLIENTS"), Value: "1gb",
			Usage: "memory for all clients together: what they sent and is not run, what they do not read, and what is kept for them. When it " +
				"is used up, those who hold most are closed, first those who do not move"},
		&cli.StringFlag{Name: "maxmemory", EnvVars: env("MAXMEMORY"), Value: "0",
			Usage: "bytes that the store may take (such as 512mb); 0 is no limit"},
		&cli.StringFlag{Name: "maxmemory-policy", EnvVars: env("MAXMEMORY_POLICY"), Value: "noeviction",
			Usage: "what the store does at maxmemory: " + policies},
		&cli.StringFlag{Name: "store-durability", EnvVars: env("STORE_DURABILITY"), Value: "none",
			Usage: "none (shared RAM), interval or always"},
		durationFlag("store-default-ttl", "STORE_DEFAULT_TTL", 0, "expiry that NSET sets when none is given; 0 none"),
		&cli.StringFlag{Name: "max-payload", EnvVars: env("MAX_PAYLOAD"), Value: "10mb",
			Usage: "largest payload of a job, an entry or a message"},
		&cli.StringFlag{Name: "min-free-disk", EnvVars: env("MIN_FREE_DISK"), Value: "64mb",
			Usage: "free space below which adding data is refused"},
		&cli.StringFlag{Name: "queue-memory", EnvVars: env("QUEUE_MEMORY"), Value: "256mb",
			Usage: "memory for the jobs of all queues; those past it wait on disk"},
		&cli.StringFlag{Name: "queue-max-memory", EnvVars: env("QUEUE_MAX_MEMORY"), Value: "0",
			Usage: "memory that jobs of every state may take, above which QPUSH is refused: twice --queue-memory or more; 0 is no limit"},
		&cli.StringFlag{Name: "compact-size", EnvVars: env("COMPACT_SIZE"), Value: "64mb",
			Usage: "log of queues or streams that is compacted; memory holds as much of the streams"},
		&cli.BoolFlag{Name: "enable-debug", EnvVars: env("ENABLE_DEBUG"), Usage: "allow DEBUG"},
		&cli.StringFlag{Name: "pprof", EnvVars: env("PPROF"),
			Usage: "loopback address that serves Go's profiles, such as 127.0.0.1:6060; none without"},
		&cli.StringFlag{Name: "log-level", EnvVars: env("LOG_LEVEL"), Value: "info", Usage: "debug, info, warn or error"},
	}
	return append(append(flags, defaultsFlags()...), dashboardFlags()...)
}

// options is the configuration after checking.
type options struct {
	host, data      string
	port            int
	unixSocket      string
	profiles        string
	tls             *tls.Config
	fsync           brokers.Durability
	fsyncInterval   time.Duration
	password        string
	protected       bool
	maxClients      int
	heavyMax        int        // see shareProcessors; 0 leaves it to the door
	collector       *collector // nil: nobody tells it of the store
	timeout         time.Duration
	writeTimeout    time.Duration
	queryBuffer     int64
	clientMemory    int64
	bulkMax         int64
	argumentsMax    int
	maxMemory       int64
	maxMemoryPolicy string
	storeJournaled  bool
	storeDurability brokers.Durability
	storeDefaultTTL time.Duration
	maxPayload      int
	minFreeDisk     int64
	compactSize     int64
	queueMemory     int64
	queueMaxMemory  int64
	debug           bool
	logLevel        string
	level           *slog.LevelVar // of the log, once it is open; nil leaves it alone
	dashboard       dashboardOptions

	queueDefaults      queue.Config
	streamDefaults     stream.Config
	groupDefaults      stream.GroupConfig
	retainedDefaultTTL time.Duration

	passedOver []passedOver
}

// storeDurabilityWord is --store-durability.
func (o *options) storeDurabilityWord() string {
	if !o.storeJournaled {
		return "none"
	}
	return o.storeDurability.String()
}

// errPasswordArgument refuses the flag that is there for its variable alone.
var errPasswordArgument = errors.New("the password is not taken from the command line, where others can read it: " +
	"use --password-file or NEXO_PASSWORD")

func readOptions(c *cli.Context) (o options, err error) {
	if c.IsSet("password") {
		return o, errPasswordArgument
	}
	environment := os.Environ()
	foreign, err := checkEnvironment(environment)
	if err != nil {
		return o, err
	}
	passedOver, err := applyEnvironment(c, serverFlags(), environment)
	if err != nil {
		return o, err
	}
	if err := applyFile(c, serverFlags()); err != nil {
		return o, err
	}
	o = options{
		unixSocket: c.String("unix-socket"),
		host:       c.String("host"), data: c.String("data"), port: c.Int("port"), fsyncInterval: c.Duration("fsync-interval"),
		protected: c.Bool("protected-mode"), maxClients: c.Int("maxclients"),
		timeout: c.Duration("timeout"), writeTimeout: c.Duration("client-write-timeout"),
		maxMemoryPolicy: c.String("maxmemory-policy"), storeDefaultTTL: c.Duration("store-default-ttl"),
		debug: c.Bool("enable-debug"), logLevel: c.String("log-level"),
		dashboard: readDashboardOptions(c), passedOver: append(passedOver, foreign...), profiles: c.String("pprof"),
	}
	if err := o.checkRanges(); err != nil {
		return o, err
	}
	if o.tls, err = readTLS(c.String("tls-cert"), c.String("tls-key"), c.String("tls-client-ca")); err != nil {
		return o, err
	}
	if o.fsync, err = brokers.ParseDurability(c.String("fsync")); err != nil {
		return o, fmt.Errorf("--fsync: %w", err)
	}
	if word := c.String("store-durability"); word != "none" {
		if o.storeDurability, err = brokers.ParseDurability(word); err != nil || o.storeDurability == brokers.Never {
			return o, fmt.Errorf("--store-durability: %q is not none, interval or always", word)
		}
		o.storeJournaled = true
	}
	if err := o.readSizes(c); err != nil {
		return o, err
	}
	if err := o.readDefaults(c); err != nil {
		return o, err
	}
	if err := o.readClientLimits(c); err != nil {
		return o, err
	}
	o.password, err = readPassword(c)
	return o, err
}

// readSizes reads what the brokers may take of memory and disk.
func (o *options) readSizes(c *cli.Context) (err error) {
	if o.maxMemory, err = commands.ParseBytes(c.String("maxmemory")); err != nil {
		return fmt.Errorf("--maxmemory: %w", err)
	}
	payload, err := commands.ParseBytes(c.String("max-payload"))
	if err != nil || payload < 1 || payload > 16<<20 {
		return fmt.Errorf("--max-payload: %q is not between 1 byte and 16mb", c.String("max-payload"))
	}
	o.maxPayload = int(payload)
	if o.minFreeDisk, err = commands.ParseBytes(c.String("min-free-disk")); err != nil {
		return fmt.Errorf("--min-free-disk: %w", err)
	}
	if o.queueMemory, err = commands.ParseBytes(c.String("queue-memory")); err != nil || o.queueMemory < 1<<20 {
		return fmt.Errorf("--queue-memory: %q is not a size of at least 1mb", c.String("queue-memory"))
	}
	if o.queueMaxMemory, err = commands.ParseBytes(c.String("queue-max-memory")); err != nil {
		return fmt.Errorf("--queue-max-memory: %w", err)
	}
	if o.queueMaxMemory != 0 && o.queueMaxMemory < 2*o.queueMemory {
		return fmt.Errorf("--queue-max-memory: %q is less than twice --queue-memory", c.String("queue-max-memory"))
	}
	if o.compactSize, err = commands.ParseBytes(c.String("compact-size")); err != nil || o.compactSize < 1<<16 {
		return fmt.Errorf("--compact-size: %q is not a size of at least 64kb", c.String("compact-size"))
	}
	return nil
}

// readClientLimits reads what one client and all of them together may make grow.
func (o *options) readClientLimits(c *cli.Context) (err error) {
	if o.queryBuffer, err = commands.ParseBytes(c.String("client-query-buffer-limit")); err != nil || o.queryBuffer < 1<<20 {
		return fmt.Errorf("--client-query-buffer-limit: %q is not a size of at least 1mb", c.String("client-query-buffer-limit"))
	}
	if o.clientMemory, err = commands.ParseBytes(c.String("maxmemory-clients")); err != nil || o.clientMemory < 16<<20 {
		return fmt.Errorf("--maxmemory-clients: %q is not a size of at least 16mb", c.String("maxmemory-clients"))
	}
	// The store keeps the length of a key in 32 bits.
	if o.bulkMax, err = commands.ParseBytes(c.String("proto-max-bulk-len")); err != nil || o.bulkMax < 1<<20 || o.bulkMax > math.MaxUint32 {
		return fmt.Errorf("--proto-max-bulk-len: %q is not at least 1mb and less than 4gb", c.String("proto-max-bulk-len"))
	}
	if o.argumentsMax = c.Int("max-arguments"); o.argumentsMax < 1<<10 || o.argumentsMax > 1<<30 {
		return fmt.Errorf("--max-arguments: %d is not between 1024 and 1073741824", o.argumentsMax)
	}
	if o.writeTimeout == 0 {
		o.writeTimeout = -1 // as the door says never
	}
	return nil
}

// readPassword is the default user's: that of the file before that of the environment.
func readPassword(c *cli.Context) (password string, err error) {
	path := c.String("password-file")
	if path == "" {
		return c.String("password"), nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("--password-file: %w", err)
	}
	if password = strings.TrimRight(string(content), "\r\n"); password == "" {
		return "", fmt.Errorf("--password-file: %s is empty", path)
	}
	return password, nil
}

// checkRanges looks at what needs no reading.
func (o *options) checkRanges() error {
	if o.host == "" {
		return fmt.Errorf("--host: is empty; 0.0.0.0 listens on every address")
	}
	if o.dashboard.enabled && o.dashboard.host == "" {
		return fmt.Errorf("--dashboard-host: is empty; 0.0.0.0 listens on every address")
	}
	for name, port := range map[string]int{"port": o.port, "dashboard-port": o.dashboard.port} {
		if port < 0 || port > 65535 {
			return fmt.Errorf("--%s: %d is not between 0 and 65535", name, port)
		}
	}
	if o.data == "" {
		return fmt.Errorf("--data: is empty")
	}
	if o.profiles != "" {
		if err := checkProfileAddress(o.profiles); err != nil {
			return err
		}
	}
	if o.fsyncInterval <= 0 || o.fsyncInterval > time.Hour {
		return fmt.Errorf("--fsync-interval: %v is not between 1ns and 1h", o.fsyncInterval)
	}
	if o.maxClients < 1 {
		return fmt.Errorf("--maxclients: %d is not positive", o.maxClients)
	}
	if o.timeout < 0 {
		return fmt.Errorf("--timeout: %v is negative", o.timeout)
	}
	if o.writeTimeout < 0 {
		return fmt.Errorf("--client-write-timeout: %v is negative", o.writeTimeout)
	}
	if o.storeDefaultTTL < 0 {
		return fmt.Errorf("--store-default-ttl: %v is negative", o.storeDefaultTTL)
	}
	if _, err := store.ParsePolicy(o.maxMemoryPolicy); err != nil {
		return fmt.Errorf("--maxmemory-policy: %q is not one of %s", o.maxMemoryPolicy, policies)
	}
	if _, err := logLevelWord(o.logLevel); err != nil {
		return fmt.Errorf("--log-level: %w", err)
	}
	return nil
}

// policies are the values of --maxmemory-policy.
const policies = "noeviction, allkeys-lru, allkeys-lfu, allkeys-random, volatile-lru, volatile-lfu, volatile-random, volatile-ttl"

// nearest is the known word with the fewest edits.
func nearest(word string, known []string) string {
	best, fewest := "", len(word)+32
	for _, k := range known {
		if d := editDistance(word, k); d < fewest {
			best, fewest = k, d
		}
	}
	return best
}

// editDistance counts the letters that are wrong, missing, too many or swapped with their neighbour.
func editDistance(a, b string) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)} // the row of i, of i-1 and of i-2
	for k := range rows[0] {
		rows[0][k] = k
	}
	for i := 1; i <= len(a); i++ {
		rows[0], rows[1], rows[2] = rows[2], rows[0], rows[1]
		rows[0][0] = i
		for k := 1; k <= len(b); k++ {
			cost := rows[1][k-1]
			if a[i-1] != b[k-1] {
				cost = 1 + min(rows[1][k-1], rows[1][k], rows[0][k-1])
			}
			if i > 1 && k > 1 && a[i-1] == b[k-2] && a[i-2] == b[k-1] {
				cost = min(cost, rows[2][k-2]+1)
			}
			rows[0][k] = cost
		}
	}
	return rows[0][len(b)]
}
