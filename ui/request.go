package ui

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// query reads the parameters of a GET. The first mistake is kept in err, so that a route checks once.
type query struct {
	ctx    context.Context
	values url.Values
	err    error
}

func newQuery(r *http.Request) *query {
	values, err := url.ParseQuery(r.URL.RawQuery)
	q := &query{ctx: r.Context(), values: values}
	if err != nil {
		q.err = problem(http.StatusBadRequest, "BADQUERY", "the query cannot be read: %v", err)
	}
	return q
}

func (q *query) fail(format string, args ...any) {
	if q.err == nil {
		q.err = problem(http.StatusBadRequest, "BADQUERY", format, args...)
	}
}

func (q *query) text(name string) string { return q.values.Get(name) }

// need is a parameter that must be there and not be empty.
func (q *query) need(name string) string {
	value := q.values.Get(name)
	if value == "" {
		q.fail("%s is missing", name)
	}
	return value
}

// given is a parameter that must be there, and may be empty where an empty name is one.
func (q *query) given(name string) string {
	if !q.values.Has(name) {
		q.fail("%s is missing", name)
	}
	return q.values.Get(name)
}

func (q *query) number(name string, fallback, least, most int) int {
	text := q.values.Get(name)
	if text == "" {
		return fallback
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		q.fail("%s must be a number from %d to %d", name, least, most)
		return fallback
	}
	return n
}

func (q *query) id(name string) uint64 {
	n, err := strconv.ParseUint(q.values.Get(name), 10, 64)
	if err != nil {
		q.fail("%s must be a number", name)
	}
	return n
}

// body reads the fields of a POST. The first mistake is kept in err.
type body struct {
	ctx    context.Context
	fields map[string]json.RawMessage
	err    error
}

func (b *body) fail(format string, args ...any) {
	if b.err == nil {
		b.err = problem(http.StatusBadRequest, "BADBODY", format, args...)
	}
}

// into decodes a field if it is there and not null.
func (b *body) into(name string, target any) (found bool) {
	raw, found := b.fields[name]
	if !found || string(raw) == "null" {
		return false
	}
	if err := json.Unmarshal(raw, target); err != nil {
		b.fail("%s: %v", name, err)
		return false
	}
	return true
}

func (b *body) optional(name, fallback string) string {
	value := fallback
	b.into(name, &value)
	return value
}

func (b *body) need(name string) string {
	var value string
	if !b.into(name, &value) || value == "" {
		b.fail("%s is missing", name)
	}
	return value
}

// given is a text that must be there, and may be empty where an empty name is one.
func (b *body) given(name string) (value string) {
	if !b.into(name, &value) {
		b.fail("%s is missing", name)
	}
	return value
}

// words is a list of texts that must not be empty.
func (b *body) words(name string) []string {
	var list []string
	if !b.into(name, &list) || len(list) == 0 {
		b.fail("%s is missing or empty", name)
	}
	return list
}

// audit is what the log tells of a change: what it was about, and how many things it changed. Payloads and values are not in it.
func (b *body) audit(result any) (pairs []any) {
	for _, name := range []string{"db", "queue", "stream", "name", "key", "prefix", "topic", "filter", "id", "state", "action", "side", "states", "to", "dryRun"} {
		raw, given := b.fields[name]
		if !given || string(raw) == "null" {
			continue
		}
		text := string(raw)
		var plain string
		if json.Unmarshal(raw, &plain) == nil {
			text = plain
		}
		pairs = append(pairs, name, shorten(text))
	}
	for _, name := range []string{"ids", "keys", "offsets", "set"} {
		var list []json.RawMessage
		var fields map[string]json.RawMessage
		switch raw := b.fields[name]; {
		case json.Unmarshal(raw, &list) == nil && len(list) > 0:
			pairs = append(pairs, name, len(list))
		case json.Unmarshal(raw, &fields) == nil && len(fields) > 0:
			pairs = append(pairs, name, strings.Join(sortedKeys(fields), ","))
		}
	}
	var words []string
	if json.Unmarshal(b.fields["args"], &words) == nil && len(words) > 0 {
		pairs = append(pairs, "command", shorten(words[0]))
	}
	if counted, ok := result.(map[string]int64); ok {
		pairs = append(pairs, "count", counted["count"])
	}
	return pairs
}

// numerals is a list of ids or offsets. They stand in a command beside its option words, and must not be one.
func (b *body) numerals(name string) []string {
	list := b.words(name)
	for _, text := range list {
		if _, err := strconv.ParseUint(text, 10, 64); err != nil {
			b.fail("%s: %q is not a number", name, shorten(text))
		}
	}
	return list
}

func (b *body) number(name string, fallback int64) int64 {
	value := fallback
	b.into(name, &value)
	return value
}

func (b *body) flag(name string) (value bool) {
	b.into(name, &value)
	return value
}

// bytes is a base64 field.
func (b *body) bytes(name string) (value string, found bool) {
	var text string
	if !b.into(name, &text) {
		return "", false
	}
	decoded, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		b.fail("%s is not base64", name)
	}
	return string(decoded), true
}

// payload is a text in one field, or bytes as base64 in another.
func (b *body) payload(text, encoded string) string {
	if value, found := b.bytes(encoded); found {
		return value
	}
	var value string
	if !b.into(text, &value) {
		b.fail("%s or %s is missing", text, encoded)
	}
	return value
}

func (b *body) oneOf(name string, words ...string) string {
	value := b.need(name)
	for _, word := range words {
		if value == word {
			return value
		}
	}
	b.fail("%s must be one of %v", name, words)
	return value
}
