package processtest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

const (
	jobLimit   = 3                      // MAXATTEMPTS
	jobBackoff = 100 * time.Millisecond // BACKOFF FIXED, without JITTER
)

// queueOwner works on two queues: dead letters of the first may be taken into the second.
type queueOwner struct {
	*findings
	random *rand.Rand
	queues [2]string
	made   [2]bool
	number int // of the last payload

	jobs    map[uint64]*ownedJob // all that may be there
	gone    map[uint64]string    // what has ended for good, and how
	handles map[string]bool      // given out, over all lives
	keys    map[string]uint64    // dedup keys of the first queue, and the job of each; 0 is not known

	// What the command that is under way, or was when the server died, may have done.
	pushing  []*ownedJob // their ids are not known
	popping  *popAttempt
	dropping [2]map[uint64]jobStates // all jobs of a queue with their states before
	diedAt   time.Time
	onDisk   bool // a part of the first queue, when it was looked at
}

type popAttempt struct {
	queue        int
	sent         time.Time
	lease        time.Duration
	bound        bool
	mustBeSooner []*ownedJob // ready for certain, in the order of delivery
}

func newQueueOwner(name string, random *rand.Rand, found *findings) *queueOwner {
	return &queueOwner{findings: found, random: random, queues: [2]string{name, name + "-second"}, jobs: map[uint64]*ownedJob{},
		gone: map[uint64]string{}, handles: map[string]bool{}, keys: map[string]uint64{}}
}

func (q *queueOwner) create(c *client, queue int) error {
	_, err := q.ask(c, "QCREATE", q.queues[queue], "LEASE", "30s", "MAXATTEMPTS", jobLimit, "BACKOFF", "FIXED", jobBackoff.Milliseconds(),
		"JITTER", 0, "DEDUPWINDOW", "1h")
	q.made[queue] = q.made[queue] || err == nil
	return err
}

// in are the jobs of a queue that may be in one of the states, moved on to a time, in the order of delivery.
func (q *queueOwner) in(queue int, states jobStates, now time.Time) (list []*ownedJob) {
	for _, j := range q.jobs {
		j.advance(now)
		if j.queue == queue && j.may(states) {
			list = append(list, j)
		}
	}
	slices.SortFunc(list, deliveryOrder)
	return list
}

func deliveryOrder(a, b *ownedJob) int {
	return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.id, b.id))
}

// some picks up to n of a list, without repeats.
func some[T any](random *rand.Rand, list []T, n int) []T {
	list = slices.Clone(list)
	random.Shuffle(len(list), func(i, k int) { list[i], list[k] = list[k], list[i] })
	return list[:min(n, len(list))]
}

func (q *queueOwner) work(c *client) error {
	waiting := len(q.jobs)
	switch dice := q.random.IntN(1000); {
	case dice < 40 && waiting < 3000:
		return q.pushMany(c)
	case dice < 150:
		return q.push(c)
	case dice < 200:
		return q.pushKeyed(c, fmt.Sprintf("key-%d", q.random.IntN(60)))
	case dice < 500:
		return q.pop(c)
	case dice < 700:
		return q.ack(c)
	case dice < 800:
		return q.nack(c)
	case dice < 830:
		return q.extend(c)
	case dice < 900:
		return q.del(c)
	case dice < 960:
		return q.replay(c)
	case dice < 963:
		return q.replayAll(c)
	case dice < 968:
		return q.replayInto(c)
	case dice < 974 || waiting > 4000:
		return q.purge(c)
	case dice < 976:
		return q.drop(c)
	default:
		return q.staleAck(c)
	}
}

func (q *queueOwner) newJob(queue int) (*ownedJob, string) {
	q.number++
	producer := q.queues[0]
	return &ownedJob{queue: queue, head: headOf(producer, q.number), limit: jobLimit, states: jobReady}, payloadOf(producer, q.number)
}

