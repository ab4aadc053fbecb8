package commands_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/brokertest"
	"github.com/nexobroker/nexo/brokers/store"
	"github.com/nexobroker/nexo/commands"
	"github.com/nexobroker/nexo/commands/commandstest"
	"github.com/nexobroker/nexo/resp"
)

// infoField is one field of INFO; "" when it is not told.
func infoField(c *commandstest.Client, section, name string) string {
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + `:(.*)\r$`).FindStringSubmatch(c.Do("INFO", section))
	if found == nil {
		return ""
	}
	return found[1]
}

// TestCallsAndErrorsAreCountedAsInRedis sends the same commands to a redis-server, and compares the counts of calls, of refusals
// and of errors by their code words.
func TestCallsAndErrorsAreCountedAsInRedis(t *testing.T) {
	addr, _ := commandstest.Open(t, commandstest.Process{}, nil)
	redis, nexo := commandstest.Dial(t, commandstest.OpenRedis(t), 2), commandstest.Dial(t, addr, 2)
	counts := regexp.MustCompile(`(?m)^cmdstat_([^:]+):calls=(\d+),usec=\d+,usec_per_call=[\d.]+,(rejected_calls=\d+,failed_calls=\d+)`)
	for _, c := range []*commandstest.Client{redis, nexo} {
		c.Do("CONFIG", "RESETSTAT")
		for _, line := range []string{"SET k v", "GET k", "GET k", "GET", "INCR k", "INCR k", "SET k v EX nonsense", "FOO", "FOO bar",
			"CONFIG GET", "CONFIG SET hz x",
			"CONFIG GET save", "OBJECT ENCODING k", "HELLO 9", "AUTH default x y", "EXPIRE k x", "MGET k none", "DEL k", "CLIENT NOSUCH"} {
			c.Do(strings.Fields(line)...)
		}
	}
	table := func(c *commandstest.Client) (lines []string) {
		for _, found := range counts.FindAllStringSubmatch(c.Do("INFO", "commandstats"), -1) {
			if found[1] != "info" && found[1] != "config|resetstat" {
				lines = append(lines, strings.Join(found[1:], " "))
			}
		}
		return lines
	}
	want, got := table(redis), table(nexo)
	seen := map[string]bool{}
	for _, line := range got {
		seen[line] = true
	}
	for _, line := range want {
		if !seen[line] {
			t.Errorf("redis counts %s; nexo: %q", line, got)
		}
	}
	if len(got) != len(want) {
		t.Errorf("redis tells of %d commands, nexo of %d: %q", len(want), len(got), got)
	}
	if want, got := redis.Do("INFO", "errorstats"), nexo.Do("INFO", "errorstats"); got != want {
		t.Errorf("errorstats\n redis %q\n nexo  %q", want, got)
	}
	if want, got := infoField(redis, "stats", "total_error_replies"), infoField(nexo, "stats", "total_error_replies"); got != want {
		t.Errorf("total_error_replies: redis %s, nexo %s", want, got)
	}
	nexo.Do("CONFIG", "RESETSTAT")
	if got := infoField(nexo, "stats", "total_error_replies"); got != "0" {
		t.Errorf("%s errors after RESETSTAT", got)
	}
}

// TestErrorsOfAllKindsAreCounted: refused by the dispatcher, by a handler, in a pipeline, after a wait, for what the door cannot read.
func TestErrorsOfAllKindsAreCounted(t *testing.T) {
	addr, server := commandstest.Open(t, commandstest.Process{}, nil)
	c := commandstest.Dial(t, addr, 2)
	want := uint64(0)
	step := func(what string, errors uint64) {
		t.Helper()
		want += errors
		commandstest.Until(t, what, func() bool { return server.Activity().Errors == want })
	}
	c.Do("SET", "k", "v")
	step("no error", 0)
	c.Do("NOSUCH")
	step("an unknown command", 1)
	c.Do("INCR", "k")
	step("a handler's error", 1)
	fmt.Fprintf(c.Conn, "PING\r\nINCR k\r\nECHO -ERR\r\nINCR k\r\nPING\r\n")
	for range 5 {
		if _, err := commandstest.ReadReply(c.In); err != nil {
			t.Fatal(err)
		}
	}
	step("two of a pipeline, and none for a text that looks like one", 2)
	c.Do("QCREATE", "q")
	c.Do("QPOP", "q", "BLOCK", "1")
	step("none after a wait", 0)
	fmt.Fprintf(c.Conn, "CLIENT REPLY SKIP\r\nINCR k\r\n")
	c.Do("PING")
	step("one that is not sent", 1)
	fmt.Fprintf(c.Conn, "*1\r\n!\r\n")
	if _, err := commandstest.ReadReply(c.In); err != nil {
		t.Fatal(err)
	}
	step("one of the door", 1)
}

