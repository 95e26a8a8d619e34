package fsm

import (
	"slices"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Worker is what the table knows of a worker id. A copy.
type Worker struct {
	Name    string
	Boot    string // of its last process
	SeenAt  int64  // when its last session opened or ended
	Drained bool
	Session *Session // nil: it has none, or one that ends
}

// workerRecord is what the table knows of a worker id beyond its sessions: the
// present boot id and those that it replaced. Changed in place by its epoch.
type workerRecord struct {
	epoch   uint64
	name    string
	boot    string
	retired []string // oldest first, at most MaxRetiredBoots; replaced, not changed
	seenAt  int64    // when its last session opened or ended
	drained bool     // gets no ordinary tasks
}

// worker is a worker id and its session, if it has one.
type worker struct {
	rec     *workerRecord
	session *session
}

// view returns the exported copy.
func (w *worker) view() *Worker {
	v := &Worker{Name: w.rec.name, Boot: w.rec.boot, SeenAt: w.rec.seenAt, Drained: w.rec.drained}
	if w.session != nil && w.session.rec.Ending == CauseNone {
		v.Session = w.session.view()
	}
	return v
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
			rec.retire(rec.boot)
			rec.boot = boot
		})
	}
	m.renounceOthers(name, boot)
	return w
}

// retire refuses a process of the worker from now on.
func (w *workerRecord) retire(boot string) {
	if !slices.Contains(w.retired, boot) {
		w.retired = appendFrozen(w.retired, boot, MaxRetiredBoots)
	}
}

// Replaced reports whether another process took the worker over from this one,
// or an operator removed it: it is refused from then on.
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
	m.unregister(name, false)
	m.setNameDue(dueWorker, name, m.known[name].due(), 0)
	delete(m.known, name)
	m.workers.Delete(name)
}

// drainWorker keeps tasks from a worker, or ends that. It outlives the worker's
// processes: an operator who drains a host does not want a restart to undo it.
func (m *Machine) drainWorker(c *fsmpb.DrainWorker) Result {
	w := m.known[c.GetWorker()]
	switch {
	case w == nil:
		return Result{Outcome: NoWorker}
	case w.rec.drained != c.GetUndo():
		return Result{Outcome: Duplicate}
	}
	m.setDrained(w, !c.GetUndo())
	return Result{Outcome: Accepted}
}

func (m *Machine) setDrained(w *worker, on bool) {
	m.setWorker(w, func(_ *worker, rec *workerRecord) { rec.drained = on })
	changed := Event{Kind: WorkerChanged, Name: w.rec.name}
	if w.session != nil {
		w.session.drained = on
		if on {
			m.setClearing(w.session, false)
		}
		changed.Session = w.session.rec.ID
	}
	m.emit(changed)
}

// removeWorker ends a worker's session, takes the address at which it serves off
// the list and refuses its process for ever; a new one may come under the id.
func (m *Machine) removeWorker(c *fsmpb.RemoveWorker) Result {
	w := m.known[c.GetWorker()]
	if w == nil {
		if m.unregister(c.GetWorker(), true) { // by its address
			return Result{Outcome: Accepted}
		}
		return Result{Outcome: NoWorker}
	}
	s := w.session
	if s != nil && s.held.len() > 0 && !c.GetForce() {
		return Result{Outcome: WorkerBusy}
	}
	m.unregister(w.rec.name, true)
	m.setWorker(w, func(_ *worker, rec *workerRecord) {
		rec.retire(rec.boot)
		rec.drained = false
	})
	m.emit(Event{Kind: WorkerChanged, Name: w.rec.name})
	if s != nil {
		m.endSession(s, CauseRemoved)
		m.returnHeld(s, MaxSlots)
	}
	m.renounceOthers(w.rec.name, "")
	return Result{Outcome: Accepted}
}
