// Package resp is the RESP door: it listens, frames commands, hands them to a Handler and writes the replies. It knows
// bytes and connections and nothing of what a command means.
package resp
