package pubsub

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// The records are drawn in FORMAT.md.
const (
	recordSet    = 1
	recordDelete = 2
)

// keyOf is a topic as the map orders it: '/' becomes NUL, which sorts before every other byte, so that the topics
// below one level are a contiguous range and a level comes before what it is a prefix of.
func keyOf(topic string) string { return strings.ReplaceAll(topic, "/", "\x00") }

// appendTopic appends the topic of a key.
func appendTopic(buf []byte, key string) []byte {
	start := len(buf)
	buf = append(buf, key...)
	for i := start; i < len(buf); i++ {
		if buf[i] == 0 {
			buf[i] = '/'
		}
	}
	return buf
}

func appendSet(buf []byte, key string, m *message) []byte {
	buf = append(buf, recordSet)
	buf = binary.AppendUvarint(buf, uint64(m.expiresAtMillis))
	buf = binary.AppendUvarint(buf, uint64(len(key)))
	buf = appendTopic(buf, key)
	return append(buf, m.payload...)
}

func appendDelete(buf []byte, key string) []byte {
	buf = append(buf, recordDelete)
	return appendTopic(buf, key)
}

// applyRecord is how a replay applies one record.
func (r *retained) applyRecord(body []byte) error {
	if len(body) == 0 {
		return fmt.Errorf("retained record is empty")
	}
	switch kind, rest := body[0], body[1:]; kind {
	case recordDelete:
		r.removeLocked(keyOf(string(rest)))
		return nil
	case recordSet:
		expiresAt, n := binary.Uvarint(rest)
		if n <= 0 || expiresAt > 1<<62 {
			return fmt.Errorf("retained record has no expiry time")
		}
		rest = rest[n:]
		size, n := binary.Uvarint(rest)
		if n <= 0 || size == 0 || size > NameMax || size > uint64(len(rest)-n) {
			return fmt.Errorf("retained record has no topic")
		}
		if err := ValidateTopic(rest[:size]); err != nil {
			return fmt.Errorf("retained record: %w", err)
		}
		rest = rest[n:]
		payload := append([]byte(nil), rest[size:]...)
		r.storeLocked(&message{key: keyOf(string(rest[:size])), payload: payload, expiresAtMillis: int64(expiresAt)})
		return nil
	default:
		return fmt.Errorf("retained record has unknown kind %d", kind)
	}
}
