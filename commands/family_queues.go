package commands

import "github.com/nexobroker/nexo/brokers/queue"

// Queues is the family of commands on queues.
type Queues struct {
	broker *queue.Broker // nil until Serve
	family *Family
}

// NewQueues is the family without its broker.
func NewQueues() *Queues {
	f := &Queues{}
	f.family = &Family{
		Specs: f.queueSpecs(), Closed: f.closed, Shown: shownQueueState,
		Sections: []Section{{Name: "memory", Write: f.infoMemory, NeedsBrokers: true}},
	}
	return f
}

// Serve gives it the broker, before the first command runs that needs it.
func (f *Queues) Serve(broker *queue.Broker) { f.broker = broker }

// Family is what the server is made of.
func (f *Queues) Family() *Family { return f.family }

func (f *Queues) infoMemory(line Line) {
	jobs := f.broker.Memory()
	line("used_memory_queue:%d", jobs.RAM)
	line("queue_ready_memory:%d", jobs.Ready)
	line("queue_memory:%d", jobs.Budget)
	line("queue_max_memory:%d", jobs.Limit)
	line("queue_cold_bytes:%d", jobs.Cold)
	line("queue_disk_bytes:%d", jobs.OnDisk)
	line("queue_disk_failing:%d", BoolInt(jobs.Blocked))
}
