package keyspace_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers/store"
	"github.com/nexobroker/nexo/commands/commandstest"
)

// The same commands go to a real redis-server and to us, in both protocols; the raw replies must be equal.
const differentialTable = `
SET k v
GET k
GET none
set K v
GeT K
GET
GET a b
SET k
SET k v NX
SET k2 v NX
SET k v2 XX
SET none v XX
SET k v NX XX
SET k v XX NX
SET k new GET
SET fresh new GET
SET k v NX GET
SET fresher v NX GET
SET k v XX GET
SET k v FOO
SET k v EX
SET k v EX 0
SET k v EX -1
SET k v EX abc
SET k v EX 1.5
SET k v EX 9223372036854775807
SET k v PX 9223372036854775807
SET k v PX 0
SET k v EX 100 PX 100
SET k v EX 100 KEEPTTL
SET k v KEEPTTL EX 1
SET k v EX 100
TTL k
SET k v KEEPTTL
TTL k
SET k v
TTL k
SET k v PX 100000
TTL k
SET k v EXAT 33177117420
TTL k
EXPIRETIME k
PEXPIRETIME k
SET k v PXAT 33177117420123
PEXPIRETIME k
EXPIRETIME k
SET k v PXAT 1
GET k
EXISTS k
SET k v EXAT 0
SET k v EXAT -5
SET k v GET EX 100
TTL k
SET k v EX 10 EX 200
TTL k
SET k v EX abc EX 300
TTL k
SET k v EX 300 EX abc
SET k v PX 100000 PX 200000
TTL k
SET k v EXAT 33177117420 EXAT 33177117421
EXPIRETIME k
SET k v PXAT 33177117420123 PXAT 33177117421123
PEXPIRETIME k
SET k v EX 10 PX 10
SET k v EX 10 EXAT 33177117420
SET k v PX 10 PXAT 33177117420123
SET k v EX 10 EX
SET k v KEEPTTL KEEPTTL
SET k v NX NX
SET k v XX XX
SET k v GET GET
SET k v XX GET XX EX 100 GET EX 200
TTL k
SET k v XX NX XX
SET k v nx Nx
SET k v PERSIST
SET "" empty
GET ""
SET k ""
GET k
STRLEN k
SET b \x00\r\n\xff
GET b
STRLEN b
SETNX b x
SETNX nx x
SETNX nx
SETEX s 100 v
TTL s
SETEX s 0 v
SETEX s -1 v
SETEX s abc v
SETEX s 9223372036854775807 v
PSETEX s 100000 v
TTL s
PSETEX s 0 v
PSETEX s 1.0 v
GETSET s n
GETSET gs n
TTL s
GETDEL gs
GETDEL gs
GETDEL
GETEX s
GETEX s EX 100
TTL s
GETEX s PERSIST
TTL s
GETEX s PX 100000
GETEX s EXAT 33177117420
PEXPIRETIME s
GETEX s PXAT 1
EXISTS s
GETEX s EX 0
GETEX k EX 100 EX 200
TTL k
GETEX k PERSIST PERSIST
TTL k
GETEX k PX 100000 PX 200000
GETEX k EXAT 33177117420 EXAT 33177117421
EXPIRETIME k
GETEX k PXAT 33177117420123 PXAT 33177117421123
PEXPIRETIME k
GETEX k EX 10 PX 10
GETEX k PERSIST EX 10 PERSIST
GETEX k EX 10 EX
GETEX none EX 0
GETEX none EX abc
GETEX none EX
GETEX k EX 0
GETEX k EX abc
GETEX k EX 10 PERSIST
GETEX k PERSIST EX 10
GETEX k KEEPTTL
GETEX k NX
MSET a 1 b 2 c 3
MGET a b c none
MGET
MSET a
MSET a 1 b
MSET a 1 a 2
GET a
MSETNX d 1 a 2
EXISTS d
MSETNX d 1 e 2
MSETNX d
MSETNX x 1 y
MGET d e d
APPEND ap hello
APPEND ap world
GET ap
OBJECT ENCODING ap
APPEND ap
STRLEN none
GETRANGE ap 0 4
GETRANGE ap -3 -1
GETRANGE ap 0 -1
GETRANGE ap 5 2
GETRANGE ap -1 -5
GETRANGE ap -100 100
GETRANGE ap 100 200
GETRANGE ap -100 -50
GETRANGE ap 0 -100
GETRANGE ap -9223372036854775808 9223372036854775807
GETRANGE ap x 1
GETRANGE ap 1 x
GETRANGE none 0 -1
SUBSTR ap 1 3
SETRANGE ap 5 XX
GET ap
SETRANGE sr 3 abc
GET sr
SETRANGE sr 0 ""
SETRANGE sr2 5 ""
EXISTS sr2
SETRANGE sr -1 x
SETRANGE sr x x
SETRANGE sr 536870912 x
SETRANGE sr 9223372036854775807 x
OBJECT ENCODING sr
INCR n
INCR n
INCRBY n 10
INCRBY n -3
DECR n
DECRBY n 5
DECRBY n -5
GET n
OBJECT ENCODING n
INCRBY n x
INCRBY n 1.5
INCRBY n ""
INCRBY n +5
INCRBY n 05
INCRBY n 9223372036854775807
INCRBY n 9223372036854775808
DECRBY n -9223372036854775808
DECRBY n 9223372036854775807
SET max 9223372036854775807
INCR max
DECR max
SET min -9223372036854775808
DECR min
INCR min
INCR ap
SET sp \x2012
INCR sp
SET lead 007
INCR lead
SET plus +7
INCR plus
SET neg0 -0
INCR neg0
SET big 99999999999999999999
INCR big
SET f 10.5
INCRBYFLOAT f 0.1
INCRBYFLOAT f -5
INCRBYFLOAT f 5.0e3
INCRBYFLOAT f 1e-18
INCRBYFLOAT f abc
INCRBYFLOAT f ""
INCRBYFLOAT f nan
INCRBYFLOAT f inf
INCRBYFLOAT f -inf
INCRBYFLOAT f +infinity
INCRBYFLOAT f 1e400
INCRBYFLOAT f -1e400
INCRBYFLOAT f 1e5000
INCRBYFLOAT f 1e-5000
INCRBYFLOAT f 0x10
INCRBYFLOAT f \x201
INCRBYFLOAT f 1\x20
INCRBYFLOAT f 1_0
INCRBYFLOAT f 1e
INCRBYFLOAT f .5
INCRBYFLOAT f 5.
INCRBYFLOAT f .
INCRBYFLOAT f +1
INCRBYFLOAT ff 3.14159265358979323846
INCRBYFLOAT ff -3.14159265358979323846
OBJECT ENCODING ff
INCRBYFLOAT ff 0.00000000000000001
INCRBYFLOAT ff 1.1
INCRBYFLOAT ff 2.2
INCRBYFLOAT ap 1
SET fs 1.5x
INCRBYFLOAT fs 1
SET f3 3
INCRBYFLOAT f3 1
OBJECT ENCODING f3
INCR f3
DEL a b c none a
UNLINK d e
DEL
UNLINK
EXISTS ap ap none
EXISTS
TOUCH ap none ap
TOUCH
TYPE ap
TYPE none
TYPE
EXPIRE ap 100
TTL ap
EXPIRE none 100
EXPIRE ap abc
EXPIRE ap
EXPIRE ap 100 NX
EXPIRE ap 200 XX
TTL ap
EXPIRE ap 100 GT
TTL ap
EXPIRE ap 300 GT
TTL ap
EXPIRE ap 400 LT
TTL ap
EXPIRE ap 50 LT
TTL ap
EXPIRE ap 40 XX GT
EXPIRE ap 500 XX GT
TTL ap
EXPIRE ap 60 LT XX
EXPIRE ap 50 NX XX
EXPIRE ap 50 NX GT
EXPIRE ap 50 NX LT
EXPIRE ap 50 GT LT
EXPIRE ap 50 NX NX
EXPIRE ap 50 XX XX
EXPIRE ap 60 XX GT XX GT
EXPIRE ap 50 FOO
EXPIRE ap abc FOO
EXPIRE ap 9223372036854775807
EXPIRE ap -9223372036854775807
EXPIRE ap 9223372036854775
PEXPIRE ap 9223372036854775807
PEXPIRE ap 100000
TTL ap
PERSIST ap
PERSIST ap
PERSIST none
TTL ap
PTTL ap
PTTL none
TTL none
EXPIRETIME ap
EXPIRETIME none
PEXPIRETIME none
EXPIRE ap 100 GT
EXPIRE ap 100 XX
EXPIRE ap 100 LT
TTL ap
EXPIREAT ap 33177117420
EXPIRETIME ap
PEXPIREAT ap 33177117420555
PEXPIRETIME ap
EXPIREAT ap 9223372036854775807
PEXPIREAT ap 9223372036854775807
PEXPIRETIME ap
PEXPIREAT ap 33177117420555 LT
PEXPIREAT ap 33177117420556 LT
PEXPIRETIME ap
RENAME ap ap2
PEXPIRETIME ap2
EXISTS ap
RENAME none x
RENAME ap2 ap2
RENAME none none
RENAMENX ap2 ap2
RENAMENX none x
RENAMENX ap2 f
RENAMENX ap2 ap3
PEXPIRETIME ap3
RENAME ap3 f
GET f
PEXPIRETIME f
EXPIRE f 0
EXISTS f
SET g v
EXPIRE g -1
EXISTS g
SET g v
PEXPIREAT g 1
EXISTS g
SET g v
EXPIREAT g -100
EXISTS g
SET g v EX 100
INCR g
APPEND g w
TTL g
SETRANGE g 0 x
TTL g
GETSET g y
TTL g
SET cs v EX 500
COPY cs cd
TTL cd
GET cd
COPY cs cd
COPY cs cd REPLACE REPLACE
COPY cs cd DB 0 DB 1 REPLACE
COPY cs cd REPLACE
COPY none cd REPLACE
COPY none nd
COPY cs cs
COPY cs cs REPLACE
COPY cs cs DB 3
COPY cs cs DB 3
COPY cs cs DB 3 REPLACE
COPY cs x DB 16
COPY cs x DB -1
COPY cs x DB abc
COPY cs x DB
COPY cs x FOO
COPY cs
SELECT 3
GET cs
TTL cs
DBSIZE
FLUSHDB
DBSIZE
SELECT 0
EXISTS cs
SET obj 123
OBJECT ENCODING obj
SET obj 12345678901234567890123
OBJECT ENCODING obj
SET obj 01
OBJECT ENCODING obj
SET obj abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqr
OBJECT ENCODING obj
SET obj abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrs
OBJECT ENCODING obj
SET obj -0
OBJECT ENCODING obj
SET obj 9223372036854775807
OBJECT ENCODING obj
SET obj 9223372036854775808
OBJECT ENCODING obj
SET obj abc
OBJECT REFCOUNT obj
OBJECT REFCOUNT none
OBJECT IDLETIME obj
OBJECT IDLETIME none
OBJECT FREQ obj
OBJECT FREQ none
OBJECT ENCODING none
OBJECT ENCODING
OBJECT FOO obj
OBJECT
OBJECT HELP
KEYS *
KEYS a*
KEYS ?
KEYS [a-c]?
KEYS [^a]*
KEYS \\x61*
KEYS
KEYS nothing
SCAN 0 COUNT 1000
SCAN 0 COUNT 1000 MATCH a*
SCAN 0 COUNT 1000 TYPE string
SCAN 0 COUNT 1000 TYPE STRING
SCAN 0 COUNT 1000 TYPE list
SCAN 0 COUNT 1000 MATCH [ TYPE string
SCAN x
SCAN
SCAN 0 COUNT
SCAN 0 COUNT 0
SCAN 0 COUNT -1
SCAN 0 COUNT x
SCAN 0 COUNT 1000 COUNT 2000
SCAN 0 MATCH nothing MATCH * COUNT 1000
SCAN 0 TYPE list TYPE string COUNT 1000
SCAN 0 FOO 1
SCAN 0 MATCH
DBSIZE
DBSIZE x
FLUSHDB FOO
FLUSHALL FOO
FLUSHALL ASYNC SYNC
FLUSHDB ASYNC SYNC
SELECT 16
SELECT x
SELECT -1
SELECT 5
SET five 5
DBSIZE
FLUSHDB ASYNC
DBSIZE
SET five 5
FLUSHALL SYNC
DBSIZE
SELECT 0
DBSIZE
RANDOMKEY
RANDOMKEY x
SET only one
RANDOMKEY
FLUSHALL
`

