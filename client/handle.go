package client

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.opentelemetry.io/otel/trace"

	"github.com/taskraft/taskraft/internal/tracing"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

var errClosed = errors.New("the client is closed")

// Handle is a submit under way and the task that comes of it. Its methods may be
// called from any number of goroutines.
type Handle struct {
	task     Task
	place    int            // in RunAll's input
	ended    chan<- *Handle // RunAll's; has room; nil: nobody listens
	accepted chan struct{}
	done     chan struct{}

	mu      sync.Mutex
	stage   stage
	receipt Receipt
	record  *taskraftv1.Task
	err     error
	unbind  func() bool // ends the watch over the context
	span    trace.Span  // of the submit, until it is answered; nil: none
}

type stage uint8

const (
	queued  stage = iota // not sent
	sent                 // not answered
	waiting              // accepted, not ended
	over
)

// SubmitAsync begins to submit a task and returns at once. The Handle follows the
// task to its end, or until ctx ends; the task itself goes on then. Handles are
// cheap: their submits travel together, and one stream tells of all their ends.
// Their number is bounded by the caller alone; RunAll bounds it.
func (c *Client) SubmitAsync(ctx context.Context, t Task) *Handle {
	h := newHandle(t, 0, nil)
	c.begin(ctx, h)
	return h
}

func newHandle(t Task, place int, ended chan<- *Handle) *Handle {
	return &Handle{task: t, place: place, ended: ended, accepted: make(chan struct{}), done: make(chan struct{})}
}

func (c *Client) begin(ctx context.Context, h *Handle) {
	if ctx.Err() != nil {
		h.finish(nil, context.Cause(ctx))
		return
	}
	payload := len(h.task.Payload)
	if _, span := c.span(ctx); span != nil {
		h.span = span
		h.task.trace(span)
	}
	unbind := context.AfterFunc(ctx, func() { c.abandon(h, context.Cause(ctx)) })
	h.mu.Lock()
	if h.stage == over {
		h.mu.Unlock()
		return
	}
	h.unbind = unbind
	h.mu.Unlock()
	c.gather.submit(h, payload)
}

// abandon finishes a handle whose context has ended.
func (c *Client) abandon(h *Handle, cause error) {
	h.mu.Lock()
	if h.stage == sent {
		cause = fmt.Errorf("%w: %w", ErrUncertain, cause)
	}
	h.mu.Unlock()
	h.finish(nil, cause)
	if r, ok := h.Receipt(); ok {
		c.watches.forget(r.ID, h)
	}
}

// sending returns the task if it is still to be sent, which it is from now on.
func (h *Handle) sending() (Task, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stage != queued {
		return Task{}, false
	}
	h.stage = sent
	return h.task, true
}

func (h *Handle) refuse(err error) { h.finish(nil, err) }

// accept notes that the task is on a majority's disks.
func (h *Handle) accept(r Receipt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.receipt, h.task = r, Task{}
	if h.span != nil {
		endSpan(h.span, nil, tracing.Number(tracing.TaskKey, r.ID))
		h.span = nil
	}
	if h.stage != over {
		h.stage = waiting
		close(h.accepted)
	}
}

// finish notes the end, once.
func (h *Handle) finish(record *taskraftv1.Task, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch h.stage {
	case over:
		return
	case queued, sent:
		close(h.accepted)
		if h.span != nil {
			endSpan(h.span, err)
			h.span = nil
		}
	}
	if err == nil {
		err = Success(record)
	}
	h.stage, h.record, h.err, h.task = over, record, err, Task{}
	if h.unbind != nil {
		h.unbind()
	}
	close(h.done)
	if h.ended != nil {
		h.ended <- h
	}
}

// Accepted is closed once the task is on a majority's disks, or never will be:
// Receipt tells which.
func (h *Handle) Accepted() <-chan struct{} { return h.accepted }

// Receipt returns the task's receipt, and whether there is one yet.
func (h *Handle) Receipt() (Receipt, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.receipt, h.receipt.ID != 0
}

// Done is closed when the task has ended, or the Handle follows it no longer.
func (h *Handle) Done() <-chan struct{} { return h.done }

// Result waits for Done and returns the task's record, without its payload. The
// error is nil when the task SUCCEEDED, an *EndedError when it ended otherwise, and
// else why there is no record: the submit's error, or ctx's.
func (h *Handle) Result() (*taskraftv1.Task, error) {
	<-h.done
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.record, h.err
}
