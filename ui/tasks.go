package ui

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
)

const (
	tasksAtOnce  = 4
	tasksKept    = 100
	taskStep     = 500 // jobs or keys that one command of a task touches
	taskJobsMax  = 5_000_000
	scanPageRows = 10_000
)

func sortedKeys[Value any](values map[string]Value) []string { return slices.Sorted(maps.Keys(values)) }

// tasks are the changes of many things that go on in the server while the browser asks how far they are.
type tasks struct {
	mu      sync.Mutex
	byID    map[string]*task
	order   []string // oldest first
	running sync.WaitGroup
	closed  bool
}

type task struct {
	cancel context.CancelFunc
	state  taskState
}

type taskState struct {
	ID        string `json:"id"`
	Done      int    `json:"done"`
	Total     int    `json:"total"`
	Finished  bool   `json:"finished"`
	Cancelled bool   `json:"cancelled"`
	Error     string `json:"error"`
}

// start runs work in the background. It reports progress, and ends when its context is cancelled.
func (t *tasks) start(work func(ctx context.Context, progress func(done, total int)) error) (id string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	underWay := 0
	for _, one := range t.byID {
		if !one.state.Finished {
			underWay++
		}
	}
	if t.closed || underWay >= tasksAtOnce {
		return "", problem(http.StatusTooManyRequests, "BUSY", "%d tasks are under way: wait for one, or cancel it", underWay)
	}
	if t.byID == nil {
		t.byID = map[string]*task{}
	}
	id = "t" + token()[:16]
	ctx, cancel := context.WithCancel(context.Background())
	one := &task{cancel: cancel, state: taskState{ID: id}}
	t.byID[id] = one
	t.order = append(t.order, id)
	t.forgetLocked()
	t.running.Go(func() {
		err := work(ctx, func(done, total int) {
			t.mu.Lock()
			defer t.mu.Unlock()
			one.state.Done, one.state.Total = done, total
		})
		t.mu.Lock()
		defer t.mu.Unlock()
		one.state.Finished = true
		if err != nil && ctx.Err() == nil {
			one.state.Error = err.Error()
		}
		one.state.Cancelled = ctx.Err() != nil
		cancel()
	})
	return id, nil
}

// forgetLocked drops the oldest tasks that have ended.
func (t *tasks) forgetLocked() {
	for i := 0; len(t.order) > tasksKept && i < len(t.order); {
		if id := t.order[i]; t.byID[id].state.Finished {
			delete(t.byID, id)
			t.order = slices.Delete(t.order, i, i+1)
		} else {
			i++
		}
	}
}

func (t *tasks) state(id string) (taskState, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	one, found := t.byID[id]
	if !found {
		return taskState{}, false
	}
	return one.state, true
}

// close cancels what runs and waits for it.
func (t *tasks) close() {
	t.mu.Lock()
	t.closed = true
	for _, one := range t.byID {
		one.cancel()
	}
	t.mu.Unlock()
	t.running.Wait()
}

func (s *Server) cancelTask(b *body) (any, error) {
	id := b.need("id")
	if b.err != nil {
		return nil, b.err
	}
	s.tasks.mu.Lock()
	defer s.tasks.mu.Unlock()
	one, found := s.tasks.byID[id]
	if !found {
		return nil, NotFound("NOTASK", "there is no task %q, or it has ended long ago", shorten(id))
	}
	one.cancel()
	return struct{}{}, nil
}

