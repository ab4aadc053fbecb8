package resp

// Wake says why Block returned.
type Wake uint8

const (
	Woken              Wake = iota // the channel fired
	TimedOut                       // the time given ran out
	Gone                           // the client left (FIN, RST) or was killed: nothing can be answered
	Unblocked                      // Unblock was called (CLIENT UNBLOCK)
	UnblockedWithError             // Unblock(true) was called (CLIENT UNBLOCK id ERROR)
	Draining                       // the server is stopping
)
