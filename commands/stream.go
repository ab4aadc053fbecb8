package commands

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/stream"
	"github.com/nexobroker/nexo/resp"
)

const (
	streamCountMax = 10_000   // entries in one reply or one append
	streamPage     = 100      // entries in a reply when COUNT is not given
	streamBytes    = 1 << 20  // payload bytes in a reply when MAXBYTES is not given
	streamBytesMax = 16 << 20 // and at most
)

// streamState is kept per connection, so that a command needs no memory of its own.
type streamState struct {
	entries    []stream.Entry
	deliveries []stream.Delivery
	payloads   [1][]byte
	cold       func() // Conn.Admit: what comes from a file is not read in the connection's event loop
}

func (ctx *Context) streams() *streamState {
	if ctx.Session.stream == nil {
		ctx.Session.stream = &streamState{cold: ctx.Conn.Admit}
	}
	return ctx.Session.stream
}

// streamClosed has nothing to give back: what a group delivered stays pending until it is acknowledged or due again.
func (s *Server) streamClosed(ctx *Context) { ctx.Session.stream = nil }

func badPosition(word []byte) error {
	return brokers.Errorf("ERR", "invalid position '%s': use an offset, #offset, ms-seq, @ms, first, last or next", shorten(word))
}

// parsePosition reads a pos of the native commands.
func parsePosition(word []byte) (stream.Position, error) {
	switch {
	case is(word, "FIRST"):
		return stream.Position{Kind: stream.First}, nil
	case is(word, "LAST"):
		return stream.Position{Kind: stream.Last}, nil
	case is(word, "NEXT"):
		return stream.Position{Kind: stream.Next}, nil
	case len(word) > 1 && word[0] == '@':
		if ms, ok := parseInt(word[1:]); ok && ms >= 0 {
			return stream.Position{Kind: stream.AtTime, Ms: ms}, nil
		}
		return stream.Position{}, badPosition(word)
	}
	if ms, seq, found := bytes.Cut(word, []byte("-")); found {
		m, ok := parseInt(ms)
		q, also := parseUint(seq)
		if !ok || !also || m < 0 {
			return stream.Position{}, badPosition(word)
		}
		return stream.Position{Kind: stream.AtID, Ms: m, Seq: q}, nil
	}
	offset, ok := parseUint(bytes.TrimPrefix(word, []byte("#")))
	if !ok {
		return stream.Position{}, badPosition(word)
	}
	return stream.Position{Offset: offset}, nil
}

// position is the option's value as a pos.
func (o *options) position() stream.Position {
	word := o.value()
	if o.err != nil {
		return stream.Position{}
	}
	p, err := parsePosition(word)
	if err != nil {
		o.err = err
	}
	return p
}

// acks is one or more pos or #a..#b, checked before anything changes. They are resolved under the stream's lock.
type acks struct {
	positions []stream.Position
	ends      []stream.Position // of ranges; the same as the position for a single entry
}

func (a *acks) add(word []byte) error {
	from, to, ranged := bytes.Cut(word, []byte(".."))
	p, err := parsePosition(from)
	if err != nil {
		return err
	}
	end := p
	if ranged {
		if end, err = parsePosition(to); err != nil {
			return err
		}
		if p.Kind != stream.AtOffset || end.Kind != stream.AtOffset || end.Offset < p.Offset {
			return badPosition(word)
		}
	}
	a.positions = append(a.positions, p)
	a.ends = append(a.ends, end)
	return nil
}

func (a *acks) resolve(exact func(stream.Position) (uint64, bool)) []stream.Range {
	ranges := make([]stream.Range, 0, len(a.positions))
	for i, p := range a.positions {
		if p.Kind == stream.AtOffset {
			ranges = append(ranges, stream.Range{From: p.Offset, To: a.ends[i].Offset})
		} else if offset, found := exact(p); found {
			ranges = append(ranges, stream.Range{From: offset, To: offset})
		}
	}
	return ranges
}

// acksFrom reads acks until a word that is none; it returns where the options begin.
func acksFrom(args [][]byte, first int) (a acks, next int, err error) {
	for next = first; next < len(args); next++ {
		word := args[next]
		if next > first && (is(word, "EPOCH") || is(word, "DROP")) {
			break
		}
		if err := a.add(word); err != nil {
			return a, next, err
		}
	}
	return a, next, nil
}

