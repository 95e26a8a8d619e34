package model

import (
	"cmp"
	"slices"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

func (m *Table) assign(c *fsmpb.Assign) Result {
	s := m.sessions[c.GetSession()]
	if s == nil {
		return Result{Outcome: "NO_SESSION"}
	}
	return Result{Outcome: "ACCEPTED", Got: m.give(s, int(c.GetN()))}
}

// give assigns up to n tasks to a session: each time the first of all that may
// start there (S9). A task that lost several workers only runs alone: a session
// that holds nothing takes it, and one of the busy ones gets nothing more until it
// is empty, while the others go on with what comes next.
func (m *Table) give(s *session, n int) []Grant {
	var got []Grant
	for len(got) < n {
		held := m.holding(s)
		if s.draining || len(held) >= s.slots || slices.ContainsFunc(held, func(t *Task) bool { return t.Alone }) {
			break
		}
		solo := m.first(s, func(t *Task) bool { return t.Crashes >= soloAfter })
		t := m.first(s, func(t *Task) bool { return t.Crashes < soloAfter })
		if len(held) == 0 || solo == nil {
			s.clearing = false
		}
		if s.clearing {
			break
		}
		switch {
		case solo == nil || (t != nil && before(t, solo)):
		case len(held) == 0:
			t = solo
		case !m.cleared(solo.Queue):
			s.clearing = true
			return got
		}
		if t == nil {
			break
		}
		if t.Expires != 0 && t.Expires <= m.now && !t.started { // due, only not yet ticked
			m.finish(t, Cancelled, "expired")
			continue
		}
		m.grant(s, t)
		got = append(got, Grant{t.ID, t.Fence})
	}
	return got
}

// first returns who is next for a session, by priority, then by place, then by id,
// among those that match.
func (m *Table) first(s *session, match func(*Task) bool) *Task {
	var best *Task
	running := m.usage()
	for _, t := range m.tasks {
		if t.State == Ready && match(t) && (best == nil || before(t, best)) && m.fits(s, t, running) {
			best = t
		}
	}
	return best
}

func before(a, b *Task) bool {
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.Eligible, b.Eligible), cmp.Compare(a.ID, b.ID)) < 0
}

// cleared reports whether some session that serves the queue drains for a task
// that runs alone.
func (m *Table) cleared(queue string) bool {
	for _, s := range m.sessions {
		if s.clearing && s.serves(queue) {
			return true
		}
	}
	return false
}

func (s *session) serves(queue string) bool {
	return slices.ContainsFunc(s.queues, func(q *fsmpb.QueueWeight) bool { return q.GetQueue() == queue })
}

// fits reports whether queue, labels and limits let a session start a ready task.
func (m *Table) fits(s *session, t *Task, running usage) bool {
	q := m.queues[t.Queue]
	if !s.serves(t.Queue) || q.paused {
		return false
	}
	for _, l := range t.Require {
		if v, ok := s.labels[l.GetKey()]; !ok || v != l.GetValue() {
			return false
		}
	}
	return running.room(q, t.Key) && m.token(q, false)
}

// grant begins an attempt under the next fence (S6). A fence that its last holder
// could still have redeemed is void from here on.
func (m *Table) grant(s *session, t *Task) {
	m.touch(t)
	m.token(m.queues[t.Queue], true)
	m.lastFence++
	t.void()
	t.State, t.Fence, t.Session, t.Worker, t.Boot = Running, m.lastFence, s.id, s.worker, s.boot
	t.Started, t.Deadline = m.now, m.now+t.Timeout
	t.Alone = t.Crashes >= soloAfter
	t.Attempts++
	t.started = true
}
