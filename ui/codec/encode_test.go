package codec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// encodeJSON writes a value given as JSON, without white space between its parts. An error is returned when it is not JSON. A
// JSON string is written as the text it stands for.
func encodeJSON(value []byte) ([]byte, error) {
	var out bytes.Buffer
	if err := json.Compact(&out, value); err != nil {
		return nil, fmt.Errorf("the value is not JSON: %w", err)
	}
	if out.Len() > 0 && out.Bytes()[0] == '"' {
		var text string
		if err := json.Unmarshal(out.Bytes(), &text); err != nil {
			return nil, fmt.Errorf("the value is not a JSON string: %w", err)
		}
		return encodeText(text), nil
	}
	return out.Bytes(), nil
}

// encodeBytes writes bytes.
func encodeBytes(value []byte) []byte {
	if utf8.Valid(value) || bytes.HasPrefix(value, []byte(marker)) {
		return append([]byte(marker), value...)
	}
	return bytes.Clone(value)
}

// encodeText writes a text. What is not UTF-8 in it becomes U+FFFD, as it does when JavaScript reads it.
func encodeText(text string) []byte {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if !isJSON(text) {
		return []byte(text)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil {
		panic("BUG: a string has no JSON: " + err.Error())
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}
