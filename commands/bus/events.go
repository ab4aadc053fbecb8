package bus

import (
	"strconv"

	"github.com/nexobroker/nexo/brokers/pubsub"
)

// eventKind is the word that an event begins with.
type eventKind uint8

const (
	eventMessage eventKind = iota // message channel payload
	eventPattern                  // pmessage pattern channel payload
	eventShard                    // smessage channel payload
	eventFilter                   // nmessage filter topic payload flags
	eventShared                   // nmessage of a shared group
	eventKinds                    // how many there are
)

// The flags of an nmessage. 4 is reserved for "messages were dropped before this one": a subscriber that falls behind is
// cut, so it is never sent.
const (
	flagRetained = 1
	flagShared   = 2
)

// eventForm is one way to encode an event: its kind, in RESP2 (even) or RESP3 (odd).
type eventForm uint8

// The broker shares one encoding per form; its slots must suffice.
var _ [pubsub.Forms - 2*int(eventKinds)]struct{}

func (i *interest) form() eventForm {
	form := eventForm(i.event) * 2
	if i.session.proto >= 3 {
		form++
	}
	return form
}

// eventHeads begin the events of each form.
var eventHeads = [2 * eventKinds]string{
	"*3\r\n$7\r\nmessage\r\n", ">3\r\n$7\r\nmessage\r\n",
	"*4\r\n$8\r\npmessage\r\n", ">4\r\n$8\r\npmessage\r\n",
	"*3\r\n$8\r\nsmessage\r\n", ">3\r\n$8\r\nsmessage\r\n",
	"*5\r\n$8\r\nnmessage\r\n", ">5\r\n$8\r\nnmessage\r\n",
	"*5\r\n$8\r\nnmessage\r\n", ">5\r\n$8\r\nnmessage\r\n",
}

// appendEvent encodes one event.
func appendEvent(buf []byte, form eventForm, echo string, topic, payload []byte, flags int64) []byte {
	buf = append(buf, eventHeads[form]...)
	kind := eventKind(form / 2)
	if kind == eventPattern || kind >= eventFilter {
		buf = appendLength(buf, len(echo))
		buf = append(buf, echo...)
		buf = append(buf, '\r', '\n')
	}
	buf = appendLength(buf, len(topic))
	buf = append(buf, topic...)
	buf = append(buf, '\r', '\n')
	buf = appendLength(buf, len(payload))
	buf = append(buf, payload...)
	buf = append(buf, '\r', '\n')
	if kind >= eventFilter {
		if kind == eventShared {
			flags |= flagShared
		}
		buf = append(buf, ':')
		buf = strconv.AppendInt(buf, flags, 10)
		buf = append(buf, '\r', '\n')
	}
	return buf
}

func appendLength(buf []byte, n int) []byte {
	buf = append(buf, '$')
	buf = strconv.AppendInt(buf, int64(n), 10)
	return append(buf, '\r', '\n')
}

// encodeRun encodes the live messages of a run into one chunk of its own, which is shared and never changed.
func encodeRun(messages []pubsub.Message, form eventForm, echo string) []byte {
	// lengthMax is what a length and its line ends take at most.
	const lengthMax = len("$10485760\r\n\r\n")
	size := len(messages) * (len(eventHeads[form]) + 2*lengthMax)
	if kind := eventKind(form / 2); kind == eventPattern || kind >= eventFilter {
		size += len(messages) * (len(echo) + lengthMax + len(":0\r\n"))
	}
	for i := range messages {
		size += len(messages[i].Topic) + len(messages[i].Payload)
	}
	chunk := make([]byte, 0, size)
	for i := range messages {
		chunk = appendEvent(chunk, form, echo, messages[i].Topic, messages[i].Payload, 0)
	}
	return chunk
}
