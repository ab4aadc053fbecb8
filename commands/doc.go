// Package commands is where RESP words meet broker methods: one declarative table of commands, and thin handlers, one
// file per family. Nothing here stores data.
package commands
