package ui

import (
	"net/http"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	rowsMax = 500
	// keysBudget is how many keys one search looks at, treeBudget one level of the tree.
	keysBudget = 20_000
	treeBudget = 200_000
	treeRows   = 500
)

// page is a list with its cursor, null at the end.
type page[Row any] struct {
	Rows    []Row   `json:"rows"`
	Next    *string `json:"next"`
	Total   *int    `json:"total,omitempty"`
	Scanned *int    `json:"scanned,omitempty"`
}

func rows[Row any](list []Row) map[string][]Row {
	if list == nil {
		list = []Row{}
	}
	return map[string][]Row{"rows": list}
}

func cursor(next string) *string {
	if next == "" {
		return nil
	}
	return &next
}

// hides refuses what would tell of payloads by what it finds, counts or changes: a text that is searched for can be spelled out letter
// by letter.
func (s *Server) hides(what string) error {
	if !s.options.HidePayloads {
		return nil
	}
	return problem(http.StatusForbidden, "HIDDEN", "this dashboard hides payloads and values, so %s", what)
}

// maySearch lets the reasons of failures be searched in any case: they are shown.
func (s *Server) maySearch(match JobMatch) error {
	if match.Text == "" {
		return nil
	}
	return s.hides("it does not search in them")
}

// shown cuts a payload to what a list or a single row shows.
func (s *Server) shown(p Payload, full bool) Payload {
	switch {
	case s.options.HidePayloads:
		return p.cut(0)
	case full:
		return p
	}
	return p.cut(previewMax)
}

func (s *Server) readRoutes() map[string]read {
	return map[string]read{
		"counts":      s.readCounts,
		"queue":       func(q *query) (any, error) { return s.queueDetail(q.need("name"), q.err) },
		"jobs":        s.readJobs,
		"job":         s.readJob,
		"task":        s.readTask,
		"stream":      func(q *query) (any, error) { return s.streamDetail(q.need("name"), q.err) },
		"entries":     s.readEntries,
		"entry":       s.readEntry,
		"parked":      s.readParked,
		"keys":        s.readKeys,
		"tree":        s.readTree,
		"key":         s.readKey,
		"topics":      s.readTopics,
		"wildcards":   s.readWildcards,
		"subscribers": s.readSubscribers,
		"retained":    s.readRetained,
		"clients":     func(*query) (any, error) { return rows(s.source.Clients()), nil },
		"slowlog":     func(*query) (any, error) { return rows(s.slowCommands()), nil },
		"config":      func(*query) (any, error) { return rows(s.source.Settings()), nil },
		"commands":    func(*query) (any, error) { return rows(s.source.Commands()), nil },
		"info":        s.readInfo,
		"snapshot":    s.readSnapshot,
	}
}

// slowCommands are those of the slow log; of arguments that may be values nothing is told when payloads are hidden.
func (s *Server) slowCommands() []SlowCommand {
	list := s.source.SlowCommands()
	if !s.options.HidePayloads {
		return list
	}
	for i := range list {
		shown := min(len(list[i].Args), list[i].Naming)
		list[i].Args = append([]string{}, list[i].Args[:shown]...)
	}
	return list
}

// readCounts is the present amounts by name, for the page without a build.
func (s *Server) readCounts(*query) (any, error) {
	point := s.feed.now()
	return map[string]int64{
		"clients": point.Clients, "keys": int64(point.Store.Keys), "queues": int64(point.Queue.Queues), "jobs ready": int64(point.Queue.Ready),
		"jobs in flight": int64(point.Queue.Inflight), "dead letters": int64(point.Queue.Dead), "streams": int64(point.Stream.Streams),
		"subscriptions": point.PubSub.Subs, "retained messages": point.PubSub.Retained,
	}, nil
}

func (s *Server) queueDetail(name string, err error) (QueueDetail, error) {
	if err != nil {
		return QueueDetail{}, err
	}
	detail, err := s.source.Queue(name)
	detail.Rates = s.feed.queueRates(name)
	return detail, err
}

func (s *Server) streamDetail(name string, err error) (StreamDetail, error) {
	if err != nil {
		return StreamDetail{}, err
	}
	detail, err := s.source.Stream(name)
	detail.AppendRate = s.feed.appendRate(name)
	if detail.Groups == nil {
		detail.Groups = []Group{}
	}
	return detail, err
}

var jobStates = []string{"ready", "delayed", "inflight", "dead"}

func (q *query) state() string {
	state := q.need("state")
	for _, known := range jobStates {
		if state == known {
			return state
		}
	}
	q.fail("state must be one of %v", jobStates)
	return state
}

