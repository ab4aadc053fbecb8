// Package queues is the commands on queues and their jobs. Specs stand above their handlers.
package queues

import (
	"github.com/nexobroker/nexo/brokers/queue"
	"github.com/nexobroker/nexo/commands"
)

// Queues is the family of commands on queues.
type Family struct {
	broker *queue.Broker // nil until Serve
	family *commands.Family
}

// NewQueues is the family without its broker.
func New() *Family {
	f := &Family{}
	f.family = &commands.Family{
		Specs: f.queueSpecs(), Closed: f.closed, Shown: shownQueueState,
		Sections: []commands.Section{{Name: "memory", Write: f.infoMemory, NeedsBrokers: true}},
	}
	return f
}

// Serve gives it the broker, before the first command runs that needs it.
func (f *Family) Serve(broker *queue.Broker) { f.broker = broker }

// Family is what the server is made of.
func (f *Family) Family() *commands.Family { return f.family }

func (f *Family) infoMemory(line commands.Line) {
	jobs := f.broker.Memory()
	line("used_memory_queue:%d", jobs.RAM)
	line("queue_memory:%d", jobs.Budget)
	line("queue_max_memory:%d", jobs.Limit)
	line("queue_cold_bytes:%d", jobs.Cold)
	line("queue_disk_bytes:%d", jobs.OnDisk)
	line("queue_disk_failing:%d", commands.BoolInt(jobs.Blocked))
}

func (f *Family) queueSpecs() []commands.Spec {
	specs := append(f.jobSpecs(), f.queueAdminSpecs()...)
	return commands.Described(commands.GatedUnlessSaid(specs), "queue", "0.1.0", "queue")
}
