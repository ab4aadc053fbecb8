package ui

import "encoding/json"

// previewMax is how many bytes of a payload a list shows.
const previewMax = 4096

// Payload is bytes on their way to the browser. How much of them goes out is for the response to say: see preview and whole.
type Payload struct {
	text string
	size int
}

// NewPayload holds bytes.
func NewPayload[T string | []byte](b T) Payload { return Payload{string(b), len(b)} }

func (p Payload) cut(limit int) Payload {
	p.text = p.text[:min(len(p.text), limit)]
	return p
}

// MarshalJSON writes {"b64": beginning or whole, "size": whole size}.
func (p Payload) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Base64 []byte `json:"b64"`
		Size   int    `json:"size"`
	}{append([]byte{}, p.text...), p.size})
}
