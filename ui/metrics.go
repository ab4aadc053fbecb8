package ui

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"unicode/utf8"
)

// metrics is GET /metrics, in the text format of Prometheus. It asks the source itself: a scrape is a reader like any other.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	if !readsOnly(r) {
		writeProblem(w, problem(http.StatusMethodNotAllowed, "METHOD", "only GET is answered here"))
		return
	}
	if p := s.authorize(r); p != nil {
		w.Header().Set("WWW-Authenticate", `Basic realm="nexo"`)
		writeProblem(w, p)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	var text bytes.Buffer
	s.writeMetrics(&exposition{&text})
	_, _ = w.Write(text.Bytes())
}

func (s *Server) writeMetrics(e *exposition) {
	t := s.source.Totals()
	ready := 1
	if s.source.Ready() != nil {
		ready = 0
	}
	e.family("nexo_info", "gauge", "The version that runs.")
	e.sample("nexo_info", 1, "version", s.options.Version)
	e.single("nexo_ready", "gauge", "1 when the server takes data.", ready)
	e.single("nexo_clients", "gauge", "Connections.", t.Connected)
	e.single("nexo_commands_total", "counter", "Commands run.", t.Commands)
	e.single("nexo_errors_total", "counter", "Error replies.", t.Errors)
	e.single("nexo_connections_refused_total", "counter", "Connections over maxclients.", t.Refused)
	e.single("nexo_memory_bytes", "gauge", "Memory of the process.", t.Memory)
	e.single("nexo_disk_bytes", "gauge", "Size of the data directory.", t.Disk)
	e.single("nexo_store_commands_total", "counter", "Commands on the store.", t.StoreCommands)
	e.single("nexo_store_hits_total", "counter", "Reads that found their key.", t.Hits)
	e.single("nexo_store_misses_total", "counter", "Reads that did not.", t.Misses)
	e.single("nexo_store_expired_keys_total", "counter", "Keys whose time to live ended.", t.Expired)
	e.single("nexo_store_evicted_keys_total", "counter", "Keys that gave way at maxmemory.", t.Evicted)
	e.single("nexo_store_keys", "gauge", "Keys in all databases.", t.Keys)
	e.single("nexo_store_memory_bytes", "gauge", "Bytes of keys and values, as maxmemory counts them.", t.StoreMemory)
	e.single("nexo_store_memory_limit_bytes", "gauge", "maxmemory; 0 is no limit.", t.StoreMemoryMaximum)
	e.single("nexo_pubsub_published_total", "counter", "Messages published.", t.Published)
	e.single("nexo_pubsub_delivered_total", "counter", "Copies given to subscribers.", t.Delivered)
	e.single("nexo_pubsub_subscriptions", "gauge", "Subscriptions.", t.Subscriptions)
	e.single("nexo_pubsub_retained", "gauge", "Retained messages.", t.Retained)
	e.single("nexo_stream_read_total", "counter", "Entries given to readers and consumers.", t.StreamRead)
	e.single("nexo_stream_acked_total", "counter", "Entries acknowledged.", t.StreamAcked)
	s.queueMetrics(e)
	s.streamMetrics(e)
}

// counters are those of a queue in the order of queueEvents, or the one of a stream.
type counters [11]uint64

var queueEvents = [len(counters{})]string{
	"pushed", "popped", "acked", "failed", "released", "lease_expired", "dead", "replayed", "deleted", "expired", "dropped",
}

func (c *QueueCounts) list() counters {
	return counters{c.Pushed, c.Popped, c.Acked, c.Failed, c.Released, c.LeaseExpired, c.Dead, c.Replayed, c.Deleted, c.Expired, c.Dropped}
}

