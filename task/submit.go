package task

import (
	"context"
	"fmt"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// Task returns what Submit would submit, for SubmitMany and its like.
func (d *Definition[In, Out]) Task(in In, opts ...Option) (client.Task, error) {
	var t client.Task
	for _, set := range d.opts {
		set(&t)
	}
	for _, set := range opts {
		set(&t)
	}
	payload, err := d.codec.Marshal(in)
	if err != nil {
		return t, fmt.Errorf("encode the payload of a task of kind %s: %w", d.kind, err)
	}
	t.Kind, t.Payload, t.ContentType = d.kind, payload, d.codec.ContentType()
	return t, nil
}

// Submit submits one task. When it returns without error the task will not be lost.
func (d *Definition[In, Out]) Submit(ctx context.Context, c *client.Client, in In, opts ...Option) (client.Receipt, error) {
	t, err := d.Task(in, opts...)
	if err != nil {
		return client.Receipt{}, err
	}
	return c.Submit(ctx, t)
}

// Wait waits until the task has ended and returns what its handler returned. The
// error is a *client.EndedError when the task did not succeed.
func (d *Definition[In, Out]) Wait(ctx context.Context, c *client.Client, id uint64) (Out, error) {
	t, err := c.Wait(ctx, id)
	if err != nil {
		var none Out
		return none, err
	}
	return d.Result(t)
}

// Run submits one task and waits for what its handler returns.
func (d *Definition[In, Out]) Run(ctx context.Context, c *client.Client, in In, opts ...Option) (Out, error) {
	r, err := d.Submit(ctx, c, in, opts...)
	if err != nil {
		var none Out
		return none, err
	}
	return d.Wait(ctx, c, r.ID)
}

// Result reads what the handler returned out of the record of a task that has
// ended.
func (d *Definition[In, Out]) Result(t *taskraftv1.Task) (Out, error) {
	var out Out
	if err := client.Success(t); err != nil {
		return out, err
	}
	if err := decode(d.codec, t.GetResultContentType(), t.GetResult(), &out); err != nil {
		return out, fmt.Errorf("read the result of task %d: %w", t.GetId(), err)
	}
	return out, nil
}
