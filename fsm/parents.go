package fsm

import (
	"cmp"
	"slices"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// A task may wait for others, its parents: it is Scheduled until all of them have
// ended. Each of its edges is pending or counted. An edge names one generation of
// the parent, so that a parent's later life does not matter.
//
//	parent ends ──► releasing ──► its pending edges are counted, by ticks if many
//	last edge counted ──► the child is ready
//
// Which edges are pending is a function of the records (see pends): the lists of
// children and the counts are indexes.

// release is an ended task whose children are being told. Frozen.
type release struct {
	generation uint32
	state      State
	after      uint64 // the last child that was told; 0: none
	last       uint64 // the last child that there is
}

// parents returns the parents of a new task by id, none twice. A task that is not
// there counts as one that did not succeed: its end is not known any more.
func (m *Machine) parents(spec *fsmpb.TaskSpec, from *origin) []Parent {
	all := make([]Parent, 0, len(spec.GetAfter())+len(spec.GetAfterItems()))
	for _, id := range spec.GetAfter() {
		all = append(all, Parent{Task: id})
	}
	for _, item := range spec.GetAfterItems() {
		all = append(all, Parent{Task: from.parent(item)})
	}
	slices.SortFunc(all, func(a, b Parent) int { return cmp.Compare(a.Task, b.Task) })
	all = slices.Compact(all)
	for i := range all {
		all[i].Generation = 1
		if t, ok := m.tasks.Get(all[i].Task); ok {
			all[i].Generation = t.Generation
		}
	}
	return all
}

// pends reports whether an edge is not counted yet, and whether it is among those
// that are being told right now.
func (m *Machine) pends(p Parent, child uint64) (pending, telling bool) {
	if r, ok := m.releasing.Get(p.Task); ok && r.generation == p.Generation {
		pending = r.after < child && child <= r.last
		return pending, pending
	}
	if t, ok := m.tasks.Get(p.Task); ok {
		return t.Generation == p.Generation && !t.State.Terminal(), false
	}
	return m.packed(p.Task) != nil, false
}

// hopeless returns a parent that ended without success, if there is one and t must
// not run then.
func (m *Machine) hopeless(t *Task) (parent uint64, state State, hopeless bool) {
	if t.Extra.AfterRun {
		return 0, 0, false
	}
	for _, p := range t.Extra.After {
		switch u, ok := m.tasks.Get(p.Task); {
		case ok && u.Generation == p.Generation && u.State.Terminal() && u.State != Succeeded:
			return p.Task, u.State, true
		case !ok && m.packed(p.Task) == nil:
			return p.Task, 0, true
		}
	}
	return 0, 0, false
}

// pending counts the edges of t that are pending.
func (m *Machine) pending(t *Task) (n int) {
	for _, p := range t.Extra.After {
		if ok, _ := m.pends(p, t.ID); ok {
			n++
		}
	}
	return n
}

// enlist enters a waiting task into its parents' lists and counts its edges.
// Children are entered in the order of their ids.
func (m *Machine) enlist(t *Task) {
	n := 0
	for _, p := range t.Extra.After {
		pending, telling := m.pends(p, t.ID)
		switch {
		case telling:
			m.telling[p.Task] = append(m.telling[p.Task], t.ID)
		case pending:
			m.children[p.Task] = append(m.children[p.Task], t.ID)
		default:
			continue
		}
		n++
	}
	m.waits[t.ID] = n
}

// endParent begins to tell the children of a task that it has ended.
func (m *Machine) endParent(t *Task) {
	if len(m.children) == 0 && m.releasing.Len() == 0 {
		return
	}
	if _, busy := m.releasing.Get(t.ID); busy { // of the generation before
		m.tell(t.ID, len(m.telling[t.ID]))
	}
	kids := m.children[t.ID]
	if len(kids) == 0 {
		return
	}
	delete(m.children, t.ID)
	m.telling[t.ID] = kids
	m.releasing.Set(t.ID, &release{generation: t.Generation, state: t.State, last: kids[len(kids)-1]})
}

// tellChildren goes on with what endParent began, as far as the entry's budget goes.
func (m *Machine) tellChildren() {
	for m.budget > 0 {
		parent, _, ok := m.releasing.Min()
		if !ok {
			return
		}
		m.tell(parent, m.budget)
	}
}

// tell counts at most n edges of an ended parent.
func (m *Machine) tell(parent uint64, n int) {
	r, _ := m.releasing.Get(parent)
	kids := m.telling[parent]
	n = min(n, len(kids))
	for _, child := range kids[:n] {
		m.budget--
		if t, ok := m.tasks.Get(child); ok && t.waiting() { // else it was cancelled meanwhile
			m.countEdge(t, parent, r.state)
		}
	}
	if n == len(kids) {
		m.releasing.Delete(parent)
		delete(m.telling, parent)
		return
	}
	m.telling[parent] = kids[n:]
	m.releasing.Set(parent, &release{generation: r.generation, state: r.state, after: kids[n-1], last: r.last})
}

// countEdge does what the end of one parent means for a waiting task.
func (m *Machine) countEdge(t *Task, parent uint64, state State) {
	l := m.lines[t.Queue]
	if state != Succeeded && !t.Extra.AfterRun {
		m.orphan(l, t, parent, state)
		return
	}
	m.waits[t.ID]--
	if m.waits[t.ID] == 0 {
		m.unblock(l, t)
	}
}

// noParent returns a parent of the spec that is not there, if one is not.
func (m *Machine) noParent(spec *fsmpb.TaskSpec) (id uint64, missing bool) {
	for _, id = range spec.GetAfter() {
		if _, ok := m.tasks.Get(id); !ok && m.packed(id) == nil {
			return id, true
		}
	}
	return 0, false
}

// arrange returns an order of n items in which each comes after those that it
// waits for, and else as they stand. When some wait for each other in a circle it
// returns the circle instead: from an item, each waiting for the next, to the same
// item again. Places of parents must be below n.
func arrange(n int, parents func(int) []uint32) (order []int, circle []uint64) {
	const open, done = 1, 2
	mark := make([]uint8, n)
	order = make([]int, 0, n)
	type step struct{ item, next int }
	var path []step
	for i := range n {
		if mark[i] == done {
			continue
		}
		path = append(path[:0], step{item: i})
		mark[i] = open
		for len(path) > 0 {
			at := &path[len(path)-1]
			waits := parents(at.item)
			if at.next == len(waits) {
				mark[at.item] = done
				order = append(order, at.item)
				path = path[:len(path)-1]
				continue
			}
			p := int(waits[at.next])
			at.next++
			switch mark[p] {
			case open:
				from := slices.IndexFunc(path, func(s step) bool { return s.item == p })
				for _, s := range path[from:] {
					circle = append(circle, uint64(s.item))
				}
				return nil, append(circle, uint64(p))
			case 0:
				mark[p] = open
				path = append(path, step{item: p})
			}
		}
	}
	return order, nil
}

// orderOf returns the order in which the tasks of one call are entered, nil for as
// they stand. When there is none, r says why.
func orderOf(specs []*fsmpb.TaskSpec, r *Result) (order []int) {
	within := false
	for i, spec := range specs {
		for _, item := range spec.GetAfterItems() {
			if within = true; int(item) >= len(specs) {
				r.Outcome, r.Outcomes[i] = NoParent, NoParent
				return nil
			}
		}
	}
	if !within {
		return nil
	}
	order, circle := arrange(len(specs), func(i int) []uint32 { return specs[i].GetAfterItems() })
	if circle != nil {
		r.Outcome, r.IDs = DependencyCycle, circle
	}
	return order
}
