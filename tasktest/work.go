package tasktest

import (
	"context"
	"fmt"
	"sync"

	"github.com/taskraft/taskraft/worker"
)

// Worker is a worker of the master, in this process.
type Worker struct {
	stop func() error
}

// Work starts a worker that runs until its Stop, or the master's Close. What cfg
// leaves open is filled in: the master's address, an id, eight slots, the logger.
func (m *Master) Work(cfg worker.Config) *Worker {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(cfg.Masters) == 0 {
		cfg.Masters = m.Addrs()
	}
	if cfg.ID == "" {
		cfg.ID = fmt.Sprintf("w%d", len(m.workers)+1)
	}
	if cfg.Slots == 0 {
		cfg.Slots = 8
	}
	if cfg.Logger == nil {
		cfg.Logger = m.cfg.Logger
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx, cfg) }()
	w := &Worker{stop: sync.OnceValue(func() error {
		cancel()
		if err := <-ended; err != nil {
			return fmt.Errorf("run worker %s: %w", cfg.ID, err)
		}
		return nil
	})}
	m.workers = append(m.workers, w)
	return w
}

// Stop drains the worker and returns the error that ended it, if one did.
func (w *Worker) Stop() error { return w.stop() }
