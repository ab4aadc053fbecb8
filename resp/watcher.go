package resp

// ErrorWatcher is a Handler that wants to know of the errors which the door answers by itself: in place of a reply whose journal
// failed, to what cannot be read, after a panic. It is called on the connection's goroutine.
type ErrorWatcher interface {
	// ErrorReplied is given the text of the error, whose first word is its code.
	ErrorReplied(text string)
}

func (s *Server) noteError(text string) {
	if watcher, ok := s.handler.(ErrorWatcher); ok {
		watcher.ErrorReplied(text)
	}
}