// missingStream tells an error apart that Redis' words answer with 0.
func missingStream(err error) bool { return errors.Is(err, &brokers.Error{Code: "NOSTREAM"}) }

func (ctx *Context) answerStreamCount(n int, r brokers.Receipt, err error) {
	if err != nil {
		ctx.fail(err)
		return
	}
	ctx.await(r)
	ctx.W.Int(int64(n))
}

// parseExpect reads ANY, NONE, EXISTS or the last offset.
func parseExpect(word []byte) (stream.Expect, bool) {
	switch {
	case is(word, "ANY"):
		return stream.Expect{}, true
	case is(word, "NONE"):
		return stream.Expect{Kind: stream.ExpectNone}, true
	case is(word, "EXISTS"):
		return stream.Expect{Kind: stream.ExpectExists}, true
	}
	offset, ok := parseUint(bytes.TrimPrefix(word, []byte("#")))
	return stream.Expect{Kind: stream.ExpectOffset, Offset: offset}, ok
}

func (o *options) expect() stream.Expect {
	word := o.value()
	if o.err != nil {
		return stream.Expect{}
	}
	x, ok := parseExpect(word)
	if !ok {
		o.err = syntaxErrorNear(word)
	}
	return x
}

func xappend(ctx *Context, args [][]byte) {
	var x stream.Expect
	var dedup []byte
	create := true
	o := optionsFrom(args, 3)
	for o.next() {
		switch {
		case o.word("EXPECT", 1<<0):
			x = o.expect()
		case o.word("DEDUP", 1<<1):
			if dedup = o.value(); o.err == nil && (len(dedup) == 0 || len(dedup) > 512) {
				o.err = brokers.Errorf("ERR", "a DEDUP key has 1 to 512 bytes")
			}
		case o.word("NOMK", 1<<2):
			create = false
		default:
			o.unknown()
		}
	}
	if o.err != nil {
		ctx.fail(o.err)
		return
	}
	st := ctx.streams()
	st.payloads[0] = args[2]
	result, r, err := ctx.Server.Stream.Append(args[1], st.payloads[:], x, dedup, create)
	st.payloads[0] = nil
	if err != nil {
		ctx.fail(err)
		return
	}
	ctx.await(r)
	if dedup == nil {
		ctx.W.Int(int64(result.First))
		return
	}
	ctx.W.Array(2)
	ctx.W.Int(int64(result.First))
	ctx.W.Int(boolInt(!result.Duplicate))
}

func xmappend(ctx *Context, args [][]byte) {
	payloads, err := readCounted(args, 2, 1, streamCountMax, "n")
	if err != nil {
		ctx.fail(err)
		return
	}
	var x stream.Expect
	o := optionsBehind(args, payloads)
	for o.next() {
		if o.word("EXPECT", 1<<0) {
			x = o.expect()
		} else {
			o.unknown()
		}
	}
	if o.err != nil {
		ctx.fail(o.err)
		return
	}
	result, r, err := ctx.Server.Stream.Append(args[1], args[payloads.from:payloads.to], x, nil, true)
	if err != nil {
		ctx.fail(err)
		return
	}
	ctx.await(r)
	ctx.W.Array(2)
	ctx.W.Int(int64(result.First))
	ctx.W.Int(int64(result.Last))
}

