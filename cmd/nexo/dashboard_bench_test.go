package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/nexobroker/nexo/brokers"
	"github.com/nexobroker/nexo/brokers/queue"
)

// The figures that the dashboard is held to. Each benchmark reports what it is about; ns/op means nothing here.
//
//	go test ./cmd/nexo -run '^$' -bench Dashboard -benchtime 1x

func inMemory(o *options) { o.fsync = brokers.Never }

// percentile99 is the time that one in a hundred takes longer than.
func percentile99(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)*99/100]
}

func benchFeed(b *testing.B, l *liveServer) *websocket.Conn {
	conn, _, err := websocket.DefaultDialer.Dial(strings.Replace(l.base, "http", "ws", 1)+"/api/ws?v=1", http.Header{"Origin": {l.base}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	if _, _, err := conn.ReadMessage(); err != nil { // hello
		b.Fatal(err)
	}
	return conn
}

// BenchmarkDashboardWindow asks for windows of 60 of 10,000 queues, sorted and filtered in many ways, while the feed ticks.
func BenchmarkDashboardWindow(b *testing.B) {
	l := startLive(b, inMemory)
	for i := range 10_000 {
		if _, _, err := l.s.source.deps.Queue.Push(fmt.Appendf(nil, "queue-%05d", i), [][]byte{[]byte("job")}, &queue.PushOptions{}, nil); err != nil {
			b.Fatal(err)
		}
	}
	conn := benchFeed(b, l)
	sorts := []string{"name", "-name", "ready", "-ready", "-dead", "-pushRate", "oldestMs"}
	for b.Loop() {
		var times []time.Duration
		for i := range 500 {
			began := time.Now()
			frame := fmt.Sprintf(`{"t":"sub","id":1,"topic":"queues","q":{"sort":%q,"filter":%q,"from":%d,"n":60}}`, sorts[i%len(sorts)], fmt.Sprint(i%10), i*7)
			if err := conn.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
				b.Fatal(err)
			}
			for {
				_, text, err := conn.ReadMessage()
				if err != nil {
					b.Fatal(err)
				}
				if strings.HasPrefix(string(text), `{"t":"snap"`) {
					break
				}
			}
			times = append(times, time.Since(began))
		}
		b.ReportMetric(float64(percentile99(times).Microseconds())/1000, "p99-ms")
	}
}

// BenchmarkDashboardSearch pushes a thousand jobs a second over a connection while a search that finds nothing goes through a
// million jobs, and while nobody searches.
func BenchmarkDashboardSearch(b *testing.B) {
	const jobs = 1_000_000
	l := startLive(b, inMemory)
	var payloads [][]byte
	for i := range jobs {
		if payloads = append(payloads, fmt.Appendf(nil, `{"job":%d,"pad":%q}`, i, strings.Repeat("y", 60))); len(payloads) == queue.MaxBatch {
			if _, _, err := l.s.source.deps.Queue.Push([]byte("big"), payloads, &queue.PushOptions{}, nil); err != nil {
				b.Fatal(err)
			}
			payloads = payloads[:0]
		}
	}
	client, err := (&demo{address: l.s.door.Addr().String()}).dial(context.Background(), "bench")
	if err != nil {
		b.Fatal(err)
	}
	defer client.conn.Close()
	push := func(during func() bool) time.Duration {
		var times []time.Duration
		for len(times) < 2000 || during() {
			time.Sleep(time.Millisecond)
			began := time.Now()
			if _, err := client.do("QPUSH", "big", "another"); err != nil {
				b.Fatal(err)
			}
			times = append(times, time.Since(began))
		}
		return percentile99(times)
	}
	for b.Loop() {
		b.ReportMetric(float64(push(func() bool { return false }).Microseconds())/1000, "alone-p99-ms")
		ended := make(chan time.Duration, 1)
		go func() {
			began := time.Now()
			for offset := 0; offset < jobs; offset += 10_000 { // what is pushed meanwhile is not searched
				l.get(200, "jobs", "queue", "big", "state", "ready", "match", "not there", "cursor", fmt.Sprint(offset))
			}
			ended <- time.Since(began)
		}()
		var took time.Duration
		p99 := push(func() bool {
			select {
			case took = <-ended:
				return false
			default:
				return true
			}
		})
		b.ReportMetric(float64(p99.Microseconds())/1000, "searched-p99-ms")
		b.ReportMetric(took.Seconds(), "search-s")
	}
}

// BenchmarkDashboardTail publishes 50,000 messages a second, and then as fast as one connection does, with and without a tail that
// shows every one, in turns.
func BenchmarkDashboardTail(b *testing.B) {
	l := startLive(b, inMemory)
	client, err := (&demo{address: l.s.door.Addr().String()}).dial(context.Background(), "bench")
	if err != nil {
		b.Fatal(err)
	}
	defer client.conn.Close()
	batch := make([]byte, 0, 1<<16)
	const pipeline = 100
	for i := range pipeline {
		batch = appendCommand(batch, "NPUB", fmt.Sprintf("sensors/%d", i), `{"celsius":21.5}`)
	}
	rate := func(wanted float64) float64 { // 0: as fast as it goes
		began, sent := time.Now(), 0
		for time.Since(began) < time.Second {
			if wanted > 0 {
				time.Sleep(time.Until(began.Add(time.Duration(float64(sent) / wanted * float64(time.Second)))))
			}
			if _, err := client.conn.Write(batch); err != nil {
				b.Fatal(err)
			}
			for range pipeline {
				client.replies.room = repliesMax
				if _, err := client.replies.read(0); err != nil {
					b.Fatal(err)
				}
			}
			sent += pipeline
		}
		return float64(sent) / time.Since(began).Seconds()
	}
	conn := benchFeed(b, l)
	go func() {
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return
			}
		}
	}()
	for _, topic := range []string{"tail:pubsub", "tail:commands"} {
		for name, wanted := range map[string]float64{"50k": 50_000, "full": 0} {
			var ratios, rates []float64
			for range 5 {
				without := rate(wanted)
				if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"t":"sub","id":1,"topic":"`+topic+`","q":{}}`)); err != nil {
					b.Fatal(err)
				}
				with := rate(wanted)
				if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"t":"unsub","id":1}`)); err != nil {
					b.Fatal(err)
				}
				ratios, rates = append(ratios, with/without), append(rates, without)
			}
			slices.Sort(ratios)
			slices.Sort(rates)
			b.ReportMetric(ratios[2], topic[5:]+"-"+name+"-ratio")
			b.ReportMetric(rates[2], topic[5:]+"-"+name+"-msg/s")
		}
	}
}
