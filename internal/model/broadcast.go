package model

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// broadcast is what a task has that every matching worker carries out. Nobody gets it:
// once it has opened it runs until its targets, or its deadline, have decided it.
type broadcast struct {
	spec     *fsmpb.BroadcastSpec
	patience int64    // from the opening to the deadline
	audience []string // pinned by this entry, at whose end they become targets
	gone     [2]int   // targets whose records retention has removed: acked, and not

	// What is being done to all targets. They have their turns at the end of the entry.
	cancelling, reviving bool
}

const defaultPatience = 10 * minute

// ready lets a task start whose time has come and whose parents have ended. A broadcast
// waits for no worker: it opens.
func (m *Table) ready(t *Task) {
	m.touch(t)
	if t.State = Ready; t.broadcast == nil {
		return
	}
	if by := t.unstartedBy(); by != 0 && by <= m.now { // due, only not yet ticked
		m.finish(t, Cancelled, "expired")
		return
	}
	m.openBroadcast(t)
}

// openBroadcast fixes the audience. One that had targets in an earlier generation keeps
// them: those that did not succeed start anew.
func (m *Table) openBroadcast(t *Task) {
	b := t.broadcast
	if b.patience = b.spec.GetPatience(); b.patience <= 0 {
		b.patience = max(defaultPatience, 2*t.Timeout)
	}
	t.State, t.started, t.Started = Running, true, m.now
	t.Until = m.now + b.patience
	t.Deadline = t.Until
	targets, _, _ := m.answers(t)
	if b.reviving = targets > 0; !b.reviving {
		b.audience = m.matching(b)
	}
	switch matched := targets + len(b.audience); {
	case b.spec.GetLate(): // somebody may come
	case matched == 0:
		m.endBroadcast(t, Dead, "no_targets")
	case matched < int(b.spec.GetRequire()):
		m.endBroadcast(t, Dead, "too_few_targets")
	}
}