func xfetch(ctx *Context, args [][]byte) {
	from, err := parsePosition(args[2])
	if err != nil {
		ctx.fail(err)
		return
	}
	f := stream.FetchOptions{Count: streamPage, MaxBytes: streamBytes}
	blocks, timeout := false, time.Duration(0)
	o := optionsFrom(args, 3)
	for o.next() {
		switch {
		case o.word("TO", 1<<0):
			to := o.position()
			f.To = &to
		case o.word("COUNT", 1<<1):
			f.Count = int(o.integer(1, streamCountMax))
		case o.word("MAXBYTES", 1<<2):
			f.MaxBytes = int(o.integer(1, streamBytesMax))
		case o.word("BLOCK", 1<<3):
			blocks, timeout = true, o.duration()
		case o.word("REV", 1<<4):
			f.Reverse = true
		case o.word("STRICT", 1<<5):
			f.Strict = true
		default:
			o.unknown()
		}
	}
	if o.err != nil {
		ctx.fail(o.err)
		return
	}
	f.Watch = blocks && !f.Reverse && f.To == nil
	st := ctx.streams()
	f.Cold = st.cold
	if f.Count > streamPage {
		ctx.Conn.Admit()
	}
	deadline := ctx.Server.Clock.Now().Add(timeout)
	for {
		page, err := ctx.Server.Stream.Fetch(args[1], from, f, st.entries[:0])
		if err != nil {
			ctx.fail(err)
			return
		}
		st.entries = page.Entries[:0]
		if page.Changed == nil {
			ctx.Server.counters.streamRead.Add(uint64(len(page.Entries)))
			ctx.writePage(&page)
			clear(page.Entries)
			return
		}
		// The end of the stream is a place, not a moving word, while waiting.
		from = stream.Position{Offset: page.Next}
		switch ctx.blockUntil(deadline, timeout, page.Changed) {
		case resp.Gone:
			return
		case resp.UnblockedWithError:
			ctx.W.Error("UNBLOCKED client unblocked via CLIENT UNBLOCK")
			return
		case resp.Woken:
		default:
			f.Watch = false
		}
	}
}

// blockUntil waits for what is left of a timeout; 0 waits for ever.
func (ctx *Context) blockUntil(deadline time.Time, timeout time.Duration, wake <-chan struct{}) resp.Wake {
	if timeout == 0 {
		return ctx.Conn.Block(0, wake)
	}
	left := deadline.Sub(ctx.Server.Clock.Now())
	if left <= 0 {
		return resp.TimedOut
	}
	return ctx.Conn.Block(left, wake)
}

func (ctx *Context) writePage(page *stream.Fetch) {
	w := ctx.W
	w.Array(4)
	w.Int(int64(page.Next))
	w.Int(int64(page.High))
	w.Int(int64(page.Skipped))
	w.Array(len(page.Entries))
	for i := range page.Entries {
		e := &page.Entries[i]
		w.Array(3)
		w.Int(int64(e.Offset))
		w.Int(e.Ms)
		w.Bulk(e.Payload)
	}
}

func xconsume(ctx *Context, args [][]byte) {
	c := stream.ConsumeOptions{Count: streamPage, MaxBytes: streamBytes}
	blocks, timeout := false, time.Duration(0)
	o := optionsFrom(args, 4)
	for o.next() {
		switch {
		case o.word("COUNT", 1<<0):
			c.Count = int(o.integer(1, streamCountMax))
		case o.word("MAXBYTES", 1<<1):
			c.MaxBytes = int(o.integer(1, streamBytesMax))
		case o.word("BLOCK", 1<<2):
			blocks, timeout = true, o.duration()
		case o.word("NOACK", 1<<3):
			c.NoAck = true
		case o.word("MK", 1<<4):
			c.Make = true
		default:
			o.unknown()
		}
	}
	if o.err != nil {
		ctx.fail(o.err)
		return
	}
	c.Wait = blocks
	deadline := ctx.Server.Clock.Now().Add(timeout)
	st := ctx.streams()
	c.Cold = st.cold
	if c.Count > streamPage {
		ctx.Conn.Admit()
	}
	for {
		got, err := ctx.Server.Stream.Consume(args[1], args[2], args[3], c, st.deliveries[:0])
		if err != nil {
			ctx.fail(err)
			return
		}
		st.deliveries = got.Entries[:0]
		ctx.Session.worksAs(args[1], args[2], args[3])
		if got.Waiter == nil {
			ctx.Server.counters.streamRead.Add(uint64(len(got.Entries)))
			ctx.writeConsumed(args, c.NoAck, &got)
			return
		}
		reason := ctx.blockUntil(deadline, timeout, got.Waiter.C)
		if reason == resp.Woken {
			continue
		}
		ctx.Server.Stream.Cancel(got.Waiter)
		switch reason {
		case resp.Gone:
			return
		case resp.UnblockedWithError:
			ctx.W.Error("UNBLOCKED client unblocked via CLIENT UNBLOCK")
			return
		}
		c.Wait = false
	}
}

