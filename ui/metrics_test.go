package ui

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// scrape returns the sum of the samples of a family that hold a label, and how many there are.
func (ts *testServer) scrape(family, label string) (sum float64, samples int) {
	ts.t.Helper()
	_, _, body := ts.request("GET", "/metrics", "")
	for line := range strings.Lines(body) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if base, labels, _ := strings.Cut(name, "{"); base != family || !strings.Contains(labels, label) {
			continue
		}
		var v float64
		if _, err := fmt.Sscan(value, &v); err != nil {
			ts.t.Fatalf("%q: %v", line, err)
		}
		sum += v
		samples++
	}
	return sum, samples
}

func TestMetricsOfManyQueues(t *testing.T) {
	ts := newTestServer(t, Options{})
	add := func(name string, n int) {
		ts.source.locked(func() {
			ts.source.queues = append(ts.source.queues, Queue{Name: name, Ready: n, Dead: 1, OldestMS: int64(n) * 1000, Counts: QueueCounts{Pushed: uint64(n), Acked: 2, Dropped: 5}})
		})
	}
	drop := func(name string) {
		ts.source.locked(func() {
			ts.source.queues = slices.DeleteFunc(ts.source.queues, func(q Queue) bool { return q.Name == name })
		})
	}
	expect := func(what, family, label string, sum float64, samples int) {
		t.Helper()
		if gotSum, got := ts.scrape(family, label); gotSum != sum || got != samples {
			t.Errorf("%s: %s{%s} is %v in %d samples, want %v in %d", what, family, label, gotSum, got, sum, samples)
		}
	}
	for i := range 3 {
		add(fmt.Sprintf("m%04d", i), 10)
	}
	expect("three", "nexo_queue_jobs", `state="ready"`, 30, 3)
	expect("three", "nexo_queue_jobs", `others`, 0, 0)
	for i := range 1205 - 3 {
		add(fmt.Sprintf("n%04d", i), 10)
	}
	expect("many", "nexo_queues", "", 1205, 1)
	expect("many", "nexo_queues_in_others", "", 205, 1)
	expect("many", "nexo_queue_jobs", `state="ready"`, 12050, 1001)
	expect("many", "nexo_queue_jobs", `others="true",state="ready"`, 2050, 1)
	expect("many", "nexo_queue_jobs", `state="dead"`, 1205, 1001)
	expect("many", "nexo_queue_events_total", `event="pushed"`, 12050, 1001)
	expect("many", "nexo_queue_events_total", `event="acked"`, 2410, 1001)
	expect("many", "nexo_queue_events_total", `event="dropped"`, 6025, 1001)
	expect("many", "nexo_queue_oldest_seconds", `others="true"`, 10, 1)

	drop("m0001") // its place is for a queue that comes, not for one that is counted already
	expect("one dropped", "nexo_queue_events_total", `others="true",event="pushed"`, 2050, 1)
	expect("one dropped", "nexo_queue_jobs", `state="ready"`, 12040, 1000)
	add("anew", 7)
	expect("anew", "nexo_queue_jobs", `queue="anew",state="ready"`, 7, 1)
	drop("n1201") // one of the others: their counter does not go back
	expect("one of the others dropped", "nexo_queue_events_total", `others="true",event="pushed"`, 2050, 1)
	expect("one of the others dropped", "nexo_queue_jobs", `others="true",state="ready"`, 2040, 1)
	drop("n1200")
	add("n1200", 1)
	expect("one made anew", "nexo_queue_events_total", `others="true",event="pushed"`, 2051, 1)
	for i := range 1205 {
		drop(fmt.Sprintf("n%04d", i))
	}
	expect("few again", "nexo_queue_jobs", `others="true",state="ready"`, 0, 1)
	expect("few again", "nexo_queue_events_total", `others="true",event="pushed"`, 2051, 1)
	expect("few again", "nexo_queue_jobs", `state="ready"`, 27, 4)

	ts.source.locked(func() {
		for i := range 1010 {
			ts.source.streams = append(ts.source.streams, Stream{Name: fmt.Sprint(i), Entries: 3, Bytes: 5, Appended: 4, MaxLag: uint64(i)})
		}
	})
	expect("streams", "nexo_streams_in_others", "", 10, 1)
	expect("streams", "nexo_stream_entries", "", 3030, 1001)
	expect("streams", "nexo_stream_appended_total", "others", 40, 1)
	expect("streams", "nexo_stream_lag", "others", 1009, 1)
	ts.source.locked(func() {
		for i := range 4 {
			for k := range 300 {
				ts.source.streams[i].Members = append(ts.source.streams[i].Members, Group{Name: fmt.Sprint("g", k), Lag: 2, Pending: 1, Parked: 3, Workers: 4})
			}
		}
	})
	expect("groups", "nexo_stream_groups", "", 1200, 1)
	expect("groups", "nexo_stream_groups_left_out", "", 200, 1)
	expect("groups", "nexo_stream_group_lag", `stream="0",group="g7"`, 2, 1)
	expect("groups", "nexo_stream_group_workers", "", 4000, 1000)
}

// Two names that differ in a byte that is not UTF-8 are two series: the same one twice spoils the answer for what collects it.
func TestMetricsOfNamesThatAreNotUTF8(t *testing.T) {
	ts := newTestServer(t, Options{})
	ts.source.locked(func() {
		for i, name := range []string{"a\xff", "a\xfe", `a"b\c`, "ä\ufffd"} {
			ts.source.queues = append(ts.source.queues, Queue{Name: name, Ready: i + 1})
		}
	})
	for i, label := range []string{`queue="a\\xff",`, `queue="a\\xfe",`, `queue="a\"b\\c",`, "queue=\"ä\ufffd\","} {
		if sum, samples := ts.scrape("nexo_queue_jobs", label+`state="ready"`); sum != float64(i+1) || samples != 1 {
			t.Errorf("%s is %v in %d samples, want %d in 1", label, sum, samples, i+1)
		}
	}
}
