package clustersim

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// worker is a name under which one process after another runs.
type worker struct {
	*caller
	queues []fsm.QueueWeight
	slots  int
	pull   bool
	boots  int

	kill   atomic.Pointer[context.CancelFunc]
	frozen atomic.Int64 // until this time its process does nothing
}

func newWorker(w *world, i int) *worker {
	o := &worker{caller: newCaller(w, fmt.Sprintf("w%d", i+1), uint64(300+i))}
	o.slots = 1 + o.rng.IntN(4)
	o.queues = []fsm.QueueWeight{{Queue: "a", Weight: 1}, {Queue: "b", Weight: 1}}
	o.pull = o.rng.Float64() < w.swarm.pulls
	return o
}

// run lives one process after another.
func (o *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		life, kill := context.WithCancel(ctx)
		o.kill.Store(&kill)
		o.boots++
		p := &process{worker: o, boot: fmt.Sprintf("%s-%d", o.name, o.boots), ends: make(chan *job)}
		p.run(life)
		kill()
		pause := o.chance(o.rng, 15*time.Second)
		if o.rng.IntN(3) == 0 || o.calm.Load() {
			pause /= 20
		}
		_ = sleep(ctx, pause)
	}
}

// process is one process of a worker.
type process struct {
	*worker
	boot string
	jobs []*job // whose outcome it has not seen
	ends chan *job
	seq  uint64 // of heartbeats and polls

	polled  bool     // the last poll was answered
	unheard []uint64 // fences that the session ran then, and of which it had not been told
}

// job is one attempt.
type job struct {
	task, fence uint64
	verb        string // how it ends
	digest      uint64
	stop        context.CancelFunc
	done        bool
	said        time.Time
}

func (p *process) run(ctx context.Context) {
	for ctx.Err() == nil {
		var err error
		if p.pull {
			err = p.pulls(ctx)
		} else {
			err = p.attach(ctx)
		}
		if p.replaced(err) {
			return
		}
		p.next(err)
		_ = sleep(ctx, 20*time.Millisecond+p.chance(p.rng, 500*time.Millisecond))
		p.thaw(ctx)
	}
}

// thaw waits while the process is frozen.
func (p *process) thaw(ctx context.Context) {
	if d := time.Until(time.Unix(0, p.frozen.Load())); d > 0 && !p.calm.Load() {
		_ = sleep(ctx, d)
	}
}

func (p *process) hello() cluster.Hello {
	h := cluster.Hello{Worker: p.name, Boot: p.boot, Queues: p.queues, Slots: p.slots, TTL: ttl}
	for _, j := range p.jobs {
		h.Held = append(h.Held, j.fence)
	}
	return h
}

// receive takes assignments that it does not know, and works on them.
func (p *process) receive(ctx context.Context, tasks []*fsm.Task) {
	for _, t := range tasks {
		if t.Attempt == nil || t.Boot != p.boot || p.job(t.Fence) != nil {
			continue
		}
		j := &job{task: t.ID, fence: t.Fence, digest: p.rng.Uint64(), verb: "complete"}
		switch n := p.rng.IntN(100); {
		case n < 10:
			j.verb = "fail"
		case n < 14:
			j.verb = "release"
		}
		var work context.Context
		work, j.stop = context.WithCancel(ctx)
		p.jobs = append(p.jobs, j)
		takes := p.chance(p.rng, 300*time.Millisecond)
		if p.rng.IntN(20) == 0 {
			takes = p.chance(p.rng, 12*time.Second)
		}
		p.wg.Go(func() {
			_ = sleep(work, takes)
			select {
			case p.ends <- j:
			case <-ctx.Done():
			}
		})
	}
}

func (p *process) job(fence uint64) *job {
	i := slices.IndexFunc(p.jobs, func(j *job) bool { return j.fence == fence })
	if i < 0 {
		return nil
	}
	return p.jobs[i]
}

// forget ends a job.
func (p *process) forget(fence uint64) {
	p.jobs = slices.DeleteFunc(p.jobs, func(j *job) bool {
		if j.fence == fence {
			j.stop()
		}
		return j.fence == fence
	})
}

// abort stops a job; some do not listen.
func (p *process) abort(fence uint64, task uint64) {
	j := p.job(fence)
	switch {
	case j == nil:
	case task == 0: // no longer held at all
		p.forget(fence)
	case p.rng.IntN(4) > 0:
		if !j.done {
			j.verb = "fail"
		}
		j.stop()
	}
}

// settle takes the outcome of a job.
func (p *process) settle(task, fence uint64, o fsm.Outcome) {
	j := p.job(fence)
	if j == nil {
		return
	}
	if o == fsm.Accepted && j.verb == "complete" {
		p.journal.completed(task, end{fence, p.result(j)})
	}
	p.forget(fence)
}

func (p *process) result(j *job) string { return fmt.Sprint(j.digest) }

func (p *process) completion(j *job) *fsmpb.Completion {
	return &fsmpb.Completion{Task: j.task, Fence: j.fence, Digest: j.digest, Result: []byte(p.result(j))}
}

func (p *process) failure(j *job) *fsmpb.Failure {
	return &fsmpb.Failure{Task: j.task, Fence: j.fence, Digest: j.digest, Error: "no"}
}

func (p *process) handback(j *job) *fsmpb.Handback {
	return &fsmpb.Handback{Task: j.task, Fence: j.fence}
}

// command reports one job in a call of its own.
func (p *process) command(j *job) *fsmpb.Command {
	c := &fsmpb.Command{Principal: "worker:" + p.name}
	switch j.verb {
	case "complete":
		c.Kind = &fsmpb.Command_Complete{Complete: &fsmpb.Complete{Worker: p.name, Boot: p.boot, Items: []*fsmpb.Completion{p.completion(j)}}}
	case "fail":
		c.Kind = &fsmpb.Command_Fail{Fail: &fsmpb.Fail{Worker: p.name, Boot: p.boot, Items: []*fsmpb.Failure{p.failure(j)}}}
	default:
		c.Kind = &fsmpb.Command_Release{Release: &fsmpb.Release{Worker: p.name, Boot: p.boot, Items: []*fsmpb.Handback{p.handback(j)}}}
	}
	return c
}

// report says in a call how a job ended.
func (p *process) report(ctx context.Context, j *job) error {
	j.said = time.Now()
	cmd, i := p.command(j), p.leader
	a, err := call(ctx, p.caller, i, func(ctx context.Context, n *cluster.Node) (answer, error) {
		res, pos, err := n.Propose(ctx, cmd)
		return answer{res, pos}, err
	})
	if err == nil && len(a.res.Outcomes) == 1 {
		p.journal.acknowledged(name(i), a.pos)
		p.settle(j.task, j.fence, a.res.Outcomes[0])
	}
	return err
}
