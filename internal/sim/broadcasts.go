package sim

import (
	"maps"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
	"github.com/taskraft/taskraft/internal/model"
)

// broadcast makes a task one for all, for some or for none of the workers.
func (c *client) broadcast(s *fsmpb.TaskSpec) {
	w := c.w
	s.Require, s.ConcurrencyKey = nil, ""
	s.Broadcast = &fsmpb.BroadcastSpec{Patience: second + w.rng.Int64N(15*second), Late: w.chance(0.4)}
	switch p := w.rng.Float64(); {
	case p < 0.1:
		s.Broadcast.Patience = minute
	case p < 0.12 && !s.Broadcast.Late: // the default, which drain would wait for
		s.Broadcast.Patience = 0
	}
	if w.chance(0.5) {
		s.Broadcast.Require = 1 + w.rng.Uint32N(3)
	}
	switch p := w.rng.Float64(); {
	case p < 0.6:
		s.Broadcast.Selector = []*fsmpb.Label{{Key: "role", Value: roles[w.rng.IntN(len(roles))]}}
	case p < 0.7:
		s.Broadcast.Selector = []*fsmpb.Label{{Key: "role", Value: "web"}, {Key: "gpu", Value: "a100"}}
	}
}

// roles are labels of workers; nobody has the last one at first.
var roles = []string{"web", "db", "spare"}

// announce is what a client does to broadcasts, or to one target.
func (c *client) announce() *fsmpb.Command {
	w := c.w
	var ids []uint64
	for t := range w.table.TasksBefore(0) {
		if t.Extra != nil && (t.Extra.Broadcast != nil || t.Extra.Target != nil && w.chance(0.3)) && w.chance(0.4) {
			ids = append(ids, t.ID)
		}
		if len(ids) > w.rng.IntN(3) {
			break
		}
	}
	switch p := w.rng.Float64(); {
	case p < 0.25:
		return &fsmpb.Command{Kind: &fsmpb.Command_Cancel{Cancel: &fsmpb.Cancel{Tasks: ids}}}
	case p < 0.75:
		return &fsmpb.Command{Kind: &fsmpb.Command_Retry{Retry: &fsmpb.Retry{Tasks: ids}}}
	}
	return &fsmpb.Command{Kind: &fsmpb.Command_Delete{Delete: &fsmpb.Delete{Tasks: ids}}}
}

// relabel gives the worker another role, and says so if it can.
func (o *worker) relabel() {
	o.labels = maps.Clone(o.labels)
	o.labels["role"] = roles[o.w.rng.IntN(len(roles))]
	if o.alive && o.session != 0 {
		c := &fsmpb.Command{Kind: &fsmpb.Command_UpdateSession{UpdateSession: &fsmpb.UpdateSession{Session: o.session, Labels: o.labels}}}
		o.ask(c, o.boot(), func(fsm.Result) {})
	}
}

// metBroadcast counts what became of broadcasts and their targets.
func (w *world) metBroadcast(e fsm.Event, c *fsmpb.Command) {
	switch x := e.Task.Extra; {
	case x == nil:
	case x.Target != nil:
		w.metTarget(e)
	case x.Broadcast == nil:
	case e.Kind == fsm.TaskFinished:
		w.metEnd(e.Task)
	case e.Kind == fsm.TaskTrimmed && c.GetDelete() != nil && x.Broadcast.Targets > 0:
		w.cover["broadcast deleted with its targets"]++
	case e.Task.State != fsm.Running:
	case e.Kind == fsm.TaskSubmitted:
		w.cover["broadcast opened"]++
	case e.Kind == fsm.TaskReady && e.Task.Generation == 1:
		w.cover["broadcast opened when its time had come"]++
	}
}

// metEnd counts how a broadcast ended.
func (w *world) metEnd(t *fsm.Task) {
	b := t.Extra.Broadcast
	switch {
	case t.State == fsm.Succeeded && b.Open() > 0:
		w.cover["broadcast acknowledged by enough"]++
	case t.State == fsm.Succeeded && b.Late && b.Require == 0:
		w.cover["broadcast acknowledged by all at its deadline"]++
	case t.State == fsm.Succeeded:
		w.cover["broadcast acknowledged"]++
	case t.State == fsm.Dead:
		w.cover["broadcast dead of "+t.Reason]++
	case b.Targets > 0:
		w.cover["broadcast cancelled with its targets"]++
	}
	switch {
	case t.Extra.Batch != 0:
		w.cover["broadcast in a batch"]++
	case t.Extra.Schedule != "":
		w.cover["broadcast of a schedule"]++
	}
}

// metTarget counts what became of a target.
func (w *world) metTarget(e fsm.Event) {
	t := e.Task
	whole, _ := w.table.Task(t.Extra.Target.Broadcast)
	s := w.table.Session(e.Session)
	switch {
	case e.Kind == fsm.TaskAssigned && e.Cause != fsm.CauseNone:
		w.cover["target taken back"]++
	case e.Kind == fsm.TaskAssigned:
		if s != nil && s.Held > s.Slots {
			w.cover["target beside full slots"]++
		}
		if s != nil && s.Drained {
			w.cover["target at a drained worker"]++
		}
		if n := len(t.Ended); n > 0 && t.Ended[n-1].Boot != t.Boot {
			w.cover["target given to a new process"]++
		}
	case e.Kind == fsm.TaskSubmitted && whole != nil && whole.State == fsm.Running && whole.StartedAt < t.SubmittedAt:
		w.cover["late joiner"]++
	case e.Kind == fsm.TaskSubmitted && whole != nil && whole.State == fsm.Succeeded && whole.FinishedAt < t.SubmittedAt:
		w.cover["late joiner after enough"]++
	case e.Kind == fsm.TaskFinished && t.State == fsm.Succeeded:
		w.cover["target acked"]++
	case e.Kind == fsm.TaskFinished && t.State == fsm.Dead:
		w.cover["target dead of "+t.Reason]++
	case e.Kind == fsm.TaskFinished && (t.Reason == fsm.ReasonGone || t.Reason == fsm.ReasonDeadline):
		w.cover["target cancelled: "+t.Reason]++
	}
}

// metRetry counts whose next generation began.
func (w *world) metRetry(c *fsmpb.Retry, r model.Result) {
	if c == nil {
		return
	}
	for i, o := range r.Outcomes {
		switch t, _ := w.table.Task(c.GetTasks()[i]); {
		case o != "ACCEPTED" || t == nil || t.Extra == nil:
		case t.Extra.Broadcast != nil && t.Extra.Broadcast.Targets > 0:
			w.cover["broadcast retried for its targets"]++
		case t.Extra.Broadcast != nil:
			w.cover["broadcast retried with a new audience"]++
		case t.Extra.Target != nil:
			w.cover["target retried"]++
		}
	}
}