// bulk replays or deletes every job of a state that matches, or counts them first.
func (s *Server) bulk(b *body) (any, error) {
	queue, state, match := b.need("queue"), b.oneOf("state", jobStates...), JobMatch{b.optional("match", ""), b.optional("reason", "")}
	action := b.oneOf("action", "replay", "delete")
	if action == "replay" && state != "dead" {
		b.fail("replay is for dead jobs")
	}
	if b.err != nil {
		return nil, b.err
	}
	if err := s.maySearch(match); err != nil {
		return nil, err
	}
	if isDryRun(b) {
		if match == (JobMatch{}) {
			_, total, err := s.source.Jobs(queue, state, 0, 1)
			return map[string]int{"count": total}, err
		}
		ids, err := s.findJobs(b.ctx, queue, state, match, nil)
		return map[string]int{"count": len(ids)}, err
	}
	if _, _, err := s.source.Jobs(queue, state, 0, 1); err != nil {
		return nil, err
	}
	id, err := s.tasks.start(func(ctx context.Context, progress func(done, total int)) error {
		ids, err := s.findJobs(ctx, queue, state, match, func(found int) { progress(0, found) })
		if err != nil {
			return err
		}
		return s.inSteps(ctx, len(ids), progress, func(ctx context.Context, from, to int) (int64, error) {
			return s.commandCount(ctx, 0, append(actionWords(action, queue), ids[from:to]...))
		})
	})
	return map[string]string{"task": id}, err
}

// findJobs collects the ids before anything changes, so that jobs that come back meanwhile are not touched twice.
func (s *Server) findJobs(ctx context.Context, queue, state string, match JobMatch, found func(int)) (ids []string, err error) {
	for cursor, more := "", true; more; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		page, err := s.source.SearchJobs(queue, state, cursor, scanPageRows, match)
		if err != nil {
			return nil, err
		}
		cursor, more = page.Next, page.Next != ""
		for _, job := range page.Rows {
			ids = append(ids, strconv.FormatUint(job.ID, 10))
		}
		if len(ids) > taskJobsMax {
			return nil, problem(http.StatusBadRequest, "TOOMANY", "more than %d jobs match: narrow the search, or purge the queue", taskJobsMax)
		}
		if found != nil {
			found(len(ids))
		}
	}
	return ids, nil
}

// inSteps does total things, a step at a time, until the end or the context's. act tells how many things it did. A step that has
// begun is let end: one that is cut off would have changed things that nobody counted.
func (s *Server) inSteps(ctx context.Context, total int, progress func(done, total int), act func(ctx context.Context, from, to int) (int64, error)) error {
	done := 0
	for from := 0; from < total; from += taskStep {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := act(context.WithoutCancel(ctx), from, min(from+taskStep, total))
		if err != nil {
			return err
		}
		done += int(n)
		progress(done, total)
	}
	return nil
}

func (s *Server) commandCount(ctx context.Context, db int, line []string) (int64, error) {
	reply, err := s.command(&body{ctx: ctx}, db, line)
	return reply.Int(), err
}

// deletePrefix deletes every key that begins with a prefix, or counts them first. Those that come meanwhile may stay.
func (s *Server) deletePrefix(b *body) (any, error) {
	db, prefix := b.database(), b.need("prefix")
	if b.err != nil {
		return nil, b.err
	}
	if isDryRun(b) {
		keys, err := s.findKeys(b.ctx, db, prefix, nil)
		return map[string]int{"count": len(keys)}, err
	}
	id, err := s.tasks.start(func(ctx context.Context, progress func(done, total int)) error {
		keys, err := s.findKeys(ctx, db, prefix, func(found int) { progress(0, found) })
		if err != nil {
			return err
		}
		return s.inSteps(ctx, len(keys), progress, func(ctx context.Context, from, to int) (int64, error) {
			return s.commandCount(ctx, db, append([]string{"DEL"}, keys[from:to]...))
		})
	})
	return map[string]string{"task": id}, err
}

func (s *Server) findKeys(ctx context.Context, db int, prefix string, found func(int)) (keys []string, err error) {
	for cursor := ""; ; {
		cursor, err = s.source.Keys(ctx, db, prefix, cursor, keysBudget, func(row KeyRow) bool {
			keys = append(keys, row.Key)
			return true
		})
		if err != nil {
			return nil, err
		}
		if len(keys) > taskJobsMax {
			return nil, problem(http.StatusBadRequest, "TOOMANY", "more than %d keys match: narrow the prefix", taskJobsMax)
		}
		if found != nil {
			found(len(keys))
		}
		if cursor == "" {
			return keys, nil
		}
	}
}
