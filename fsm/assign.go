package fsm

import "github.com/taskraft/taskraft/fsm/fsmpb"

// assign gives tasks to a session: the machine alone chooses which (S9).
func (m *Machine) assign(c *fsmpb.Assign) Result {
	s := m.live[c.GetSession()]
	if s == nil || s.rec.Ending != CauseNone {
		return Result{Outcome: NoSession}
	}
	return Result{Outcome: Accepted, Tasks: m.give(s, int(min(c.GetN(), MaxSlots)))}
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
		l, t := m.pick(s)
		if t == nil {
			break
		}
		if at := t.expiry(); at != 0 && at <= m.now {
			m.revoke(l, t, ReasonExpired)
			continue
		}
		if got == nil {
			got = make([]*Task, 0, min(n, l.ready.Len()+1))
		}
		alone := t.alone()
		got = append(got, m.start(s, l, t, alone))
		if alone {
			break
		}
	}
	if len(got) > 0 {
		m.editSession(s).AssignedTotal += uint64(len(got))
	}
	return got
}

// pick returns the best task for the session: among the heads of its queues the
// highest priority, then the longest eligible, then the lowest id. A task that
// may only run alone waits for a session that holds nothing; one busy session
// at a time clears for it, the others go on with what comes next.
func (m *Machine) pick(s *session) (*line, *Task) {
	best, solo := m.heads(s)
	if solo.line == nil {
		m.setClearing(s, false)
		return best.line, best.item.task
	}
	if s.held.len() == 0 {
		m.setClearing(s, false)
		if solo.before(best) {
			best = solo
		}
		return best.line, best.item.task
	}
	if s.rec.Clearing {
		return nil, nil
	}
	if solo.before(best) && !m.clearedFor(solo.line) {
		m.setClearing(s, true)
		return nil, nil
	}
	return best.line, best.item.task
}

// head is the first task of a lane; a nil line means none.
type head struct {
	line *line
	item readyItem
}

func (h head) before(o head) bool {
	return h.line != nil && (o.line == nil || h.item.before(o.item))
}

// heads returns the best task of the session's queues that may run beside
// others, and the best that must run alone.
func (m *Machine) heads(s *session) (best, solo head) {
	for i, l := range s.lines {
		if l == nil {
			l = m.lines[s.rec.Queues[i].Queue]
		}
		if l == nil || l.rec.paused {
			continue
		}
		if it, ok := l.ready.Min(); ok {
			if h := (head{l, it}); h.before(best) {
				best = h
			}
		}
		if it, ok := l.solo.Min(); ok {
			if h := (head{l, it}); h.before(solo) {
				solo = h
			}
		}
	}
	return best, solo
}

// clearedFor reports whether a session that serves the queue clears already.
func (m *Machine) clearedFor(l *line) bool {
	found := false
	m.clearing.Scan(func(_ uint64, s *session) bool {
		for _, q := range s.rec.Queues {
			found = found || q.Queue == l.rec.name
		}
		return !found
	})
	return found
}

// Assignable returns how many tasks, at most limit, an Assign for this session
// would give it now. Costs O(queues of the session), not O(backlog). While a task
// that may only run alone waits in one of them it is an upper bound, and 1 when
// all the Assign would do is to clear the session for it: it is positive exactly
// when an Assign would change something.
func (m *Machine) Assignable(session uint64, limit int) int {
	s := m.live[session]
	if s == nil {
		return 0
	}
	n := 0
	for _, q := range s.rec.Queues {
		if l := m.lines[q.Queue]; l != nil && !l.rec.paused {
			n += l.ready.Len()
		}
	}
	room := max(min(limit, s.free()), 0)
	best, solo := m.heads(s)
	switch {
	case solo.line == nil:
		return min(n, room)
	case s.held.len() == 0 && solo.before(best):
		return min(1, room)
	case s.held.len() == 0:
		return min(n, room)
	case s.rec.Clearing:
		return 0
	case solo.before(best) && !m.clearedFor(solo.line):
		return min(1, room)
	default:
		return min(n, room)
	}
}
