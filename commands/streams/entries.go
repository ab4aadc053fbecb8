package streams

import (
	"bytes"
	"encoding/hex"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/stream"
	"github.com/nexobroker/nexo/commands"
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

	workers atomic.Pointer[[]worker] // newest first, immutable; nil before the first XCONSUME
}

// state is made when first needed. There is nothing to give back: what a group delivered stays pending until it is acknowledged or
// due again.
func (f *Family) streamState(ctx *commands.Context) *streamState {
	if st, ok := f.family.State(ctx.Session).(*streamState); ok {
		return st
	}
	st := &streamState{cold: ctx.Conn.Admit}
	f.family.Keep(ctx.Session, st)
	return st
}

func badPosition(word []byte) error {
	return brokers.Errorf("ERR", "invalid position '%s': use an offset, #offset, ms-seq, @ms, first, last or next", commands.Shorten(word))
}

// parsePosition reads a pos of the native commands.
func parsePosition(word []byte) (stream.Position, error) {
	switch {
	case commands.Is(word, "FIRST"):
		return stream.Position{Kind: stream.First}, nil
	case commands.Is(word, "LAST"):
		return stream.Position{Kind: stream.Last}, nil
	case commands.Is(word, "NEXT"):
		return stream.Position{Kind: stream.Next}, nil
	case len(word) > 1 && word[0] == '@':
		if ms, ok := commands.ParseInt(word[1:]); ok && ms >= 0 {
			return stream.Position{Kind: stream.AtTime, Ms: ms}, nil
		}
		return stream.Position{}, badPosition(word)
	}
	if ms, seq, found := bytes.Cut(word, []byte("-")); found {
		m, ok := commands.ParseInt(ms)
		q, also := commands.ParseUint(seq)
		if !ok || !also || m < 0 {
			return stream.Position{}, badPosition(word)
		}
		return stream.Position{Kind: stream.AtID, Ms: m, Seq: q}, nil
	}
	offset, ok := commands.ParseUint(bytes.TrimPrefix(word, []byte("#")))
	if !ok {
		return stream.Position{}, badPosition(word)
	}
	return stream.Position{Offset: offset}, nil
}

// position is the option's value as a pos.
func position(o *commands.Options) stream.Position {
	word := o.Value()
	if o.Err != nil {
		return stream.Position{}
	}
	p, err := parsePosition(word)
	if err != nil {
		o.Err = err
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
		if next > first && (commands.Is(word, "EPOCH") || commands.Is(word, "DROP")) {
			break
		}
		if err := a.add(word); err != nil {
			return a, next, err
		}
	}
	return a, next, nil
}

// parseExpect reads ANY, NONE, EXISTS or the last offset.
func parseExpect(word []byte) (stream.Expect, bool) {
	switch {
	case commands.Is(word, "ANY"):
		return stream.Expect{}, true
	case commands.Is(word, "NONE"):
		return stream.Expect{Kind: stream.ExpectNone}, true
	case commands.Is(word, "EXISTS"):
		return stream.Expect{Kind: stream.ExpectExists}, true
	}
	offset, ok := commands.ParseUint(bytes.TrimPrefix(word, []byte("#")))
	return stream.Expect{Kind: stream.ExpectOffset, Offset: offset}, ok
}

func expect(o *commands.Options) stream.Expect {
	word := o.Value()
	if o.Err != nil {
		return stream.Expect{}
	}
	x, ok := parseExpect(word)
	if !ok {
		o.Err = commands.SyntaxErrorNear(word)
	}
	return x
}

