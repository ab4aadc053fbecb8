package resp

import (
	"crypto/tls"
	"log/slog"
	"net"
	"runtime"
	"time"
)

// Options says where to listen and sets the limits. A zero limit means its default.
type Options struct {
	Addr       string         // TCP address, such as 127.0.0.1:6379; empty for none
	TLSConfig  *tls.Config    // makes Addr a TLS address
	UnixSocket string         // path of a Unix socket, made with mode 0600; empty for none
	Listeners  []net.Listener // further listeners, open already; the server closes them. tls.NewListener's are fine
	Logger     *slog.Logger   // default: slog.New(slog.DiscardHandler)
	// Panicked hears of a panic in the handler before its connection is closed, on the goroutine that panicked and with the
	// frames of the panic still on the stack: it may end the process. Default: nothing.
	Panicked func(reason any)

	MaxClients int // connections at a time; default 10,000
	// Loops is how many event loops serve plain TCP and Unix sockets where the system has them; default one for each
	// processor, none when it is negative. Everything else has a goroutine for each connection.
	Loops    int
	HeavyMax int // connections that run heavy commands at a time, see Conn.Admit; default one less than GOMAXPROCS

	BulkMax          int           // bytes in one argument; default 512 MiB
	ArgumentsMax     int           // arguments in one command; default 1,048,576
	InlineMax        int           // bytes in an inline command; default 64 KiB
	QueryBufferMax   int           // bytes that a connection may have sent and that are not run; a command must fit in; default 1 GiB
	MemoryMax        int64         // bytes that all connections together may hold, beside their working buffers; default 1 GiB
	CommandTimeout   time.Duration // without a byte more of a command begun, before AUTH for all of it; default 30 s
	IdleTimeout      time.Duration // of a client that is owed nothing, waits for nothing and holds nothing; default 0, for ever
	WriteTimeout     time.Duration // with replies to write and not a byte written or read; default 60 s, negative for ever
	DrainTimeout     time.Duration // the same while the server stops; default 1 s
	HandshakeTimeout time.Duration // for the TLS handshake; default 5 s
	OutboxHardBytes  int           // pushes not read, at which a connection is cut; default 32 MiB
	OutboxSoftBytes  int           // pushes not read, at which a connection is cut after OutboxSoftTime; default 8 MiB
	OutboxSoftTime   time.Duration // default 60 s
	KeepAlive        time.Duration // TCP keepalive; default 60 s
}

const (
	readBufferMin = 4 << 10  // what an idle connection holds
	readBufferMax = 64 << 10 // what a busy one reads at a time
	repliesMax    = 64 << 10 // replies that end a batch early
	awaitedMax    = 4096     // awaited replies that end a batch early
	writeMax      = 256 << 10
	pieceMax      = 32 << 10 // bytes of one large reply that are written at a time

	unauthenticatedArguments = 10
	unauthenticatedBulk      = 16 << 10
	unauthenticatedAhead     = 64 << 10
)

func (o Options) withDefaults() Options {
	setDefault(&o.MaxClients, 10_000)
	setDefault(&o.HeavyMax, max(1, runtime.GOMAXPROCS(0)-1))
	if o.Loops == 0 {
		o.Loops = runtime.NumCPU()
	}
	setDefault(&o.BulkMax, 512<<20)
	setDefault(&o.ArgumentsMax, 1<<20)
	setDefault(&o.InlineMax, 64<<10)
	setDefault(&o.QueryBufferMax, 1<<30)
	setDefault(&o.MemoryMax, 1<<30)
	setDefault(&o.CommandTimeout, 30*time.Second)
	if o.WriteTimeout == 0 {
		o.WriteTimeout = time.Minute
	}
	setDefault(&o.DrainTimeout, time.Second)
	setDefault(&o.HandshakeTimeout, 5*time.Second)
	setDefault(&o.OutboxHardBytes, 32<<20)
	setDefault(&o.OutboxSoftBytes, 8<<20)
	setDefault(&o.OutboxSoftTime, time.Minute)
	setDefault(&o.KeepAlive, time.Minute)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func setDefault[T int | int64 | time.Duration](value *T, fallback T) {
	if *value <= 0 {
		*value = fallback
	}
}