func eachProtocol(t *testing.T, run func(t *testing.T, redis, nexo *commandstest.Client)) {
	redisAddr := commandstest.OpenRedis(t)
	for _, proto := range []int{2, 3} {
		t.Run(fmt.Sprintf("RESP%d", proto), func(t *testing.T) {
			redis := commandstest.Dial(t, redisAddr, proto)
			redis.Do("FLUSHALL")
			run(t, redis, commandstest.Dial(t, openKeyspaceDoor(t, store.Options{}), proto))
		})
	}
}

func TestKeyspaceRepliesAreThoseOfRedis(t *testing.T) {
	eachProtocol(t, func(t *testing.T, redis, nexo *commandstest.Client) {
		for _, line := range strings.Split(strings.TrimSpace(differentialTable), "\n") {
			commandstest.CompareReplies(t, redis, nexo, commandstest.Fields(t, line))
		}
	})
}

func TestRandomKeyspaceCommandsAgainstRedis(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	eachProtocol(t, func(t *testing.T, redis, nexo *commandstest.Client) {
		g := generator{rand.New(rand.NewPCG(seed, 1))}
		for range 4000 {
			commandstest.CompareReplies(t, redis, nexo, g.command())
			if t.Failed() {
				return
			}
		}
		commandstest.CompareReplies(t, redis, nexo, []string{"KEYS", "*"})
		commandstest.CompareReplies(t, redis, nexo, []string{"DBSIZE"})
	})
}