// push is of one job, with whatever options.
func (q *queueOwner) push(c *client) error {
	j, payload := q.newJob(q.random.IntN(2))
	words := []any{"QPUSH", q.queues[j.queue], payload, "NOMKQ"}
	if q.random.IntN(2) == 0 {
		j.priority = int64(q.random.IntN(4) * 80)
		words = append(words, "PRIORITY", j.priority)
	}
	if q.random.IntN(5) == 0 {
		j.limit = 1
		words = append(words, "MAXATTEMPTS", 1)
	}
	delay, ttl := time.Duration(0), time.Duration(0)
	sent := time.Now()
	switch q.random.IntN(6) {
	case 0, 1, 2:
		delay = time.Duration(30+q.random.IntN(2500)) * time.Millisecond
		words, j.states, j.due = append(words, "DELAY", delay.Milliseconds()), jobDelayed, within(sent, sent, delay)
	case 3:
		date := sent.Add(time.Duration(200+q.random.IntN(2000)) * time.Millisecond).UnixMilli()
		words, j.states, j.due = append(words, "AT", date), jobDelayed, at(date)
	case 4:
		ttl = time.Duration(300+q.random.IntN(3000)) * time.Millisecond
		words, j.expiry = append(words, "TTL", ttl.Milliseconds()), within(sent, sent, ttl)
	}
	q.pushing = []*ownedJob{j}
	reply, err := q.ask(c, words...)
	if err != nil {
		return err
	}
	if answered := time.Now(); delay > 0 {
		j.due.to = answered.Add(delay)
	} else if ttl > 0 {
		j.expiry.to = answered.Add(ttl)
	}
	return q.pushed(reply)
}

// pushMany is of many jobs in one record: all or none.
func (q *queueOwner) pushMany(c *client) error {
	n, queue := 20+q.random.IntN(180), q.random.IntN(2)
	words := []any{"QMPUSH", q.queues[queue], n}
	q.pushing = nil
	for range n {
		j, payload := q.newJob(queue)
		q.pushing, words = append(q.pushing, j), append(words, payload)
	}
	priority := int64(q.random.IntN(3) * 80)
	words = append(words, "NOMKQ", "PRIORITY", priority)
	delay, sent := time.Duration(0), time.Now()
	if q.random.IntN(3) == 0 {
		delay = time.Duration(100+q.random.IntN(5000)) * time.Millisecond
		words = append(words, "DELAY", delay.Milliseconds())
	}
	for _, j := range q.pushing {
		if j.priority = priority; delay > 0 {
			j.states, j.due = jobDelayed, within(sent, sent, delay)
		}
	}
	reply, err := q.ask(c, words...)
	if err != nil {
		return err
	}
	for _, j := range q.pushing {
		if delay > 0 {
			j.due.to = time.Now().Add(delay)
		}
	}
	return q.pushed(reply.([]any)...)
}

// pushed gives the jobs that were pushed their ids.
func (q *queueOwner) pushed(ids ...any) error {
	if len(ids) != len(q.pushing) {
		q.problem("%d ids for %d jobs", len(ids), len(q.pushing))
		return errRefuted
	}
	for i, word := range ids {
		id, err := strconv.ParseUint(fmt.Sprint(word), 10, 64)
		if err != nil || q.jobs[id] != nil || q.gone[id] != "" {
			q.problem("push of %s got id %v, which is taken (%v)", q.pushing[i].head, word, err)
			return errRefuted
		}
		q.pushing[i].id = id
		q.jobs[id] = q.pushing[i]
	}
	q.pushing = nil
	return nil
}

// errRefuted ends the work of an owner that has found a problem.
var errRefuted = fmt.Errorf("what is there is not what must be")

// pushKeyed pushes with a key that may be in its window already, whatever became of its job but for those that were thrown away.
func (q *queueOwner) pushKeyed(c *client, key string) error {
	j, payload := q.newJob(0)
	j.key = key
	first, known := q.keys[key]
	q.pushing = []*ownedJob{j}
	reply, err := q.ask(c, "QPUSH", q.queues[0], payload, "NOMKQ", "DEDUP", key)
	if err != nil {
		return err
	}
	pair := reply.([]any)
	id, _ := strconv.ParseUint(pair[0].(string), 10, 64)
	if isNew := pair[1] == int64(1); isNew {
		if known && first != 0 {
			q.problem("key %s of job %d was forgotten: its duplicate became job %d", key, first, id)
			return errRefuted
		}
		q.keys[key] = id
		return q.pushed(pair[0])
	}
	q.pushing = nil
	q.count("duplicates answered", 1)
	if !known || first != 0 && id != first {
		q.problem("a push with key %s was told to be a duplicate of %d, not of %d", key, id, first)
		return errRefuted
	}
	if _, ended := q.gone[id]; !ended && q.jobs[id] == nil {
		q.problem("key %s names job %d, which nobody pushed", key, id)
		return errRefuted
	}
	q.keys[key] = id
	return nil
}

