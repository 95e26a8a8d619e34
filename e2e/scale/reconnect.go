package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/internal/proc"
	"github.com/taskraft/taskraft/worker"
)

const (
	roundQueue = "round"
	// sdkWorkers run in this process: each has a connection to every master, and dials
	// the dead one again and again, which many more on one machine would measure instead.
	sdkWorkers = 1000
	// roundPatience is how long workers may take to have a task each.
	roundPatience = 2 * time.Minute
)

// reconnect kills the leader under workers of the SDK, each with connections of its
// own and one slot, and waits until every one of them has a task of the next leader.
// None may lose its session, and each task runs once.
func (b *bench) reconnect(ctx context.Context) error {
	return b.with(ctx, 3, nil, func(ctx context.Context, c *proc.Cluster) error {
		cl, err := client.New(client.Config{Masters: c.Addrs(), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		defer cl.Close()
		r := &rounds{c: c, client: cl, n: min(b.workers, sdkWorkers)}
		ctx, cancel := context.WithCancelCause(ctx)
		defer r.over.Wait()
		defer cancel(nil)
		for i := range r.n {
			r.start(ctx, cancel, i)
			if i%attaching == 0 {
				if err := sleep(ctx, 10*time.Millisecond); err != nil { // not all at the same time
					return err
				}
			}
		}
		took, err := r.round(ctx)
		if err != nil {
			return err
		}
		b.say("%s workers have their first task after %s", count(r.n), took.Round(time.Millisecond))
		steady, err := r.round(ctx)
		if err != nil {
			return err
		}
		b.note(fmt.Sprintf("a task for each of %s workers", count(r.n)), millis(steady), "ms")

		leader, err := c.Leader(ctx)
		if err != nil {
			return err
		}
		if err := leader.Kill(); err != nil {
			return err
		}
		if took, err = r.round(ctx); err != nil {
			return err
		}
		b.judge(fmt.Sprintf("kill -9 of the leader until each of %s workers has a task", count(r.n)), took.Seconds(), "s", atMost(10))
		next, err := c.Leader(ctx)
		if err != nil {
			return err
		}
		s, err := next.Status(ctx)
		if err != nil {
			return err
		}
		b.judge("sessions that expired", float64(s.GetCounters()["sessions_expired"]), "", atMost(0))
		b.judge("executions of a task", float64(r.started.Load())/float64(3*r.n), "", atMost(1))
		b.note("next leader's RSS", mib(next.Process().Usage().RSS), "MiB")
		return nil
	})
}

// rounds hands each of n workers one task at a time, which lasts until all have one.
type rounds struct {
	c       *proc.Cluster
	client  *client.Client
	n       int
	over    sync.WaitGroup
	started atomic.Int64 // executions in all

	mu   sync.Mutex
	held int           // tasks that run in this round
	all  chan struct{} // closed when n do
}

func (r *rounds) start(ctx context.Context, fail context.CancelCauseFunc, i int) {
	cfg := worker.DefaultConfig()
	cfg.Masters, cfg.ID, cfg.Slots = r.c.Addrs(), fmt.Sprintf("round-%d", i), 1
	cfg.Queues = []worker.Queue{{Name: roundQueue}}
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.Default = r.hold
	r.over.Go(func() {
		if err := worker.Run(ctx, cfg); err != nil && ctx.Err() == nil {
			fail(fmt.Errorf("worker %d: %w", i, err))
		}
	})
}

// hold keeps a worker until all have a task.
func (r *rounds) hold(ctx context.Context, _ *worker.Task) (worker.Result, error) {
	r.started.Add(1)
	r.mu.Lock()
	r.held++
	all := r.all
	if r.held == r.n {
		close(all)
	}
	r.mu.Unlock()
	select {
	case <-all:
		return worker.Result{}, nil
	case <-ctx.Done():
		return worker.Result{}, context.Cause(ctx)
	}
}

// round submits a task for each worker, and returns after how long all of them had one.
func (r *rounds) round(ctx context.Context) (time.Duration, error) {
	all := make(chan struct{})
	r.mu.Lock()
	r.held, r.all = 0, all
	r.mu.Unlock()
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, roundPatience)
	defer cancel()
	const batch = 500
	for left := r.n; left > 0; left -= batch {
		tasks := make([]client.Task, min(left, batch))
		for i := range tasks {
			tasks[i].Queue = roundQueue
		}
		if _, err := r.client.SubmitMany(ctx, tasks); err != nil {
			return 0, err
		}
	}
	select {
	case <-all:
		return time.Since(began), nil
	case <-ctx.Done():
		r.mu.Lock()
		defer r.mu.Unlock()
		return 0, errors.Join(fmt.Errorf("%d of %d workers have a task", r.held, r.n), context.Cause(ctx))
	}
}
