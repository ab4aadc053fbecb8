package queue

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/nexobroker/nexo/brokers"
)

// The bytes of the records are drawn in FORMAT.md.
const formatVersion = 1

const (
	opMark     = 1
	opCreate   = 2
	opConfig   = 3
	opDrop     = 4
	opPush     = 5
	opChange   = 6
	opMove     = 7
	opPause    = 8
	opJob      = 9
	opDedup    = 10
	opCounters = 11
	opPushAt   = 12 // a push whose due time is a date
	opRun      = 13
	opTimedRun = 14
)

// verb is what happens to one job in a change record.
type verb uint8

const (
	verbLease   verb = 1  // argument: lease end, delivery number, bound
	verbAck     verb = 2  // gone: done
	verbDelete  verb = 3  // gone: deleted or purged
	verbExpire  verb = 4  // gone: its TTL ran out
	verbDrop    verb = 5  // gone: pushed out by MAXLEN, or failed for good without dead letters, or a dead letter too old
	verbRelease verb = 6  // ready, the attempt is given back
	verbRetry   verb = 7  // a failed attempt: argument: due, 0 is at once
	verbLapse   verb = 8  // the lease ran out: ready
	verbDead    verb = 9  // dead letter: failed at the record's time
	verbRevive  verb = 10 // back from the dead letters: argument: due, 0 is at once
	verbExtend  verb = 11 // argument: lease end
)

// change is what a change record says of one job.
type change struct {
	verb     verb
	bound    bool
	at       int64 // lease end or due
	delivery uint64
}

var errDamaged = errors.New("damaged queue record")

// header begins a record.
func header(buf []byte, op byte) []byte { return append(buf, formatVersion, op) }

func appendText[T string | []byte](buf []byte, text T) []byte {
	buf = binary.AppendUvarint(buf, uint64(len(text)))
	return append(buf, text...)
}

func appendTime(buf []byte, ms int64) []byte { return binary.AppendVarint(buf, ms) }

func appendFlag(buf []byte, on bool) []byte {
	if on {
		return append(buf, 1)
	}
	return append(buf, 0)
}

// reader takes a record apart; after the first failure every method returns zero and err is set.
type reader struct {
	body []byte
	all  string // what the body was at first, to take texts from; "": every text is a copy
	err  error
}

func (r *reader) fail() {
	if r.err == nil {
		r.err = errDamaged
	}
	r.body = nil
}

func (r *reader) uint() uint64 {
	n, size := binary.Uvarint(r.body)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.body = r.body[size:]
	return n
}

func (r *reader) time() int64 {
	n, size := binary.Varint(r.body)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.body = r.body[size:]
	return n
}

func (r *reader) byte() byte {
	if len(r.body) == 0 {
		r.fail()
		return 0
	}
	b := r.body[0]
	r.body = r.body[1:]
	return b
}

func (r *reader) flag() bool { return r.byte() == 1 }

func (r *reader) text() string {
	n := r.uint()
	if n > uint64(len(r.body)) {
		r.fail()
		return ""
	}
	var text string
	if r.all != "" {
		text = r.all[len(r.all)-len(r.body):][:n]
	} else {
		text = string(r.body[:n])
	}
	r.body = r.body[n:]
	return text
}

// many is a count of things that take at least one byte each.
func (r *reader) many() int {
	n := r.uint()
	if n > uint64(len(r.body)) {
		r.fail()
		return 0
	}
	return int(n)
}

// mark reserves numbers; see numbers.go. A clean mark is the last record of a life that ended well.
type mark struct {
	reservedID, reservedDelivery uint64
	floor, lifeFirstID           uint64
	clean                        bool
	lastID                       uint64 // of a clean mark
	at                           int64  // of a mark that begins a snapshot: the wall's time; else 0
}

func (m mark) encode(buf []byte) []byte {
	buf = header(buf, opMark)
	for _, n := range []uint64{m.reservedID, m.reservedDelivery, m.floor, m.lifeFirstID, m.lastID} {
		buf = binary.AppendUvarint(buf, n)
	}
	return appendTime(appendFlag(buf, m.clean), m.at)
}

func decodeMark(r *reader) mark {
	m := mark{
		reservedID: r.uint(), reservedDelivery: r.uint(), floor: r.uint(), lifeFirstID: r.uint(), lastID: r.uint(),
		clean: r.flag(),
	}
	if r.err == nil && len(r.body) > 0 { // earlier versions wrote none
		m.at = r.time()
	}
	return m
}

func appendConfig(buf []byte, c Config) []byte {
	for _, n := range []int64{c.Lease, c.MaxAttempts, c.BackoffBase, c.BackoffMax, c.Jitter, c.Delay, c.TTL, c.DeadTTL,
		c.MaxLen, c.DedupWindow} {
		buf = appendTime(buf, n)
	}
	buf = append(buf, byte(c.Backoff), byte(c.Sync))
	buf = appendFlag(buf, c.DeadLetters)
	return appendFlag(buf, c.DropOldest)
}

func decodeConfig(r *reader) Config {
	c := Config{
		Lease: r.time(), MaxAttempts: r.time(), BackoffBase: r.time(), BackoffMax: r.time(), Jitter: r.time(),
		Delay: r.time(), TTL: r.time(), DeadTTL: r.time(), MaxLen: r.time(), DedupWindow: r.time(),
		Backoff: Backoff(r.byte()), Sync: brokers.Durability(r.byte()), DeadLetters: r.flag(), DropOldest: r.flag(),
	}
	if r.err == nil && c.check() != nil {
		r.fail()
	}
	return c
}

