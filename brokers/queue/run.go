package queue

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"slices"

	"github.com/nexobroker/nexo/brokers"
)

// run is a stretch of ready jobs of one priority, or of jobs of a shelf, that are not in RAM; DESIGN.md says how it comes and goes. What
// it holds never changes.
type run struct {
	number      uint64 // of its file
	first, last uint64 // the lowest id and the highest
	count       int
	cost        int64 // of its jobs, as jobs count
	expires     int64 // the latest TTL end; math.MaxInt64 when a job has none
	soonest     int64 // the first TTL end; math.MaxInt64 when no job has one
	pushedAt    int64 // of the first job; 0 of a shelf's
	size        int64 // bytes of its encoded jobs, with the checksum in front of them
	checksum    uint32
	priority    uint8
	// shift is what the times in the file lack of those of this life: a run of an earlier life holds the steady times of that one.
	shift int64
	// offsets are the ids less first; nil when the run holds every id of its span, as where only one priority is used.
	offsets []uint32
	times   *times // nil for ready jobs

	kept   bool   // the snapshot under way lists it; of the one who makes it
	fetch  *fetch // under way; under the lock of the queue
	failed int64  // when its last fetch failed, 0 never; under the lock of the queue
	gone   bool   // its jobs are back or gone; under the lock of the queue
	listed uint32 // generation of the last snapshot that lists it, 0 none; under the lock of the queue

	// Under spill.mu.
	bytes   []byte // the encoded jobs until they are in the file
	durable bool   // the file is synced, and so is its name
	readers int    // its bucket or shelf, a fetch, a snapshot: when none is left the run is gone
}

// fetch is the return of a run to RAM; done is closed at its end, with err set.
type fetch struct {
	done chan struct{}
	err  error
}

var runTable = crc32.MakeTable(crc32.Castagnoli)

// holds tells whether a job with this id is in the run.
func (r *run) holds(id uint64) bool {
	if id < r.first || id > r.last {
		return false
	}
	if r.offsets == nil {
		return true
	}
	_, found := slices.BinarySearch(r.offsets, uint32(id-r.first))
	return found
}

// ids calls visit with the id of every job.
func (r *run) ids(visit func(id uint64)) {
	for i := range r.count {
		if r.offsets == nil {
			visit(r.first + uint64(i))
		} else {
			visit(r.first + uint64(r.offsets[i]))
		}
	}
}

// runSpan is how far the ids of a run lie apart at most.
const runSpan = math.MaxUint32

// record describes a run, for a snapshot that is made while the wall leads the steady time by drift, and the one that the dates of jobs
// were reckoned with by dateDrift.
func (r *run) record(buf []byte, queue uint64, drift, dateDrift int64) []byte {
	if r.times != nil {
		return r.timedRecord(buf, queue, drift, dateDrift)
	}
	buf = appendUint(header(buf, opRun), queue)
	buf = append(appendUint(buf, r.number), r.priority)
	bodies := uint64(r.cost) - uint64(r.count)*jobOverheadBytes
	for _, n := range []uint64{r.first, r.last, uint64(r.count), bodies, uint64(r.size), uint64(r.checksum)} {
		buf = appendUint(buf, n)
	}
	for _, ms := range []int64{r.shift + drift, later(r.soonest, drift), later(r.expires, drift), r.pushedAt + drift} {
		buf = appendTime(buf, ms)
	}
	if buf = appendFlag(buf, r.offsets != nil); r.offsets == nil {
		return buf
	}
	for i, offset := range r.offsets[1:] {
		buf = appendUint(buf, uint64(offset-r.offsets[i]))
	}
	return buf
}

// later is a time of a run's descriptor, or never, moved.
func later(at, by int64) int64 {
	if at == math.MaxInt64 {
		return at
	}
	return at + by
}

// resume takes a run over whose record gives times of the wall at which made was the wall's time.
func (r *run) resume(b *Broker, made int64) {
	by := b.resume(made, made) - made // 0, or back to where a wait begins again
	r.shift += by
	r.soonest, r.expires, r.pushedAt = later(r.soonest, by), later(r.expires, by), r.pushedAt+by
	if r.times != nil && !r.times.dated {
		r.times.base += by
	}
}

