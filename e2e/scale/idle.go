package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/taskraft/taskraft/internal/proc"
	"github.com/taskraft/taskraft/worker"
)

// idleCost is what masters use while nothing happens.
type idleCost struct {
	cpu     map[string]float64 // percent of a core
	rss     map[string]int64
	entries float64 // of the log per second
}

// idleCost waits until what came before has settled, and looks for a while.
func (b *bench) idleCost(ctx context.Context, c *proc.Cluster) (idleCost, error) {
	quiet, look := 5*time.Second, 20*time.Second
	if b.short {
		quiet, look = 2*time.Second, 4*time.Second
	}
	cost := idleCost{cpu: map[string]float64{}, rss: map[string]int64{}}
	if err := sleep(ctx, quiet); err != nil {
		return cost, err
	}
	before := map[string]time.Duration{}
	first, err := applied(ctx, c)
	if err != nil {
		return cost, err
	}
	began := time.Now()
	for _, m := range c.Masters() {
		before[m.Name] = m.Process().Usage().CPU
	}
	if err := sleep(ctx, look); err != nil {
		return cost, err
	}
	took := time.Since(began)
	for _, m := range c.Masters() {
		u := m.Process().Usage()
		cost.cpu[m.Name] = 100 * float64(u.CPU-before[m.Name]) / float64(took)
		cost.rss[m.Name] = u.RSS
	}
	last, err := applied(ctx, c)
	cost.entries = float64(last-first) / took.Seconds()
	return cost, err
}

// applied is how many entries the leader has applied.
func applied(ctx context.Context, c *proc.Cluster) (uint64, error) {
	leader, err := c.Leader(ctx)
	if err != nil {
		return 0, err
	}
	s, err := leader.Status(ctx)
	return s.GetAppliedIndex(), err
}

// idle measures a cluster with a hundred workers of the SDK and nothing to do.
func (b *bench) idle(ctx context.Context) error {
	return b.with(ctx, 3, nil, func(ctx context.Context, c *proc.Cluster) error {
		leader, err := c.Leader(ctx)
		if err != nil {
			return err
		}
		workers, cancel := context.WithCancel(ctx)
		var over sync.WaitGroup
		defer over.Wait()
		defer cancel()
		failed := make(chan error, fewWorkers)
		for i := range fewWorkers {
			cfg := worker.DefaultConfig()
			cfg.Masters, cfg.ID, cfg.Slots = c.Addrs(), fmt.Sprintf("idle-%d", i), 4
			cfg.Logger = slog.New(slog.DiscardHandler)
			cfg.Default = func(context.Context, *worker.Task) (worker.Result, error) { return worker.Result{}, nil }
			over.Go(func() {
				if err := worker.Run(workers, cfg); err != nil {
					failed <- err
				}
			})
			if err := sleep(ctx, 20*time.Millisecond); err != nil { // not all at the same time
				return err
			}
		}
		cost, err := b.idleCost(ctx, c)
		if err != nil {
			return err
		}
		select {
		case err := <-failed:
			return fmt.Errorf("worker: %w", err)
		default:
		}
		for _, m := range c.Masters() {
			role := "follower"
			if m == leader {
				role = "leader"
			}
			b.judge(fmt.Sprintf("CPU of %s, %s", m.Name, role), cost.cpu[m.Name], "% of a core", atMost(1))
			b.judge(fmt.Sprintf("RSS of %s, %s", m.Name, role), mib(cost.rss[m.Name]), "MiB", atMost(60))
		}
		b.judge("log entries/s", cost.entries, "/s", atMost(0.5))
		return nil
	})
}
