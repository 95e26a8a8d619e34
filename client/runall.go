package client

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const defaultInFlight = 1000

// errStopped is the cause when the iteration over results was left.
var errStopped = errors.New("the iteration was left")

// Ended is what became of one task of RunAll.
type Ended struct {
	Place int              // of the task in the input, from 0
	ID    uint64           // 0: the task was not accepted
	Task  *taskraftv1.Task // its record, without the payload; nil: it is not known to have ended
}

// RunOption changes how RunAll works.
type RunOption func(*runOptions)

type runOptions struct{ inFlight int }

// WithInFlight bounds the tasks that are submitted and have not ended; the default
// is 1,000. It is also the most that RunAll reads ahead of what is consumed.
func WithInFlight(n int) RunOption {
	return func(o *runOptions) { o.inFlight = max(n, 1) }
}

// RunAll submits the tasks of an iterator and iterates over what becomes of them,
// in the order in which they end. Every task has its own error: nil when it
// SUCCEEDED, an *EndedError when it ended otherwise, and else why nothing more is
// known of it. An error concerns no other task.
//
// When ctx ends, no more tasks are read, and those under way are yielded with its
// error. When the loop over the results is left, what was submitted goes on, and
// nothing of RunAll is left behind. RunAll reads the input in a goroutine of its
// own, and returns when that has returned.
func (c *Client) RunAll(ctx context.Context, tasks iter.Seq[Task], opts ...RunOption) iter.Seq2[Ended, error] {
	return c.TryAll(ctx, func(yield func(Task, error) bool) {
		for t := range tasks {
			if !yield(t, nil) {
				return
			}
		}
	}, opts...)
}

// TryAll is RunAll for an input that may have errors in the place of tasks: each
// is yielded as the error of that place.
func (c *Client) TryAll(ctx context.Context, tasks iter.Seq2[Task, error], opts ...RunOption) iter.Seq2[Ended, error] {
	o := runOptions{inFlight: defaultInFlight}
	for _, opt := range opts {
		opt(&o)
	}
	return func(yield func(Ended, error) bool) {
		ctx, stop := context.WithCancelCause(ctx)
		r := &run{c: c, ctx: ctx, ended: make(chan *Handle, o.inFlight), room: make(chan struct{}, o.inFlight), read: make(chan int, 1)}
		var reader sync.WaitGroup
		defer reader.Wait()
		defer stop(errStopped)
		reader.Go(func() { r.submit(tasks) })
		r.collect(yield)
	}
}

// run is one RunAll.
type run struct {
	c     *Client
	ctx   context.Context
	ended chan *Handle  // as many as can be in flight
	room  chan struct{} // holds a token for each in flight
	read  chan int      // how many there were, at the end of the input
}

// submit begins one task after another, as there is room.
func (r *run) submit(tasks iter.Seq2[Task, error]) {
	n := 0
	defer func() { r.read <- n }()
	for t, err := range tasks {
		select {
		case r.room <- struct{}{}:
		case <-r.ctx.Done():
		}
		if r.ctx.Err() != nil {
			return
		}
		h := newHandle(t, n, r.ended)
		n++
		if err != nil {
			h.finish(nil, err)
			continue
		}
		r.c.begin(r.ctx, h)
	}
}

// collect yields what ends until everything has.
func (r *run) collect(yield func(Ended, error) bool) {
	read := r.read
	for n, all := 0, -1; all < 0 || n < all; {
		select {
		case all = <-read:
			read = nil
		case h := <-r.ended:
			n++
			<-r.room
			receipt, _ := h.Receipt()
			record, err := h.Result()
			if !yield(Ended{Place: h.place, ID: receipt.ID, Task: record}, err) {
				return
			}
		}
	}
}