// decodeRunOf reads the descriptor in a record of one of the two kinds.
func decodeRunOf(op byte, d *reader) *run {
	if op == opTimedRun {
		return decodeTimedRun(d)
	}
	return decodeRun(d)
}

func decodeRun(d *reader) *run {
	r := &run{
		number: d.uint(), priority: d.byte(), first: d.uint(), last: d.uint(), count: int(d.uint()), cost: int64(d.uint()),
		size: int64(d.uint()), checksum: uint32(d.uint()), shift: d.time(), soonest: d.time(), expires: d.time(), pushedAt: d.time(),
	}
	gaps := d.flag()
	if d.err != nil || r.first == 0 || r.last < r.first || r.last-r.first > runSpan || r.count < 1 || r.count > runJobs ||
		r.size < 1 || r.cost < 0 || gaps != (r.last-r.first >= uint64(r.count)) {
		d.fail()
		return r
	}
	r.cost += int64(r.count) * jobOverheadBytes
	if !gaps {
		return r
	}
	r.offsets = make([]uint32, r.count)
	for i := range r.offsets[1:] {
		gap := d.uint()
		if gap == 0 || gap > r.last-r.first-uint64(r.offsets[i]) {
			d.fail()
			return r
		}
		r.offsets[i+1] = r.offsets[i] + uint32(gap)
	}
	if uint64(r.offsets[r.count-1]) != r.last-r.first {
		d.fail()
	}
	return r
}

// describe is the descriptor of a run of jobs in id order, which lie no farther apart than runSpan.
func describe(jobs []*job) *run {
	r := &run{
		first: jobs[0].id, last: jobs[len(jobs)-1].id, count: len(jobs), priority: jobs[0].priority,
		pushedAt: jobs[0].pushedAt, soonest: math.MaxInt64,
	}
	for _, j := range jobs {
		r.measure(j)
	}
	if r.last-r.first >= uint64(r.count) {
		r.offsets = make([]uint32, r.count)
		for i, j := range jobs {
			r.offsets[i] = uint32(j.id - r.first)
		}
	}
	return r
}

// measure adds a job to what the descriptor tells of all.
func (r *run) measure(j *job) {
	r.cost += j.cost()
	if j.expiresAt == 0 {
		r.expires = math.MaxInt64
	} else {
		r.soonest = min(r.soonest, j.expiresAt)
	}
	r.expires = max(r.expires, j.expiresAt)
}

// encodeRun makes a run of jobs of a queue that are in a state, while the wall leads the steady time by drift. What the file says of
// these is for a repair.
func encodeRun(jobs []*job, state state, queue uint64, name string, drift int64) *run {
	var r *run
	if state == stateReady {
		r = describe(jobs)
	} else {
		r = describeTimed(jobs, state)
	}
	record := appendTime(appendText(appendUint([]byte{formatVersion}, queue), name), drift)
	bytes := make([]byte, 0, r.cost-int64(r.count)*(jobOverheadBytes-runJobBytes)+runJobBytes)
	bytes = appendText(bytes, record)
	for _, j := range jobs {
		record = encodeJob(record[:0], j, state)
		bytes = appendText(bytes, record)
	}
	r.checksum = crc32.Checksum(bytes, runTable)
	bytes = binary.LittleEndian.AppendUint32(bytes, r.checksum)
	r.bytes, r.size = bytes, int64(len(bytes))
	return r
}

// runJobBytes is about what a job takes in a run, and in a snapshot, besides its body.
const runJobBytes = 40

func (r *run) check(bytes []byte) error {
	content, sum, ok := cutChecksum(bytes)
	if !ok || int64(len(bytes)) != r.size || sum != r.checksum || crc32.Checksum(content, runTable) != sum {
		return brokers.Errorf("IOERR", "jobs that had been moved to disk cannot be read: the file %s%d is damaged", runPrefix, r.number)
	}
	return nil
}