func (ctx *Context) writeConsumed(args [][]byte, noAck bool, got *stream.Consumed) {
	w := ctx.W
	ctx.await(got.Receipt)
	w.Array(3)
	w.Int(int64(got.Epoch))
	w.Int(int64(got.Lag))
	w.Array(len(got.Entries))
	for i := range got.Entries {
		d := &got.Entries[i]
		w.Array(4)
		w.Int(int64(d.Offset))
		w.Int(d.Ms)
		w.Int(int64(d.Deliveries))
		w.Bulk(d.Payload)
	}
	if len(got.Entries) > 0 && !noAck {
		// What the client never got goes back uncounted.
		name, group := bytes.Clone(args[1]), bytes.Clone(args[2])
		back := make([]stream.Delivery, len(got.Entries))
		for i, d := range got.Entries {
			back[i] = stream.Delivery{Entry: stream.Entry{Offset: d.Offset}, Deliveries: d.Deliveries}
		}
		broker := ctx.Server.Stream
		ctx.Conn.OnUndelivered(func() { broker.Return(name, group, back) })
	}
	clear(got.Entries)
}

func xack(ctx *Context, args [][]byte) {
	n, r, err := ctx.acknowledge(args)
	if err != nil && !ctx.Server.Stream.HasGroup(args[1], args[2]) {
		ctx.W.Int(0) // as in Redis, where nobody looks at the ids then
		return
	}
	ctx.Server.counters.streamAcked.Add(uint64(n))
	if err != nil {
		ctx.await(r) // a fence tells the epoch
	}
	ctx.answerStreamCount(n, r, err)
}

func (ctx *Context) acknowledge(args [][]byte) (n int, r brokers.Receipt, err error) {
	a, next, err := acksFrom(args, 3)
	if err != nil {
		return 0, r, err
	}
	var epoch uint64
	o := optionsFrom(args, next)
	for o.next() {
		if o.word("EPOCH", 1<<0) {
			epoch = uint64(o.integer(1, 1<<62))
		} else {
			o.unknown()
		}
	}
	if o.err != nil {
		return 0, r, o.err
	}
	return ctx.Server.Stream.Ack(args[1], args[2], a.resolve, epoch)
}

// xnack is XNACK s g SILENT|FAIL|FATAL IDS n acks.. [DELAY dur] [REASON t].
func xnack(ctx *Context, args [][]byte) {
	var mode stream.NackMode
	switch {
	case is(args[3], "SILENT"):
		mode = stream.NackSilent
	case is(args[3], "FAIL"):
		mode = stream.NackFail
	case is(args[3], "FATAL"):
		mode = stream.NackFatal
	default:
		ctx.fail(syntaxErrorNear(args[3]))
		return
	}
	if !is(args[4], "IDS") {
		ctx.fail(syntaxErrorNear(args[4]))
		return
	}
	ids, err := readCounted(args, 5, 1, itemsMax, "IDS")
	if err != nil {
		ctx.fail(err)
		return
	}
	var a acks
	for _, word := range args[ids.from:ids.to] {
		if err := a.add(word); err != nil {
			ctx.fail(err)
			return
		}
	}
	delay, reason := time.Duration(0), "given up by the consumer"
	o := optionsBehind(args, ids)
	for o.next() {
		switch {
		case o.word("DELAY", 1<<0):
			delay = o.duration()
		case o.word("REASON", 1<<1):
			if text := o.value(); len(text) > 1024 {
				o.err = brokers.Errorf("ERR", "REASON is over 1024 bytes")
			} else {
				reason = string(text)
			}
		default:
			o.unknown()
		}
	}
	if o.err != nil {
		ctx.fail(o.err)
		return
	}
	count, r, err := ctx.Server.Stream.Nack(args[1], args[2], mode, a.resolve, delay, reason)
	ctx.answerStreamCount(count, r, err)
}

func xextend(ctx *Context, args [][]byte) {
	d, err := ParseDuration(args[3])
	if err != nil {
		ctx.fail(err)
		return
	}
	var a acks
	for _, word := range args[4:] {
		if err := a.add(word); err != nil {
			ctx.fail(err)
			return
		}
	}
	n, err := ctx.Server.Stream.Extend(args[1], args[2], d, a.resolve)
	ctx.answerStreamCount(n, brokers.Receipt{}, err)
}

