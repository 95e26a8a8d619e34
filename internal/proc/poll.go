package proc

import (
	"context"
	"fmt"
	"time"
)

// Poll calls ready every interval until it returns true. When ctx ends first,
// the error says what was waited for.
func Poll(ctx context.Context, interval time.Duration, what string, ready func() bool) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for !ready() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, context.Cause(ctx))
		case <-ticker.C:
		}
	}
	return nil
}