func (f *Family) xappend(ctx *commands.Context, args [][]byte) {
	var x stream.Expect
	var dedup []byte
	create := true
	o := commands.OptionsFrom(args, 3)
	for o.Next() {
		switch {
		case o.Word("EXPECT", 1<<0):
			x = expect(o)
		case o.Word("DEDUP", 1<<1):
			if dedup = o.Value(); o.Err == nil && (len(dedup) == 0 || len(dedup) > 512) {
				o.Err = brokers.Errorf("ERR", "a DEDUP key has 1 to 512 bytes")
			}
		case o.Word("NOMK", 1<<2):
			create = false
		default:
			o.Unknown()
		}
	}
	if o.Err != nil {
		ctx.Fail(o.Err)
		return
	}
	st := f.streamState(ctx)
	st.payloads[0] = args[2]
	result, r, err := f.broker.Append(args[1], st.payloads[:], x, dedup, create)
	st.payloads[0] = nil
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.Await(r)
	if dedup == nil {
		ctx.W.Int(int64(result.First))
		return
	}
	ctx.W.Array(2)
	ctx.W.Int(int64(result.First))
	ctx.W.Int(commands.BoolInt(!result.Duplicate))
}

func (f *Family) xmappend(ctx *commands.Context, args [][]byte) {
	payloads, err := commands.ReadCounted(args, 2, 1, streamCountMax, "n")
	if err != nil {
		ctx.Fail(err)
		return
	}
	var x stream.Expect
	o := commands.OptionsBehind(args, payloads)
	for o.Next() {
		if o.Word("EXPECT", 1<<0) {
			x = expect(o)
		} else {
			o.Unknown()
		}
	}
	if o.Err != nil {
		ctx.Fail(o.Err)
		return
	}
	result, r, err := f.broker.Append(args[1], args[payloads.From:payloads.To], x, nil, true)
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.Await(r)
	ctx.W.Array(2)
	ctx.W.Int(int64(result.First))
	ctx.W.Int(int64(result.Last))
}

func (f *Family) xfetch(ctx *commands.Context, args [][]byte) {
	from, err := parsePosition(args[2])
	if err != nil {
		ctx.Fail(err)
		return
	}
	fetch := stream.FetchOptions{Count: streamPage, MaxBytes: streamBytes}
	blocks, timeout := false, time.Duration(0)
	o := commands.OptionsFrom(args, 3)
	for o.Next() {
		switch {
		case o.Word("TO", 1<<0):
			to := position(o)
			fetch.To = &to
		case o.Word("COUNT", 1<<1):
			fetch.Count = int(o.Integer(1, streamCountMax))
		case o.Word("MAXBYTES", 1<<2):
			fetch.MaxBytes = int(o.Integer(1, streamBytesMax))
		case o.Word("BLOCK", 1<<3):
			blocks, timeout = true, o.Duration()
		case o.Word("REV", 1<<4):
			fetch.Reverse = true
		case o.Word("STRICT", 1<<5):
			fetch.Strict = true
		default:
			o.Unknown()
		}
	}
	if o.Err != nil {
		ctx.Fail(o.Err)
		return
	}
	fetch.Watch = blocks && !fetch.Reverse && fetch.To == nil
	st := f.streamState(ctx)
	fetch.Cold = st.cold
	if fetch.Count > streamPage {
		ctx.Conn.Admit()
	}
	deadline := ctx.Server.Clock.Now().Add(timeout)
	for {
		page, err := f.broker.Fetch(args[1], from, fetch, st.entries[:0])
		if err != nil {
			ctx.Fail(err)
			return
		}
		st.entries = page.Entries[:0]
		if page.Changed == nil {
			f.read.Add(uint64(len(page.Entries)))
			f.writePage(ctx, &page)
			clear(page.Entries)
			return
		}
		// The end of the stream is a place, not a moving word, while waiting.
		from = stream.Position{Offset: page.Next}
		switch ctx.BlockUntil(deadline, timeout, page.Changed) {
		case resp.Gone:
			return
		case resp.UnblockedWithError:
			ctx.W.Error("UNBLOCKED client unblocked via CLIENT UNBLOCK")
			return
		case resp.Woken:
		default:
			fetch.Watch = false
		}
	}
}

