package task

import (
	"context"
	"fmt"

	"github.com/taskraft/taskraft/worker"
)

// Route is a handler with the kind that it is for.
type Route struct {
	Kind    string
	Handler worker.Handler
}

// Handle makes a Definition's handler out of a function of its types. The error of
// h counts as that of any handler; with an error there is no result.
func Handle[In, Out any](d *Definition[In, Out], h func(ctx context.Context, in In) (Out, error)) Route {
	return Route{Kind: d.kind, Handler: func(ctx context.Context, t *worker.Task) (worker.Result, error) {
		var in In
		if err := decode(d.codec, t.ContentType, t.Payload, &in); err != nil {
			return worker.Result{}, worker.Permanent(fmt.Errorf("read the payload of a task of kind %s: %w", d.kind, err))
		}
		out, err := h(ctx, in)
		if err != nil {
			return worker.Result{}, err
		}
		data, err := d.codec.Marshal(out)
		if err != nil {
			return worker.Result{}, worker.Permanent(fmt.Errorf("encode the result of a task of kind %s: %w", d.kind, err))
		}
		return worker.Result{Data: data, ContentType: d.codec.ContentType()}, nil
	}}
}

// Handlers gathers routes for worker.Config. It panics when a kind comes twice.
func Handlers(routes ...Route) map[string]worker.Handler {
	handlers := make(map[string]worker.Handler, len(routes))
	for _, r := range routes {
		if handlers[r.Kind] != nil {
			panic("task: two handlers for kind " + r.Kind)
		}
		handlers[r.Kind] = r.Handler
	}
	return handlers
}
