package fsm

import "slices"

// workerRecord is what the table knows of a worker id beyond its sessions: the
// present boot id and those that it replaced. Changed in place by its epoch.
type workerRecord struct {
	epoch   uint64
	name    string
	boot    string
	retired []string // oldest first, at most MaxRetiredBoots; replaced, not changed
	seenAt  int64    // when its last session opened or ended
}

// worker is a worker id and its session, if it has one.
type worker struct {
	rec     *workerRecord
	session *session
}

// due returns when a worker without a session is forgotten; 0: never.
func (w *worker) due() int64 {
	if w.session != nil {
		return 0
	}
	return addTime(w.rec.seenAt, KeepWorker)
}

// setWorker changes a worker's record (a copy, if a snapshot shares it) and
// keeps the index over it.
func (m *Machine) setWorker(w *worker, change func(*worker, *workerRecord)) {
	was := w.due()
	if w.rec.epoch != m.epoch {
		c := *w.rec
		c.epoch = m.epoch
		w.rec = &c
		m.workers.Set(c.name, w.rec)
	}
	change(w, w.rec)
	m.setNameDue(dueWorker, w.rec.name, was, w.due())
}

// enrol makes boot the present process of the worker. A replaced boot id is
// refused for ever and its fences are void.
func (m *Machine) enrol(w *worker, name, boot string) *worker {
	if w == nil {
		w = &worker{rec: &workerRecord{epoch: m.epoch, name: name, boot: boot, seenAt: m.now}}
		m.known[name] = w
		m.workers.Set(name, w.rec)
		m.setNameDue(dueWorker, name, 0, w.due())
	}
	if w.rec.boot != boot {
		m.setWorker(w, func(_ *worker, rec *workerRecord) {
			rec.retired = appendFrozen(rec.retired, rec.boot, MaxRetiredBoots)
			rec.boot = boot
		})
	}
	m.renounceOthers(name, boot)
	return w
}

// Replaced reports whether another process took the worker over from this one,
// which is refused from then on.
func (m *Machine) Replaced(name, boot string) bool {
	w := m.known[name]
	return w != nil && slices.Contains(w.rec.retired, boot)
}

// renounceOthers voids the redeemable fences of the worker's other processes.
func (m *Machine) renounceOthers(name, boot string) {
	f := m.lost[name]
	if f == nil {
		return
	}
	for _, id := range f.tasks() {
		if t, _ := m.tasks.Get(id); t.Boot != boot {
			m.renounce(m.lines[t.Queue], t)
		}
	}
}

// forgetWorker drops the record of a worker long without a session.
func (m *Machine) forgetWorker(name string) {
	m.budget--
	m.setNameDue(dueWorker, name, m.known[name].due(), 0)
	delete(m.known, name)
	m.workers.Delete(name)
}