func (f *Family) writePage(ctx *commands.Context, page *stream.Fetch) {
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

func (f *Family) xconsume(ctx *commands.Context, args [][]byte) {
	c := stream.ConsumeOptions{Count: streamPage, MaxBytes: streamBytes}
	blocks, timeout := false, time.Duration(0)
	o := commands.OptionsFrom(args, 4)
	for o.Next() {
		switch {
		case o.Word("COUNT", 1<<0):
			c.Count = int(o.Integer(1, streamCountMax))
		case o.Word("MAXBYTES", 1<<1):
			c.MaxBytes = int(o.Integer(1, streamBytesMax))
		case o.Word("BLOCK", 1<<2):
			blocks, timeout = true, o.Duration()
		case o.Word("NOACK", 1<<3):
			c.NoAck = true
		case o.Word("MK", 1<<4):
			c.Make = true
		default:
			o.Unknown()
		}
	}
	if o.Err != nil {
		ctx.Fail(o.Err)
		return
	}
	c.Wait = blocks
	deadline := ctx.Server.Clock.Now().Add(timeout)
	st := f.streamState(ctx)
	c.Cold = st.cold
	if c.Count > streamPage {
		ctx.Conn.Admit()
	}
	for {
		got, err := f.broker.Consume(args[1], args[2], args[3], c, st.deliveries[:0])
		if err != nil {
			ctx.Fail(err)
			return
		}
		st.deliveries = got.Entries[:0]
		st.worksAs(args[1], args[2], args[3])
		if got.Waiter == nil {
			f.read.Add(uint64(len(got.Entries)))
			f.writeConsumed(ctx, args, c.NoAck, &got)
			return
		}
		reason := ctx.BlockUntil(deadline, timeout, got.Waiter.C)
		if reason == resp.Woken {
			continue
		}
		f.broker.Cancel(got.Waiter)
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

func (f *Family) writeConsumed(ctx *commands.Context, args [][]byte, noAck bool, got *stream.Consumed) {
	w := ctx.W
	ctx.Await(got.Receipt)
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
		broker := f.broker
		ctx.Conn.OnUndelivered(func() { broker.Return(name, group, back) })
	}
	clear(got.Entries)
}

// xnack is XNACK s g SILENT|FAIL|FATAL IDS n acks.. [DELAY dur] [REASON t].
func (f *Family) xnack(ctx *commands.Context, args [][]byte) {
	var mode stream.NackMode
	switch {
	case commands.Is(args[3], "SILENT"):
		mode = stream.NackSilent
	case commands.Is(args[3], "FAIL"):
		mode = stream.NackFail
	case commands.Is(args[3], "FATAL"):
		mode = stream.NackFatal
	default:
		ctx.Fail(commands.SyntaxErrorNear(args[3]))
		return
	}
	if !commands.Is(args[4], "IDS") {
		ctx.Fail(commands.SyntaxErrorNear(args[4]))
		return
	}
	ids, err := commands.ReadCounted(args, 5, 1, commands.ItemsMax, "IDS")
	if err != nil {
		ctx.Fail(err)
		return
	}
	var a acks
	for _, word := range args[ids.From:ids.To] {
		if err := a.add(word); err != nil {
			ctx.Fail(err)
			return
		}
	}
	delay, reason := time.Duration(0), "given up by the consumer"
	o := commands.OptionsBehind(args, ids)
	for o.Next() {
		switch {
		case o.Word("DELAY", 1<<0):
			delay = o.Duration()
		case o.Word("REASON", 1<<1):
			if text := o.Value(); len(text) > 1024 {
				o.Err = brokers.Errorf("ERR", "REASON is over 1024 bytes")
			} else {
				reason = string(text)
			}
		default:
			o.Unknown()
		}
	}
	if o.Err != nil {
		ctx.Fail(o.Err)
		return
	}
	count, r, err := f.broker.Nack(args[1], args[2], mode, a.resolve, delay, reason)
	ctx.Number(int64(count), r, err)
}

func (f *Family) xextend(ctx *commands.Context, args [][]byte) {
	d, err := commands.ParseDuration(args[3])
	if err != nil {
		ctx.Fail(err)
		return
	}
	var a acks
	for _, word := range args[4:] {
		if err := a.add(word); err != nil {
			ctx.Fail(err)
			return
		}
	}
	n, err := f.broker.Extend(args[1], args[2], d, a.resolve)
	ctx.Number(int64(n), brokers.Receipt{}, err)
}

func (f *Family) xleave(ctx *commands.Context, args [][]byte) {
	f.streamState(ctx).worksNoMore(args[1], args[2], args[3])
	n, err := f.broker.Leave(args[1], args[2], args[3])
	ctx.Number(int64(n), brokers.Receipt{}, err)
}

func (f *Family) xseek(ctx *commands.Context, args [][]byte) {
	p, err := parsePosition(args[3])
	if err != nil {
		ctx.Fail(err)
		return
	}
	epoch, next, r, err := f.broker.Seek(args[1], args[2], p)
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.Await(r)
	ctx.W.Array(2)
	ctx.W.Int(int64(epoch))
	ctx.W.Int(int64(next))
}

func (f *Family) xparked(ctx *commands.Context, args [][]byte) {
	count, from := 50, stream.Position{Kind: stream.First}
	o := commands.OptionsFrom(args, 3)
	for o.Next() {
		switch {
		case o.Word("COUNT", 1<<0):
			count = int(o.Integer(1, streamCountMax))
		case o.Word("FROM", 1<<1):
			from = position(o)
		default:
			o.Unknown()
		}
	}
	if o.Err != nil {
		ctx.Fail(o.Err)
		return
	}
	list, _, err := f.broker.ParkedEntries(args[1], args[2], from, count, math.MaxInt)
	if err != nil {
		ctx.Fail(err)
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

func (f *Family) xunpark(ctx *commands.Context, args [][]byte) {
	var which stream.Resolver
	next := 4
	if !commands.Is(args[3], "ALL") {
		var a acks
		var err error
		if a, next, err = acksFrom(args, 3); err != nil {
			ctx.Fail(err)
			return
		}
		which = a.resolve
	}
	drop := false
	o := commands.OptionsFrom(args, next)
	for o.Next() {
		if o.Word("DROP", 1<<0) {
			drop = true
		} else {
			o.Unknown()
		}
	}
	if o.Err != nil {
		ctx.Fail(o.Err)
		return
	}
	n, r, err := f.broker.Unpark(args[1], args[2], which, drop)
	ctx.Number(int64(n), r, err)
}

func (f *Family) xverify(ctx *commands.Context, args [][]byte) {
	from, to := stream.Position{Kind: stream.First}, stream.Position{Kind: stream.Last}
	o := commands.OptionsFrom(args, 2)
	for o.Next() {
		switch {
		case o.Word("FROM", 1<<0):
			from = position(o)
		case o.Word("TO", 1<<1):
			to = position(o)
		default:
			o.Unknown()
		}
	}
	if o.Err != nil {
		ctx.Fail(o.Err)
		return
	}
	v, err := f.broker.Verify(args[1], from, to)
	if err != nil {
		ctx.Fail(err)
		return
	}
	w := ctx.W
	w.Map(5)
	w.BulkString("ok")
	w.Int(commands.BoolInt(v.OK))
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

func (f *Family) xhead(ctx *commands.Context, args [][]byte) {
	offset, ms, seq, hash, err := f.broker.Head(args[1])
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.W.Array(3)
	ctx.W.Int(int64(offset))
	ctx.W.BulkString(strconv.FormatInt(ms, 10) + "-" + strconv.FormatUint(seq, 10))
	ctx.W.BulkString(hex.EncodeToString(hash[:]))
}
