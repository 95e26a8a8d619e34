package fsm

// trimsPerFinish is how many old records the end of a task may remove in the
// same entry; more is left to ticks. Above 1, so that a queue at its limit in
// bytes shrinks even under load.
const trimsPerFinish = 4

// retain removes records above the queue's limits, oldest first.
func (m *Machine) retain(l *line) {
	for range trimsPerFinish {
		if !l.overfull() {
			return
		}
		m.trim(l)
	}
}

// trimDue removes the queue's records that are above its limits or past their
// time, as far as the entry's budget goes.
func (m *Machine) trimDue(l *line) {
	for m.budget > 0 && l.due != 0 && l.due <= m.now {
		m.trim(l)
	}
}

// trim removes the record that has its time first.
func (m *Machine) trim(l *line) {
	it, _ := l.terminal.Min()
	t, _ := m.tasks.Get(it.id)
	m.trimmed++
	m.editQueue(l).trimmed++
	m.drop(l, t)
	m.emit(Event{Kind: TaskTrimmed, Task: t})
}

// overfull reports whether the queue keeps more terminal records than its limits.
func (l *line) overfull() bool {
	d := l.rec.defaults
	return l.terminal.Len() > 0 && (uint64(l.terminal.Len()) > either(nil, d.RetainCount, DefaultRetainCount) ||
		uint64(l.terminalBytes) > either(nil, d.RetainBytes, DefaultRetainBytes))
}

// setTrimDue brings the queue's entry in the index of due names up to date: one
// for all its records. An overfull queue is due at the earliest time there is.
func (m *Machine) setTrimDue(l *line) {
	due := int64(0)
	if l.overfull() {
		due = 1
	} else if it, ok := l.terminal.Min(); ok {
		due = it.at
	}
	m.setNameDue(dueQueue, l.rec.name, l.due, due)
	l.due = due
}