// cutChecksum takes the checksum off the end of a run.
func cutChecksum(bytes []byte) (content []byte, sum uint32, ok bool) {
	n := len(bytes) - 4
	if n < 0 {
		return nil, 0, false
	}
	return bytes[:n], binary.LittleEndian.Uint32(bytes[n:]), true
}

// each calls visit with every encoded job of a run that has been read, in the order of the file, and where it begins.
func (r *run) each(bytes []byte, visit func(at int, encoded []byte) error) error {
	if err := r.check(bytes); err != nil {
		return err
	}
	content, _, _ := cutChecksum(bytes)
	length, n := binary.Uvarint(content)
	for at := n + int(length); at < len(content); {
		length, n := binary.Uvarint(content[at:])
		end := at + n + int(length)
		if err := visit(at+n, content[at+n:end]); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// orphan is a run that nothing describes but its file.
type orphan struct {
	run   *run
	queue uint64
	name  string
	drift int64 // the wall's lead over the steady times of the jobs
}

func readOrphan(number uint64, bytes []byte) (o orphan, err error) {
	content, sum, ok := cutChecksum(bytes)
	if !ok || crc32.Checksum(content, runTable) != sum {
		return o, errDamaged
	}
	d := &reader{body: content}
	header := &reader{body: []byte(d.text())}
	if header.byte() != formatVersion {
		return o, errDamaged
	}
	o.queue, o.name, o.drift = header.uint(), header.text(), header.time()
	var jobs []*job
	low, high := uint64(math.MaxUint64), uint64(0)
	for len(d.body) > 0 && header.err == nil && d.err == nil && len(jobs) <= runJobs {
		encoded := &reader{body: []byte(d.text())}
		j := decodeJob(encoded)
		if encoded.err != nil || len(jobs) > 0 && !follows(jobs[len(jobs)-1], j) {
			return o, errDamaged
		}
		jobs = append(jobs, j)
		low, high = min(low, j.id), max(high, j.id)
	}
	if header.err != nil || d.err != nil || len(d.body) > 0 || len(jobs) == 0 || high-low > runSpan {
		return o, errDamaged
	}
	if first, last := jobs[0], jobs[len(jobs)-1]; first.state == stateReady {
		o.run = describe(jobs)
	} else if last.at-first.at > math.MaxUint32 {
		return o, errDamaged
	} else {
		o.run = describeTimed(jobs, first.state)
	}
	o.run.number, o.run.size, o.run.checksum = number, int64(len(bytes)), sum
	return o, nil
}

// follows tells whether a job can be the next in a run.
func follows(before, j *job) bool {
	if before.state != j.state || before.dated != j.dated {
		return false
	}
	if j.state == stateReady {
		return before.id < j.id && before.priority == j.priority
	}
	return timed{at: before.at, id: before.id}.before(timed{at: j.at, id: j.id})
}

// resumeTimes gives a job of the file its times in this life. One that is due at a date has that time from its place on the shelf.
func (r *run) resumeTimes(j *job) {
	at := j.at
	if j.shift(r.shift); j.dated {
		j.at = at
	}
}

// decode makes the jobs of a run that has been read.
func (r *run) decode(bytes []byte) ([]*job, error) {
	jobs := make([]*job, 0, r.count)
	err := r.each(bytes, func(_ int, encoded []byte) error {
		reader := &reader{body: encoded}
		j := decodeJob(reader)
		r.resumeTimes(j)
		jobs = append(jobs, j)
		return reader.err
	})
	return jobs, err
}

// decodeTogether makes the jobs of a run that has been read for a short time, in which all of them are looked at: they share their
// memory, and so leave the garbage collector a thousandth of the objects. pause is called between some jobs and others.
func (r *run) decodeTogether(bytes []byte, pause func()) ([]*job, error) {
	jobs, places, text := make([]*job, 0, r.count), make([]job, r.count), string(bytes)
	err := r.each(bytes, func(at int, encoded []byte) error {
		if len(jobs)%searchChunk == 0 {
			pause()
		}
		j := &places[len(jobs)]
		reader := &reader{body: encoded, all: text[at : at+len(encoded)]}
		j.decode(reader)
		r.resumeTimes(j)
		jobs = append(jobs, j)
		return reader.err
	})
	return jobs, err
}
