package sim

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// client submits tasks and does to them what users do. It repeats a call until it
// is answered.
type client struct {
	w     *world
	id    []byte
	seq   uint64
	open  []*call // without an answer, by seq
	said  []*call
	acked []uint64 // ids of submits that were acknowledged

	parents []uint64 // of the tasks that it has staged last
}

type call struct {
	seq     uint64
	command *fsmpb.Command
	answer  *fsm.Result
}

func newClient(w *world, i int) *client {
	return &client{w: w, id: binary.BigEndian.AppendUint64(make([]byte, 8), uint64(i+1))}
}

// act makes a call, and another one later.
func (c *client) act() {
	if c.w.calm {
		return
	}
	c.call(c.think())
	c.w.after(c.w.rng.Int64N(400*millisecond), c.act)
}

func (c *client) think() *fsmpb.Command {
	w := c.w
	switch {
	case w.chance(w.cfg.cancels):
		if w.chance(0.6) {
			return &fsmpb.Command{Kind: &fsmpb.Command_Cancel{Cancel: &fsmpb.Cancel{Tasks: c.some(), Reason: []string{"", "enough"}[w.rng.IntN(2)]}}}
		}
		return &fsmpb.Command{Kind: &fsmpb.Command_Retry{Retry: &fsmpb.Retry{Tasks: c.some()}}}
	case w.chance(w.cfg.bulk):
		return c.bulk()
	case w.chance(w.cfg.operators):
		return c.operate()
	case w.cfg.broadcasts && w.chance(0.04):
		return c.announce()
	case w.cfg.schedules && w.chance(0.1):
		return c.schedule()
	case w.chance(0.02):
		return &fsmpb.Command{Kind: &fsmpb.Command_Delete{Delete: &fsmpb.Delete{Tasks: c.some()}}}
	case len(c.parents) > 0 && w.chance(0.1):
		return &fsmpb.Command{Kind: &fsmpb.Command_Delete{Delete: &fsmpb.Delete{Tasks: c.parents}}}
	case w.chance(0.03):
		paused := w.chance(0.4)
		return &fsmpb.Command{Kind: &fsmpb.Command_SetQueue{SetQueue: &fsmpb.SetQueue{Queue: c.queue(), Paused: &paused}}}
	}
	if w.unfinished() > maxBacklog {
		return &fsmpb.Command{Kind: &fsmpb.Command_Cancel{Cancel: &fsmpb.Cancel{Tasks: c.some()}}}
	}
	if w.cfg.batches && w.chance(0.2) {
		return c.batch()
	}
	s := &fsmpb.Submit{}
	for range 1 + w.rng.IntN(4) {
		s.Tasks = append(s.Tasks, c.spec())
	}
	c.relate(s.Tasks)
	return &fsmpb.Command{Kind: &fsmpb.Command_Submit{Submit: s}}
}

// maxBacklog bounds what waits: a model that looks at every task is slow.
const maxBacklog = 80

func (w *world) unfinished() (n int64) {
	for q := range w.table.QueuesAfter("") {
		n += q.Unfinished()
	}
	return n
}

// some returns ids of tasks that are or were there, and of one that is not.
func (c *client) some() (ids []uint64) {
	for range 1 + c.w.rng.IntN(3) {
		ids = append(ids, 1+c.w.rng.Uint64N(60))
		if n := len(c.acked); n > 0 && c.w.chance(0.8) {
			ids[len(ids)-1] = c.acked[max(0, n-1-c.w.rng.IntN(10))]
		}
	}
	return ids
}

func (c *client) queue() string { return []string{"a", "b"}[c.w.rng.IntN(2)] }

func (c *client) spec() *fsmpb.TaskSpec {
	w := c.w
	s := &fsmpb.TaskSpec{Queue: c.queue(), Kind: "k", ContentDigest: w.rng.Uint64()}
	if w.chance(0.3) {
		s.Priority = new(int32(w.rng.IntN(5) - 2))
	}
	if w.chance(0.2) {
		s.Delay = w.rng.Int64N(5 * second)
	}
	if s.Delay == 0 && w.chance(0.05) {
		s.RunAt = w.now + w.rng.Int64N(10*second)
	}
	if w.cfg.ageing && w.chance(0.2) { // at a full second, so that waiting is worth exactly a step
		s.Delay, s.RunAt = 0, w.now-w.now%second+w.rng.Int64N(4)*second
	}
	if w.cfg.bulk > 0 && w.chance(0.2) {
		s.Labels = []*fsmpb.Label{{Key: "tenant", Value: "7"}}
	}
	if w.cfg.shortTimeouts && w.chance(0.3) {
		s.Timeout = new(100*millisecond + w.rng.Int64N(2*second))
	}
	if w.chance(0.3) {
		s.MaxAttempts = new(uint32(1 + w.rng.IntN(4)))
	}
	if w.chance(0.3) {
		s.BackoffBase, s.BackoffMax = new(w.rng.Int64N(second)), new(w.rng.Int64N(3*second))
	}
	if w.chance(0.1) {
		s.ExpiresIn = 1 + w.rng.Int64N(3*second)
	}
	if w.chance(0.2) {
		s.Retain = new(w.rng.Int64N(20 * second))
	}
	if w.cfg.labels && w.chance(0.2) {
		s.Require = []*fsmpb.Label{{Key: "gpu", Value: "a100"}}
	}
	if w.cfg.limits && w.chance(0.3) {
		s.ConcurrencyKey = []string{"x", "y"}[w.rng.IntN(2)]
	}
	if w.cfg.unique && w.chance(0.3) {
		s.UniqueKey, s.UniqueUntilStart = fmt.Sprintf("u%d", w.rng.IntN(4)), w.chance(0.3)
	}
	if w.cfg.broadcasts && w.chance(0.05) {
		c.broadcast(s)
	}
	if w.cfg.batches && w.chance(0.1) {
		s.OnSuccess, s.OnDead = []*fsmpb.TaskSpec{c.plain()}, []*fsmpb.TaskSpec{c.plain()}
	}
	if w.chance(0.2) {
		s.RequestId = fmt.Sprintf("r%d", w.rng.IntN(40))
		s.ContentDigest = uint64(w.rng.IntN(2))
	}
	return s
}

