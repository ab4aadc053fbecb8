// Package codec reads payloads as the SDKs write them, in the form named nexo/1.
//
// A payload is text, JSON or bytes, and its own bytes say which: the server keeps nothing beside them, and every Redis
// client can read them.
//
//	value                                       payload
//	text                                        the text itself
//	text that would be read as JSON             the text as a JSON string
//	any other value                             its JSON
//	bytes that are not valid UTF-8              the bytes themselves
//	bytes that are, or that begin with FF 6E 62 FF 6E 62, then the bytes
//
// Reading goes the other way: FF 6E 62 and what is not UTF-8 are bytes; true, false, null, a number written as JavaScript
// writes it, and what begins with { [ or " and parses are JSON; everything else is text. So a number of more digits than
// JavaScript keeps stays text. sdk/codec-vectors.json holds examples that the tests of every implementation read.
package codec

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Kind says what a payload is.
type Kind uint8

// The kinds of payload.
const (
	Text Kind = iota
	JSON
	Bytes
)

// String returns text, json or bytes.
func (k Kind) String() string { return [...]string{"text", "json", "bytes"}[k] }

// marker begins bytes that would be read as text without it. FF never occurs in UTF-8.
const marker = "\xffnb"

// Decode says what a payload is, and returns it without what only marks its kind: the text of a JSON string, the bytes after
// the marker. The result may share the payload's memory.
func Decode(payload []byte) (Kind, []byte) {
	if !utf8.Valid(payload) {
		return Bytes, bytes.TrimPrefix(payload, []byte(marker))
	}
	if !isJSON(string(payload)) {
		return Text, payload
	}
	if payload[0] == '"' {
		var text string
		if err := json.Unmarshal(payload, &text); err != nil {
			panic("BUG: valid JSON does not parse: " + err.Error())
		}
		return Text, []byte(text)
	}
	return JSON, payload
}

// isJSON says whether a text is read as JSON.
func isJSON(text string) bool {
	if text == "" {
		return false
	}
	switch first := text[0]; {
	case text == "true" || text == "false" || text == "null":
		return true
	case first == '{' || first == '[' || first == '"':
		return json.Valid([]byte(text))
	case first == '-' || '0' <= first && first <= '9':
		return isNumber(text)
	}
	return false
}

// longestNumber is the longest text that JavaScript writes for a number: sign, 17 digits, point, exponent.
const longestNumber = 25

// isNumber says whether JavaScript would write the number that the text stands for as this very text.
func isNumber(text string) bool {
	if len(text) > longestNumber {
		return false
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) || f == 0 && text != "0" {
		return false // JavaScript writes -0 as 0
	}
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		written := strconv.FormatFloat(f, 'e', -1, 64)
		return strings.Replace(strings.Replace(written, "e-0", "e-", 1), "e+0", "e+", 1) == text
	}
	return strconv.FormatFloat(f, 'f', -1, 64) == text
}
