//go:build !linux

package resp

import "net"

// loop is not there on this system: every connection has a goroutine of its own.
type loop struct{}

type marks struct{}

func newLoop(*Server) (*loop, error) { return nil, nil }

func (l *loop) stop()                                    {}
func (l *loop) stepAside(*Conn)                          {}
func (l *loop) mark(*Conn, uint32)                       {}
func (s *Server) acceptSockets(net.Listener) (took bool) { return false }
func (c *Conn) deliverOnLoop()                           {}
func (c *Conn) park()                                    {}

const (
	markOutput uint32 = 1 << iota
	markKilled
	markDraining
	markMeasure
)
