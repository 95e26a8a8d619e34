package clustersim

import (
	"context"
	"slices"
	"time"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
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

// poll asks under the next number when it has an answer, and under the last one again
// when it has none; now and then it asks again for what was answered, or gives up what
// was not.
func (p *process) poll(ctx context.Context) error {
	fresh := p.seq == 0 || p.polled != p.roll(0.2)
	if fresh {
		p.seq++
	}
	ask := cluster.Poll{Hello: p.hello(), Seq: p.seq, Max: p.slots - len(p.jobs), Wait: 300 * time.Millisecond}
	a, err := call(ctx, p.caller, p.leader, func(ctx context.Context, n *cluster.Node) (pulled, error) {
		before := p.running(n)
		r, _, err := n.Poll(ctx, ask)
		return pulled{r.Tasks, before, p.running(n)}, err
	})
	if p.polled = err == nil; err != nil {
		return err
	}
	if len(a.tasks) > 0 {
		p.met("poll got tasks")
	}
	if fresh && slices.ContainsFunc(a.tasks, func(t *fsm.Task) bool { return slices.Contains(a.before, t.Fence) }) {
		p.met("poll got what was unheard of")
	}
	p.receive(ctx, a.tasks)
	if fresh && len(a.tasks) < ask.Max {
		p.checkUnheard(a)
	}
	return nil
}

// pulled is the answer to a poll, and what the process's session ran before and then.
type pulled struct {
	tasks           []*fsm.Task
	before, running []uint64
}

// running returns what a master's table says that the process runs.
func (p *process) running(n *cluster.Node) (fences []uint64) {
	_, _ = n.Read(context.Background(), cluster.ReadOptions{Level: cluster.Stale}, func(m *fsm.Machine) {
		s := m.SessionOf(p.name)
		if s == nil || s.Boot != p.boot {
			return
		}
		for t := range m.Held(s.ID) {
			if t.State == fsm.Running {
				fences = append(fences, t.Fence)
			}
		}
	})
	return fences
}

// checkUnheard holds an answer that had room for more to what the answer before left:
// a request that arrived late may have been given tasks of which nobody knows, but
// the next one is told of them.
func (p *process) checkUnheard(a pulled) {
	was := p.unheard
	p.unheard = nil
	for _, fence := range a.running {
		if p.job(fence) != nil {
			continue
		}
		if slices.Contains(was, fence) {
			p.failf("%s runs fence %d and was not told of it by poll %d (S6)", p.boot, fence, p.seq)
		}
		p.unheard = append(p.unheard, fence)
	}
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
