package codec

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

// vector is an example of sdk/codec-vectors.json. Exactly one of Text, JSON and Bytes is set.
type vector struct {
	Name       string
	Payload    string  // hexadecimal
	Text       *string // the text
	JSON       *string // the value's JSON
	Bytes      *string // hexadecimal
	DecodeOnly bool    // the value has another payload as well, which is the one written
}

func (v vector) want(t *testing.T) (Kind, []byte) {
	t.Helper()
	switch {
	case v.Text != nil:
		return Text, []byte(*v.Text)
	case v.JSON != nil:
		return JSON, []byte(*v.JSON)
	default:
		return Bytes, fromHex(t, *v.Bytes)
	}
}

func fromHex(t *testing.T, text string) []byte {
	t.Helper()
	out, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestVectors(t *testing.T) {
	content, err := os.ReadFile("../../sdk/codec-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []vector }
	if err := json.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) < 50 {
		t.Fatalf("only %d vectors were found", len(file.Vectors))
	}
	for _, v := range file.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			payload := fromHex(t, v.Payload)
			kind, want := v.want(t)
			if gotKind, got := Decode(payload); gotKind != kind || !bytes.Equal(got, want) {
				t.Errorf("Decode(%q) = %v %q, want %v %q", payload, gotKind, got, kind, want)
			}
			if v.DecodeOnly {
				return
			}
			var got []byte
			switch kind {
			case Text:
				got = encodeText(string(want))
			case JSON:
				if got, err = encodeJSON(want); err != nil {
					t.Fatal(err)
				}
			case Bytes:
				got = encodeBytes(want)
			}
			if !bytes.Equal(got, payload) {
				t.Errorf("encoded to %q, want %q", got, payload)
			}
		})
	}
}

func TestEncodeJSON(t *testing.T) {
	for value, want := range map[string]string{
		`{ "a" : 1 }`: `{"a":1}`,
		`"hello"`:     `hello`,
		`"5"`:         `"5"`,
		` null `:      `null`,
	} {
		if got, err := encodeJSON([]byte(value)); err != nil || string(got) != want {
			t.Errorf("encodeJSON(%s) = %q, %v, want %q", value, got, err, want)
		}
	}
	for _, value := range []string{"", "{", "hello", "1 2", "'a'"} {
		if got, err := encodeJSON([]byte(value)); err == nil {
			t.Errorf("encodeJSON(%q) = %q, want an error", value, got)
		}
	}
}

// FuzzRoundTrip: whatever is written is read as what it was, and reading never fails.
func FuzzRoundTrip(f *testing.F) {
	for _, seed := range []string{"", "a", "123", "-0", `"x"`, `{"a":1}`, "\xffnbx", "\xff", "null", "1e21", "\ufeff{}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		if kind, got := Decode(encodeBytes(value)); kind != Bytes || !bytes.Equal(got, value) {
			t.Errorf("bytes %q are read as %v %q", value, kind, got)
		}
		kind, content := Decode(value)
		switch kind {
		case Text:
			if gotKind, got := Decode(encodeText(string(content))); gotKind != Text || !bytes.Equal(got, content) {
				t.Errorf("text %q is read as %v %q", content, gotKind, got)
			}
		case JSON:
			encoded, err := encodeJSON(content)
			if err != nil {
				t.Fatalf("%q: %v", content, err)
			}
			if gotKind, _ := Decode(encoded); gotKind != JSON {
				t.Errorf("JSON %q is read as %v", content, gotKind)
			}
		}
	})
}