// TestRepliesWhoseJournalFailsAreCounted: the door puts the error in the place of what the handler answered.
func TestRepliesWhoseJournalFailsAreCounted(t *testing.T) {
	journal := brokertest.NewJournal()
	broker, err := store.Open(store.Options{Journal: journal, Durability: brokers.Always})
	if err != nil {
		t.Fatal(err)
	}
	server := commandstest.NewServer(commandstest.Brokers{Store: broker}, commandstest.Process{})
	addr := commandstest.ServeDoor(t, resp.Options{}, server, broker.Close).Addr().String()
	c, other := commandstest.Dial(t, addr, 2), commandstest.Dial(t, addr, 2)
	journal.SetAuto(false)
	fmt.Fprint(c.Conn, "SET a 1\r\nGET a\r\nSET b 2\r\n")
	commandstest.Until(t, "both are in the journal", func() bool { return len(journal.Records()) == 2 })
	journal.Fail(brokers.Errorf("IOERR", "the disk is gone"))
	for _, want := range []string{"-IOERR the disk is gone\r\n", "$1\r\n1\r\n", "-IOERR the disk is gone\r\n"} {
		if got, err := commandstest.ReadReply(c.In); got != want || err != nil {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	if got := other.Do("INFO", "errorstats"); !strings.Contains(got, "errorstat_IOERR:count=2\r\n") {
		t.Errorf("%q", got)
	}
}

// TestTimesAreThoseOfTheCommands: a call that takes long shows, a wait does not.
func TestTimesAreThoseOfTheCommands(t *testing.T) {
	addr, server := commandstest.Open(t, commandstest.Process{EnableDebug: true}, nil)
	c := commandstest.Dial(t, addr, 2)
	c.Do("DEBUG", "SLEEP", "0.05")
	c.Do("QCREATE", "q")
	c.Do("QPOP", "q", "BLOCK", "50")
	for range 3 {
		c.Do("GET", "k")
	}
	perCall := func(name, sub string) float64 {
		spec := server.Table()[name]
		if sub != "" {
			spec = spec.Subcommand(sub)
		}
		micros, each := spec.Times()
		if micros == 0 && each == 0 {
			t.Errorf("%s took no time", name)
		}
		return each
	}
	c.Do("PING")
	if took := perCall("debug", "sleep"); took < 50_000 {
		t.Errorf("DEBUG SLEEP took %v us", took)
	}
	if took := perCall("qpop", ""); took > 40_000 {
		t.Errorf("the wait of QPOP counts: %v us", took)
	}
	if took := perCall("get", ""); took > 10_000 {
		t.Errorf("GET took %v us", took)
	}
}

func TestSlowLogOfEverything(t *testing.T) {
	addr, _ := commandstest.Open(t, commandstest.Process{}, nil)
	c := commandstest.Dial(t, addr, 2)
	c.Do("CONFIG", "SET", "slowlog-log-slower-than", "0")
	c.Do("SLOWLOG", "RESET")
	for _, line := range []string{"GET secretless", "SET k v", "INCR n", "PING", "QPUSH q x", "QPOP q", "AUTH default word1", "AUTH word2",
		"HELLO 2 AUTH default word3 SETNAME me",
		"CONFIG SET requirepass word4 timeout 0", "CONFIG SET requirepass  timeout 0", "CONFIG GET timeout", "QPOP q BLOCK 1"} {
		c.Do(strings.Split(line, " ")...)
	}
	log := c.Do("SLOWLOG", "GET", "-1")
	for _, word := range []string{"secretless", "SET", "INCR", "PING", "QPUSH", "QPOP", "AUTH", "HELLO", "CONFIG", "timeout", "BLOCK",
		"SETNAME", "RESET"} {
		if !strings.Contains(log, word) {
			t.Errorf("%s is not in the log: %q", word, log)
		}
	}
	for _, word := range []string{"word1", "word2", "word3", "word4"} {
		if strings.Contains(log, word) {
			t.Errorf("the log tells a password: %q", log)
		}
	}
	c.Do("CONFIG", "SET", "slowlog-log-slower-than", "-1")
	c.Do("SLOWLOG", "RESET")
	c.Do("KEYS", "*")
	if got := c.Do("SLOWLOG", "LEN"); got != ":0\r\n" {
		t.Errorf("off: %q", got)
	}
}

func TestInfoTellsWhatToolsRead(t *testing.T) {
	addr, server := commandstest.Open(t, commandstest.Process{}, nil)
	c := commandstest.Dial(t, addr, 2)
	c.Do("SET", "k", strings.Repeat("x", 100_000))
	before := infoField(c, "memory", "used_memory")
	if n, _ := strconv.ParseInt(before, 10, 64); n < 100_000 || n > 200_000 {
		t.Errorf("used_memory %s, which is what maxmemory bounds", before)
	}
	c.Do("DEL", "k")
	if used, peak := infoField(c, "memory", "used_memory"), infoField(c, "memory", "used_memory_peak"); used != "0" || peak != before {
		t.Errorf("used %s, peak %s of %s", used, peak, before)
	}
	if got := infoField(c, "server", "run_id"); !regexp.MustCompile(`^[0-9a-f]{40}$`).MatchString(got) {
		t.Errorf("run_id %q", got)
	}
	if got := infoField(c, "cpu", "used_cpu_user"); !regexp.MustCompile(`^\d+\.\d{6}$`).MatchString(got) || got == "0.000000" {
		t.Errorf("used_cpu_user %q", got)
	}
	subscriber := commandstest.Dial(t, addr, 2)
	subscriber.Do("SUBSCRIBE", "c")
	subscriber.Do("PSUBSCRIBE", "p*")
	for name, want := range map[string]string{"pubsub_channels": "1", "pubsub_patterns": "1", "pubsubshard_channels": "0"} {
		if got := infoField(c, "stats", name); got != want {
			t.Errorf("%s %q", name, got)
		}
	}
	if got := infoField(c, "clients", "pubsub_clients"); got != "1" {
		t.Errorf("pubsub_clients %q", got)
	}
	usual, all := c.Do("INFO"), c.Do("INFO", "everything")
	for part, onDemand := range map[string]bool{"CPU": false, "Errorstats": false, "Modules": false, "Commandstats": true} {
		if strings.Contains(usual, "# "+part) == onDemand || !strings.Contains(all, "# "+part) {
			t.Errorf("%s: in INFO %v, in INFO everything %v", part, strings.Contains(usual, "# "+part), strings.Contains(all, "# "+part))
		}
	}
	if !server.PaceIsMeasured() {
		t.Error("the pace is not measured though somebody asked")
	}
}

func TestPaceOfTheLastSecond(t *testing.T) {
	clock := brokertest.NewClock(time.Unix(1_700_000_000, 0))
	s := commandstest.NewServer(commandstest.Brokers{Clock: clock}, commandstest.Process{})
	clock.Advance(10 * time.Second)
	s.AddCommands(50)
	if got := s.CommandsPerSecond(); got != 5 {
		t.Errorf("%d a second on the average", got)
	}
	s.AddCommands(300)
	clock.Advance(time.Second)
	if got := s.CommandsPerSecond(); got != 300 {
		t.Errorf("%d in the last second", got)
	}
	clock.Advance(2 * commands.PaceKept)
	if s.PaceIsMeasured() {
		t.Error("it is measured though nobody asks")
	}
}

func TestHumanBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0B", 1023: "1023B", 1024: "1.00K", 1064536: "1.02M", 12460032: "11.88M", 25276502016: "23.54G"} {
		if got := commands.HumanBytes(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}

// TestClientListHasTheFieldsOfRedis compares the names and their order; the library's fields are those of Redis 7.2.
func TestClientListHasTheFieldsOfRedis(t *testing.T) {
	addr, _ := commandstest.Open(t, commandstest.Process{}, nil)
	names := func(line string) (names []string) {
		for _, field := range strings.Fields(line)[1:] {
			name, _, _ := strings.Cut(field, "=")
			names = append(names, name)
		}
		return names
	}
	redis, nexo := commandstest.Dial(t, commandstest.OpenRedis(t), 2), commandstest.Dial(t, addr, 2)
	want := strings.Join(append(names(redis.Do("CLIENT", "INFO")), "lib-name", "lib-ver"), " ")
	got := nexo.Do("CLIENT", "INFO")
	if names := strings.Join(names(got), " "); names != want {
		t.Errorf("fields\n redis %s\n nexo  %s", want, names)
	}
	if !strings.Contains(got, " cmd=client|info ") || !strings.Contains(got, " multi=-1 ") || !strings.Contains(got, " flags=N ") {
		t.Errorf("CLIENT INFO: %q", got)
	}
	other := commandstest.Dial(t, addr, 2)
	other.Do("CONFIG", "GET", "save")
	other.Do("CLIENT", "NO-EVICT", "ON")
	other.Do("CLIENT", "NO-TOUCH", "ON")
	other.Do("PSUBSCRIBE", "a*")
	if list := nexo.Do("CLIENT", "LIST"); !regexp.MustCompile(`flags=PeT .* psub=1 .* cmd=psubscribe `).MatchString(list) ||
		!strings.Contains(list, "cmd=client|list ") {
		t.Errorf("CLIENT LIST: %q", list)
	}
	fresh := commandstest.Dial(t, addr, 2)
	id := strings.Trim(fresh.Do("CLIENT", "ID"), ":\r\n")
	if got := nexo.Do("CLIENT", "LIST", "ID", id); !strings.Contains(got, " cmd=client|id ") {
		t.Errorf("CLIENT LIST ID: %q", got)
	}
}

// TestPauseHoldsWhatRedisHolds: of everything all but what ends it, of writes what changes data or is noticed by others.
func TestPauseHoldsWhatRedisHolds(t *testing.T) {
	addr, server := commandstest.Open(t, commandstest.Process{}, nil)
	for _, spec := range server.Sorted() {
		for _, known := range []struct {
			name string
			want bool
		}{{"set", true}, {"publish", true}, {"spublish", true}, {"npub", true}, {"nmpub", true}, {"qpush", true}, {"xappend", true},
			{"get", false}, {"subscribe", false},
			{"psubscribe", false}, {"nsub", false}, {"ping", false}, {"info", false}, {"pubsub", false}} {
			if spec.Name == known.name && (spec.Flags&(commands.Write|commands.MayReplicate) != 0) != known.want {
				t.Errorf("a pause of writes holds %s back: %v", spec.Name, !known.want)
			}
		}
	}
	admin, client := commandstest.Dial(t, addr, 2), commandstest.Dial(t, addr, 2)
	id := strings.Trim(client.Do("CLIENT", "ID"), ":\r\n")
	blocked := regexp.MustCompile(`(?m)^id=` + id + ` .*flags=b`)
	for _, step := range []struct {
		mode, line, want string
		waits            bool
	}{
		{"WRITE", "PING", "+PONG\r\n", false}, {"WRITE", "GET k", "$-1\r\n", false}, {"WRITE", "PUBSUB NUMPAT", ":0\r\n", false},
		{"WRITE", "PUBLISH c x", ":0\r\n", true}, {"WRITE", "NMPUB 1 a b", "*1\r\n:0\r\n", true}, {"WRITE", "QPUSH q x", "$1\r\n1\r\n", true},
		{"ALL", "PING", "+PONG\r\n", true}, {"ALL", "GET k", "$-1\r\n", true}, {"ALL", "CLIENT ID", ":" + id + "\r\n", true},
	} {
		if got := admin.Do("CLIENT", "PAUSE", "60000", step.mode); got != "+OK\r\n" {
			t.Fatal(got)
		}
		replies := make(chan string, 1)
		go func() { replies <- client.Do(strings.Fields(step.line)...) }()
		if step.waits {
			if step.mode == "WRITE" {
				commandstest.Until(t, step.line+" waits", func() bool { return blocked.MatchString(admin.Do("CLIENT", "LIST")) })
			} else {
				commandstest.Until(t, step.line+" waits", func() bool { return server.Door().Counters().Blocked == 1 })
			}
			select {
			case got := <-replies:
				t.Errorf("PAUSE %s: %s answers %q", step.mode, step.line, got)
			default:
			}
			admin.Do("CLIENT", "UNPAUSE")
		}
		if got := <-replies; got != step.want {
			t.Errorf("PAUSE %s: %s: %q", step.mode, step.line, got)
		}
		admin.Do("CLIENT", "UNPAUSE")
	}
	// The longer and the wider of two pauses holds.
	admin.Do("CLIENT", "PAUSE", "60000", "WRITE")
	admin.Do("CLIENT", "PAUSE", "1", "WRITE")
	if left, writes := server.PauseLeft(); left < 30*time.Second || !writes {
		t.Errorf("a shorter pause cuts one short: %v left", left)
	}
	admin.Do("CLIENT", "PAUSE", "1", "ALL")
	if left, writes := server.PauseLeft(); left < 30*time.Second || writes {
		t.Errorf("after a pause of all: %v left, of writes only %v", left, writes)
	}
	admin.Do("CLIENT", "UNPAUSE")
}

// TestOverMaxmemoryIsRefusedBeforeAnything: what adds data to the store is refused whatever its arguments, as in Redis, and the
// rest is not.
func TestOverMaxmemoryIsRefusedBeforeAnything(t *testing.T) {
	addr, server := commandstest.Open(t, commandstest.Process{}, nil)
	redis, nexo := commandstest.Dial(t, commandstest.OpenRedis(t), 2), commandstest.Dial(t, addr, 2)
	for _, c := range []*commandstest.Client{redis, nexo} {
		c.Do("SET", "k", "v")
		c.Do("CONFIG", "SET", "maxmemory", "1")
	}
	for _, line := range []string{"SET k v", "SET k v NONSENSE", "INCR k", "SET", "APPEND k x", "MSET a", "GET k", "GETEX k", "EXPIRE k 100",
		"SETRANGE k x x", "COPY k k2", "GETSET k x",
		"PUBLISH c x", "SETNX k v", "RENAME none k", "DEL k"} {
		commandstest.CompareReplies(t, redis, nexo, strings.Fields(line))
	}
	if got := nexo.Do("QPUSH", "q", "x"); got != "$1\r\n1\r\n" {
		t.Errorf("maxmemory, which is the store's, refuses a job: %q", got)
	}
	if c := server.Store.Counters(); c.Refused == 0 {
		t.Error("refusals are not counted")
	}
}

// TestTotalMemoryOfAClient: what is kept for a connection shows in CLIENT LIST.
func TestTotalMemoryOfAClient(t *testing.T) {
	addr, _ := commandstest.Open(t, commandstest.Process{}, nil)
	c := commandstest.Dial(t, addr, 2)
	total := func() (n int) {
		found := regexp.MustCompile(` tot-mem=(\d+) `).FindStringSubmatch(c.Do("CLIENT", "INFO"))
		if found == nil {
			t.Fatal("there is no tot-mem")
		}
		n, _ = strconv.Atoi(found[1])
		return n
	}
	before := total()
	c.Do("NWILL", "last", strings.Repeat("w", 500_000))
	if after := total(); after-before < 500_000 || after-before > 600_000 {
		t.Errorf("tot-mem %d, with a will of 500,000 bytes %d", before, after)
	}
	c.Do("NWILL", "CLEAR")
	if after := total(); after > before+1000 {
		t.Errorf("tot-mem %d, %d once the will is cleared", before, after)
	}
}