func (s *Server) queueMetrics(e *exposition) {
	queues := s.source.Queues()
	var rest Queue
	var base counters
	own, others := s.queueSeries.split(len(queues), func(i int) (string, counters) {
		return queues[i].Name, queues[i].Counts.list()
	}, &base)
	for _, i := range others {
		q := &queues[i]
		rest.Ready, rest.Delayed = rest.Ready+q.Ready, rest.Delayed+q.Delayed
		rest.Inflight, rest.Dead = rest.Inflight+q.Inflight, rest.Dead+q.Dead
		rest.OldestMS = max(rest.OldestMS, q.OldestMS)
	}
	each := func(name, kind, help string, samples func(q *Queue, labels ...string)) {
		e.family(name, kind, help)
		for _, i := range own {
			samples(&queues[i], "queue", queues[i].Name)
		}
		if len(others) > 0 || base != (counters{}) {
			samples(&rest, "others", "true")
		}
	}
	e.single("nexo_queues", "gauge", "Queues.", len(queues))
	e.single("nexo_queues_in_others", "gauge", "Queues without series of their own: their sum is in the series with others=\"true\".",
		len(others))
	each("nexo_queue_jobs", "gauge", "Jobs by state.", func(q *Queue, labels ...string) {
		e.sample("nexo_queue_jobs", q.Ready, append(labels, "state", "ready")...)
		e.sample("nexo_queue_jobs", q.Delayed, append(labels, "state", "delayed")...)
		e.sample("nexo_queue_jobs", q.Inflight, append(labels, "state", "inflight")...)
		e.sample("nexo_queue_jobs", q.Dead, append(labels, "state", "dead")...)
	})
	each("nexo_queue_events_total", "counter", "What has happened to the jobs of a queue since it was made.", func(q *Queue, labels ...string) {
		counts := q.Counts.list()
		if q == &rest {
			counts = base
		}
		for i, event := range queueEvents {
			e.sample("nexo_queue_events_total", counts[i], append(labels, "event", event)...)
		}
	})
	each("nexo_queue_oldest_seconds", "gauge", "Age of the job that would be delivered next, 0 when none; of others the largest.", func(q *Queue, labels ...string) {
		e.sample("nexo_queue_oldest_seconds", float64(q.OldestMS)/1000, labels...)
	})
}

func (s *Server) streamMetrics(e *exposition) {
	streams := s.source.Streams()
	var rest Stream
	var base counters
	own, others := s.streamSeries.split(len(streams), func(i int) (string, counters) {
		return streams[i].Name, counters{streams[i].Appended}
	}, &base)
	for _, i := range others {
		rest.Entries, rest.Bytes, rest.MaxLag = rest.Entries+streams[i].Entries, rest.Bytes+streams[i].Bytes, max(rest.MaxLag, streams[i].MaxLag)
	}
	rest.Appended = base[0]
	e.single("nexo_streams", "gauge", "Streams.", len(streams))
	e.single("nexo_streams_in_others", "gauge", "Streams without series of their own: their sum is in the series with others=\"true\".",
		len(others))
	for _, family := range []struct {
		name, kind, help string
		value            func(*Stream) any
	}{
		{"nexo_stream_entries", "gauge", "Entries kept.", func(t *Stream) any { return t.Entries }},
		{"nexo_stream_bytes", "gauge", "Bytes of the entries kept.", func(t *Stream) any { return t.Bytes }},
		{"nexo_stream_appended_total", "counter", "Entries appended.", func(t *Stream) any { return t.Appended }},
		{"nexo_stream_lag", "gauge", "The lag of the group that is furthest behind.", func(t *Stream) any { return t.MaxLag }},
	} {
		e.family(family.name, family.kind, family.help)
		for _, i := range own {
			e.sample(family.name, family.value(&streams[i]), "stream", streams[i].Name)
		}
		if len(others) > 0 || rest.Appended > 0 {
			e.sample(family.name, family.value(&rest), "others", "true")
		}
	}
	groupMetrics(e, streams, own)
}