func encodeCreate(buf []byte, op byte, number uint64, name string, c Config) []byte {
	buf = header(buf, op)
	buf = binary.AppendUvarint(buf, number)
	if op == opCreate {
		buf = appendText(buf, name)
	}
	return appendConfig(buf, c)
}

// push is what the jobs of one push share.
type push struct {
	now         int64
	firstID     uint64
	due         int64 // 0: at once
	dated       bool  // due is a date
	expires     int64 // 0: never
	lease       int64 // 0: the queue's
	maxAttempts int64 // 0: the queue's
	dedupUntil  int64 // 0: no keys
	priority    uint8
}

func (p *push) encode(buf []byte, queue uint64, jobs int) []byte {
	op := byte(opPush)
	if p.dated {
		op = opPushAt
	}
	buf = header(buf, op)
	buf = binary.AppendUvarint(buf, queue)
	buf = appendTime(buf, p.now)
	buf = binary.AppendUvarint(buf, p.firstID)
	buf = append(buf, p.priority)
	buf = appendTime(buf, p.due)
	buf = appendTime(buf, p.expires)
	buf = appendTime(buf, p.lease)
	buf = appendTime(buf, p.maxAttempts)
	buf = appendTime(buf, p.dedupUntil)
	return binary.AppendUvarint(buf, uint64(jobs))
}

// shifted is the push with other times.
func (p push) shifted(by int64) *push {
	for _, at := range []*int64{&p.now, &p.due, &p.expires, &p.dedupUntil} {
		if *at != 0 {
			*at += by
		}
	}
	return &p
}

func decodePush(r *reader) (p push, jobs int) {
	p = push{
		now: r.time(), firstID: r.uint(), priority: r.byte(), due: r.time(), expires: r.time(), lease: r.time(),
		maxAttempts: r.time(), dedupUntil: r.time(),
	}
	return p, r.many()
}

func encodeChangeHeader(buf []byte, queue uint64, now int64, reason string) []byte {
	buf = header(buf, opChange)
	buf = binary.AppendUvarint(buf, queue)
	buf = appendTime(buf, now)
	return appendText(buf, reason)
}

func (c change) encode(buf []byte, id uint64, now int64) []byte {
	buf = binary.AppendUvarint(buf, id)
	buf = append(buf, byte(c.verb))
	switch c.verb {
	case verbLease:
		buf = appendTime(buf, c.at-now)
		buf = binary.AppendUvarint(buf, c.delivery)
		buf = appendFlag(buf, c.bound)
	case verbRetry, verbRevive:
		if c.at == 0 {
			return append(buf, 0)
		}
		buf = append(buf, 1)
		buf = appendTime(buf, c.at-now)
	case verbExtend:
		buf = appendTime(buf, c.at-now)
	}
	return buf
}

func decodeChange(r *reader, now int64) (id uint64, c change) {
	id = r.uint()
	c.verb = verb(r.byte())
	switch c.verb {
	case verbLease:
		c.at, c.delivery, c.bound = now+r.time(), r.uint(), r.flag()
	case verbRetry, verbRevive:
		if r.flag() {
			c.at = now + r.time()
		}
	case verbExtend:
		c.at = now + r.time()
	case verbAck, verbDelete, verbExpire, verbDrop, verbRelease, verbLapse, verbDead:
	default:
		r.fail()
	}
	return id, c
}

// stateDated is added to the state of a job that is due at a date.
const stateDated = 0x80

// encodeJob writes a whole job, for a snapshot or a run.
func encodeJob(buf []byte, j *job, state state) []byte {
	x := j.more()
	buf = binary.AppendUvarint(buf, j.id)
	if j.dated {
		state |= stateDated
	}
	buf = append(buf, byte(state), j.priority)
	buf = appendFlag(buf, j.bound)
	for _, ms := range []int64{j.at, j.pushedAt, j.expiresAt, x.lease, x.maxAttempts} {
		buf = appendTime(buf, ms)
	}
	buf = binary.AppendUvarint(buf, j.deliveries)
	buf = binary.AppendUvarint(buf, uint64(j.attempts))
	buf = appendText(buf, x.dedup)
	buf = appendText(buf, x.reason)
	return appendText(buf, j.body)
}

func decodeJob(r *reader) *job {
	j := &job{}
	j.decode(r)
	return j
}

func (j *job) decode(r *reader) {
	j.id, j.state, j.priority, j.bound = r.uint(), state(r.byte()), r.byte(), r.flag()
	j.dated, j.state = j.state&stateDated != 0, j.state&^stateDated
	j.at, j.pushedAt, j.expiresAt = r.time(), r.time(), r.time()
	x := extra{lease: r.time(), maxAttempts: r.time()}
	j.deliveries, j.attempts = r.uint(), uint32(r.uint())
	x.dedup, x.reason, j.body = r.text(), r.text(), r.text()
	if x != (extra{}) {
		j.extra = &x
	}
	if j.state < stateReady || j.state > stateDead {
		r.fail()
	}
}

func damaged(op byte, why string) error {
	return fmt.Errorf("%w: kind %d: %s", errDamaged, op, why)
}
