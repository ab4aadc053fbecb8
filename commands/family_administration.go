package commands

import (
	"crypto/rand"
	"encoding/hex"
	"slices"
)

// Administration is the family of commands on the server and its connections.
type Administration struct {
	config AdministrationConfig
	family *Family
	runID  string // 40 hexadecimal digits, of this run of the process
}

// NewAdministration is the family of a process that was started so.
func NewAdministration(config AdministrationConfig) *Administration {
	f := &Administration{config: config, runID: newRunID()}
	f.family = &Family{
		Specs:    slices.Concat(f.connectionSpecs(), f.serverSpecs(), f.diagnosisSpecs()),
		Settings: config.settings(), Sections: f.sections(),
	}
	return f
}

// Family is what the server is made of.
func (f *Administration) Family() *Family { return f.family }

// newRunID is 40 hexadecimal digits, as Redis' run_id.
func newRunID() string {
	var id [20]byte
	_, _ = rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}
