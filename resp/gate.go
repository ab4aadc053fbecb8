package resp

// gate limits how many connections do work that takes long at a time: Server.gate heavy commands (Options.HeavyMax), Server.ends what is
// taken back from who has left. The others wait parked and in line, instead of ready to run: the run queues stay short and a processor
// stays free, so that what is light is read and answered at once however many clients send what is heavy, or go.
//
// A slot is held while commands or an end run, never while a connection waits for a journal, its socket or a wake-up.
type gate chan struct{}

// Admit says that the command about to run is heavy. It waits for a slot, which is kept until the batch ends or is flushed.
func (c *Conn) Admit() {
	c.Aside()
	c.enter(c.server.gate)
}

// AdmitEnd says that Handler.Closed, which calls it, has much to take back. It waits for the one slot there is, which is kept until Closed
// is over. The line is not that of the heavy commands: thousands that vanish together keep none of these waiting.
func (c *Conn) AdmitEnd() { c.enter(c.server.ends) }

func (c *Conn) enter(g gate) {
	if c.admitted == nil {
		g <- struct{}{}
		c.admitted = g
	}
}

// leave gives the slot back.
func (c *Conn) leave() {
	if c.admitted != nil {
		<-c.admitted
		c.admitted = nil
	}
}
