package processtest

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// items gathers a line for each item that a server has.
type items struct {
	session
	text strings.Builder
}

// goldenItems tells of every item that fillGolden made, in words that do not depend on when they are asked for.
func goldenItems(t *testing.T, s *server) string {
	t.Helper()
	i := &items{session: sessionOf(t, s)}
	for _, queue := range []string{"jobs", "states", "paused", "late"} {
		i.queue(queue)
	}
	if i.must("QEXISTS shelved") == int64(1) { // the older ones have none
		i.sum(func() { i.queue("shelved") })
	}
	for _, stream := range []string{"events", "chain", "short"} {
		i.stream(stream)
	}
	i.group("events", "workers")
	i.line("chain head %v, verified %v", i.must("XHEAD chain"), fieldsOf(i.must("XVERIFY chain"), "ok", "from", "to", "head", "first-bad"))
	i.retained()
	i.keys(0)
	i.keys(3)
	return i.text.String()
}

func (i *items) line(format string, args ...any) { fmt.Fprintf(&i.text, format+"\n", args...) }

// sum writes one line for the many that describe writes.
func (i *items) sum(describe func()) {
	before := i.text.String()
	i.text.Reset()
	describe()
	lines := i.text.String()
	first, rest, _ := strings.Cut(lines, "\n")
	i.text.Reset()
	i.text.WriteString(before)
	i.line("%s", first)
	i.line("and %d lines, %x", strings.Count(rest, "\n"), sha256.Sum256([]byte(rest)))
}

// short writes what is long by its length and checksum.
func short(payload string) string {
	if len(payload) <= 40 {
		return payload
	}
	return fmt.Sprintf("%.12s... %d bytes %.4x", payload, len(payload), sha256.Sum256([]byte(payload)))
}

func (i *items) queue(name string) {
	i.line("queue %s: %v", name, fieldsOf(i.must("QINFO "+name), "ready", "delayed", "inflight", "dead", "dedup-keys", "paused", "lease",
		"maxattempts", "backoff", "jitter", "ttl", "dlq", "maxlen", "overflow", "dedupwindow", "sync"))
	for _, state := range []string{"READY", "DELAYED", "INFLIGHT", "DEAD"} {
		for offset := int64(0); offset >= 0; {
			page := i.must(fmt.Sprintf("QPEEK %s STATE %s OFFSET %d COUNT 200", name, state, offset)).([]any)
			for _, job := range page[2].([]any) {
				i.job(name, job)
			}
			offset = page[1].(int64)
		}
	}
}

func (i *items) job(queue string, job any) {
	fields := fieldsOf(job, "id", "state", "payload", "priority", "attempts", "max-attempts", "deliveries", "pushed-at", "failed-at",
		"last-reason", "dedup")
	fields[2] = short(fields[2])
	for at, date := range fieldsOf(job, "due-at", "lease-until", "expires-at") {
		millis, err := strconv.ParseInt(date, 10, 64)
		if err != nil {
			i.t.Fatalf("date %d of job %v: %v", at, fields, err)
		}
		fields = append(fields, hourOf(millis))
	}
	i.line("%s %s", queue, strings.Join(fields, "|"))
}

func (i *items) stream(name string) {
	i.line("stream %s: %v", name, fieldsOf(i.must("XSTAT "+name), "first", "next", "high", "entries", "bytes", "first-ms", "last-ms", "groups",
		"maxage", "maxbytes", "maxlen", "sync", "integrity", "dedupwindow"))
	for next := int64(1); ; {
		page := i.must(fmt.Sprintf("XFETCH %s %d COUNT 100", name, next)).([]any)
		entries := page[3].([]any)
		if len(entries) == 0 {
			return
		}
		for _, entry := range entries {
			e := entry.([]any)
			i.line("%s #%v %v %s", name, e[0], e[1], short(e[2].(string)))
		}
		next = page[0].(int64)
	}
}

func (i *items) group(stream, group string) {
	i.line("group %s of %s: %v", group, stream, fieldsOf(i.must("XSTAT "+stream+" "+group), "floor", "next", "pending", "parked", "lag",
		"ackwait", "maxdeliver", "maxpending"))
	for _, parked := range i.must("XPARKED " + stream + " " + group).([]any) {
		p := parked.([]any)
		i.line("parked #%v, %v deliveries, at %v: %v: %s", p[0], p[1], p[2], p[3], short(p[4].(string)))
	}
}

func (i *items) retained() {
	for cursor := "0"; ; {
		page := i.must("NRETAINED # COUNT 100 CURSOR " + cursor).([]any)
		for _, message := range page[1].([]any) {
			m := message.([]any)
			until := m[2].(int64)
			if until > 0 {
				until += time.Now().UnixMilli()
			}
			i.line("retained %v %s until %s", m[0], short(m[1].(string)), hourOf(until))
		}
		if cursor = page[0].(string); cursor == "0" {
			return
		}
	}
}

func (i *items) keys(database int) {
	i.must(fmt.Sprint("SELECT ", database))
	var names []string
	for _, name := range i.must("KEYS *").([]any) {
		names = append(names, name.(string))
	}
	slices.Sort(names)
	for _, name := range names {
		i.line("key %d %s = %s until %s", database, name, short(i.must("GET "+name).(string)), hourOf(i.must("PEXPIRETIME "+name).(int64)))
	}
}
