// Package commands is the mechanism between RESP words and the families of commands: one declarative table, a dispatcher that acts on
// what the table says of a command, and gates. It knows no broker and no family, and stores nothing.
//
// A Family brings its commands and what else of the server is its own: who makes room for what it adds, what it keeps of a connection,
// parameters of CONFIG, lines of INFO. New makes the server of some of them. The packages below are the families; each handler reads
// options, calls one method of its broker and writes one reply.
//
// # Who owns what
//
// The table does not change once it is made. A Session and the states in it belong to the goroutine of their connection; others read
// what is shown of them, under the session's lock. Families get their brokers before Loaded is called, or before New without a
// Loading: the dispatcher lets no command through that needs one before.
//
// # Gates
//
// In this order a command is held against: protected mode, the table, its arity, AUTH, subscribe mode, loading, room for what it adds,
// CLIENT PAUSE. Behind the gates it is shown to a tap, runs where its Spec says, and is counted, timed and remembered when it was slow.
package commands
