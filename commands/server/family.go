// Package server is the commands on the process and its connections: HELLO and AUTH, CLIENT, CONFIG, INFO, SLOWLOG, and what Redis
// tells of itself that is always the same here. The gates that they work lie in package commands.
package server

import (
	"crypto/rand"
	"encoding/hex"
	"slices"

	"github.com/nexobroker/nexo/commands"
)

// Administration is the family of commands on the server and its connections.
type Family struct {
	config Config
	family *commands.Family
	runID  string // 40 hexadecimal digits, of this run of the process
}

// NewAdministration is the family of a process that was started so.
func New(config Config) *Family {
	f := &Family{config: config, runID: newRunID()}
	f.family = &commands.Family{
		Specs:    slices.Concat(f.connectionSpecs(), f.serverSpecs(), f.diagnosisSpecs()),
		Settings: config.settings(), Sections: f.sections(),
	}
	return f
}

// Family is what the server is made of.
func (f *Family) Family() *commands.Family { return f.family }

// newRunID is 40 hexadecimal digits, as Redis' run_id.
func newRunID() string {
	var id [20]byte
	_, _ = rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}
