package task

import (
	"context"
	"iter"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// Ended is what became of one task of RunAll.
type Ended[Out any] struct {
	Place int    // of the task in the input, from 0
	ID    uint64 // 0: the task was not accepted
	Out   Out    // what the handler returned, if it did
}

// RunAll submits a task for each input and iterates over what the handlers return,
// in the order in which they do: client.RunAll with types. A value that cannot be
// encoded, or a result that cannot be read, is the error of its place alone.
func (d *Definition[In, Out]) RunAll(ctx context.Context, c *client.Client, inputs iter.Seq[In], opts ...client.RunOption) iter.Seq2[Ended[Out], error] {
	tasks := func(yield func(client.Task, error) bool) {
		for in := range inputs {
			if !yield(d.Task(in)) {
				return
			}
		}
	}
	return func(yield func(Ended[Out], error) bool) {
		for e, err := range c.TryAll(ctx, tasks, opts...) {
			ended := Ended[Out]{Place: e.Place, ID: e.ID}
			if err == nil {
				ended.Out, err = d.Result(e.Task)
			}
			if !yield(ended, err) {
				return
			}
		}
	}
}

// Future is a submit under way and what its handler will return.
type Future[Out any] struct {
	*client.Handle
	read func(*taskraftv1.Task) (Out, error)
}

// SubmitAsync begins to submit a task and returns at once: client.SubmitAsync with
// types. The error is that of encoding.
func (d *Definition[In, Out]) SubmitAsync(ctx context.Context, c *client.Client, in In, opts ...Option) (*Future[Out], error) {
	t, err := d.Task(in, opts...)
	if err != nil {
		return nil, err
	}
	return &Future[Out]{c.SubmitAsync(ctx, t), d.Result}, nil
}

// Out waits for Done and returns what the handler returned, or why there is
// nothing.
func (f *Future[Out]) Out() (Out, error) {
	t, err := f.Result()
	if err != nil {
		var none Out
		return none, err
	}
	return f.read(t)
}
