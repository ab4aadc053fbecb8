package queue

import (
	"fmt"
	"path/filepath"
)

// DamageError is returned by Open when a file of jobs that a snapshot lists is missing, or has another length than it had. Nothing has
// been changed then.
type DamageError struct {
	Path    string
	Jobs    int
	Problem error
}

func (e *DamageError) Error() string {
	giveUp := filepath.Base(e.Path) + lostSuffix
	return fmt.Sprintf("%d jobs are in %s, which cannot be served: %v; put the file back, or give these jobs up with an empty file %s "+
		"beside it", e.Jobs, e.Path, e.Problem, giveUp)
}

func (e *DamageError) Unwrap() error { return e.Problem }
