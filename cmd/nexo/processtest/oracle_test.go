package processtest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
)

// payloadOf makes the one payload that a producer sends under a number: its size and bytes follow from the two, so a
// reader can tell a damaged payload from a good one without keeping it. Sizes run from 16 B to 1 MiB, small ones far
// more often.
func payloadOf(producer string, number int) string {
	head := fmt.Sprintf("%s#%d:", producer, number)
	random := rand.New(rand.NewPCG(hash(head), 1))
	size := 16 << random.IntN(6) // 16 to 512 B
	switch dice := random.IntN(1000); {
	case dice == 0:
		size = 1 << 20
	case dice < 10:
		size = 64 << 10
	case dice < 60:
		size = 4 << 10
	}
	size += random.IntN(16)
	if size <= len(head) {
		return head
	}
	fill := make([]byte, 0, size+8)
	fill = append(fill, head...)
	for len(fill) < size {
		fill = binary.LittleEndian.AppendUint64(fill, random.Uint64())
	}
	return string(fill[:size])
}

func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// keyOf is the head of a payload, after checking that every byte is what its producer sent.
func keyOf(payload string) (producer string, number int, err error) {
	head, _, found := strings.Cut(payload[:min(len(payload), 64)], ":")
	if found {
		name, digits, _ := strings.Cut(head, "#")
		if _, err := fmt.Sscanf(digits, "%d", &number); err == nil && payloadOf(name, number) == payload {
			return name, number, nil
		}
	}
	return "", 0, fmt.Errorf("a payload of %d bytes that nobody sent: %.60q", len(payload), payload)
}

// oracle keeps what the clients attempted, what the server acknowledged and what was seen, over all the lives of a server.
type oracle struct {
	mu       sync.Mutex
	problems []string

	attempted map[string]int    // producer -> highest number sent
	pushed    map[string]uint64 // payload head -> job id acknowledged
	appended  map[string]uint64 // payload head -> offset acknowledged

	jobs      map[uint64]string // id -> payload head, from pushes and pops
	handles   map[string]bool   // every handle ever given out
	ackTried  map[uint64]bool
	ackDone   map[uint64]uint64 // job id -> the delivery that was acknowledged
	entries   map[uint64]string // offset -> payload head, from appends and reads
	entryHash map[uint64]uint64 // offset -> hash of the payload seen
	lastID    map[string]uint64 // producer -> highest job id acknowledged
	lastAt    map[string]uint64 // producer -> highest offset acknowledged
}

func newOracle() *oracle {
	return &oracle{
		attempted: map[string]int{}, pushed: map[string]uint64{}, appended: map[string]uint64{},
		jobs: map[uint64]string{}, handles: map[string]bool{}, ackTried: map[uint64]bool{}, ackDone: map[uint64]uint64{},
		entries: map[uint64]string{}, entryHash: map[uint64]uint64{}, lastID: map[string]uint64{}, lastAt: map[string]uint64{},
	}
}

func (o *oracle) problemLocked(format string, args ...any) {
	if len(o.problems) < 20 {
		o.problems = append(o.problems, fmt.Sprintf(format, args...))
	}
}

func headOf(producer string, number int) string { return fmt.Sprintf("%s#%d", producer, number) }

// next is the number of the producer's next payload, noted as attempted.
func (o *oracle) next(producer string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.attempted[producer]++
	return o.attempted[producer]
}

func (o *oracle) pushAcked(producer string, number int, id uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	head := headOf(producer, number)
	o.pushed[head] = id
	o.nameJobLocked(id, head)
	if id <= o.lastID[producer] {
		o.problemLocked("push %s got id %d after %d", head, id, o.lastID[producer])
	}
	o.lastID[producer] = id
}

func (o *oracle) nameJobLocked(id uint64, head string) {
	if other, ok := o.jobs[id]; ok && other != head {
		o.problemLocked("id %d stands for %s and for %s", id, other, head)
	}
	o.jobs[id] = head
}

func (o *oracle) appendAcked(producer string, number int, offset uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	head := headOf(producer, number)
	o.appended[head] = offset
	o.nameEntryLocked(offset, head)
	if offset <= o.lastAt[producer] {
		o.problemLocked("append %s got offset %d after %d", head, offset, o.lastAt[producer])
	}
	o.lastAt[producer] = offset
}

