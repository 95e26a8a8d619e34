package clustersim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
	"github.com/taskraft/taskraft/internal/checker"
)

// submitter submits tasks, one call after the other, reads what became of them, and
// cancels some. It repeats a call until it is answered.
type submitter struct {
	*caller
	id   []byte
	seq  uint64
	seen uint64 // newest index that an answer showed

	schedules bool          // it is the one who cares for them
	patience  time.Duration // before it says the same again, at most
}

func newSubmitter(w *world, i int) *submitter {
	id := binary.BigEndian.AppendUint64(make([]byte, 8), uint64(i+1))
	return &submitter{
		caller: newCaller(w, fmt.Sprintf("c%d", i+1), uint64(200+i)), id: id,
		schedules: i == 0 && w.swarm.schedules, patience: 300 * time.Millisecond,
	}
}

// run goes on until the faults are over; its last call gets its answer.
func (c *submitter) run(ctx context.Context) {
	if c.schedules {
		c.schedule(ctx)
		defer c.unschedule(ctx)
	}
	for !c.calm.Load() && sleep(ctx, c.chance(c.rng, c.swarm.think)) == nil {
		switch p := c.rng.IntN(100); {
		case c.schedules && p < 5:
			c.reschedule(ctx)
		case p < 60:
			c.submit(ctx)
		case p < 85:
			c.get(ctx)
		case p < 95:
			c.readBehind(ctx)
		default:
			c.cancel(ctx)
		}
	}
}

// answer is what a command was answered.
type answer struct {
	res fsm.Result
	pos cluster.Position
}

// order has a command carried out, however often it must be said.
func (c *submitter) order(ctx context.Context, cmd *fsmpb.Command) (answer, error) {
	c.seq++
	for n := 0; ; n++ {
		said := &fsmpb.Command{
			Principal: "client:" + c.name, Kind: cmd.Kind,
			Call: &fsmpb.Call{Client: c.id, Seq: c.seq, AckedBelow: c.seq, Repeat: n > 0},
		}
		i := c.leader
		a, err := call(ctx, c.caller, i, func(ctx context.Context, node *cluster.Node) (answer, error) {
			res, pos, err := node.Propose(ctx, said)
			return answer{res, pos}, err
		})
		if err == nil {
			c.journal.acknowledged(name(i), a.pos)
			return a, nil
		}
		if errors.Is(err, cluster.ErrDiskLow) {
			c.met("submit refused, disk low")
		}
		if errors.Is(err, cluster.ErrUncertain) {
			c.met("outcome unknown")
		}
		c.next(err)
		if sleep(ctx, 20*time.Millisecond+c.chance(c.rng, c.patience)) != nil {
			return answer{}, err
		}
	}
}

func (c *submitter) submit(ctx context.Context) {
	spec := c.spec()
	op := checker.Op{Client: c.name, Kind: "submit", Request: spec.RequestId, Call: now()}
	a, err := c.order(ctx, &fsmpb.Command{Kind: &fsmpb.Command_Submit{Submit: &fsmpb.Submit{Tasks: []*fsmpb.TaskSpec{spec}}}})
	op.Return, op.Outcome = now(), checker.Maybe
	switch {
	case err != nil:
		c.met("submit given up")
	case a.res.Outcome == fsm.CallForgotten: // an hour has jumped by
		c.met("call forgotten")
	case a.res.Outcome != fsm.Accepted || len(a.res.IDs) != 1:
		c.failf("a submit was answered %v %v", a.res.Outcome, a.res.Outcomes)
	default:
		op.Outcome, op.Task, op.Index = checker.OK, a.res.IDs[0], a.pos.Index
		c.seen = max(c.seen, a.pos.Index)
	}
	c.journal.called(op)
}

func (c *submitter) spec() *fsmpb.TaskSpec {
	s := &fsmpb.TaskSpec{
		Queue: []string{"a", "b"}[c.rng.IntN(2)], Kind: "k", ContentDigest: c.rng.Uint64(),
		RequestId: fmt.Sprintf("%s-%d", c.name, c.seq+1), Payload: make([]byte, c.rng.IntN(300)),
		BackoffBase: new(int64(time.Second)), BackoffMax: new(int64(4 * time.Second)),
	}
	if c.rng.IntN(10) == 0 {
		s.Payload = make([]byte, 4<<10)
	}
	if c.rng.IntN(4) == 0 {
		s.Priority = new(int32(c.rng.IntN(5) - 2))
	}
	if c.rng.IntN(5) == 0 {
		s.Delay = c.rng.Int64N(int64(5 * time.Second))
	}
	if c.rng.IntN(4) == 0 {
		s.Timeout = new(int64(time.Second) + c.rng.Int64N(int64(5*time.Second)))
	}
	return s
}

// get reads a task whose submit was acknowledged, from who leads.
func (c *submitter) get(ctx context.Context) {
	id := c.journal.some(c.rng.IntN)
	if id == 0 {
		return
	}
	op := checker.Op{Client: c.name, Kind: "get", Task: id, Call: now()}
	t, pos, err := c.read(ctx, c.leader, id, cluster.ReadOptions{Level: cluster.Linearizable})
	op.Return, op.Outcome = now(), checker.Fail
	if err != nil {
		c.next(err)
	} else if t == nil {
		c.failf("task %d was acknowledged, and %s does not know it at entry %d (S1)", id, name(c.leader), pos.Index)
	} else {
		op.Outcome, op.State, op.Index = checker.OK, t.State.String(), pos.Index
		if t.State == fsm.Succeeded {
			op.Result = string(t.Result)
		}
		c.seen = max(c.seen, pos.Index)
	}
	c.journal.called(op)
}

// readBehind reads from any master what is at least as new as what was seen (S13).
func (c *submitter) readBehind(ctx context.Context) {
	id := c.journal.some(c.rng.IntN)
	if id == 0 {
		return
	}
	i := c.rng.IntN(len(c.masters))
	seen := c.seen
	_, pos, err := c.read(ctx, i, id, cluster.ReadOptions{Level: cluster.Stale, MinIndex: seen})
	if err != nil {
		c.met("read of a follower gave up")
		return
	}
	c.met("read of a follower")
	if pos.Index < seen {
		c.failf("%s answered with entry %d to who had seen %d (S13)", name(i), pos.Index, seen)
	}
}

func (c *submitter) read(ctx context.Context, i int, id uint64, o cluster.ReadOptions) (*fsm.Task, cluster.Position, error) {
	type seen struct {
		t   *fsm.Task
		pos cluster.Position
	}
	s, err := call(ctx, c.caller, i, func(ctx context.Context, node *cluster.Node) (s seen, err error) {
		s.pos, err = node.Read(ctx, o, func(m *fsm.Machine) { s.t, _ = m.Task(id) })
		return s, err
	})
	return s.t, s.pos, err
}

func (c *submitter) cancel(ctx context.Context) {
	id := c.journal.some(c.rng.IntN)
	if id == 0 {
		return
	}
	op := checker.Op{Client: c.name, Kind: "cancel", Task: id, Call: now()}
	a, err := c.order(ctx, &fsmpb.Command{Kind: &fsmpb.Command_Cancel{Cancel: &fsmpb.Cancel{Tasks: []uint64{id}}}})
	op.Return, op.Outcome = now(), checker.Maybe
	if err == nil && a.res.Outcome != fsm.CallForgotten {
		op.Outcome, op.Index = checker.OK, a.pos.Index
	}
	c.journal.called(op)
}

func now() int64 { return time.Now().UnixNano() }
