package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/tasktest"
	"github.com/taskraft/taskraft/worker"
)

// Middleware around all handlers of a worker.
func ExampleMiddleware() {
	m, err := tasktest.Open(tasktest.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "dur" {
			return slog.Attr{} // they differ from run to run
		}
		return a
	}}))
	var executions atomic.Int64
	counted := func(next worker.Handler) worker.Handler {
		return func(ctx context.Context, t *worker.Task) (worker.Result, error) {
			executions.Add(1)
			return next(ctx, t)
		}
	}
	m.Work(worker.Config{
		Middleware: []worker.Middleware{
			worker.Log(log), // what ended, how, and how long it took
			worker.Recover,  // so that Log sees panics, too
			worker.Timeout(10 * time.Second),
			counted,
		},
		Default: func(_ context.Context, t *worker.Task) (worker.Result, error) {
			if t.Attempt == 1 {
				return worker.Result{}, worker.RetryAfter(errors.New("busy"), time.Millisecond)
			}
			return worker.Result{Data: t.Payload}, nil
		},
	})
	ctx := context.Background()
	r, err := m.Client().Submit(ctx, client.Task{Kind: "copy", Payload: []byte("x")})
	if err != nil {
		fmt.Println(err)
		return
	}
	t, err := m.Client().Wait(ctx, r.ID)
	fmt.Println(t.GetState(), executions.Load(), err)
	// Output:
	// level=WARN msg="task not done" worker=w1 task=1 attempt=1 queue=default kind=copy err=busy
	// level=INFO msg="task done" worker=w1 task=1 attempt=2 queue=default kind=copy
	// SUCCEEDED 2 <nil>
}
