package commands

import (
	"errors"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/resp"
)

// Fail writes an error reply: an error with a code word as it is, anything else under ERR.
func (ctx *Context) Fail(err error) {
	var e *brokers.Error
	if errors.As(err, &e) {
		ctx.W.Error(e.Error())
		return
	}
	if isCoded(err) {
		ctx.W.Error(err.Error())
		return
	}
	ctx.W.Error("ERR " + err.Error())
}

// Await makes the reply of the current command wait until the change is as durable as its object asks.
func (ctx *Context) Await(r brokers.Receipt) {
	if r.Journal == nil || r.Seq == 0 || r.Durability == brokers.Never {
		return
	}
	ctx.Conn.Await(r.Journal, r.Seq, r.Durability == brokers.Always)
}

// Stored answers +OK or the error.
func (ctx *Context) Stored(receipt brokers.Receipt, err error) {
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.Await(receipt)
	ctx.W.OK()
}

// Number answers an integer once the change behind it is durable, or the error.
func (ctx *Context) Number(n int64, receipt brokers.Receipt, err error) {
	if err != nil {
		ctx.Fail(err)
		return
	}
	ctx.Await(receipt)
	ctx.W.Int(n)
}

// Field is one pair of a map reply: an int64, a string, or a list of strings.
type Field struct {
	Name  string
	Value any
}

// FieldOf pairs a name with its value.
func FieldOf(name string, value any) Field { return Field{name, value} }

// WriteFields answers a map.
func (ctx *Context) WriteFields(fields []Field) {
	ctx.W.Map(len(fields))
	for _, f := range fields {
		ctx.W.BulkString(f.Name)
		switch v := f.Value.(type) {
		case int64:
			ctx.W.Int(v)
		case string:
			ctx.W.BulkString(v)
		case []string:
			ctx.W.Array(len(v))
			for _, text := range v {
				ctx.W.BulkString(text)
			}
		}
	}
}

// BlockUntil waits for what is left of a timeout; 0 waits for ever.
func (ctx *Context) BlockUntil(deadline time.Time, timeout time.Duration, wake <-chan struct{}) resp.Wake {
	if timeout == 0 {
		return ctx.Conn.Block(0, wake)
	}
	left := deadline.Sub(ctx.Server.Clock.Now())
	if left <= 0 {
		return resp.TimedOut
	}
	return ctx.Conn.Block(left, wake)
}

// codedError is an error whose text begins with its code word, as the journal's are.
type codedError interface {
	error
	Code() string
}

func isCoded(err error) bool {
	var coded codedError
	return errors.As(err, &coded)
}

// BoolInt is a truth as replies tell it.
func BoolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
