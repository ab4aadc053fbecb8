package ui

import (
	"context"
	"errors"
	"testing"
)

// TestCancelLetsAStepEnd: what a step has done when the task is cancelled is counted, and no further step begins.
func TestCancelLetsAStepEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	counted, steps := 0, 0
	err := new(Server).inSteps(ctx, 3*taskStep, func(done, _ int) { counted = done }, func(ctx context.Context, from, to int) (int64, error) {
		if steps++; steps == 2 {
			cancel()
		}
		return int64(to - from), ctx.Err()
	})
	if !errors.Is(err, context.Canceled) || steps != 2 || counted != 2*taskStep {
		t.Errorf("%v after %d steps with %d counted, want a cancelled task after 2 steps with %d", err, steps, counted, 2*taskStep)
	}
}
