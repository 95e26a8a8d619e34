package fsm

import "github.com/taskraft/taskraft/fsm/fsmpb"

// assign gives tasks to a session: the machine alone chooses which (S9). What was
// broadcast to its worker comes first and takes none of its slots.
func (m *Machine) assign(c *fsmpb.Assign) Result {
	s := m.live[c.GetSession()]
	if s == nil || s.rec.Ending != CauseNone {
		return Result{Outcome: NoSession}
	}
	got := m.deliver(s)
	if more := m.give(s, int(min(c.GetN(), MaxSlots))); got == nil {
		got = more
	} else {
		got = append(got, more...)
	}
	return Result{Outcome: Accepted, Tasks: got}
}

// give starts at most n tasks in the session, best first, within its free slots.
func (m *Machine) give(s *session, n int) []*Task {
	n = min(n, s.free())
	if n <= 0 {
		return nil
	}
	m.resolve(s)
	var got []*Task
	for len(got) < n && m.budget > 0 {
		h := m.pick(s)
		if h.line == nil {
			break
		}
		t := h.item.task
		if at := t.expiry(); at != 0 && at <= m.now {
			m.expire(h.line, t)
			continue
		}
		if m.condemned(h.line, t) {
			continue
		}
		if got == nil {
			got = make([]*Task, 0, min(n, h.line.eligible+1))
		}
		alone := t.alone()
		m.charge(s, h)
		got = append(got, m.start(s, h.line, t, alone))
		if alone {
			break
		}
	}
	if len(got) > 0 {
		m.editSession(s).AssignedTotal += uint64(len(got))
	}
	return got
}

// pick returns the session's next task, if there is one. A task that may only run
// alone waits for a session that holds nothing; one busy session at a time clears
// for it, the others go on with what comes next.
func (m *Machine) pick(s *session) head {
	best, solo := m.heads(s)
	if solo.line == nil {
		m.setClearing(s, false)
		return best
	}
	if s.held.len() == 0 {
		m.setClearing(s, false)
		if m.sooner(s, solo, best) {
			return solo
		}
		return best
	}
	if s.rec.Clearing {
		return head{}
	}
	if m.sooner(s, solo, best) && !m.clearedFor(solo.line) {
		m.setClearing(s, true)
		return head{}
	}
	return best
}
