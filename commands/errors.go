package commands

import (
	"fmt"
	"strings"
)

// errorWord describes one code word that an error reply can begin with.
type errorWord struct {
	word    string
	meaning string // when it is answered
	advice  string // what a client does about it
}

// errorWords are all of them, by name. docs/errors.md is rendered from this list, and a test holds it against the sources. None is
// a word that client libraries retry on by themselves, but for LOADING, on which they should.
var errorWords = []errorWord{
	{"BADFILTER", "A topic filter, a pattern of PSUBSCRIBE or the name of a shared group is not one; the text says why", "Mend the filter"},
	{"BADHANDLE", "A word is neither the handle nor the id of a job", "Pass the handle on as QPOP gave it"},
	{"BADNAME", "The name of a queue, stream, group or consumer is empty, longer than 200 bytes or holds control bytes",
		"Choose another name"},
	{"BADTOPIC", "A topic is empty, too long, has too many levels, holds a wildcard or is not UTF-8", "Mend the topic"},
	{"DENIED", "Protected mode: no password is set and the client is on another machine",
		"Set a password, or start the server with --protected-mode=false"},
	{"DISKFULL", "The disk has less room than --min-free-disk; nothing was added", "Make room; taking and deleting still work"},
	{"ERR", "The command is unknown, or its arguments are not what it takes; the text says which", "Mend the command"},
	{"EXPECT", "The end of the stream is not where EXPECT said; nothing was appended", "Read on and decide anew"},
	{"FENCED", "The epoch of a group has moved on: XSEEK was called meanwhile", "Consume again; the new epoch comes with the reply"},
	{"GEXISTS", "The group exists with other options", "Use it as it is, or drop it first"},
	{"IMMUTABLE", "Entries of a stream are not deleted one by one", "Trim, or let retention remove from the front"},
	{"IOERR", "The disk failed to write or read; what was to be written is not acknowledged",
		"Treat the outcome as unknown; see the server's log"},
	{"LOADING", "The server has begun and loads its logs; the text says how far it is", "Wait; client libraries do by themselves"},
	{"NOAUTH", "The connection has not authenticated", "Send AUTH or HELLO with AUTH"},
	{"NOGROUP", "There is no such group", "Make it with XGCREATE, or consume with MK"},
	{"NOPROTO", "HELLO asked for a protocol other than 2 and 3", "Ask for 2 or 3"},
	{"NOQUEUE", "There is no such queue", "Make it with QCREATE; QPUSH makes it by itself without NOMKQ"},
	{"NOSTREAM", "There is no such stream", "Make it with XCREATE; XAPPEND makes it by itself without NOMK"},
	{"OFFSETGONE", "STRICT was asked for and retention has removed the position", "Go on at the offset that the text names"},
	{"OOM", "A limit of memory is reached: maxmemory of the store, --queue-max-memory, or the one of retained messages; nothing was added",
		"Take, delete or expire something, or raise the limit"},
	{"QEXISTS", "The queue exists with another configuration; the text names a difference", "Use it as it is, or change it with QCONFIG SET"},
	{"QFULL", "The queue is at MAXLEN, its deduplication window is full, or there are too many queues",
		"Wait for consumers, or raise the limit"},
	{"QPAUSED", "The queue takes no jobs: QPAUSE IN or ALL", "Push after QRESUME"},
	{"RESERVED", "Topics that start with $ are the server's", "Publish to another topic"},
	{"SEXISTS", "The stream exists with another configuration; the text names a difference", "Use it as it is, or change it with XCONF SET"},
	{"TOOBIG", "A payload is larger than the limit", "Send less, or keep the payload elsewhere"},
	{"UNBLOCKED", "CLIENT UNBLOCK with ERROR ended the wait", "Nothing was taken; ask again"},
	{"WRONGPASS", "The user or the password is wrong", "Give the right ones; each failure makes the next answer slower"},
	{"WRONGTYPE", "The key holds another kind of value than the command works on", "Use another key"},
}

// ErrorReference renders docs/errors.md.
func ErrorReference() string {
	var text strings.Builder
	text.WriteString("# Errors\n\n" +
		"Generated from the list of code words by `go run ./cmd/nexo docs docs`; do not edit.\n\n" +
		"An error reply begins with a code word, which programs go by; the text behind it is for people and may change, but for the texts of " +
		"Redis' own commands, which are Redis'. A command that answers an error has changed nothing, unless its word says otherwise. " +
		"`INFO errorstats` counts the replies by word.\n\n" +
		"| Word | When | What to do |\n|---|---|---|\n")
	for _, e := range errorWords {
		fmt.Fprintf(&text, "| `%s` | %s. | %s. |\n", e.word, cell(e.meaning), cell(e.advice))
	}
	return text.String()
}