// readJobs answers a window of a state by position, or what a search by cursor has found.
func (s *Server) readJobs(q *query) (any, error) {
	name, state, match := q.need("queue"), q.state(), JobMatch{q.text("match"), q.text("reason")}
	offset, count := q.number("offset", 0, 0, 1<<40), q.number("count", 100, 1, rowsMax)
	if q.err != nil {
		return nil, q.err
	}
	if match != (JobMatch{}) {
		if err := s.maySearch(match); err != nil {
			return nil, err
		}
		found, err := s.source.SearchJobs(name, state, q.text("cursor"), count, match)
		return page[Job]{Rows: s.shownJobs(found.Rows), Next: cursor(found.Next), Scanned: &found.Scanned, Total: &found.Total}, err
	}
	jobs, total, err := s.source.Jobs(name, state, offset, count)
	result := page[Job]{Rows: s.shownJobs(jobs), Total: &total}
	if next := offset + len(jobs); len(jobs) > 0 && next < total {
		result.Next = cursor(strconv.Itoa(next))
	}
	return result, err
}

func (s *Server) shownJobs(jobs []Job) []Job {
	for i := range jobs {
		jobs[i].Payload = s.shown(jobs[i].Payload, false)
	}
	return append([]Job{}, jobs...)
}

func (s *Server) readJob(q *query) (any, error) {
	name, id, full := q.need("queue"), q.id("id"), q.text("full") == "1"
	if q.err != nil {
		return nil, q.err
	}
	job, err := s.source.Job(name, id)
	job.Payload = s.shown(job.Payload, full)
	return job, err
}

func (s *Server) readTask(q *query) (any, error) {
	state, found := s.tasks.state(q.need("id"))
	if q.err == nil && !found {
		q.err = NotFound("NOTASK", "there is no task %q, or it has ended long ago", shorten(q.text("id")))
	}
	return state, q.err
}

type entriesPage struct {
	High uint64 `json:"high,string"`
	page[Entry]
}

func (s *Server) readEntries(q *query) (any, error) {
	stream, from, reverse, count := q.need("stream"), q.text("from"), q.text("reverse") == "1", q.number("count", 100, 1, rowsMax)
	if q.err != nil {
		return nil, q.err
	}
	if from == "" {
		from = "first"
	}
	list, high, next, err := s.source.Entries(stream, from, count, reverse)
	if err != nil {
		return nil, err
	}
	result := entriesPage{High: high, page: page[Entry]{Rows: append([]Entry{}, list...)}}
	if next != 0 {
		result.Next = cursor(strconv.FormatUint(next, 10))
	}
	for i := range result.Rows {
		s.showEntry(&result.Rows[i], false)
	}
	return result, nil
}

func (s *Server) showEntry(e *Entry, full bool) {
	if e.Payload = s.shown(e.Payload, full); s.options.HidePayloads {
		e.Fields = nil
	}
}

func (s *Server) readEntry(q *query) (any, error) {
	stream, offset, full := q.need("stream"), q.id("offset"), q.text("full") == "1"
	if q.err != nil {
		return nil, q.err
	}
	list, _, _, err := s.source.Entries(stream, strconv.FormatUint(offset, 10), 1, false)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 || list[0].Offset != offset {
		return nil, NotFound("NOENTRY", "there is no entry %d: it is not written yet, or retention has taken it", offset)
	}
	s.showEntry(&list[0], full)
	return list[0], nil
}

func (s *Server) readParked(q *query) (any, error) {
	stream, group, from := q.need("stream"), q.need("group"), q.text("from")
	if q.err != nil {
		return nil, q.err
	}
	list, next, err := s.source.Parked(stream, group, from, 100)
	if err != nil {
		return nil, err
	}
	result := page[ParkedEntry]{Rows: append([]ParkedEntry{}, list...)}
	if next != 0 {
		result.Next = cursor(strconv.FormatUint(next, 10))
	}
	for i := range result.Rows {
		s.showEntry(&result.Rows[i].Entry, false)
	}
	return result, nil
}

// readKeys is the flat search: keys with a prefix that hold a text, or that a glob matches when the text has a star.
func (s *Server) readKeys(q *query) (any, error) {
	db, prefix, match, count := q.database(), q.text("prefix"), q.text("match"), q.number("count", 200, 1, rowsMax)
	if q.err != nil {
		return nil, q.err
	}
	list, scanned := []KeyRow{}, 0
	next, err := s.source.Keys(q.ctx, db, prefix, q.text("cursor"), keysBudget, func(row KeyRow) bool {
		scanned++
		if contains(row.Key, match) {
			list = append(list, row)
		}
		return len(list) < count
	})
	total := s.source.CountKeys(db)
	return page[KeyRow]{Rows: list, Next: cursor(next), Scanned: &scanned, Total: &total}, err
}

func (q *query) database() int { return q.number("db", 0, 0, 15) }

// contains tells whether the pieces of match between stars follow each other in a text; without a star, whether it is in it.
func contains(text, match string) bool {
	for _, piece := range strings.Split(match, "*") {
		i := strings.Index(text, piece)
		if i < 0 {
			return false
		}
		text = text[i+len(piece):]
	}
	return true
}

type folder struct {
	Name  string `json:"name"`
	Label string `json:"label"`
	Count int    `json:"count"`
}

type tree struct {
	Folders []folder `json:"folders"`
	Keys    []KeyRow `json:"keys"`
	More    bool     `json:"more"`
	Scanned int      `json:"scanned"`
	Total   int      `json:"total"`
}

