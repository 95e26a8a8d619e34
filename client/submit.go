package client

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/taskraft/taskraft/internal/follow"
	"github.com/taskraft/taskraft/internal/tracing"
)

// Submit submits one task. When it returns without error the task will not be
// lost. Submits that many goroutines make at the same time travel together, a few
// calls for all of them; each is still accepted or refused by itself.
func (c *Client) Submit(ctx context.Context, t Task) (Receipt, error) {
	if bad := t.check(""); bad != nil {
		return Receipt{}, invalid("submit", bad...)
	}
	ctx, span := c.span(ctx)
	if span == nil {
		return c.submit(ctx, &t)
	}
	t.trace(span)
	r, err := c.submit(ctx, &t)
	endSpan(span, err, tracing.Number(tracing.TaskKey, r.ID))
	return r, err
}

// submit makes a call for a task, or lets it travel with others.
func (c *Client) submit(ctx context.Context, t *Task) (Receipt, error) {
	if c.gather.lone() {
		defer c.gather.landed()
		return c.submitOne(ctx, t)
	}
	s := newSubmission(ctx, *t)
	c.gather.submit(s, len(t.Payload))
	select {
	case a := <-s.done:
		s.recycle()
		return a.receipt, a.err
	case <-ctx.Done():
		return s.abandon(ctx, c.follow.Leader().GetGrpc() == "")
	}
}

// submission is the task of one Submit that travels with others.
type submission struct {
	ctx   context.Context // the caller's
	task  Task
	state atomic.Uint32 // a stage: queued, sent, or over when nobody waits
	done  chan submitted
}

type submitted struct {
	receipt Receipt
	err     error
}

var submissions = sync.Pool{New: func() any { return &submission{done: make(chan submitted, 1)} }}

func newSubmission(ctx context.Context, t Task) *submission {
	s := submissions.Get().(*submission)
	s.ctx, s.task = ctx, t
	s.state.Store(uint32(queued))
	return s
}

// recycle takes back a submission whose answer was received.
func (s *submission) recycle() {
	s.ctx, s.task = nil, Task{}
	submissions.Put(s)
}

func (s *submission) sending() (Task, bool) {
	return s.task, s.ctx.Err() == nil && s.state.CompareAndSwap(uint32(queued), uint32(sent))
}

func (s *submission) accept(r Receipt) { s.done <- submitted{receipt: r} }

func (s *submission) refuse(err error) { s.done <- submitted{err: err} }

// abandon says what is known of a task whose caller waits no longer.
func (s *submission) abandon(ctx context.Context, noLeader bool) (Receipt, error) {
	unsent := s.state.CompareAndSwap(uint32(queued), uint32(over))
	select {
	case a := <-s.done: // it came at the same moment
		return a.receipt, a.err
	default:
		return Receipt{}, wrap("submit", &follow.GaveUpError{Cause: context.Cause(ctx), Maybe: !unsent, NoLeader: noLeader}, true)
	}
}
