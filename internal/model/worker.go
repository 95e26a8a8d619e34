package model

import "github.com/taskraft/taskraft/fsm/fsmpb"

// Worker is what is known of a worker id beyond its session.
type Worker struct {
	Boot    string // of its last process
	Seen    int64  // when its last session opened or ended
	Drained bool   // by an operator: no process of it gets ordinary tasks

	retired map[string]bool // boot ids that were replaced or removed, for ever
}

// drainWorker keeps tasks from a worker, whatever process it is, until that is undone.
func (m *Table) drainWorker(c *fsmpb.DrainWorker) Result {
	w := m.workers[c.GetWorker()]
	switch {
	case w == nil:
		return Result{Outcome: "NO_WORKER"}
	case w.Drained == !c.GetUndo():
		return Result{Outcome: "DUPLICATE"}
	}
	w.Drained = !c.GetUndo()
	if s := m.sessionOf(c.GetWorker()); s != nil && w.Drained {
		s.clearing = false // it will never be the one that runs a task alone
	}
	return Result{Outcome: "ACCEPTED"}
}

// removeWorker ends a worker's session and refuses its process for ever. What it holds
// returns to its place, only if that is meant, and its fences are void. Another process
// of it is not drained.
func (m *Table) removeWorker(c *fsmpb.RemoveWorker) Result {
	w, s := m.workers[c.GetWorker()], m.sessionOf(c.GetWorker())
	switch {
	case w == nil:
		return Result{Outcome: "NO_WORKER"}
	case s != nil && len(m.holding(s)) > 0 && !c.GetForce():
		return Result{Outcome: "WORKER_BUSY"}
	}
	w.retired[w.Boot], w.Drained = true, false
	if s != nil {
		m.end(s.id, "removed")
	}
	m.renounce(c.GetWorker(), "")
	return Result{Outcome: "ACCEPTED"}
}

// renounce voids what a worker's other processes lost and could still redeem, also
// when nobody remembers them (S6).
func (m *Table) renounce(worker, boot string) {
	for _, t := range m.tasks {
		if t.Redeemable && t.Worker == worker && t.Boot != boot {
			m.touch(t)
			t.void()
		}
	}
}
