package ui

import (
	"net/http"
	"strconv"
	"strings"
)

// words turns the body of a POST into a command. Names and values are single arguments, so nothing in them can add a word.
type words func(b *body) []string

// changeRoutes is every route that changes something. Most are one command of the command table.
func (s *Server) changeRoutes() map[string]change {
	nothing := func(Reply) any { return struct{}{} }
	count := func(r Reply) any { return map[string]int64{"count": r.Int()} }
	routes := map[string]change{}
	command := func(name string, build words, result func(Reply) any) {
		routes[name] = change{run: func(b *body) (any, error) {
			reply, err := s.command(b, 0, build(b))
			if err != nil {
				return nil, err
			}
			return result(reply), nil
		}}
	}
	named := func(command string) words { return func(b *body) []string { return []string{command, b.need("name")} } }

	command("queue/create", func(b *body) []string { return b.create("QCREATE") }, nothing)
	command("queue/drop", named("QDROP"), count)
	command("queue/config", func(b *body) []string { return b.configure("QCONFIG", "SET", b.need("name")) }, nothing)
	command("queue/pause", func(b *body) []string {
		return []string{"QPAUSE", b.need("name"), strings.ToUpper(b.oneOf("side", "in", "out", "all"))}
	}, nothing)
	command("queue/resume", named("QRESUME"), nothing)
	command("queue/purge", func(b *body) []string {
		line := []string{"QPURGE", b.need("name")}
		for _, state := range b.words("states") {
			line = append(line, strings.ToUpper(state))
		}
		return line
	}, count)
	command("queue/push", pushWords, func(r Reply) any {
		if list := r.List(); len(list) == 2 { // with DEDUP
			return map[string]any{"id": list[0].Text(), "duplicate": list[1].Int() == 0}
		}
		return map[string]any{"id": r.Text()}
	})
	command("jobs/act", func(b *body) []string {
		line := actionWords(b.oneOf("action", "replay", "delete"), b.need("queue"))
		return append(line, b.numerals("ids")...)
	}, count)

	command("stream/create", func(b *body) []string { return b.create("XCREATE") }, nothing)
	command("stream/drop", named("XDROP"), count)
	command("stream/config", func(b *body) []string { return b.configure("XCONF", b.need("name"), "SET") }, nothing)
	command("stream/append", func(b *body) []string {
		return []string{"XAPPEND", b.need("name"), b.payload("payload", "b64")}
	}, func(r Reply) any { return map[string]string{"offset": r.Text()} })
	command("stream/verify", named("XVERIFY"), func(r Reply) any {
		ok, firstBad, head := r.Field("ok").Int() == 1, "", r.Field("head").Text()
		if s.options.HidePayloads {
			head = "" // a payload that has few possible values could be found by its hash
		}
		if !ok {
			firstBad = r.Field("first-bad").Text()
		}
		return map[string]any{"ok": ok, "from": r.Field("from").Text(), "to": r.Field("to").Text(), "head": head, "firstBad": firstBad}
	})
	command("group/create", func(b *body) []string {
		return []string{"XGCREATE", b.need("stream"), b.need("name"), "START", b.optional("start", "first")}
	}, nothing)
	command("group/drop", func(b *body) []string { return []string{"XGDROP", b.need("stream"), b.need("name")} }, count)
	command("group/seek", func(b *body) []string { return []string{"XSEEK", b.need("stream"), b.need("name"), b.need("to")} }, func(r Reply) any {
		list := append(r.List(), Reply{}, Reply{})
		return map[string]string{"epoch": list[0].Text(), "next": list[1].Text()}
	})
	command("group/unpark", unparkWords, count)

	command("publish", publishWords, func(r Reply) any { return map[string]int64{"receivers": r.Int()} })
	command("retained/delete", func(b *body) []string { return []string{"NRDEL", b.need("filter")} }, count)
	command("client/kill", func(b *body) []string { return []string{"CLIENT", "KILL", "ID", b.need("id")} }, count)
	command("slowlog/reset", func(*body) []string { return []string{"SLOWLOG", "RESET"} }, nothing)
	command("config", func(b *body) []string { return []string{"CONFIG", "SET", b.need("name"), b.optional("value", "")} }, nothing)

	routes["key/set"] = change{run: s.setKey}
	routes["key/expire"] = change{run: s.expireKey}
	routes["key/delete"] = change{run: func(b *body) (any, error) {
		reply, err := s.command(b, b.database(), append([]string{"DEL"}, b.words("keys")...))
		return count(reply), err
	}}
	routes["key/delete-prefix"] = change{run: s.deletePrefix, reads: isDryRun}
	routes["bulk"] = change{run: s.bulk, reads: isDryRun}
	routes["task/cancel"] = change{run: s.cancelTask}
	// Verifying a stream reads it; it is a POST because it takes long.
	routes["stream/verify"] = change{run: routes["stream/verify"].run, reads: func(*body) bool { return true }}
	routes["console"] = change{run: s.console, reads: s.consoleReads}
	for limit, names := range map[int64][]string{
		bodyMax:     {"queue/push", "stream/append", "publish", "key/set", "console"},
		listBodyMax: {"jobs/act", "group/unpark", "key/delete"},
	} {
		for _, name := range names {
			route := routes[name]
			route.limit = limit
			routes[name] = route
		}
	}
	return routes
}

func isDryRun(b *body) bool { return b.flag("dryRun") }

