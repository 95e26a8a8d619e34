package fsm

import (
	"iter"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Position returns index and term of the last applied entry and its clock.
func (m *Machine) Position() (index, term uint64, now int64) { return m.index, m.term, m.now }

// SetApplied moves the position past an entry that is not for the table (a
// configuration change or a no-op).
func (m *Machine) SetApplied(index, term uint64) { m.index, m.term = index, term }

// FeatureLevel returns the level that a leader must not write above.
func (m *Machine) FeatureLevel() uint16 { return m.level }

// Task returns a task's frozen record. When nil, known tells whether that id
// ever existed (its record is trimmed).
func (m *Machine) Task(id uint64) (t *Task, known bool) {
	t, ok := m.tasks.Get(id)
	if !ok && m.busy.Len() > 0 {
		t = m.preview(id)
	}
	return t, id > 0 && id <= m.lastTask
}

// TasksBefore yields tasks with id < before (0: from the newest), newest first.
func (m *Machine) TasksBefore(before uint64) iter.Seq[*Task] {
	return func(yield func(*Task) bool) {
		if m.busy.Len() == 0 {
			m.tasks.Descend(before-1, func(_ uint64, t *Task) bool { return yield(t) })
			return
		}
		at, more := before-1, true
		previews := func(down uint64) { // what has no record, from at down to above down
			for id := m.packedUpTo(at); id > down && more; id = m.packedUpTo(id - 1) {
				more = yield(m.preview(id))
			}
		}
		m.tasks.Descend(at, func(id uint64, t *Task) bool {
			if previews(id); more {
				more = yield(t)
			}
			at = id - 1
			return more
		})
		if more {
			previews(0)
		}
	}
}

// Session returns a session by id, or nil.
func (m *Machine) Session(id uint64) *Session {
	if s := m.live[id]; s != nil {
		return s.view()
	}
	return nil
}

// SessionOf returns the session of a worker, or nil. A session that has ended
// and whose tasks are still being returned is not it.
func (m *Machine) SessionOf(worker string) *Session {
	if w := m.known[worker]; w != nil && w.session != nil && w.session.rec.Ending == CauseNone {
		return w.session.view()
	}
	return nil
}

// Sessions yields all sessions by id.
func (m *Machine) Sessions() iter.Seq[*Session] {
	return func(yield func(*Session) bool) {
		m.sessions.Scan(func(id uint64, _ *sessionRecord) bool { return yield(m.live[id].view()) })
	}
}

// Worker returns what is known of a worker, or nil.
func (m *Machine) Worker(name string) *Worker {
	if w := m.known[name]; w != nil {
		return w.view()
	}
	return nil
}

// WorkersAfter yields workers with name > after, by name.
func (m *Machine) WorkersAfter(after string) iter.Seq[*Worker] {
	return func(yield func(*Worker) bool) {
		m.workers.Ascend(after, func(name string, _ *workerRecord) bool {
			return name == after || yield(m.known[name].view())
		})
	}
}

// Clearing yields the ids of the sessions that drain so that a task can run alone.
func (m *Machine) Clearing() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		m.clearing.Scan(func(id uint64, _ *session) bool { return yield(id) })
	}
}

// Unheard reports whether the session runs an attempt that its process does not
// list: a poll with that list gets it again.
func (m *Machine) Unheard(session uint64, listed []uint64) bool {
	s := m.live[session]
	return s != nil && s.held.len() > 0 && len(m.unheard(s, listed, 1)) > 0
}

// Held yields the tasks that a session holds (Running and Stopping), by fence.
func (m *Machine) Held(session uint64) iter.Seq[*Task] {
	return func(yield func(*Task) bool) {
		s := m.live[session]
		if s == nil {
			return
		}
		for _, id := range s.held.all() {
			if t, _ := m.tasks.Get(id); !yield(t) {
				return
			}
		}
	}
}

// Queue returns a queue's settings and counters, or nil.
func (m *Machine) Queue(name string) *Queue {
	if l := m.lines[name]; l != nil {
		return m.viewQueue(l)
	}
	return nil
}

// QueuesAfter yields queues with name > after, by name.
func (m *Machine) QueuesAfter(after string) iter.Seq[*Queue] {
	return func(yield func(*Queue) bool) {
		m.queues.Ascend(after, func(name string, _ *queueRecord) bool {
			return name == after || yield(m.viewQueue(m.lines[name]))
		})
	}
}

// Batch returns a batch's progress, or nil.
func (m *Machine) Batch(id uint64) *Batch {
	if b := m.lots[id]; b != nil {
		return b.view()
	}
	return nil
}

// BatchesBefore yields batches with id < before (0: from the newest), newest first.
func (m *Machine) BatchesBefore(before uint64) iter.Seq[*Batch] {
	return func(yield func(*Batch) bool) {
		m.batches.Descend(before-1, func(id uint64, _ *batchRecord) bool { return yield(m.lots[id].view()) })
	}
}

// Awaits returns how many parents a task still waits for.
func (m *Machine) Awaits(id uint64) int { return m.waits[id] }

// Members yields the member records by name.
func (m *Machine) Members() iter.Seq[*fsmpb.SetMember] {
	return func(yield func(*fsmpb.SetMember) bool) {
		m.members.Scan(func(_ string, c *fsmpb.SetMember) bool { return yield(c) })
	}
}

// Counts returns the number of records in the table.
func (m *Machine) Counts() (tasks, sessions, queues int) {
	packed := uint64(0)
	m.busy.Scan(func(_ uint64, b *lot) bool {
		packed += b.rec.total - b.rec.unpacked
		return true
	})
	return m.tasks.Len() + int(packed), m.sessions.Len(), m.queues.Len()
}

// Schedule returns a schedule's frozen record, or nil.
func (m *Machine) Schedule(name string) *Schedule {
	s, _ := m.schedules.Get(name)
	return s
}

// SchedulesAfter yields schedules with name > after, by name.
func (m *Machine) SchedulesAfter(after string) iter.Seq[*Schedule] {
	return func(yield func(*Schedule) bool) {
		m.schedules.Ascend(after, func(name string, s *Schedule) bool { return name == after || yield(s) })
	}
}

// SchedulesByTime yields the schedules that fire, by when the leader must look at
// them. One whose next time it has to work out is due since long ago.
func (m *Machine) SchedulesByTime() iter.Seq2[int64, *Schedule] {
	return func(yield func(int64, *Schedule) bool) {
		m.fires.Scan(func(it nameItem) bool { return yield(it.at, m.Schedule(it.name)) })
	}
}
