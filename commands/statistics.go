package commands

import (
	"bytes"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// commandStats are the figures of one command for INFO commandstats. Connections add theirs when they go on to another command,
// and at the end of a batch.
type commandStats struct {
	calls    atomic.Uint64 // that ran
	rejected atomic.Uint64 // that were refused before they ran
	failed   atomic.Uint64 // that answered an error
	// Not every call of a short command is timed: what the others took is estimated by those that were.
	timed, nanos atomic.Uint64
}

// micros is what the calls took, without the waits of commands that block.
func (c *commandStats) micros() (total uint64, perCall float64) {
	calls, timed, nanos := c.calls.Load(), c.timed.Load(), c.nanos.Load()
	if timed == 0 || calls == 0 {
		return 0, 0
	}
	perCall = float64(nanos) / float64(timed) / 1000
	return uint64(perCall * float64(calls)), perCall
}

func (c *commandStats) reset() {
	for _, n := range []*atomic.Uint64{&c.calls, &c.rejected, &c.failed, &c.timed, &c.nanos} {
		n.Store(0)
	}
}

// timeEvery is how many calls of short commands in one batch a connection runs for each one that it times; the first of a batch
// always is, there the clock costs nothing beside the socket.
const timeEvery = 64

// callRun is what a connection has run of one command in a batch and not yet added to the command's figures.
type callRun struct {
	spec                 *Spec
	calls, failed, timed uint64
	nanos                time.Duration
}

// runsKept is how many commands may take turns in a batch before their figures are added one by one.
const runsKept = 4

// callRuns are those of the last few commands of a connection.
type callRuns struct {
	slots [runsKept]callRun
	last  *callRun // of the command before
	next  int      // the slot that the next other command takes
}

// of is the run of a command.
func (r *callRuns) of(spec *Spec) (run *callRun, fresh bool) {
	for i := range r.slots {
		if r.slots[i].spec == spec {
			r.last = &r.slots[i]
			return r.last, false
		}
	}
	run = &r.slots[r.next]
	r.next = (r.next + 1) % runsKept
	run.settle()
	run.spec, r.last = spec, run
	return run, true
}

// settle adds what the connection has run to the figures of the commands.
func (r *callRuns) settle() {
	for i := range r.slots {
		r.slots[i].settle()
	}
}

func (r *callRun) settle() {
	if r.calls == 0 {
		return
	}
	stats := r.spec.stats
	stats.calls.Add(r.calls)
	if r.failed > 0 {
		stats.failed.Add(r.failed)
	}
	if r.timed > 0 {
		stats.timed.Add(r.timed)
		stats.nanos.Add(uint64(r.nanos))
	}
	*r = callRun{spec: r.spec}
}

// execute runs the handler, counts the call, and times it when its turn has come or the slow log asks. What the process does for
// the dashboard is no call of a client.
func (s *Server) execute(ctx *Context, spec *Spec, args [][]byte) {
	if ctx.Session.own {
		s.timeCall(ctx, spec, args, true)
		return
	}
	r := ctx.ran.last
	if r == nil || r.spec != spec {
		fresh := false
		if r, fresh = ctx.ran.of(spec); fresh && spec.stats.timed.Load() == 0 {
			ctx.untilTimed = 0
		}
	}
	if spec.measured {
		ctx.measured++
		if ctx.untilSample > 0 {
			ctx.untilSample--
		}
	}
	start, flushes := ctx.W.Len(), ctx.flushes
	watched := spec.long || s.SlowLog.everything.Load()
	if ctx.untilTimed > 0 && !watched {
		ctx.untilTimed--
		spec.Handler(ctx, args)
	} else {
		if ctx.untilTimed == 0 {
			ctx.untilTimed = timeEvery - 1
		}
		r.nanos += s.timeCall(ctx, spec, args, watched)
		r.timed++
	}
	r.calls++
	if ctx.flushes != flushes {
		start = 0 // the batch was flushed meanwhile, and the reply begins at the front
	}
	if reply := ctx.W.Bytes(); len(reply) > start && reply[start] == '-' {
		r.failed++
		s.errors.add(codeOf(reply[start+1:]))
	}
}

// timeCall runs the handler between two readings of the clock. Of a command that may block the time until its wait counts.
func (s *Server) timeCall(ctx *Context, spec *Spec, args [][]byte, watched bool) time.Duration {
	ctx.timing, ctx.waited = spec.Flags&Blocking != 0, time.Time{}
	began := time.Now()
	spec.Handler(ctx, args)
	took := time.Since(began)
	if !ctx.waited.IsZero() {
		took = ctx.waited.Sub(began)
	}
	ctx.timing = false
	if spec.measured && ctx.untilSample == 0 && !ctx.Session.own {
		ctx.untilSample = sampleEvery
		s.latencies.Add(took)
	}
	if watched {
		s.SlowLog.consider(ctx, args, took)
	}
	return took
}

// codeOf is the word that an error reply begins with; one that is nothing else ends with the line.
func codeOf(reply []byte) []byte {
	code, _, _ := bytes.Cut(reply[:min(len(reply), errorCodeMax)], []byte{' '})
	return bytes.TrimRight(code, "\r\n")
}

const (
	errorCodeMax  = 32  // bytes of a code word
	errorCodesMax = 128 // words that are counted by themselves
)

// errorStats counts the error replies by their code words, for INFO errorstats.
type errorStats struct {
	total atomic.Uint64

	mu     sync.Mutex
	byCode map[string]uint64
}

func (e *errorStats) add(code []byte) {
	e.total.Add(1)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.byCode == nil {
		e.byCode = map[string]uint64{}
	}
	if _, known := e.byCode[string(code)]; known || len(e.byCode) < errorCodesMax {
		e.byCode[string(code)]++
	}
}

func (e *errorStats) snapshot() map[string]uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	counts := make(map[string]uint64, len(e.byCode))
	for code, n := range e.byCode {
		counts[code] = n
	}
	return counts
}

func (e *errorStats) reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.total.Store(0)
	e.byCode = nil
}

// ErrorReplied implements resp.ErrorWatcher: the door's own errors count with the others.
func (s *Server) ErrorReplied(text string) {
	code, _, _ := strings.Cut(text, " ")
	s.errors.add([]byte(code))
}

// pace tells how many commands run a second. It is measured only while somebody asks, so that an idle server has nothing to do.
type pace struct {
	mu       sync.Mutex
	asked    time.Time
	running  bool
	at       time.Time
	commands uint64
	rate     uint64
}

const (
	pacePeriod = time.Second
	paceKept   = time.Minute // after the last question
)

// CommandsPerSecond is the rate of the last second. To the first question it answers with the mean since the start.
func (s *Server) CommandsPerSecond() uint64 {
	p := &s.pace
	now := s.Clock.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = now
	if !p.running {
		p.running, p.at, p.commands = true, now, s.counters.commands.Load()
		p.rate = uint64(float64(p.commands) / max(1, now.Sub(s.Started).Seconds()))
		s.Clock.AfterFunc(pacePeriod, s.measurePace)
	}
	return p.rate
}

func (s *Server) measurePace() {
	p := &s.pace
	now, commands := s.Clock.Now(), s.counters.commands.Load()
	p.mu.Lock()
	defer p.mu.Unlock()
	if took := now.Sub(p.at).Seconds(); took > 0 && commands >= p.commands {
		p.rate = uint64(float64(commands-p.commands)/took + 0.5)
	}
	p.at, p.commands = now, commands
	if p.running = now.Sub(p.asked) < paceKept; p.running {
		s.Clock.AfterFunc(pacePeriod, s.measurePace)
	}
}
