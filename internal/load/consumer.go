package load

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
	"github.com/taskraft/taskraft/worker"
)

// consume runs one worker until ctx ends.
func (r *run) consume(ctx context.Context, i, slots int) error {
	cfg := worker.DefaultConfig()
	cfg.Masters = r.cfg.Masters
	cfg.ID = fmt.Sprintf("%s-%d", r.queues[0], i)
	for j, q := range r.queues {
		// A session may name 64 queues: where there are enough, each has one worker.
		if len(r.queues) < r.cfg.Workers || j%r.cfg.Workers == i {
			cfg.Queues = append(cfg.Queues, worker.Queue{Name: q})
		}
	}
	cfg.Slots = slots
	cfg.Default = r.handle
	cfg.OnOutcome = r.settled
	cfg.Logger = r.cfg.Logger
	return worker.Run(ctx, cfg)
}

// handle does nothing but note how long its task was on the way.
func (r *run) handle(_ context.Context, t *worker.Task) (worker.Result, error) {
	now := r.now()
	if r.measuring.Load() && len(t.Payload) >= stampBytes {
		r.starts.Add(now - time.Duration(binary.LittleEndian.Uint64(t.Payload)))
	}
	r.trails.ran(t.Worker, t.ID, t.Fence, now, r.now())
	return worker.Result{}, nil
}

// settled counts a completion that a master confirmed: DUPLICATE is the answer
// to a repeat whose first answer was lost.
func (r *run) settled(s worker.Settled) {
	if s.Verb != worker.VerbComplete || s.Outcome != taskraftv1.Outcome_ACCEPTED && s.Outcome != taskraftv1.Outcome_DUPLICATE {
		r.refusals.Add(1)
		return
	}
	r.trails.confirmed(s.Task, s.Fence)
	if r.ledger.complete(s.Task) {
		r.room.Give(1)
	}
	r.gaps.completed()
	if r.measuring.Load() {
		r.completed.Add(1)
	}
}
