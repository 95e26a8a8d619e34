package fsm

import (
	"iter"
	"slices"

	"github.com/tidwall/btree"
	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Dead tasks stay in the table until retention removes them. They are kept in
// groups: one queue, one kind, one fingerprint of the error.

// DeadGroup is a group of dead tasks; a copy.
type DeadGroup struct {
	ID          uint64 // hash of queue, kind and fingerprint
	Queue, Kind string
	Error       string // the fingerprint
	Count       int
	FirstAt     int64 // when the first of those that are here died
	LastAt      int64
	Example     uint64 // the one that died last
}

// deadGroup is a group at work: an index over the tasks.
type deadGroup struct {
	queue, kind string
	tasks       *btree.BTreeG[trimItem] // by the time of death
	ids         idSet
}

// deadText is what a dead task's group goes by: its error, or why it is dead.
func deadText(t *Task) string {
	if t.Error == "" {
		return t.Reason
	}
	return Fingerprint(t.Error)
}

// deadKey names the group of a dead task: FNV-1a of its parts, each with an end.
func deadKey(t *Task) uint64 {
	h := uint64(14695981039346656037)
	for _, part := range [...]string{t.Queue, t.Kind, deadText(t)} {
		for i := range len(part) {
			h = (h ^ uint64(part[i])) * 1099511628211
		}
		h = (h ^ 0xff) * 1099511628211
	}
	return max(h, 1) // 0 means any
}

// indexDead keeps the groups.
func (m *Machine) indexDead(old, t *Task) {
	if old.State == Dead {
		m.leaveDead(old)
	}
	if t.State != Dead {
		return
	}
	key := deadKey(t)
	g, ok := m.dead.Get(key)
	if !ok {
		g = &deadGroup{queue: t.Queue, kind: t.Kind, tasks: btree.NewBTreeGOptions(trimItem.before, btree.Options{NoLocks: true, Degree: 8})}
		m.dead.Set(key, g)
	}
	g.tasks.Set(trimItem{t.FinishedAt, t.ID})
	g.ids.add(t.ID)
	m.deadIDs.Set(t.ID, key)
}

func (m *Machine) leaveDead(t *Task) {
	key, _ := m.deadIDs.Get(t.ID)
	g, _ := m.dead.Get(key)
	g.tasks.Delete(trimItem{t.FinishedAt, t.ID})
	g.ids.remove(t.ID)
	if g.tasks.Len() == 0 {
		m.dead.Delete(key)
	}
	m.deadIDs.Delete(t.ID)
}

// matches reports whether a group is meant by what is set.
func (g *deadGroup) matches(key uint64, c *fsmpb.RetryDead) bool {
	return (c.GetGroup() == 0 || c.GetGroup() == key) && (c.GetQueue() == "" || c.GetQueue() == g.queue) &&
		(c.Kind == nil || *c.Kind == g.kind)
}

// DeadGroups yields the groups that a RetryDead would retry, by id from after on.
func (m *Machine) DeadGroups(c *fsmpb.RetryDead, after uint64) iter.Seq[*DeadGroup] {
	return func(yield func(*DeadGroup) bool) {
		m.dead.Ascend(after, func(key uint64, g *deadGroup) bool {
			return key == after || !g.matches(key, c) || yield(m.viewDead(key, g))
		})
	}
}

func (m *Machine) viewDead(key uint64, g *deadGroup) *DeadGroup {
	first, _ := g.tasks.Min()
	last, _ := g.tasks.Max()
	t, _ := m.tasks.Get(last.id)
	return &DeadGroup{
		ID: key, Queue: g.queue, Kind: g.kind, Error: deadText(t), Count: g.tasks.Len(),
		FirstAt: first.at, LastAt: last.at, Example: last.id,
	}
}

// DeadBefore yields the dead tasks with id < before (0: from the newest) of the
// groups that a RetryDead would retry, newest id first.
func (m *Machine) DeadBefore(c *fsmpb.RetryDead, before uint64) iter.Seq[*Task] {
	return func(yield func(*Task) bool) {
		m.deadIDs.Descend(before-1, func(id, key uint64) bool {
			if g, _ := m.dead.Get(key); !g.matches(key, c) {
				return true
			}
			t, _ := m.tasks.Get(id)
			return yield(t)
		})
	}
}

// after returns the group's first task after those that a bulk retry is done with;
// without an id: none.
func (g *deadGroup) after(r *fsmpb.DeadRetry) (first trimItem) {
	g.tasks.Ascend(trimItem{r.DoneAt, r.DoneId + 1}, func(it trimItem) bool {
		if _, again := slices.BinarySearch(r.Again, it.id); again && it.at <= r.Until {
			return true
		}
		first = it
		return false
	})
	return first
}

// retryDead starts the next generation of the dead tasks that match, those of
// this index: what dies later is not meant, and what finds its queue full or its
// unique key taken when its turn comes stays dead. More than this entry may do is left
// to ticks.
func (m *Machine) retryDead(c *fsmpb.RetryDead) Result {
	r := Result{Outcome: Accepted}
	for g := range m.DeadGroups(c, 0) {
		r.Count += uint64(g.Count)
	}
	if r.Count == 0 {
		return r
	}
	if len(m.deadRetries) >= MaxDeadRetries {
		return Result{Outcome: RetriesFull}
	}
	m.deadRetries = append(m.deadRetries[:len(m.deadRetries):len(m.deadRetries)], &fsmpb.DeadRetry{What: c, Until: m.now})
	m.emit(Event{Kind: DeadRetried})
	m.retryMore()
	return r
}

// retryMore goes on with bulk retries, as far as the entry's budget goes. Each takes
// the tasks of a group in the order of their deaths and none twice: what it revived
// may be dead again at this very time, as a broadcast is that still has no audience.
func (m *Machine) retryMore() {
	for m.budget > 0 && len(m.deadRetries) > 0 {
		r := m.deadRetries[0]
		key, g := m.firstDead(r)
		if g == nil {
			m.deadRetries = m.deadRetries[1:]
			continue
		}
		next := &fsmpb.DeadRetry{What: r.What, Until: r.Until, Cursor: key, Again: r.Again}
		if key == r.Cursor {
			next.DoneAt, next.DoneId = r.DoneAt, r.DoneId
		}
		for m.budget > 0 {
			it := g.after(next)
			if it.id == 0 || it.at > r.Until {
				break
			}
			next.DoneAt, next.DoneId = it.at, it.id
			t, _ := m.tasks.Get(it.id)
			if m.revivable(t) == Accepted || mutated("W3") {
				m.revive(m.lines[t.Queue], t)
				if t, _ := m.tasks.Get(it.id); t != nil && t.State == Dead && t.FinishedAt <= r.Until {
					i, _ := slices.BinarySearch(next.Again, it.id)
					next.Again = slices.Insert(slices.Clip(next.Again), i, it.id)
				}
				continue
			}
			m.budget--
		}
		if !proto.Equal(next, r) {
			m.deadRetries = append([]*fsmpb.DeadRetry{next}, m.deadRetries[1:]...)
		}
	}
}

// firstDead returns the first group that a bulk retry has work with, or nil.
func (m *Machine) firstDead(r *fsmpb.DeadRetry) (key uint64, found *deadGroup) {
	m.dead.Ascend(r.Cursor, func(k uint64, g *deadGroup) bool {
		from := r
		if k != r.Cursor {
			from = &fsmpb.DeadRetry{Until: r.Until, Again: r.Again}
		}
		if first := g.after(from); g.matches(k, r.What) && first.id != 0 && first.at <= r.Until {
			key, found = k, g
		}
		return found == nil
	})
	return key, found
}
