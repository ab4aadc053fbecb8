package commands_test

import (
	"bufio"
	"fmt"
	"math/bits"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/nexobroker/nexo/commands"
	"github.com/nexobroker/nexo/commands/commandstest"
)

// elements splits a reply that holds others.
func elements(t *testing.T, reply string) (all []string) {
	t.Helper()
	in := bufio.NewReader(strings.NewReader(reply))
	if _, err := in.ReadString('\n'); err != nil {
		t.Fatalf("%q: %v", reply, err)
	}
	for {
		if _, err := in.Peek(1); err != nil {
			return all
		}
		one, err := commandstest.ReadReply(in)
		if err != nil {
			t.Fatalf("%q: %v", reply, err)
		}
		all = append(all, one)
	}
}

// sortedElements is a reply that holds others in no order, with them in order.
func sortedElements(t *testing.T, reply string) string {
	t.Helper()
	head, _, _ := strings.Cut(reply, "\r\n")
	all := elements(t, reply)
	sort.Strings(all)
	return head + "\r\n" + strings.Join(all, "")
}

// TestCommandInfoIsThatOfRedis compares every command that both servers have: arity, flags, places of the keys, categories, tips and
// key specifications.
func TestCommandInfoIsThatOfRedis(t *testing.T) {
	otherArity := []string{"command|getkeys", "command|getkeysandflags"} // PING is a command, too, as in Redis 7.2
	redisAddr := commandstest.OpenRedis(t)
	for _, proto := range []int{2, 3} {
		addr, server := commandstest.Open(t, commandstest.Process{}, nil)
		redis, nexo := commandstest.Dial(t, redisAddr, proto), commandstest.Dial(t, addr, proto)
		compared := 0
		var compare func(spec *commands.Spec)
		compare = func(spec *commands.Spec) {
			for i := range spec.Subcommands {
				compare(&spec.Subcommands[i])
			}
			want, got := elements(t, redis.Do("COMMAND", "INFO", spec.FullName())), elements(t, nexo.Do("COMMAND", "INFO", spec.FullName()))
			if want[0][0] != '*' {
				return // Redis has no such command
			}
			compared++
			w, g := elements(t, want[0]), elements(t, got[0])
			for i, what := range []string{"name", "arity", "flags", "first key", "last key", "step", "categories", "tips", "key specifications"} {
				switch {
				case i == 1 && slices.Contains(otherArity, spec.FullName()):
					continue
				case i == 2 || i == 6 || i == 7:
					w[i], g[i] = sortedElements(t, w[i]), sortedElements(t, g[i])
				}
				if w[i] != g[i] {
					t.Errorf("RESP%d %s: %s\n redis %q\n nexo  %q", proto, spec.FullName(), what, w[i], g[i])
				}
			}
		}
		for _, spec := range server.Sorted() {
			compare(spec)
		}
		if compared < 130 {
			t.Errorf("only %d commands were compared", compared)
		}
	}
}

// TestKeysAreThoseOfRedis asks both servers for the keys in commands.
func TestKeysAreThoseOfRedis(t *testing.T) {
	redisAddr := commandstest.OpenRedis(t)
	for _, proto := range []int{2, 3} {
		addr, _ := commandstest.Open(t, commandstest.Process{}, nil)
		redis, nexo := commandstest.Dial(t, redisAddr, proto), commandstest.Dial(t, addr, proto)
		for _, line := range []string{"SET k v", "SET k v GET", "SET k v EX 10", "SET k", "GET k", "OBJECT ENCODING x", "OBJECT FOO x",
			"MEMORY USAGE k", "memory usage k SAMPLES 5",
			"CONFIG GET x", "MSET a 1 b", "MSET a 1 b 2", "RENAME a b", "DEL a b", "COPY a b DB 3", "SPUBLISH a b", "SUBSCRIBE a", "nothing x",
			"EXPIRE k 10", "GETEX k PERSIST",
			"CLIENT LIST", "PUBLISH a b", "SCAN 0", "OBJECT HELP"} {
			for _, command := range []string{"GETKEYS", "GETKEYSANDFLAGS"} {
				commandstest.CompareReplies(t, redis, nexo, append([]string{"COMMAND", command}, strings.Fields(line)...))
			}
		}
	}
	addr, _ := commandstest.Open(t, commandstest.Process{}, nil)
	c := commandstest.Dial(t, addr, 2)
	for line, want := range map[string]string{
		"NMSET 2 a 1 b 2 NX": "*2\r\n$1\r\na\r\n$1\r\nb\r\n", "NMSET 3 a 1 b 2": "-ERR Invalid arguments specified for command\r\n",
		"NMSET x a 1":     "-ERR Invalid arguments specified for command\r\n",
		"NDEL a b IFEQ v": "*4\r\n$1\r\na\r\n$1\r\nb\r\n$4\r\nIFEQ\r\n$1\r\nv\r\n", "NDEL a ifeq v": "*1\r\n$1\r\na\r\n",
		"QDLQ REPLAY q 1 2": "*1\r\n$1\r\nq\r\n", "QDLQ REPLAY q ALL TO r": "*2\r\n$1\r\nq\r\n$1\r\nr\r\n",
		"QDLQ REPLAY q ALL TO": "-ERR Invalid arguments specified for command\r\n",
		"QMPOP":                "-ERR Invalid number of arguments specified for command\r\n",
		"QMPOP 2 a b COUNT 3":  "*2\r\n$1\r\na\r\n$1\r\nb\r\n", "NSET k v": "*1\r\n$1\r\nk\r\n", "QPUSH q x": "*1\r\n$1\r\nq\r\n",
	} {
		if got := c.Do(append([]string{"COMMAND", "GETKEYS"}, strings.Fields(line)...)...); got != want {
			t.Errorf("%s: %q", line, got)
		}
	}
}