func xleave(ctx *Context, args [][]byte) {
	ctx.Session.worksNoMore(args[1], args[2], args[3])
	n, err := ctx.Server.Stream.Leave(args[1], args[2], args[3])
	ctx.answerStreamCount(n, brokers.Receipt{}, err)
}

func xseek(ctx *Context, args [][]byte) {
	p, err := parsePosition(args[3])
	if err != nil {
		ctx.fail(err)
		return
	}
	epoch, next, r, err := ctx.Server.Stream.Seek(args[1], args[2], p)
	if err != nil {
		ctx.fail(err)
		return
	}
	ctx.await(r)
	ctx.W.Array(2)
	ctx.W.Int(int64(epoch))
	ctx.W.Int(int64(next))
}

func xparked(ctx *Context, args [][]byte) {
	count, from := 50, stream.Position{Kind: stream.First}
	o := optionsFrom(args, 3)
	for o.next() {
		switch {
		case o.word("COUNT", 1<<0):
			count = int(o.integer(1, streamCountMax))
		case o.word("FROM", 1<<1):
			from = o.position()
		default:
			o.unknown()
		}
	}
	if o.err != nil {
		ctx.fail(o.err)
		return
	}
	list, _, err := ctx.Server.Stream.ParkedEntries(args[1], args[2], from, count, math.MaxInt)
	if err != nil {
		ctx.fail(err)
		return
	}
	ctx.W.Array(len(list))
	for i := range list {
		p := &list[i]
		ctx.W.Array(5)
		ctx.W.Int(int64(p.Offset))
		ctx.W.Int(int64(p.Deliveries))
		ctx.W.Int(p.ParkedMs)
		ctx.W.BulkString(p.Reason)
		ctx.W.Bulk(p.Payload)
	}
}

func xunpark(ctx *Context, args [][]byte) {
	var which stream.Resolver
	next := 4
	if !is(args[3], "ALL") {
		var a acks
		var err error
		if a, next, err = acksFrom(args, 3); err != nil {
			ctx.fail(err)
			return
		}
		which = a.resolve
	}
	drop := false
	o := optionsFrom(args, next)
	for o.next() {
		if o.word("DROP", 1<<0) {
			drop = true
		} else {
			o.unknown()
		}
	}
	if o.err != nil {
		ctx.fail(o.err)
		return
	}
	n, r, err := ctx.Server.Stream.Unpark(args[1], args[2], which, drop)
	ctx.answerStreamCount(n, r, err)
}

func xverify(ctx *Context, args [][]byte) {
	from, to := stream.Position{Kind: stream.First}, stream.Position{Kind: stream.Last}
	o := optionsFrom(args, 2)
	for o.next() {
		switch {
		case o.word("FROM", 1<<0):
			from = o.position()
		case o.word("TO", 1<<1):
			to = o.position()
		default:
			o.unknown()
		}
	}
	if o.err != nil {
		ctx.fail(o.err)
		return
	}
	v, err := ctx.Server.Stream.Verify(args[1], from, to)
	if err != nil {
		ctx.fail(err)
		return
	}
	w := ctx.W
	w.Map(5)
	w.BulkString("ok")
	w.Int(boolInt(v.OK))
	w.BulkString("from")
	w.Int(int64(v.From))
	w.BulkString("to")
	w.Int(int64(v.To))
	w.BulkString("head")
	w.BulkString(hex.EncodeToString(v.Head[:]))
	w.BulkString("first-bad")
	if v.OK {
		w.Int(-1)
	} else {
		w.Int(int64(v.FirstBad))
	}
}

func xhead(ctx *Context, args [][]byte) {
	offset, ms, seq, hash, err := ctx.Server.Stream.Head(args[1])
	if err != nil {
		ctx.fail(err)
		return
	}
	ctx.W.Array(3)
	ctx.W.Int(int64(offset))
	ctx.W.BulkString(strconv.FormatInt(ms, 10) + "-" + strconv.FormatUint(seq, 10))
	ctx.W.BulkString(hex.EncodeToString(hash[:]))
}
