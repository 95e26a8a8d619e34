package worker

import (
	"context"
	"sync"
	"time"
)

// taskContext is a handler's context. The real one, with its timer, is made only
// when the handler looks: short handlers never pay for it.
type taskContext struct {
	base     context.Context
	of       *attempt
	deadline time.Time // zero: none

	mu     sync.Mutex
	real   context.Context
	cancel context.CancelCauseFunc
	timer  context.CancelFunc
	cause  error // why it ended, if it did before it was made
}

func (c *taskContext) get() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.real == nil {
		parent := c.base
		if !c.deadline.IsZero() {
			parent, c.timer = context.WithDeadlineCause(parent, c.deadline, ErrTimedOut)
		}
		c.real, c.cancel = context.WithCancelCause(parent)
		if c.cause != nil {
			c.cancel(c.cause)
		}
	}
	return c.real
}

// end cancels the context; the first cause stays. A nil cause is that its handler
// returned.
func (c *taskContext) end(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cause == nil {
		cause = context.Canceled
	}
	if c.cause == nil {
		c.cause = cause
	}
	if c.cancel != nil {
		c.cancel(cause)
	}
	if c.timer != nil {
		c.timer()
	}
}

// why returns the cause of end, nil while it was not called.
func (c *taskContext) why() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

func (c *taskContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }
func (c *taskContext) Done() <-chan struct{}       { return c.get().Done() }
func (c *taskContext) Err() error                  { return c.get().Err() }

// Value is asked of any context that was derived from this one.
func (c *taskContext) Value(key any) any {
	if key == (attemptKey{}) {
		return c.of
	}
	return c.get().Value(key)
}

// attemptKey leads from a handler's context to its attempt.
type attemptKey struct{}

func attemptOf(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

// TaskOf returns the task that a handler with this context, or one derived from
// it, executes; nil when there is none. Like the handler's argument it must not be
// kept.
func TaskOf(ctx context.Context) *Task {
	if a := attemptOf(ctx); a != nil {
		return &a.task
	}
	return nil
}