// relate lets tasks of one call wait for others, at times in a circle or for one that
// is not there.
func (c *client) relate(specs []*fsmpb.TaskSpec) {
	for _, s := range specs {
		if !c.w.cfg.parents || c.w.chance(0.7) {
			continue
		}
		s.AfterRun = c.w.chance(0.3)
		if n := len(c.acked); n > 0 && c.w.chance(0.7) {
			s.After = []uint64{c.acked[max(0, n-1-c.w.rng.IntN(10))], c.acked[n-1]}
		}
		if c.w.chance(0.4) {
			s.AfterItems = []uint32{c.w.rng.Uint32N(uint32(len(specs)))}
		}
		if c.w.chance(0.03) {
			s.After = append(s.After, 1+c.w.rng.Uint64N(60))
		}
	}
}

// call numbers a command, and says it until it is answered.
func (c *client) call(command *fsmpb.Command) {
	c.seq++
	one := &call{seq: c.seq, command: command}
	command.Principal = "client:sim"
	c.open = append(c.open, one)
	c.say(one, false)
}

func (c *client) below() uint64 {
	if len(c.open) > 0 {
		return c.open[0].seq
	}
	return c.seq + 1
}

func (c *client) say(one *call, repeat bool) {
	w := c.w
	command := &fsmpb.Command{
		Principal: one.command.Principal, Kind: one.command.Kind,
		Call: &fsmpb.Call{Client: c.id, Seq: one.seq, AckedBelow: c.below(), Repeat: repeat},
	}
	w.send(func() {
		w.propose(command, func(r fsm.Result) { w.send(func() { c.answered(one, r) }) })
	})
	w.after(500*millisecond+w.rng.Int64N(second), func() {
		if slices.Contains(c.open, one) {
			c.say(one, true)
		}
	})
}

// answered takes the first answer, and holds later ones to it (S3).
func (c *client) answered(one *call, r fsm.Result) {
	if r.Outcome == fsm.CallForgotten {
		if one.answer == nil && c.w.cover["clock jumped"] == 0 {
			failf("call %d has no answer yet and is forgotten (S3)", one.seq)
		}
		c.open = slices.DeleteFunc(c.open, func(o *call) bool { return o == one })
		return
	}
	if one.answer != nil {
		if c.w.cover["clock jumped"] == 0 && !slices.Equal(one.answer.IDs, r.IDs) || c.w.cover["clock jumped"] == 0 && one.answer.Outcome != r.Outcome {
			failf("call %d was answered %v %v, and now %v %v (S3)", one.seq, one.answer.Outcome, one.answer.IDs, r.Outcome, r.IDs)
		}
		return
	}
	one.answer = &r
	c.open = slices.DeleteFunc(c.open, func(o *call) bool { return o == one })
	c.said = append(c.said, one)
	if r.Outcome == fsm.Accepted {
		c.acked = append(c.acked, r.IDs...)
	}
}

// echo says an answered call once more, as a message that was long under way.
func (c *client) echo() {
	if len(c.said) == 0 {
		return
	}
	one := c.said[max(0, len(c.said)-1-c.w.rng.IntN(5))]
	command := &fsmpb.Command{
		Principal: one.command.Principal, Kind: one.command.Kind,
		Call: &fsmpb.Call{Client: c.id, Seq: one.seq, AckedBelow: min(one.seq, c.below()), Repeat: c.w.chance(0.5)},
	}
	c.w.cover["call echoed"]++
	c.w.send(func() { c.w.propose(command, func(r fsm.Result) { c.answered(one, r) }) })
}

// check looks for all that was acknowledged (S1).
func (c *client) check() {
	for _, id := range c.acked {
		if _, known := c.w.table.Task(id); id != 0 && !known {
			failf("task %d was acknowledged and is not there (S1)", id)
		}
	}
}
