package pubsub

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/nexobroker/nexo/brokers"
)

// The records are drawn in FORMAT.md.
const (
	recordSet    = 1
	recordDelete = 2
	recordSetFor = 3
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

func appendSet(buf []byte, key string, m *message, now brokers.Instant) []byte {
	if m.end == 0 || m.dated {
		buf = append(buf, recordSet)
		buf = binary.AppendUvarint(buf, uint64(m.end))
	} else {
		buf = append(buf, recordSetFor)
		buf = binary.AppendUvarint(buf, uint64(now.Wall))
		buf = binary.AppendUvarint(buf, uint64(max(m.left(now), 0)))
	}
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
	case recordSet, recordSetFor:
		expiresAt, n := binary.Uvarint(rest)
		if n <= 0 || expiresAt > 1<<62 {
			return fmt.Errorf("retained record has no expiry time")
		}
		rest = rest[n:]
		m := &message{end: int64(expiresAt), dated: expiresAt != 0}
		if kind == recordSetFor {
			left, n := binary.Uvarint(rest)
			if n <= 0 || left > 1<<62 {
				return fmt.Errorf("retained record has no time to live")
			}
			rest = rest[n:]
			m.end, m.dated = r.clock.Resume(m.end+int64(left), int64(left)), false
		}
		size, n := binary.Uvarint(rest)
		if n <= 0 || size == 0 || size > NameMax || size > uint64(len(rest)-n) {
			return fmt.Errorf("retained record has no topic")
		}
		if err := ValidateTopic(rest[:size]); err != nil {
			return fmt.Errorf("retained record: %w", err)
		}
		rest = rest[n:]
		payload := append([]byte(nil), rest[size:]...)
		m.key, m.payload = keyOf(string(rest[:size])), payload
		r.storeLocked(m)
		return nil
	default:
		return fmt.Errorf("retained record has unknown kind %d", kind)
	}
}
