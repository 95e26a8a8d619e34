package fsm

import "github.com/taskraft/taskraft/fsm/fsmpb"

// deleteTasks removes the records of ended tasks, with their request ids, and of
// broadcasts with their targets.
func (m *Machine) deleteTasks(c *fsmpb.Delete) Result {
	outcomes := make([]Outcome, len(c.GetTasks()))
	for i, id := range c.GetTasks() {
		t, o := m.find(id)
		switch {
		case t == nil:
			outcomes[i] = o
		case !t.State.Terminal():
			outcomes[i] = NotTerminal
		case m.awaited(id), t.Extra != nil && m.pinnedDown(t):
			outcomes[i] = TaskAwaited
		case m.inUnfinishedBatch(t):
			outcomes[i] = BatchUnfinished
		default:
			m.remove(m.lines[t.Queue], t)
			outcomes[i] = Accepted
		}
	}
	return Result{Outcome: Accepted, Outcomes: outcomes}
}

// remove drops a terminal record before its time.
func (m *Machine) remove(l *line, t *Task) {
	m.budget--
	if r := m.requestOf(t); r != nil {
		m.setNameDue(dueRequest, t.RequestID, r.expiry(), 0)
		m.requests.Delete(t.RequestID)
	}
	for last := m.lastTarget(t); last != nil; last = m.lastTarget(t) {
		m.budget--
		m.discard(l, last)
	}
	m.discard(l, t)
	m.setTrimDue(l)
}

// awaited reports whether a task waits for this ended one and has not been told
// yet, or will when its batch makes it exist.
func (m *Machine) awaited(id uint64) bool {
	_, telling := m.releasing.Get(id)
	return telling || m.named[id] > 0
}

func (m *Machine) inUnfinishedBatch(t *Task) bool {
	if t.Extra == nil || t.Extra.Batch == 0 {
		return false
	}
	b := m.lots[t.Extra.Batch]
	return b != nil && b.rec.finishedAt == 0
}
