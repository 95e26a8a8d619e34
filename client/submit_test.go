package client

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestSubmitsBehindOthersSayWhatIsKnown: a submit that waits for others and was
// never sent found no leader, and nothing of it is uncertain.
func TestSubmitsBehindOthersSayWhatIsKnown(t *testing.T) {
	tb := newTable(t, 2)
	for _, m := range tb.c.Masters {
		m.Kill()
	}
	c := newClient(t, tb.c.Addrs()...)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	const n = maxGathers + 6
	errs := make(chan error, n)
	for range n {
		go func() {
			_, err := c.Submit(ctx, Task{})
			errs <- err
		}()
	}
	for range n {
		err := <-errs
		if !errors.Is(err, ErrNoLeader) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUncertain) {
			t.Errorf("error = %v", err)
		}
	}
}
