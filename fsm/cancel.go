package fsm

import "github.com/taskraft/taskraft/fsm/fsmpb"

// cancel ends tasks that nobody wants any more (S14): waiting ones at once,
// running ones once they have stopped.
func (m *Machine) cancel(c *fsmpb.Cancel) Result {
	reason := Clip(c.GetReason(), MaxError)
	if reason == "" {
		reason = ReasonCancelled
	}
	outcomes := make([]Outcome, len(c.GetTasks()))
	for i, id := range c.GetTasks() {
		t, o := m.find(id)
		switch {
		case t == nil:
			outcomes[i] = o
		case t.State == Cancelled, t.revoked():
			outcomes[i] = Duplicate
		case t.State.Terminal():
			outcomes[i] = AlreadyTerminal
		case mutated("M19") && t.State == Ready:
			outcomes[i] = Accepted
		default:
			m.revoke(m.lines[t.Queue], t, reason)
			outcomes[i] = Accepted
		}
	}
	return Result{Outcome: Accepted, Outcomes: outcomes}
}

// retry starts the next generation of Dead and Cancelled tasks: like a submit, it
// is refused where the queue is full or the unique key taken.
func (m *Machine) retry(c *fsmpb.Retry) Result {
	outcomes := make([]Outcome, len(c.GetTasks()))
	for i, id := range c.GetTasks() {
		t, o := m.find(id)
		switch {
		case t == nil:
			outcomes[i] = o
		case t.State != Dead && t.State != Cancelled:
			outcomes[i] = NotTerminal
		default:
			if outcomes[i] = m.revivable(t); outcomes[i] == Accepted {
				m.revive(m.lines[t.Queue], t)
			}
		}
	}
	return Result{Outcome: Accepted, Outcomes: outcomes}
}
