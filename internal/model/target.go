package model

import (
	"cmp"
	"slices"
)

// A target is a broadcast's part for one worker: a task of its own (Of, For), which only
// that worker gets, until the deadline (Until), in a slot beside its others. No limit of
// the queue knows it.

// addTarget makes a worker a target, with the broadcast's options.
func (m *Table) addTarget(t *Task, worker string) {
	m.lastTask++
	m.touch(t)
	target := &Task{
		ID: m.lastTask, Generation: 1, State: Ready, Of: t.ID, For: worker, Until: t.Until,
		Queue: t.Queue, Kind: t.Kind, Priority: t.Priority, Timeout: t.Timeout, MaxAttempts: t.MaxAttempts,
		BackoffBase: t.BackoffBase, BackoffMax: t.BackoffMax, Retain: t.Retain, Submitted: m.now, Eligible: m.now,
	}
	m.tasks[target.ID] = target
	m.touch(target)
}

// join makes a worker that comes, or has other labels now, a target of what waits for
// late joiners: also of what has succeeded, but not after the deadline.
func (m *Table) join(s *session) {
	if s.draining {
		return
	}
	waits := func(t *Task) bool {
		b := t.broadcast
		return b != nil && b.spec.GetLate() && (t.State == Running || t.State == Succeeded) && t.Until > m.now &&
			s.has(b.spec.GetSelector()) && !b.fading() && !m.told(t, s.worker)
	}
	for _, t := range m.sorted(waits, func(a, b *Task) int { return cmp.Or(cmp.Compare(a.Until, b.Until), byID(a, b)) }) {
		m.addTarget(t, s.worker)
	}
}

// told says whether a worker has, or will have, a target.
func (m *Table) told(t *Task, worker string) bool {
	return slices.Contains(t.broadcast.audience, worker) ||
		slices.ContainsFunc(m.targetsOf(t.ID), func(o *Task) bool { return o.For == worker })
}

// deliver gives a session the next target of its worker, however many slots are in use,
// but one at a time and beside nothing that runs alone.
func (m *Table) deliver(s *session) []Grant {
	for t := m.nextTarget(s); t != nil; t = m.nextTarget(s) {
		if t.Until > m.now {
			m.grant(s, t)
			return []Grant{{t.ID, t.Fence}}
		}
		m.expire(t) // due, only not yet ticked
	}
	return nil
}

// nextTarget returns who is next of the worker's targets: by priority, whatever they have
// waited, then by place.
func (m *Table) nextTarget(s *session) (next *Task) {
	for _, t := range m.tasks {
		if t.held() && t.Session == s.id && (t.Of != 0 || t.Alone) {
			return nil
		}
		if t.Of != 0 && t.For == s.worker && t.State == Ready && !m.queues[t.Queue].paused &&
			(next == nil || cmp.Or(cmp.Compare(next.Priority, t.Priority), byPlace(t, next)) < 0) {
			next = t
		}
	}
	if s.draining {
		return nil
	}
	return next
}

// expire cancels what has not started, or as a target is not done, in time.
func (m *Table) expire(t *Task) {
	switch {
	case t.Of == 0:
		m.finish(t, Cancelled, "expired")
	case m.sessionOf(t.For) == nil:
		m.finish(t, Cancelled, "gone")
	default:
		m.finish(t, Cancelled, "deadline")
	}
}

// revivable says what keeps an ended task from a next generation: another task lives with
// its key, or with that of the broadcast that would live again with it, or its broadcast
// is being cancelled or removed.
func (m *Table) revivable(t *Task) string {
	lives := t
	if t.Of != 0 {
		lives = m.tasks[t.Of]
	}
	switch {
	case t.State != Dead && t.State != Cancelled, lives.State == Stopping:
		return "NOT_TERMINAL"
	case lives.broadcast != nil && lives.broadcast.fading():
		return "FORGOTTEN"
	case (lives.State == Dead || lives.State == Cancelled) && m.holder(lives.Unique) != nil:
		return "UNIQUE_KEY_TAKEN"
	}
	return "ACCEPTED"
}

// reviveTarget lets the broadcast of a target that starts anew live again, if it had
// ended without success.
func (m *Table) reviveTarget(target *Task) {
	t := m.tasks[target.Of]
	target.Until = m.now + t.broadcast.patience
	switch t.State {
	case Running:
		target.Until = t.Until
	case Dead, Cancelled:
		m.renew(t)
		t.State, t.started, t.Started = Running, true, m.now
		t.Until, t.Deadline = target.Until, target.Until
	}
	m.touch(t)
}

// discard removes the record of what has ended; of a broadcast those of its targets with it.
func (m *Table) discard(t *Task) {
	for _, target := range m.targetsOf(t.ID) {
		m.drop(target)
	}
	m.drop(t)
}

// trimmable says whether retention may remove a record: a target's goes with its
// broadcast's, and that one's when all targets have ended.
func (m *Table) trimmable(t *Task) bool { return t.Terminal() && t.Of == 0 && m.idle(t) }

// pinned says whether an ended task cannot be deleted alone, or with its targets.
func (m *Table) pinned(t *Task) bool {
	if t.Of != 0 || !m.idle(t) {
		return true
	}
	for _, target := range m.targetsOf(t.ID) {
		if m.awaited(target.ID) {
			return true
		}
	}
	return m.awaited(t.ID)
}
