package ui

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
)

// metricQueuesMax is how many queues or streams get series of their own; the sums are always there.
const metricQueuesMax = 1000

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
	e.single("nexo_memory_bytes", "gauge", "Memory of the process.", t.Memory)
	e.single("nexo_disk_bytes", "gauge", "Size of the data directory.", t.Disk)
	e.single("nexo_store_commands_total", "counter", "Commands on the store.", t.StoreCommands)
	e.single("nexo_store_hits_total", "counter", "Reads that found their key.", t.Hits)
	e.single("nexo_store_misses_total", "counter", "Reads that did not.", t.Misses)
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

func (s *Server) queueMetrics(e *exposition) {
	queues := s.source.Queues()
	e.single("nexo_queues", "gauge", "Queues.", len(queues))
	queues = queues[:min(len(queues), metricQueuesMax)]
	e.family("nexo_queue_jobs", "gauge", "Jobs by state.")
	for _, q := range queues {
		e.sample("nexo_queue_jobs", q.Ready, "queue", q.Name, "state", "ready")
		e.sample("nexo_queue_jobs", q.Delayed, "queue", q.Name, "state", "delayed")
		e.sample("nexo_queue_jobs", q.Inflight, "queue", q.Name, "state", "inflight")
		e.sample("nexo_queue_jobs", q.Dead, "queue", q.Name, "state", "dead")
	}
	e.family("nexo_queue_events_total", "counter", "What has happened to the jobs of a queue since it was made.")
	for _, q := range queues {
		e.sample("nexo_queue_events_total", q.Counts.Pushed, "queue", q.Name, "event", "pushed")
		e.sample("nexo_queue_events_total", q.Counts.Popped, "queue", q.Name, "event", "popped")
		e.sample("nexo_queue_events_total", q.Counts.Acked, "queue", q.Name, "event", "acked")
		e.sample("nexo_queue_events_total", q.Counts.Failed, "queue", q.Name, "event", "failed")
	}
	e.family("nexo_queue_oldest_seconds", "gauge", "Age of the job that would be delivered next; 0 when none.")
	for _, q := range queues {
		e.sample("nexo_queue_oldest_seconds", float64(q.OldestMS)/1000, "queue", q.Name)
	}
}

func (s *Server) streamMetrics(e *exposition) {
	streams := s.source.Streams()
	e.single("nexo_streams", "gauge", "Streams.", len(streams))
	streams = streams[:min(len(streams), metricQueuesMax)]
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
		for i := range streams {
			e.sample(family.name, family.value(&streams[i]), "stream", streams[i].Name)
		}
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

// sample writes one line; labels are names and values in turn.
func (e *exposition) sample(name string, value any, labels ...string) {
	e.text.WriteString(name)
	for i := 0; i+1 < len(labels); i += 2 {
		mark := ","
		if i == 0 {
			mark = "{"
		}
		fmt.Fprintf(e.text, `%s%s="%s"`, mark, labels[i], labelEscapes.Replace(strings.ToValidUTF8(labels[i+1], "\uFFFD")))
	}
	if len(labels) > 0 {
		e.text.WriteByte('}')
	}
	fmt.Fprintf(e.text, " %v\n", value)
}
