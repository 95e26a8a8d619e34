package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/internal/proc"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
	"github.com/taskraft/taskraft/worker"
)

const (
	queue = "bench"
	// processes is how many workers, or connections of workers, share the slots
	// where a system lets us choose.
	processes = 4
)

// taskraft is three masters as they are shipped.
type taskraft struct {
	setup   Setup
	cluster *proc.Cluster
	client  *client.Client
}

func newTaskraft(s Setup) System { return &taskraft{setup: s} }

func (t *taskraft) Start(ctx context.Context, dir string) error {
	if t.setup.Taskraft == "" {
		return fmt.Errorf("taskraft: %w", ErrUnavailable)
	}
	var err error
	t.cluster, err = proc.NewCluster(t.setup.Taskraft, dir, 3, "--log-level", "warn")
	if err != nil {
		return err
	}
	if err := t.cluster.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if _, err := t.cluster.Leader(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, t.cluster.Logs())
	}
	t.client, err = client.New(client.Config{Masters: t.cluster.Addrs()})
	return err
}

func (t *taskraft) Stop() error {
	var errs []error
	if t.client != nil {
		errs = append(errs, t.client.Close())
	}
	if t.cluster != nil {
		errs = append(errs, t.cluster.Close())
	}
	return errors.Join(errs...)
}

func (t *taskraft) PIDs() []int {
	var pids []int
	for _, m := range t.cluster.Masters() {
		pids = append(pids, m.Process().PID())
	}
	return pids
}

func (t *taskraft) KillLeader(ctx context.Context) (func(context.Context) error, error) {
	leader, err := t.cluster.Leader(ctx)
	if err != nil {
		return nil, err
	}
	if err := leader.Kill(); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		if err := leader.Start(); err != nil {
			return err
		}
		return t.cluster.Rejoined(ctx, leader)
	}, nil
}

func (t *taskraft) Producer(context.Context) (Producer, error) {
	tasks := make([]client.Task, t.setup.Batch)
	for i := range tasks {
		tasks[i].Queue = queue
	}
	return &taskraftProducer{client: t.client, tasks: tasks}, nil
}

type taskraftProducer struct {
	client *client.Client
	tasks  []client.Task // reused by every call
}

func (p *taskraftProducer) Submit(ctx context.Context, payloads [][]byte) error {
	tasks := p.tasks[:len(payloads)]
	for i, payload := range payloads {
		tasks[i].Payload = payload
	}
	var err error
	if len(tasks) == 1 {
		_, err = p.client.Submit(ctx, tasks[0])
	} else {
		_, err = p.client.SubmitMany(ctx, tasks)
	}
	return err
}

func (p *taskraftProducer) Close() error { return nil }

func (t *taskraft) Consume(ctx context.Context, w Work) error {
	n := min(processes, t.setup.Slots)
	errs := make([]error, n)
	var workers sync.WaitGroup
	for i := range n {
		cfg := worker.DefaultConfig()
		cfg.Masters = t.cluster.Addrs()
		cfg.ID = fmt.Sprintf("bench-%d", i)
		cfg.Queues = []worker.Queue{{Name: queue}}
		cfg.Slots = share(t.setup.Slots, n, i)
		cfg.Logger = slog.New(slog.DiscardHandler)
		cfg.Default = func(_ context.Context, task *worker.Task) (worker.Result, error) {
			w.Handle(task.Payload)
			return worker.Result{}, nil
		}
		cfg.OnOutcome = func(s worker.Settled) {
			// DUPLICATE answers a repeat whose first answer was lost.
			if s.Verb == worker.VerbComplete && (s.Outcome == taskraftv1.Outcome_ACCEPTED || s.Outcome == taskraftv1.Outcome_DUPLICATE) {
				w.Confirmed(s.Task)
			}
		}
		workers.Go(func() { errs[i] = worker.Run(ctx, cfg) })
	}
	workers.Wait()
	return errors.Join(errs...)
}

// share returns the i-th of n parts of total, which differ by at most one.
func share(total, n, i int) int {
	part := total / n
	if i < total%n {
		part++
	}
	return part
}