// matching lists the workers of all sessions with the labels whose process does not end,
// the oldest session first.
func (m *Table) matching(b *broadcast) (workers []string) {
	var all []*session
	for _, s := range m.sessions {
		if !s.draining && s.has(b.spec.GetSelector()) {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(x, y *session) int { return cmp.Compare(x.id, y.id) })
	for _, s := range all {
		workers = append(workers, s.worker)
	}
	return workers
}

// has says whether a session has all these labels.
func (s *session) has(labels []*fsmpb.Label) bool {
	return !slices.ContainsFunc(labels, func(l *fsmpb.Label) bool {
		v, ok := s.labels[l.GetKey()]
		return !ok || v != l.GetValue()
	})
}

// fading says that retention has begun to remove the targets: nobody knows any more who
// got one, so that nobody joins and nothing is done again.
func (b *broadcast) fading() bool { return b.gone != [2]int{} }

// targetsOf returns the targets of a broadcast whose records are there, by id.
func (m *Table) targetsOf(id uint64) []*Task {
	return m.sorted(func(t *Task) bool { return t.Of == id }, byID)
}

// answers recounts the targets of a broadcast, and how those ended that have.
func (m *Table) answers(t *Task) (targets, acked, failed int) {
	acked, failed = t.broadcast.gone[0], t.broadcast.gone[1]
	targets = acked + failed
	for _, o := range m.tasks {
		switch {
		case o.Of != t.ID:
			continue
		case o.State == Succeeded:
			acked++
		case o.Terminal():
			failed++
		}
		targets++
	}
	return targets, acked, failed
}

// pursue does what is to be done to the targets of broadcasts, at the end of an entry:
// of the oldest first.
func (m *Table) pursue() {
	for t := m.busiest(); t != nil; t = m.busiest() {
		b := t.broadcast
		for _, worker := range b.audience {
			m.addTarget(t, worker)
		}
		b.audience = nil
		if !b.busy() {
			continue
		}
		for _, target := range m.targetsOf(t.ID) {
			m.pursueOne(t, target)
		}
		if b.busy() { // else its end was the end of this, too
			b.cancelling, b.reviving = false, false
			m.decide(t)
		}
	}
}

// busiest returns the oldest broadcast whose targets something is to be done to.
func (m *Table) busiest() (oldest *Task) {
	for _, t := range m.tasks {
		if t.broadcast != nil && t.broadcast.busy() && (oldest == nil || t.ID < oldest.ID) {
			oldest = t
		}
	}
	return oldest
}

func (b *broadcast) busy() bool { return b.cancelling || b.reviving || len(b.audience) > 0 }

func (m *Table) pursueOne(t, target *Task) {
	switch b := t.broadcast; {
	case b.cancelling:
		m.cancelOne(target.ID, t.Reason)
	case b.reviving && (target.State == Dead || target.State == Cancelled):
		m.revive(target)
	case b.reviving && target.State != Succeeded:
		m.touch(target)
		target.Until = t.Until
	}
}

// met says whether enough targets have acknowledged.
func (m *Table) met(t *Task) bool {
	targets, acked, _ := m.answers(t)
	if enough := int(t.broadcast.spec.GetRequire()); enough > 0 {
		return acked >= enough
	}
	return targets > 0 && acked == targets
}

// decide ends a broadcast if the ends of its targets do: as soon as so many have
// acknowledged as must, else when all have ended and none can come.
func (m *Table) decide(t *Task) {
	b := t.broadcast
	m.touch(t)
	targets, acked, failed := m.answers(t)
	open := targets - acked - failed
	final := !b.spec.GetLate() && !b.busy()
	switch {
	case t.State == Stopping && open == 0:
		m.endBroadcast(t, Cancelled, t.Reason)
	case t.State != Running: // it has ended: the others were only told
	case m.met(t) && (b.spec.GetRequire() > 0 || final):
		m.endBroadcast(t, Succeeded, "")
	case final && open == 0:
		m.endBroadcast(t, Dead, "not_acknowledged")
	}
}

// overdue ends a broadcast at its deadline.
func (m *Table) overdue(t *Task) {
	switch targets, _, _ := m.answers(t); {
	case m.met(t) && len(t.broadcast.audience) == 0:
		m.endBroadcast(t, Succeeded, "")
	case targets == 0:
		m.endBroadcast(t, Dead, "no_targets")
	default:
		m.endBroadcast(t, Dead, "deadline")
	}
}

// endBroadcast ends the broadcast's generation. When it has succeeded those are still
// told that were meant.
func (m *Table) endBroadcast(t *Task, state, reason string) {
	b := t.broadcast
	if state == Dead {
		targets, acked, failed := m.answers(t)
		switch reason {
		case "no_targets":
			t.Error = "no worker matched"
		case "too_few_targets":
			t.Error = fmt.Sprintf("%d workers matched, %d must acknowledge", targets+len(b.audience), b.spec.GetRequire())
		default:
			t.Error = fmt.Sprintf("%d of %d workers acknowledged, %d failed", acked, targets, failed)
		}
	}
	if state != Succeeded {
		b.audience, b.cancelling, b.reviving = nil, false, false
	}
	m.finish(t, state, reason)
}

// cancelBroadcast cancels an open broadcast with its targets; it ends with the last.
func (m *Table) cancelBroadcast(t *Task, reason string) {
	b := t.broadcast
	m.touch(t)
	t.void()
	t.State, t.Stop, t.Reason = Stopping, "cancelled", reason
	b.audience, b.cancelling, b.reviving = nil, true, false
	m.decide(t)
}

// idle says that nothing more happens to a broadcast, or a task that is none, by itself.
func (m *Table) idle(t *Task) bool {
	b := t.broadcast
	if b == nil {
		return true
	}
	targets, acked, failed := m.answers(t)
	return targets == acked+failed && !b.busy()
}