// groupMetrics tells of the groups of the streams that have series, as many as there may be series.
func groupMetrics(e *exposition, streams []Stream, own []int) {
	shown, all := [][2]int{}, 0
	for i := range streams {
		all += len(streams[i].Members)
	}
	for _, i := range own {
		for k := range streams[i].Members {
			if len(shown) < seriesMax {
				shown = append(shown, [2]int{i, k})
			}
		}
	}
	e.single("nexo_stream_groups", "gauge", "Groups of all streams.", all)
	e.single("nexo_stream_groups_left_out", "gauge", "Groups without series.", all-len(shown))
	for _, family := range []struct {
		name, help string
		value      func(*Group) any
	}{
		{"nexo_stream_group_lag", "Entries that the group has not been given yet.", func(g *Group) any { return g.Lag }},
		{"nexo_stream_group_pending", "Entries that were delivered and are not acknowledged.", func(g *Group) any { return g.Pending }},
		{"nexo_stream_group_parked", "Entries that the group has given up.", func(g *Group) any { return g.Parked }},
		{"nexo_stream_group_workers", "Consumers with an open connection.", func(g *Group) any { return g.Workers }},
	} {
		e.family(family.name, "gauge", family.help)
		for _, at := range shown {
			g := &streams[at[0]].Members[at[1]]
			e.sample(family.name, family.value(g), "stream", streams[at[0]].Name, "group", g.Name)
		}
	}
}

// seriesMax is how many queues, and how many streams, have series of their own.
const seriesMax = 1000

// series remembers who has series of its own and who is counted with the others, so that nobody moves from one to the other: a
// counter must not go back. What the others' counters had reached when one of them was dropped stays in their sum.
type series struct {
	mu     sync.Mutex
	own    map[string]bool
	others map[string]counters // the counters when they were last read
	gone   counters            // of others that were dropped
}

// split tells which things have series of their own, and which others there are, with the sum of their counters.
func (s *series) split(n int, at func(i int) (name string, now counters), sum *counters) (own, others []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	present := make(map[string]bool, n)
	for i := range n {
		name, _ := at(i)
		present[name] = true
	}
	maps.DeleteFunc(s.own, func(name string, _ bool) bool { return !present[name] })
	maps.DeleteFunc(s.others, func(name string, last counters) bool {
		if !present[name] {
			addCounters(&s.gone, last)
		}
		return !present[name]
	})
	if s.own == nil {
		s.own, s.others = map[string]bool{}, map[string]counters{}
	}
	*sum = s.gone
	for i := range n {
		name, now := at(i)
		last, isOther := s.others[name]
		if !isOther && (s.own[name] || len(s.own) < seriesMax) {
			s.own[name] = true
			own = append(own, i)
			continue
		}
		if now[0] < last[0] { // dropped and made anew between two scrapes
			addCounters(&s.gone, last)
			addCounters(sum, last)
		}
		s.others[name] = now
		addCounters(sum, now)
		others = append(others, i)
	}
	return own, others
}

func addCounters(sum *counters, more counters) {
	for i := range sum {
		sum[i] += more[i]
	}
}

// exposition writes the text format.
type exposition struct{ text *bytes.Buffer }

func (e *exposition) family(name, kind, help string) {
	fmt.Fprintf(e.text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func (e *exposition) single(name, kind, help string, value any) {
	e.family(name, kind, help)
	e.sample(name, value)
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// labelText is a name as the format can hold it: in UTF-8. Other bytes are told by their numbers, so that two names stay two series.
func labelText(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	var text strings.Builder
	for len(name) > 0 {
		r, size := utf8.DecodeRuneInString(name)
		if r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&text, `\x%02x`, name[0])
		} else {
			text.WriteString(name[:size])
		}
		name = name[size:]
	}
	return text.String()
}

// sample writes one line; labels are names and values in turn.
func (e *exposition) sample(name string, value any, labels ...string) {
	e.text.WriteString(name)
	for i := 0; i+1 < len(labels); i += 2 {
		mark := ","
		if i == 0 {
			mark = "{"
		}
		fmt.Fprintf(e.text, `%s%s="%s"`, mark, labels[i], labelEscapes.Replace(labelText(labels[i+1])))
	}
	if len(labels) > 0 {
		e.text.WriteByte('}')
	}
	fmt.Fprintf(e.text, " %v\n", value)
}