// TestCommandListFilters compares what the filters keep of the commands that both servers have.
func TestCommandListFilters(t *testing.T) {
	addr, server := commandstest.Open(t, commandstest.Process{}, nil)
	redis, nexo := commandstest.Dial(t, commandstest.OpenRedis(t), 2), commandstest.Dial(t, addr, 2)
	all := func(c *commandstest.Client, words ...string) map[string]bool {
		names := map[string]bool{}
		for _, one := range elements(t, c.Do(append([]string{"COMMAND", "LIST"}, words...)...)) {
			names[strings.Split(one, "\r\n")[1]] = true
		}
		return names
	}
	of, here := all(redis), all(nexo)
	if !here["client|list"] || !here["object|encoding"] || !here["qpush"] {
		t.Error("subcommands are not listed")
	}
	for _, filter := range []string{"ACLCAT string", "ACLCAT KEYSPACE", "aclcat dangerous", "ACLCAT connection", "ACLCAT admin",
		"ACLCAT read", "ACLCAT write", "ACLCAT fast", "ACLCAT slow",
		"ACLCAT pubsub", "ACLCAT nothing", "PATTERN get*", "PATTERN OBJECT*", "PATTERN *|list", "MODULE x"} {
		words := append([]string{"FILTERBY"}, strings.Fields(filter)...)
		want, got := all(redis, words...), all(nexo, words...)
		for name := range here {
			if of[name] && want[name] != got[name] {
				t.Errorf("%s: %s is listed %v, by redis %v", filter, name, got[name], want[name])
			}
		}
	}
	if got := all(nexo, "FILTERBY", "ACLCAT", "queue"); !got["qpush"] || got["get"] {
		t.Errorf("the category queue: %v", got)
	}
	if got, want := nexo.Do("COMMAND", "INFO", "CLIENT|list", "client|nothing", "get|x"),
		"*3\r\n*10\r\n$11\r\nclient|list\r\n"; !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "$-1\r\n$-1\r\n") {
		t.Errorf("COMMAND INFO: %q", got)
	}
	if got := nexo.Do("COMMAND", "COUNT"); got != fmt.Sprintf(":%d\r\n", len(server.Table())) {
		t.Errorf("COMMAND COUNT: %q", got)
	}
}

// TestKeysOfEveryCommand: what takes a key says where, and what it does with it is said by one word of the four.
func TestKeysOfEveryCommand(t *testing.T) {
	s := commandstest.NewServer(commandstest.Brokers{}, commandstest.Process{})
	var takesKey func(arguments []commands.Argument) bool
	takesKey = func(arguments []commands.Argument) bool {
		return slices.ContainsFunc(arguments, func(a commands.Argument) bool { return a.Type == "key" || takesKey(a.Arguments) })
	}
	var check func(spec *commands.Spec)
	check = func(spec *commands.Spec) {
		if told := slices.ContainsFunc(spec.Keys,
			func(k commands.KeySpec) bool { return k.Access&commands.NotKey == 0 }); told != takesKey(spec.Arguments) {
			t.Errorf("%s: key specifications %v, arguments that are keys %v", spec.FullName(), told, !told)
		}
		for _, k := range spec.Keys {
			if ways := bits.OnesCount16(uint16(k.Access & (commands.RO | commands.RW | commands.OW | commands.RM | commands.NotKey))); ways != 1 {
				t.Errorf("%s: a key is used in %d ways", spec.FullName(), ways)
			}
			if k.Access&commands.RO == 0 && k.Access&commands.NotKey == 0 && spec.Flags&commands.Write == 0 {
				t.Errorf("%s changes a key and does not write", spec.FullName())
			}
		}
		for i := range spec.Subcommands {
			check(&spec.Subcommands[i])
		}
	}
	for _, spec := range s.Sorted() {
		check(spec)
	}
}
