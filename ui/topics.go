package ui

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// A state topic answers "what is there now" as a snapshot and, once a second, with what has changed since. Its methods run under
// feed.mu.
type topic interface {
	// refresh takes a new sample and returns the body of the delta, nil when nothing changed: the fields of a frame without its
	// braces.
	refresh(f *feed, s *sample) (delta []byte, err error)
	// snapshot is the data of the present state, as of the last refresh.
	snapshot() []byte
}

// topicQuery is every field that the queries of topics have.
type topicQuery struct {
	Sort   string `json:"sort,omitempty"`
	Filter string `json:"filter,omitempty"`
	From   int    `json:"from,omitempty"`
	N      int    `json:"n,omitempty"`
	Name   string `json:"name,omitempty"`
}

const windowMax = 500

// newTopic makes the topic of a subscription; key is the same for subscriptions that want the same.
func newTopic(name string, q topicQuery) (made topic, key string, err error) {
	switch name {
	case "stats":
		if q.N < 0 {
			return nil, "", problem(http.StatusBadRequest, "BADQUERY", "n must not be negative")
		}
		made = &statsTopic{newest: q.N}
		q = topicQuery{N: q.N}
	case "queues", "streams":
		if q.From < 0 || q.N < 0 || q.N > windowMax {
			return nil, "", problem(http.StatusBadRequest, "BADQUERY", "from must not be negative, n at most %d", windowMax)
		}
		if q.N == 0 {
			q.N = 60
		}
		q.Name = ""
		if made, err = windowed(name, q); err != nil {
			return nil, "", err
		}
	case "clients", "slowlog":
		made = listed(name)
		q = topicQuery{}
	case "queue", "stream":
		if q.Name == "" {
			return nil, "", problem(http.StatusBadRequest, "BADQUERY", "name is missing")
		}
		q = topicQuery{Name: q.Name}
		made = &fieldsTopic{read: func(f *feed) (any, error) {
			if name == "queue" {
				return f.server.queueDetailLocked(q.Name)
			}
			return f.server.streamDetailLocked(q.Name)
		}}
	default:
		return nil, "", problem(http.StatusBadRequest, "NOTOPIC", "there is no topic %q", shorten(name))
	}
	text, err := json.Marshal(q)
	return made, name + " " + string(text), err
}

// statsTopic sends one point a second, changed or not: it is what tells the browser that its data is fresh.
type statsTopic struct {
	newest int // how many points a snapshot has at most; 0 is all
	points []byte
}

func (t *statsTopic) refresh(f *feed, s *sample) ([]byte, error) {
	shown := f.points
	if t.newest > 0 {
		shown = shown[max(len(shown)-t.newest, 0):]
	}
	all, err := json.Marshal(map[string][]Point{"points": shown})
	if err != nil {
		return nil, err
	}
	t.points = all
	point, err := json.Marshal([]Point{s.point})
	return append([]byte(`"up":`), point...), err
}

func (t *statsTopic) snapshot() []byte { return t.points }

// row is one row of a table, encoded.
type row struct {
	key  string
	text []byte
}

// rowsTopic is a window of a table.
type rowsTopic struct {
	list  func(f *feed, s *sample) (total int, rows []row, err error)
	total int
	rows  []row
}

func (t *rowsTopic) refresh(f *feed, s *sample) ([]byte, error) {
	total, rows, err := t.list(f, s)
	if err != nil {
		return nil, err
	}
	before := make(map[string][]byte, len(t.rows))
	for _, r := range t.rows {
		before[r.key] = r.text
	}
	var up [][]byte
	var order []string
	moved := len(rows) != len(t.rows)
	for i, r := range rows {
		order = append(order, r.key)
		if !bytes.Equal(before[r.key], r.text) {
			up = append(up, r.text)
		}
		delete(before, r.key)
		moved = moved || t.rows[i].key != r.key
	}
	var parts [][]byte
	if len(up) > 0 {
		parts = append(parts, slices.Concat([]byte(`"up":[`), bytes.Join(up, []byte(",")), []byte("]")))
	}
	if len(before) > 0 {
		parts = append(parts, append([]byte(`"del":`), encode(sortedKeys(before))...))
	}
	data := map[string]any{}
	if total != t.total {
		data["total"] = total
	}
	if moved {
		data["order"] = append([]string{}, order...)
	}
	if len(data) > 0 {
		parts = append(parts, append([]byte(`"data":`), encode(data)...))
	}
	t.total, t.rows = total, rows
	return bytes.Join(parts, []byte(",")), nil
}

func (t *rowsTopic) snapshot() []byte {
	texts := make([]json.RawMessage, len(t.rows))
	for i, r := range t.rows {
		texts[i] = r.text
	}
	return encode(map[string]any{"total": t.total, "rows": texts})
}

// encode is for values that always can be.
func encode(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic("BUG: a frame cannot be encoded: " + err.Error())
	}
	return text
}

