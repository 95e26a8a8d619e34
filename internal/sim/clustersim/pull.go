package clustersim

import (
	"context"
	"slices"
	"time"

	"github.com/taskraft/taskraft/cluster"
)

// pulls asks for tasks, works, and reports, all by calls of their own; it returns
// when one of them fails.
func (p *process) pulls(ctx context.Context) error {
	if len(p.jobs) < p.slots {
		if err := p.poll(ctx); err != nil {
			return err
		}
	}
	t := time.NewTimer(200 * time.Millisecond)
	defer t.Stop()
	for waiting := true; waiting; {
		select {
		case j := <-p.ends:
			j.done = true
		case <-t.C:
			waiting = false
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.thaw(ctx)
	for _, j := range slices.Clone(p.jobs) {
		if j.done {
			if err := p.report(ctx, j); err != nil {
				return err
			}
		}
	}
	return p.beat(ctx)
}

// poll asks under the next number, or under the last one again.
func (p *process) poll(ctx context.Context) error {
	if p.seq == 0 || p.polled && !p.roll(0.2) {
		p.seq++ // the one before was answered
	}
	h := p.hello()
	h.Held = nil
	ask := cluster.Poll{Hello: h, Seq: p.seq, Max: p.slots - len(p.jobs), Wait: 300 * time.Millisecond}
	// A poll that arrives after its answer was taken gets tasks that nobody knows of,
	// until they time out: not within this world's time.
	r, err := calls(ctx, p.caller, p.leader, 0, func(ctx context.Context, n *cluster.Node) (cluster.PollResult, error) {
		r, _, err := n.Poll(ctx, ask)
		return r, err
	})
	if p.polled = err == nil; err != nil {
		return err
	}
	if len(r.Tasks) > 0 {
		p.met("poll got tasks")
	}
	p.receive(ctx, r.Tasks)
	return nil
}

// beat says what is held and learns what is void.
func (p *process) beat(ctx context.Context) error {
	held := p.hello().Held
	aborts, err := call(ctx, p.caller, p.leader, func(ctx context.Context, n *cluster.Node) ([]cluster.Abort, error) {
		aborts, _, err := n.Beat(ctx, p.name, p.boot, held)
		return aborts, err
	})
	for _, a := range aborts {
		p.abort(a.Fence, a.Task)
	}
	return err
}
