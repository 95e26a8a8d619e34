package task

import "github.com/taskraft/taskraft/client"

// Option changes a task before it is submitted: its queue, delay, priority, and
// whatever else client.Task has. Kind, payload and content type are the
// Definition's.
type Option func(*client.Task)

// Definition is a kind of task with the types of what its handler gets and
// returns. It is safe for use by many goroutines.
type Definition[In, Out any] struct {
	kind  string
	codec Codec
	opts  []Option
}

// Define makes a Definition. The options hold for every task of the kind; those
// of a single submit come after them.
func Define[In, Out any](kind string, opts ...Option) *Definition[In, Out] {
	if kind == "" {
		panic("task: a Definition needs a kind")
	}
	return &Definition[In, Out]{kind: kind, codec: JSON, opts: opts}
}

// WithCodec returns the same Definition with another codec. Submitters and workers
// must agree on it.
func (d *Definition[In, Out]) WithCodec(c Codec) *Definition[In, Out] {
	with := *d
	with.codec = c
	return &with
}

// Kind returns the name of the kind.
func (d *Definition[In, Out]) Kind() string { return d.kind }
