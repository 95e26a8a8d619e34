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
	return Result{Outcome: "ACCEPTED", Got: append(m.deliver(s), m.give(s, int(c.GetN()))...)}
}

// give assigns up to n tasks to a session: each time the first of all that may
// start there (S9). A task that lost several workers only runs alone: a session
// that holds nothing takes it, and one of the busy ones gets nothing more until it
// is empty, while the others go on with what comes next.
func (m *Table) give(s *session, n int) []Grant {
	var got []Grant
	for len(got) < n {
		held := m.holding(s)
		busy := 0 // slots: a target takes none
		for _, t := range held {
			if t.Of == 0 {
				busy++
			}
		}
		if s.draining || m.workers[s.worker].Drained || busy >= s.slots || slices.ContainsFunc(held, func(t *Task) bool { return t.Alone }) {
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
		case solo == nil || (t != nil && m.sooner(s, t, solo)):
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
		m.share(s, t)
		m.grant(s, t)
		got = append(got, Grant{t.ID, t.Fence})
	}
	return got
}

// first returns who is next for a session among those that match: the first of each
// queue, and of these the one that comes first.
func (m *Table) first(s *session, match func(*Task) bool) (best *Task) {
	heads := make(map[string]*Task)
	running := m.usage()
	for _, t := range m.tasks {
		if t.State != Ready || t.Of != 0 || !match(t) {
			continue
		}
		if head := heads[t.Queue]; (head == nil || m.before(t, head)) && m.fits(s, t, running) {
			heads[t.Queue] = t
		}
	}
	for _, q := range s.queues {
		if t := heads[q.GetQueue()]; t != nil && (best == nil || m.sooner(s, t, best)) {
			best = t
		}
	}
	return best
}

// before is the order of a queue: by priority, then by place, then by id. With ageing
// a step of priority is worth a time of waiting: who came so much earlier, or more,
// comes first.
func (m *Table) before(a, b *Task) bool {
	if step := m.queues[a.Queue].set.GetAgeing(); step > 0 && a.Priority != b.Priority {
		ahead := int64(a.Priority-b.Priority)*step + b.Eligible - a.Eligible
		return ahead > 0 || ahead == 0 && a.Eligible < b.Eligible
	}
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), byPlace(a, b)) < 0
}

func byPlace(a, b *Task) int { return cmp.Or(cmp.Compare(a.Eligible, b.Eligible), byID(a, b)) }

// sooner is the order over a session's queues: by their shares if their weights are not
// equal, else by priority, as far as whole steps of waiting have raised it, then by place.
func (m *Table) sooner(s *session, a, b *Task) bool {
	switch {
	case a.Queue == b.Queue:
		return m.before(a, b)
	case s.shares.turn != nil:
		return s.shares.sooner(s.queues, a.Queue, b.Queue)
	}
	return cmp.Or(cmp.Compare(m.grown(b), m.grown(a)), byPlace(a, b)) < 0
}

// grown is a task's priority with what it has waited.
func (m *Table) grown(t *Task) int64 {
	if step := m.queues[t.Queue].set.GetAgeing(); step > 0 {
		return int64(t.Priority) + (m.now-t.Eligible)/step
	}
	return int64(t.Priority)
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
	return s.has(t.Require) && running.room(q, t.Key) && m.token(q, false)
}

// grant begins an attempt under the next fence (S6). A fence that its last holder
// could still have redeemed is void from here on.
func (m *Table) grant(s *session, t *Task) {
	m.touch(t)
	if t.Of == 0 {
		m.token(m.queues[t.Queue], true)
	}
	m.lastFence++
	t.void()
	t.State, t.Fence, t.Session, t.Worker, t.Boot = Running, m.lastFence, s.id, s.worker, s.boot
	t.Started, t.Deadline = m.now, m.now+t.Timeout
	if t.Of != 0 {
		t.Deadline = min(t.Deadline, t.Until)
	}
	t.Alone = t.Crashes >= soloAfter && t.Of == 0 // a target has no other worker to go to
	t.Attempts++
	t.started = true
}