// pop leases jobs: the first that are ready, in order.
func (q *queueOwner) pop(c *client) error {
	lease := []time.Duration{200 * time.Millisecond, 2 * time.Second, 30 * time.Second}[q.random.IntN(3)]
	_, err := q.take(c, q.random.IntN(2), 1+q.random.IntN(20), lease, q.random.IntN(8) == 0)
	return err
}

func (q *queueOwner) take(c *client, queue, count int, lease time.Duration, bound bool) (n int, err error) {
	p := &popAttempt{queue: queue, lease: lease, bound: bound, sent: time.Now()}
	words := []any{"QPOP", q.queues[queue], "COUNT", count, "LEASE", lease.Milliseconds()}
	if p.bound {
		words = append(words, "BIND")
	}
	for _, j := range q.in(p.queue, jobReady, p.sent) {
		if j.is(jobReady) && !j.expiry.may(p.sent.Add(late)) {
			p.mustBeSooner = append(p.mustBeSooner, j)
		}
	}
	q.popping = p
	reply, err := q.ask(c, words...)
	if err != nil {
		return 0, err
	}
	q.popping = nil
	jobs, _ := reply.([]any)
	return len(jobs), q.popped(p, jobs, count, time.Now())
}

func (q *queueOwner) popped(p *popAttempt, jobs []any, count int, answered time.Time) error {
	var last *ownedJob
	taken := map[uint64]bool{}
	for _, item := range jobs {
		j, err := q.delivered(p, item.([]any), answered)
		if err != nil {
			return err
		}
		if last != nil && deliveryOrder(last, j) >= 0 {
			q.problem("job %d of priority %d was delivered behind %d of %d", j.id, j.priority, last.id, last.priority)
			return errRefuted
		}
		taken[j.id], last = true, j
	}
	for _, j := range p.mustBeSooner {
		if !taken[j.id] && (len(jobs) < count || deliveryOrder(j, last) < 0) {
			q.problem("job %d of priority %d was ready and passed over in %s: %d of %d jobs came", j.id, j.priority, q.queues[p.queue],
				len(jobs), count)
			return errRefuted
		}
	}
	return nil
}

// delivered checks one job of a delivery.
func (q *queueOwner) delivered(p *popAttempt, item []any, answered time.Time) (*ownedJob, error) {
	handle, payload, attempt := item[0].(string), item[1].(string), item[2].(int64)
	id, delivery := uint64(0), int64(0)
	_, _ = fmt.Sscanf(handle, "%d-%d", &id, &delivery)
	j := q.jobs[id]
	if j == nil {
		q.problem("job %s was delivered: %s", handle, cmp.Or(q.gone[id], "nobody pushed it"))
		return nil, errRefuted
	}
	j.advance(answered)
	producer, number, err := keyOf(payload)
	switch {
	case err != nil || headOf(producer, number) != j.head:
		q.problem("job %s was delivered with %.60q (%v), not %s", handle, payload, err, j.head)
	case !j.may(jobReady) || j.queue != p.queue:
		q.problem("job %s was delivered from %s, while it is %v in %s", handle, q.queues[p.queue], j.states, q.queues[j.queue])
	case !j.expiry.from.IsZero() && p.sent.After(j.expiry.to.Add(early)):
		q.problem("job %s was delivered %v after its TTL", handle, p.sent.Sub(j.expiry.to))
	case q.handles[handle]:
		q.problem("handle %s was given out twice", handle)
	case attempt < j.from+1 || attempt > j.to+1:
		q.problem("job %s was delivered as attempt %d, with %d to %d before", handle, attempt, j.from, j.to)
	default:
		q.handles[handle] = true
		j.states, j.lease, j.bound, j.leased = jobLeased, within(p.sent, answered, p.lease), p.bound, true
		j.handle, j.delivery, j.from, j.to = handle, delivery, attempt, attempt
		return j, nil
	}
	return nil, errRefuted
}