// windowed sorts and cuts a table before its rows are encoded: only what is looked at costs more than its place.
func windowed(name string, q topicQuery) (topic, error) {
	if name == "queues" {
		order, err := sorting(q.Sort, queueOrders)
		return &rowsTopic{list: func(_ *feed, s *sample) (int, []row, error) {
			total, rows := window(s.queues, q, func(x *Queue) string { return x.Name }, order)
			return total, rows, nil
		}}, err
	}
	order, err := sorting(q.Sort, streamOrders)
	return &rowsTopic{list: func(_ *feed, s *sample) (int, []row, error) {
		total, rows := window(s.streams, q, func(x *Stream) string { return x.Name }, order)
		return total, rows, nil
	}}, err
}

func window[Item any](items []Item, q topicQuery, name func(*Item) string, order func(a, b *Item) int) (total int, rows []row) {
	matching := make([]*Item, 0, len(items))
	for i := range items {
		if strings.Contains(name(&items[i]), q.Filter) {
			matching = append(matching, &items[i])
		}
	}
	slices.SortFunc(matching, func(a, b *Item) int { return cmp.Or(order(a, b), cmp.Compare(name(a), name(b))) })
	from := min(q.From, len(matching))
	for _, item := range matching[from:min(from+q.N, len(matching))] {
		rows = append(rows, row{name(item), encode(item)})
	}
	return len(matching), rows
}

// sorting finds the order of "column" or "-column".
func sorting[Item any](word string, orders map[string]func(a, b *Item) int) (func(a, b *Item) int, error) {
	column, descending := strings.CutPrefix(word, "-")
	if column == "" {
		column = "name"
	}
	order, known := orders[column]
	if !known {
		return nil, problem(http.StatusBadRequest, "BADQUERY", "cannot sort by %q: the columns are %v", shorten(column), sortedKeys(orders))
	}
	if descending {
		return func(a, b *Item) int { return order(b, a) }, nil
	}
	return order, nil
}

func by[Item any, Value cmp.Ordered](value func(*Item) Value) func(a, b *Item) int {
	return func(a, b *Item) int { return cmp.Compare(value(a), value(b)) }
}

var queueOrders = map[string]func(a, b *Queue) int{
	"name": by(func(q *Queue) string { return q.Name }), "ready": by(func(q *Queue) int { return q.Ready }),
	"delayed": by(func(q *Queue) int { return q.Delayed }), "inflight": by(func(q *Queue) int { return q.Inflight }),
	"dead": by(func(q *Queue) int { return q.Dead }), "bytes": by(func(q *Queue) int64 { return q.Bytes }),
	"waiters": by(func(q *Queue) int { return q.Waiters }), "oldestMs": by(func(q *Queue) int64 { return q.OldestMS }),
	"paused": by(func(q *Queue) string { return q.Paused }), "pushRate": by(func(q *Queue) float64 { return q.Push }),
	"popRate": by(func(q *Queue) float64 { return q.Pop }), "ackRate": by(func(q *Queue) float64 { return q.Ack }),
	"failRate": by(func(q *Queue) float64 { return q.Fail }),
}

var streamOrders = map[string]func(a, b *Stream) int{
	"name": by(func(s *Stream) string { return s.Name }), "entries": by(func(s *Stream) int64 { return s.Entries }),
	"bytes": by(func(s *Stream) int64 { return s.Bytes }), "firstMs": by(func(s *Stream) int64 { return s.FirstMS }),
	"lastMs": by(func(s *Stream) int64 { return s.LastMS }), "groups": by(func(s *Stream) int { return s.Groups }),
	"maxLag": by(func(s *Stream) uint64 { return s.MaxLag }), "appendRate": by(func(s *Stream) float64 { return s.AppendRate }),
	"first": by(func(s *Stream) uint64 { return s.First }), "next": by(func(s *Stream) uint64 { return s.Next }),
}

// listed is a table that is short enough to be sent whole.
func listed(name string) topic {
	return &rowsTopic{list: func(f *feed, _ *sample) (int, []row, error) {
		var rows []row
		if name == "clients" {
			for _, c := range f.server.source.Clients() {
				rows = append(rows, row{c.ID, encode(c)})
			}
		} else {
			for _, c := range f.server.slowCommands() {
				rows = append(rows, row{c.ID, encode(c)})
			}
		}
		return len(rows), rows, nil
	}}
}

// fieldsTopic is one object, of which the changed fields are sent.
type fieldsTopic struct {
	read   func(f *feed) (any, error)
	fields map[string]json.RawMessage
}

func (t *fieldsTopic) refresh(f *feed, _ *sample) ([]byte, error) {
	value, err := t.read(f)
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(encode(value), &fields); err != nil {
		return nil, err
	}
	changed := map[string]json.RawMessage{}
	for name, text := range fields {
		if !bytes.Equal(text, t.fields[name]) {
			changed[name] = text
		}
	}
	t.fields = fields
	if len(changed) == 0 {
		return nil, nil
	}
	return append([]byte(`"data":`), encode(changed)...), nil
}

func (t *fieldsTopic) snapshot() []byte { return encode(t.fields) }
