package ui

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// Kind is the type of a Reply, as the console of the browser reads it.
type Kind string

// The kinds of replies; the type of Value is behind each.
const (
	Status  Kind = "status" // string
	Failure Kind = "error"  // string: the code word and the text
	Integer Kind = "int"    // int64
	Bulk    Kind = "bulk"   // []byte
	Null    Kind = "null"   // nil
	Array   Kind = "array"  // []Reply
	Double  Kind = "double" // string
	Map     Kind = "map"    // []Reply, names and values in turn
	Boolean Kind = "bool"   // bool
)

// Reply is what a command answered.
type Reply struct {
	Kind  Kind
	Value any
}

// Int is the number that the reply is, 0 when it is none.
func (r Reply) Int() int64 {
	switch v := r.Value.(type) {
	case int64:
		return v
	case []byte:
		n, _ := strconv.ParseInt(string(v), 10, 64)
		return n
	}
	return 0
}

// Text is the text of a simple or bulk reply.
func (r Reply) Text() string {
	switch v := r.Value.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return ""
}

// List is what an array or map holds.
func (r Reply) List() []Reply {
	list, _ := r.Value.([]Reply)
	return list
}

// Field is the value of a name in a map.
func (r Reply) Field(name string) Reply {
	list := r.List()
	for i := 0; i+1 < len(list); i += 2 {
		if list[i].Text() == name {
			return list[i+1]
		}
	}
	return Reply{Kind: Null}
}

// MarshalJSON writes {"t": kind, "v": value}; integers are texts, since JavaScript would round them.
func (r Reply) MarshalJSON() ([]byte, error) {
	value := r.Value
	switch v := r.Value.(type) {
	case int64:
		value = strconv.FormatInt(v, 10)
	case []byte:
		if utf8.Valid(v) {
			value = map[string]string{"text": string(v)}
		} else {
			value = map[string][]byte{"b64": v}
		}
	case []Reply:
		if r.Kind == Map {
			pairs := make([][2]Reply, 0, len(v)/2)
			for i := 0; i+1 < len(v); i += 2 {
				pairs = append(pairs, [2]Reply{v[i], v[i+1]})
			}
			value = pairs
		} else if v == nil {
			value = []Reply{}
		}
	}
	return json.Marshal(struct {
		Kind  Kind `json:"t"`
		Value any  `json:"v,omitempty"`
	}{r.Kind, value})
}