// readTree is one level of the keys below a prefix. It looks at a bounded number of keys: more tells that counts are too low
// and rows are missing.
func (s *Server) readTree(q *query) (any, error) {
	db, prefix, delimiter := q.database(), q.text("prefix"), q.text("delimiter")
	if delimiter == "" {
		delimiter = ":"
	}
	if q.err != nil {
		return nil, q.err
	}
	level := tree{Keys: []KeyRow{}, Folders: []folder{}}
	counts := map[string]int{}
	next, err := s.source.Keys(q.ctx, db, prefix, "", treeBudget, func(row KeyRow) bool {
		level.Scanned++
		label, _, below := strings.Cut(row.Key[len(prefix):], delimiter)
		if below {
			if _, known := counts[label]; known || len(counts) < treeRows {
				counts[label]++
			} else {
				level.More = true
			}
		} else if len(level.Keys) < treeRows {
			level.Keys = append(level.Keys, row)
		} else {
			level.More = true
		}
		return true
	})
	for label, count := range counts {
		level.Folders = append(level.Folders, folder{prefix + label + delimiter, label, count})
	}
	sort.Slice(level.Folders, func(i, k int) bool { return level.Folders[i].Name < level.Folders[k].Name })
	sort.Slice(level.Keys, func(i, k int) bool { return level.Keys[i].Key < level.Keys[k].Key })
	level.More = level.More || next != ""
	level.Total = s.source.CountKeys(db)
	return level, err
}

type keyDetail struct {
	KeyRow
	Value *Payload `json:"value"`
	// Items is for kinds of values that have parts; the store has none yet.
	Items []struct{} `json:"items"`
	Count int        `json:"count"`
}

func (s *Server) readKey(q *query) (any, error) {
	db, key, full := q.database(), q.given("key"), q.text("full") == "1"
	if q.err != nil {
		return nil, q.err
	}
	row, value, found, err := s.source.Key(db, key)
	if err == nil && !found {
		err = NotFound("NOKEY", "there is no key %q", shorten(key))
	}
	detail := keyDetail{KeyRow: row}
	if row.Type == "string" {
		payload := s.shown(NewPayload(value), full)
		detail.Value = &payload
	}
	return detail, err
}

func (q *query) filter() string {
	if filter := q.text("filter"); filter != "" {
		return filter
	}
	return "#"
}

func (s *Server) readTopics(q *query) (any, error) {
	count := q.number("count", 200, 1, rowsMax)
	if q.err != nil {
		return nil, q.err
	}
	list, more, err := s.source.Topics(q.filter(), q.text("cursor"), count)
	result := page[Topic]{Rows: append([]Topic{}, list...)}
	if more {
		result.Next = &list[len(list)-1].Topic
	}
	return result, err
}

func (s *Server) readWildcards(q *query) (any, error) {
	count := q.number("count", 200, 1, rowsMax)
	if q.err != nil {
		return nil, q.err
	}
	list, more, err := s.source.Wildcards(q.filter(), q.text("cursor"), count)
	result := page[Wildcard]{Rows: append([]Wildcard{}, list...)}
	if more {
		result.Next = &list[len(list)-1].Name
	}
	return result, err
}

func (s *Server) readSubscribers(q *query) (any, error) {
	topic := q.given("topic")
	if q.err != nil {
		return nil, q.err
	}
	list, err := s.source.Subscribers(topic, q.text("exact") == "1")
	return rows(list), err
}

func (s *Server) readRetained(q *query) (any, error) {
	count := q.number("count", 200, 1, rowsMax)
	if q.err != nil {
		return nil, q.err
	}
	list, more, err := s.source.Retained(q.filter(), q.text("cursor"), count)
	result := page[Retained]{Rows: append([]Retained{}, list...)}
	if more {
		result.Next = &list[len(list)-1].Topic
	}
	full := count == 1 && q.text("full") == "1" // one message alone: the filter is its topic
	for i := range result.Rows {
		result.Rows[i].Payload = s.shown(result.Rows[i].Payload, full)
	}
	return result, err
}

type section struct {
	Name string      `json:"name"`
	Rows [][2]string `json:"rows"`
}

// readInfo is INFO, read back into its sections.
func (s *Server) readInfo(q *query) (any, error) {
	reply, err := s.source.Run(q.ctx, 0, "INFO")
	if err != nil {
		return nil, err
	}
	if reply.Kind == Failure {
		return nil, replyProblem(reply.Text())
	}
	sections := []section{}
	for _, line := range strings.Split(reply.Text(), "\r\n") {
		if title, ok := strings.CutPrefix(line, "# "); ok {
			sections = append(sections, section{Name: strings.ToLower(title), Rows: [][2]string{}})
		} else if name, value, ok := strings.Cut(line, ":"); ok && len(sections) > 0 {
			last := &sections[len(sections)-1]
			last.Rows = append(last.Rows, [2]string{name, strings.ToValidUTF8(value, string(utf8.RuneError))})
		}
	}
	return map[string][]section{"sections": sections}, nil
}