// generator makes commands over few keys, so that they meet.
type generator struct{ *rand.Rand }

func (g generator) pick(words ...string) string { return words[g.IntN(len(words))] }

func (g generator) key() string { return fmt.Sprintf("k%d", g.IntN(12)) }

func (g generator) value() string {
	switch g.IntN(6) {
	case 0:
		return strconv.Itoa(g.IntN(2000) - 1000)
	case 1:
		return strings.Repeat(g.pick("x", "y", "\x00"), g.IntN(3000))
	case 2:
		return strconv.FormatFloat(g.NormFloat64()*100, 'g', -1, 64)
	case 3:
		return g.pick("", "0", "-1", "9223372036854775807", "-9223372036854775808", "abc", " 1", "1.50", "NX", "GET")
	}
	return g.pick("a", "bb", "ccc", "hello world")
}

// seconds are never so few that a key could expire between the two servers.
func (g generator) seconds() string { return g.pick("100", "1000", "5000", "100000", "x", "0") }

func (g generator) option() string {
	return g.pick("NX", "XX", "GET", "KEEPTTL", "PERSIST", "nx", "get")
}

func (g generator) command() []string {
	k, v := g.key(), g.value()
	position := func() string { return strconv.Itoa(g.IntN(40) - 20) }
	commands := [][]string{
		{"SET", k, v}, {"SET", k, v, g.pick("NX", "XX")}, {"SET", k, v, g.pick("EX", "PX"), g.pick("100000", "200000", "0")},
		{"SET", k, v, g.option(), g.option(), g.option()}, {"GETEX", k, g.option(), g.option()},
		{"SET", k, v, g.pick("EX", "PX"), "100000", g.option(), g.pick("EX", "PX"), "200000"},
		{"SET", k, v, "KEEPTTL", g.pick("GET", "NX", "XX", "BAD")}, {"SET", k, v, "GET"},
		{"SET", k, v, "EXAT", "33177117420"}, {"SET", k, v, "PXAT", "33177117420123"},
		{"GET", k}, {"GET", k}, {"MGET", k, g.key(), g.key()}, {"STRLEN", k}, {"GETDEL", k}, {"GETSET", k, v}, {"SETNX", k, v},
		{"GETEX", k, g.pick("EX", "EXAT", "PERSIST"), g.seconds()}, {"GETEX", k, "PERSIST"}, {"SETEX", k, g.seconds(), v},
		{"MSET", k, v, g.key(), g.value()}, {"MSETNX", k, v, g.key(), g.value()},
		{"APPEND", k, v}, {"GETRANGE", k, position(), position()}, {"SETRANGE", k, position(), v},
		{"INCR", k}, {"DECR", k}, {"INCRBY", k, v}, {"DECRBY", k, v},
		{"DEL", k}, {"UNLINK", k, g.key(), g.key()}, {"EXISTS", k, g.key(), k}, {"TYPE", k}, {"TOUCH", k, g.key()},
		{"EXPIRE", k, g.seconds()}, {"EXPIRE", k, g.seconds(), g.pick("NX", "XX")},
		{"PEXPIREAT", k, g.pick("33177117420123", "33177117420124", "1", "-1"), g.pick("NX", "XX", "GT", "LT")},
		{"TTL", k}, {"PTTL", k}, {"PERSIST", k}, {"RENAME", k, g.key()}, {"RENAMENX", k, g.key()},
		{"COPY", k, g.key(), g.pick("REPLACE", "DB"), "1"}, {"COPY", k, g.key(), "REPLACE"}, {"COPY", k, g.key(), "DB", g.pick("0", "1")},
		{"OBJECT", "ENCODING", k}, {"DBSIZE"}, {"KEYS", g.pattern()}, {"SCAN", "0", "COUNT", "1000", "MATCH", g.pattern()},
		{"SELECT", g.pick("0", "0", "1")},
	}
	if g.IntN(400) == 0 {
		return []string{g.pick("FLUSHDB", "FLUSHALL")}
	}
	if _, err := strconv.ParseFloat(v, 64); err == nil && g.IntN(8) == 0 {
		return []string{"INCRBYFLOAT", k, v}
	}
	return commands[g.IntN(len(commands))]
}

// pattern makes globs out of what globs are made of, well formed or not.
func (g generator) pattern() string {
	var p strings.Builder
	for range g.IntN(8) {
		p.WriteString(g.pick("k", "1", "*", "?", "[", "]", "^", "-", `\`, "[0-9]", "[^1]", "[k-a]", "*", "0"))
	}
	return p.String()
}

// TestGlobsAreThoseOfRedis compares the glob alone, over keys made of the same stuff as the patterns.
func TestGlobsAreThoseOfRedis(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	redis := commandstest.Dial(t, commandstest.OpenRedis(t), 2)
	nexo := commandstest.Dial(t, openKeyspaceDoor(t, store.Options{}), 2)
	g := generator{rand.New(rand.NewPCG(seed, 2))}
	for range 200 {
		commandstest.CompareReplies(t, redis, nexo, []string{"SET", g.pattern(), "v"})
	}
	for range 2000 {
		commandstest.CompareReplies(t, redis, nexo, []string{"KEYS", g.pattern()})
		if t.Failed() {
			return
		}
	}
}
