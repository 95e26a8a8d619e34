package clustersim

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// wire is the connection between a worker's process and its stream at a master. It
// loses what is on its way when it breaks, and the two ends learn of it at
// different times.
type wire struct {
	stream  *cluster.Stream
	master  int
	session uint64
	in      chan *delivery
	broken  chan struct{}
	err     error // why, once broken is closed
}

// delivery is a batch as it arrives.
type delivery struct {
	tasks    []*fsm.Task
	outcomes []cluster.TaskOutcome
	aborts   []cluster.Abort
	beat     uint64
	again    bool
}

var errBroken = errors.New("the connection broke")

// replaced reports whether this process is refused for ever.
func (p *process) replaced(err error) bool {
	refused, ok := errors.AsType[*cluster.RefusedError](err)
	return ok && refused.Outcome == fsm.BootReplaced
}

// attach connects and serves until the connection ends.
func (p *process) attach(ctx context.Context) error {
	i, h := p.leader, p.hello()
	sent := time.Now()
	s, err := call(ctx, p.caller, i, func(ctx context.Context, n *cluster.Node) (*cluster.Stream, error) {
		s, err := n.Attach(ctx, h)
		if err == nil && ctx.Err() != nil {
			s.Close() // nobody is there any more
		}
		return s, err
	})
	if err != nil {
		return err
	}
	p.met("worker attached")
	w := &wire{stream: s, master: i, session: s.Attached().Session, in: make(chan *delivery), broken: make(chan struct{})}
	p.journal.beat(w.session, sent)
	ends, cancel := context.WithCancel(ctx)
	defer cancel()
	p.wg.Go(func() { p.carry(ends, w) })
	return p.serve(ctx, w)
}

// carry brings what the stream says to the worker, until one of them ends.
func (p *process) carry(ctx context.Context, w *wire) {
	rng := p.random(w.session)
	w.err = errBroken
	defer close(w.broken)
	defer p.hangUp(w)
	for {
		b, err := w.stream.Next(ctx)
		if err != nil {
			w.err = err
			return
		}
		d := &delivery{
			tasks: slices.Clone(b.Assignments), outcomes: slices.Clone(b.Outcomes), aborts: slices.Clone(b.Aborts),
			beat: b.HeartbeatSeq, again: b.AttachAgain,
		}
		_, dead := p.masters[w.master].up()
		if dead == nil || !p.reaches(w.master) || !p.calm.Load() && rng.Float64() < p.swarm.callLost/20 {
			p.met("stream broken")
			return
		}
		if sleep(ctx, p.swarm.latency+p.chance(rng, p.swarm.jitter)) != nil {
			return
		}
		if b.Moved != nil {
			w.err = &cluster.NotLeaderError{Leader: *b.Moved}
			return
		}
		select {
		case w.in <- d:
		case <-ctx.Done():
			return
		}
	}
}

// hangUp has the master learn that the connection is gone, at once or some time after.
func (p *process) hangUp(w *wire) {
	d := p.chance(p.random(w.session+1), 8*time.Second)
	if p.calm.Load() || d < 2*time.Second {
		w.stream.Close()
		return
	}
	p.later(d, w.stream.Close)
}

// serve is the process's part.
func (p *process) serve(ctx context.Context, w *wire) error {
	every := w.stream.Attached().HeartbeatEvery
	beat := time.NewTicker(every)
	defer beat.Stop()
	sent := map[uint64]time.Time{}
	p.again(ctx, w, 0)
	for {
		select {
		case d := <-w.in:
			p.thaw(ctx)
			for _, o := range d.outcomes {
				p.settle(o.Task, o.Fence, o.Outcome)
			}
			for _, a := range d.aborts {
				p.abort(a.Fence, a.Task)
			}
			p.receive(ctx, d.tasks)
			if at, ok := sent[d.beat]; ok {
				p.journal.beat(w.session, at)
			}
			if d.again {
				p.met("worker told to attach again")
				return errBroken
			}
		case j := <-p.ends:
			p.thaw(ctx)
			j.done = true
			p.tell(ctx, w, j)
		case <-beat.C:
			p.thaw(ctx)
			p.seq++
			sent[p.seq] = time.Now()
			p.speak(ctx, w, func(context.Context) { w.stream.Heartbeat(p.seq, len(p.jobs), p.hash()) })
			p.again(ctx, w, 5*time.Second)
		case <-w.broken:
			return w.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// again reports what has not been answered for so long.
func (p *process) again(ctx context.Context, w *wire, after time.Duration) {
	for _, j := range slices.Clone(p.jobs) {
		if j.done && time.Since(j.said) >= after {
			p.tell(ctx, w, j)
		}
	}
}

// hash is what a heartbeat says of the fences that are held.
func (p *process) hash() (sum uint64) {
	for _, j := range p.jobs {
		sum ^= splitmix64(j.fence)
	}
	return sum
}

func splitmix64(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// tell reports a job on the stream, or in a call beside it.
func (p *process) tell(ctx context.Context, w *wire, j *job) {
	j.said = time.Now()
	if p.rng.IntN(10) == 0 {
		_ = p.report(ctx, j)
		return
	}
	var done []*fsmpb.Completion
	var failed []*fsmpb.Failure
	var back []*fsmpb.Handback
	switch j.verb {
	case "complete":
		done = append(done, p.completion(j))
	case "fail":
		failed = append(failed, p.failure(j))
	default:
		back = append(back, p.handback(j))
	}
	p.speak(ctx, w, func(ctx context.Context) { _ = w.stream.Report(ctx, done, failed, back) })
}

// speak does something at the stream's end of the wire, unless it does not arrive.
func (p *process) speak(ctx context.Context, w *wire, do func(context.Context)) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, dead := p.masters[w.master].up(); dead == nil || !p.reaches(w.master) {
		return
	}
	if sleep(ctx, p.swarm.latency) == nil {
		do(ctx)
	}
}