// command runs a line, if its body was right, and turns an error reply into a problem.
func (s *Server) command(b *body, db int, line []string) (Reply, error) {
	if b.err != nil {
		return Reply{}, b.err
	}
	reply, err := s.source.Run(b.ctx, db, line...)
	if err == nil && reply.Kind == Failure {
		err = replyProblem(reply.Text())
	}
	return reply, err
}

func (b *body) create(command string) []string {
	line := []string{command, b.need("name")}
	var options []string
	b.into("options", &options)
	return append(line, options...)
}

// configure adds the names and values of the field set, in a fixed order.
func (b *body) configure(line ...string) []string {
	values := map[string]string{}
	if !b.into("set", &values) || len(values) == 0 {
		b.fail("set is missing or empty")
	}
	for _, name := range sortedKeys(values) {
		line = append(line, name, values[name])
	}
	return line
}

func pushWords(b *body) []string {
	line := []string{"QPUSH", b.need("name"), b.payload("payload", "b64")}
	if priority := b.number("priority", 0); priority != 0 {
		line = append(line, "PRIORITY", strconv.FormatInt(priority, 10))
	}
	if delay := b.number("delay", 0); delay != 0 {
		line = append(line, "DELAY", strconv.FormatInt(delay, 10))
	}
	if dedup := b.optional("dedup", ""); dedup != "" {
		line = append(line, "DEDUP", dedup)
	}
	return line
}

func actionWords(action, queue string) []string {
	if action == "replay" {
		return []string{"QDLQ", "REPLAY", queue}
	}
	return []string{"QDEL", queue}
}

func unparkWords(b *body) []string {
	line := []string{"XUNPARK", b.need("stream"), b.need("name")}
	if raw, given := b.fields["offsets"]; given && string(raw) != "null" {
		line = append(line, b.numerals("offsets")...)
	} else {
		line = append(line, "ALL")
	}
	if b.flag("drop") {
		line = append(line, "DROP")
	}
	return line
}

func publishWords(b *body) []string {
	line := []string{"NPUB", b.need("topic"), b.payload("payload", "b64")}
	if b.flag("retain") {
		line = append(line, "RETAIN")
		if ttl := b.number("ttl", 0); ttl > 0 {
			line = append(line, "PX", strconv.FormatInt(ttl, 10))
		}
	}
	return line
}

func (b *body) database() int {
	db := b.number("db", 0)
	if db < 0 || db > 15 {
		b.fail("db must be a number from 0 to 15")
	}
	return int(db)
}

// setKey writes a value only over the one that the user has seen: what others wrote meanwhile is not lost.
func (s *Server) setKey(b *body) (any, error) {
	db, key := b.database(), b.given("key")
	value, given := b.bytes("b64")
	if !given {
		b.fail("b64 is missing")
	}
	line := []string{"NSET", key, value}
	if before, found := b.bytes("ifEquals"); found {
		if err := s.hides("it does not compare them"); err != nil {
			return nil, err
		}
		line = append(line, "IFEQ", before)
	} else {
		line = append(line, "NX")
	}
	var ttl int64
	switch given := b.into("ttl", &ttl); {
	case !given:
		line = append(line, "KEEPTTL")
	case ttl > 0:
		line = append(line, "PX", strconv.FormatInt(ttl, 10))
	case ttl != -1:
		b.fail("ttl must be positive milliseconds, -1 for none, or null to keep it")
	}
	reply, err := s.command(b, db, line)
	if err == nil && reply.Kind == Null {
		err = problem(http.StatusConflict, "CHANGED", "the value was changed by somebody else meanwhile")
	}
	if err == nil && ttl == -1 { // a default expiry must not come instead
		_, err = s.command(b, db, []string{"NPERSIST", key})
	}
	return struct{}{}, err
}

func (s *Server) expireKey(b *body) (any, error) {
	db, key, ttl := b.database(), b.given("key"), b.number("ttl", 0)
	line := []string{"NEXPIRE", key, strconv.FormatInt(ttl, 10)}
	switch {
	case ttl == -1:
		line = []string{"NPERSIST", key}
	case ttl <= 0:
		b.fail("ttl must be positive milliseconds, or -1 for none")
	}
	reply, err := s.command(b, db, line)
	if err == nil && ttl != -1 && reply.Int() == 0 {
		err = NotFound("NOKEY", "there is no key %q", shorten(key))
	}
	return struct{}{}, err
}

// console runs any command but those that would hold the connection.
func (s *Server) console(b *body) (any, error) {
	line := b.words("args")
	if b.err != nil {
		return nil, b.err
	}
	if err := s.hides("it has no console"); err != nil {
		return nil, err
	}
	if known, found := s.source.Command(line); found {
		switch {
		case known.Subscribes:
			return nil, problem(http.StatusBadRequest, "NOCONSOLE", "%s needs a connection that stays: see the live tail of the pub/sub page, or use redis-cli", known.Name)
		case known.Blocks:
			return nil, problem(http.StatusBadRequest, "NOCONSOLE", "%s with BLOCK would wait here: leave BLOCK out, or use redis-cli", known.Name)
		case known.Name == "client reply":
			return nil, problem(http.StatusBadRequest, "NOCONSOLE", "client reply makes no sense here: every command has a connection of its own")
		}
	}
	reply, err := s.source.Run(b.ctx, b.database(), line...)
	return map[string]Reply{"reply": reply}, err
}

// consoleReads tells whether a line only reads, as a read-only dashboard needs it.
func (s *Server) consoleReads(b *body) bool {
	var line []string
	b.into("args", &line)
	known, found := s.source.Command(line)
	return found && known.ReadOnly
}
