package fsm

// trimsPerFinish is how many old records the end of a task may remove in the
// same entry; more is left to ticks. Above 1, so that a queue at its limit in
// bytes shrinks even under load. They are not counted as transitions: who plans
// an entry need not know how full a queue is.
const trimsPerFinish = 4

// retain removes records above the queue's limits, oldest first.
func (m *Machine) retain(l *line) {
	for range trimsPerFinish {
		if !l.overfull() {
			break
		}
		m.trim(l)
	}
	m.setTrimDue(l)
}

// trimDue removes the queue's records that are above its limits or past their
// time, as far as the entry's budget goes.
func (m *Machine) trimDue(l *line) {
	for m.budget > 0 {
		if at := l.trimAt(); at == 0 || at > m.now {
			break
		}
		m.budget--
		m.trim(l)
	}
	m.setTrimDue(l)
}

// trim removes the record that has its time first; of a broadcast one target
// after the other, and then itself.
func (m *Machine) trim(l *line) {
	it, _ := l.terminal.Min()
	t, _ := m.tasks.Get(it.id)
	if last := m.lastTarget(t); last != nil {
		t = last
	}
	m.discard(l, t)
}

// discard drops a terminal record; its queue and the table count it.
func (m *Machine) discard(l *line, t *Task) {
	m.trimmed++
	m.editQueue(l).trimmed++
	m.drop(l, t)
	m.emit(Event{Kind: TaskTrimmed, Task: t})
}

// overfull reports whether the queue keeps more terminal records than its limits.
func (l *line) overfull() bool {
	d := l.rec.settings
	kept := uint64(l.counts[Succeeded] + l.counts[Dead] + l.counts[Cancelled])
	return l.terminal.Len() > 0 && (kept > either(nil, d.RetainCount, DefaultRetainCount) ||
		uint64(l.terminalBytes) > either(nil, d.RetainBytes, DefaultRetainBytes))
}

// trimAt is when the queue next has a record to remove; 0: never. An overfull
// queue's time is the earliest there is.
func (l *line) trimAt() int64 {
	if l.overfull() {
		return 1
	}
	it, _ := l.terminal.Min()
	return it.at
}

// setTrimDue brings the queue's entry in the index of due names up to date: one
// for all its records.
func (m *Machine) setTrimDue(l *line) {
	due := l.trimAt()
	m.setNameDue(dueQueue, l.rec.name, l.due, due)
	l.due = due
}