func (o *oracle) nameEntryLocked(offset uint64, head string) {
	if other, ok := o.entries[offset]; ok && other != head {
		o.problemLocked("offset %d stands for %s and for %s", offset, other, head)
	}
	o.entries[offset] = head
}

// jobSeen checks a delivery and returns whether its acknowledgement may be sent.
func (o *oracle) jobSeen(handle, payload string) (id uint64) {
	producer, number, err := keyOf(payload)
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		o.problemLocked("job %s: %v", handle, err)
		return 0
	}
	var delivery uint64
	if _, err := fmt.Sscanf(handle, "%d-%d", &id, &delivery); err != nil {
		o.problemLocked("handle %q: %v", handle, err)
		return 0
	}
	if o.handles[handle] {
		o.problemLocked("handle %s given out twice", handle)
	}
	o.handles[handle] = true
	// A client may look at an older delivery late: its lease ended while it was busy with other jobs.
	if done, acked := o.ackDone[id]; acked && delivery > done {
		o.problemLocked("job %d came back as %s after the acknowledged ack of delivery %d", id, handle, done)
	}
	if number > o.attempted[producer] {
		o.problemLocked("job %s holds %s, which nobody pushed", handle, headOf(producer, number))
	}
	o.nameJobLocked(id, headOf(producer, number))
	return id
}

func (o *oracle) ackAttempted(id uint64) {
	o.mu.Lock()
	o.ackTried[id] = true
	o.mu.Unlock()
}

func (o *oracle) acked(id uint64, handle string) {
	var delivery uint64
	fmt.Sscanf(handle, "%d-%d", &id, &delivery)
	o.mu.Lock()
	o.ackDone[id] = delivery
	o.mu.Unlock()
}

// entrySeen checks one entry read from the stream.
func (o *oracle) entrySeen(offset uint64, payload string) {
	sum := hash(payload)
	o.mu.Lock()
	known, ok := o.entryHash[offset]
	o.mu.Unlock()
	if ok {
		if known != sum {
			o.mu.Lock()
			o.problemLocked("offset %d was seen with another payload before", offset)
			o.mu.Unlock()
		}
		return
	}
	producer, number, err := keyOf(payload)
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		o.problemLocked("entry %d: %v", offset, err)
		return
	}
	if number > o.attempted[producer] {
		o.problemLocked("entry %d holds %s, which nobody appended", offset, headOf(producer, number))
	}
	o.entryHash[offset] = sum
	o.nameEntryLocked(offset, headOf(producer, number))
}

// checkStream compares the whole recovered stream, given as heads in offset order from 1, with what was promised.
func (o *oracle) checkStream(recovered []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at := map[string]uint64{}
	last := map[string]int{}
	for i, head := range recovered {
		offset := uint64(i + 1)
		if first, twice := at[head]; twice {
			o.problemLocked("%s stands at offset %d and at %d", head, first, offset)
		}
		at[head] = offset
		producer, digits, _ := strings.Cut(head, "#")
		var number int
		fmt.Sscanf(digits, "%d", &number)
		if number <= last[producer] {
			o.problemLocked("offset %d: %s comes after number %d of the same producer", offset, head, last[producer])
		}
		last[producer] = number
	}
	for head, offset := range o.appended {
		if at[head] != offset {
			o.problemLocked("append %s was acknowledged at offset %d and is at %d (0: lost)", head, offset, at[head])
		}
	}
	for offset, head := range o.entries {
		if at[head] != offset {
			o.problemLocked("entry %s was seen at offset %d and is at %d (0: lost)", head, offset, at[head])
		}
	}
}

// checkQueue compares the jobs still in the queue with what was promised: every acknowledged push that nobody tried to
// acknowledge is there.
func (o *oracle) checkQueue(remaining map[uint64]bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for head, id := range o.pushed {
		if !o.ackTried[id] && !remaining[id] {
			o.problemLocked("push %s was acknowledged as job %d and is lost", head, id)
		}
	}
	for id := range remaining {
		if _, acked := o.ackDone[id]; acked {
			o.problemLocked("job %d is there after its acknowledged ack", id)
		}
	}
}
