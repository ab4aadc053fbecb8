// Package resp is the RESP door: it listens, frames commands, hands them to a Handler and writes the replies. It knows
// bytes and connections and nothing of what a command means.
//
//	socket -> framer -> Handler.Command -> Writer -> barrier -> socket        one goroutine per connection
//	other goroutines -> Push -> outbox -> writer goroutine -> socket          once a connection has had its first Push
//
// Invariants
//   - A batch is the complete commands of one read. Its replies leave together, in order, after Handler.Flush and after
//     every journal that they await; 64 KiB of replies end a batch early.
//   - A reply batch and a pushed message never interleave: either the connection's goroutine is the only writer, or all
//     output goes through the outbox in the order in which it was appended.
//   - Each byte that comes in is looked at once (a header line of at most 32 bytes may be looked at again), and memory for
//     an announced size is taken only as its bytes come.
//   - Heavy commands (Admit) run on one processor less than there are, the others of them wait in line: what is light is served at
//     once however many clients send what is heavy.
//   - Progress decides, not a clock. While a client does not read its replies its commands are not run any further, so what it is owed
//     is bounded; but what it sends is read on into memory (ahead), since it may be in the middle of writing all it has to say. It is
//     cut when not one byte moves either way for WriteTimeout. The same reads notice a client that leaves while its command blocks.
//   - What a client can make grow has a limit of its own (the command, its arguments, what it sends ahead, pushes not read), and all
//     clients together have one (MemoryMax): when it is used up those who hold most go, and first those who do not move.
//
// Who owns what. The framer, the Writer and the awaited spans belong to the connection's goroutine. The outbox has a
// lock. Numbers that others may ask for are atomics, stored once per batch. One sweeper per server enforces the time
// limits from a clock that ticks with it, so that no batch asks for the time or sets a socket deadline.
//
// Locks: Server.mu guards the registry of connections, outbox.mu one connection's output, ahead.mu what it sent ahead. None is held
// while a Handler runs or while a socket is used; ahead.mu may be taken under outbox.mu, and Server.relieving is taken before any.
//
// A panic below Handler is logged with its stack, answered with "-ERR internal error" and ends that connection only.
package resp
