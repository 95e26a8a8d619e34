package model

import (
	"fmt"
	"maps"
	"slices"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// place gives the id of a task by its place in the same call or batch.
type place func(item uint32) uint64

// noParent returns a task to wait for that is not there.
func (m *Table) noParent(s *fsmpb.TaskSpec) (id uint64, missing bool) {
	for _, id := range s.GetAfter() {
		if m.tasks[id] == nil {
			return id, true
		}
	}
	return 0, false
}

// order is how tasks of one call enter: each after those of them that it waits for,
// else as they stand. When some wait for each other, circle is the way around.
func order(specs []*fsmpb.TaskSpec) (order []int, circle []uint64) {
	var path []int
	var visit func(i int) bool
	visit = func(i int) bool {
		if at := slices.Index(path, i); at >= 0 {
			for _, on := range append(path[at:], i) {
				circle = append(circle, uint64(on))
			}
			return false
		}
		if slices.Contains(order, i) {
			return true
		}
		path = append(path, i)
		for _, p := range specs[i].GetAfterItems() {
			if !visit(int(p)) {
				return false
			}
		}
		path = path[:len(path)-1]
		order = append(order, i)
		return true
	}
	for i := range specs {
		if !visit(i) {
			return nil, circle
		}
	}
	return order, nil
}

// orderOf judges what the tasks of one call say about each other.
func orderOf(specs []*fsmpb.TaskSpec, r *Result) []int {
	for i, s := range specs {
		for _, p := range s.GetAfterItems() {
			if int(p) >= len(specs) {
				r.Outcome, r.Outcomes[i] = "NO_PARENT", "NO_PARENT"
				return nil
			}
		}
	}
	found, circle := order(specs)
	if circle != nil {
		r.Outcome, r.IDs = "DEPENDENCY_CYCLE", circle
	}
	return found
}

// after lets a new task wait for its parents: those that have not ended, or are yet
// to come with its batch (S15). It is cancelled at once if one has ended otherwise
// than it wants.
func (m *Table) after(t *Task, s *fsmpb.TaskSpec, at place) {
	if len(s.GetAfter())+len(s.GetAfterItems()) == 0 {
		return
	}
	parents := slices.Clone(s.GetAfter())
	for _, item := range s.GetAfterItems() {
		parents = append(parents, at(item))
	}
	slices.Sort(parents)
	t.afterRun, t.pending = s.GetAfterRun(), make(map[uint64]bool)
	hopeless, how := uint64(0), ""
	for _, id := range slices.Compact(parents) {
		p := m.tasks[id]
		switch {
		case p != nil && !p.Terminal(), p == nil && t.ID <= id && id < m.coming:
			t.pending[id] = true
		case p != nil && p.State == Succeeded, t.afterRun, hopeless != 0:
		case p == nil:
			hopeless, how = id, "forgotten"
		default:
			hopeless, how = id, p.State
		}
	}
	if len(t.pending) > 0 {
		t.State = Scheduled
	}
	if hopeless != 0 {
		m.orphan(t, hopeless, how)
	}
}

func (m *Table) orphan(t *Task, parent uint64, how string) {
	t.Error = fmt.Sprintf("task %d is %s", parent, how)
	m.finish(t, Cancelled, "parent")
}

// endParent notes that a task has ended: those that wait for it are to be told.
func (m *Table) endParent(t *Task) {
	for _, child := range m.tasks {
		if child.pending[t.ID] {
			m.telling[t.ID] = t.State
		}
	}
}

// tell tells children how their parents have ended, which may end them, too.
func (m *Table) tell() {
	for len(m.telling) > 0 {
		parent := slices.Min(slices.Collect(maps.Keys(m.telling)))
		how := m.telling[parent]
		for _, t := range m.sorted(func(t *Task) bool { return t.pending[parent] }, byID) {
			if delete(t.pending, parent); how != Succeeded && !t.afterRun {
				m.orphan(t, parent, how)
				continue
			}
			if len(t.pending) == 0 {
				m.touch(t)
				if t.Eligible <= m.now {
					t.Eligible = m.now
					m.ready(t)
				}
			}
		}
		delete(m.telling, parent)
	}
}

// awaited says whether a staged task will wait for one.
func (m *Table) awaited(id uint64) bool {
	for _, b := range m.batches {
		for _, c := range b.chunks {
			for _, s := range c.GetTasks() {
				if slices.Contains(s.GetAfter(), id) {
					return true
				}
			}
		}
	}
	return false
}
