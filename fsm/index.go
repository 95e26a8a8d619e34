package fsm

import "github.com/tidwall/btree"

// The indexes are functions of the records: put and drop keep them so, Restore
// rebuilds them with the same functions, and a test recounts them.

// put makes t the record of its task in place of old (nil: a new task). Every
// change of a task goes through here; each costs one transition. Who changes a
// queue's terminal records also calls retain or setTrimDue.
func (m *Machine) put(l *line, old, t *Task) {
	m.budget--
	m.tasks.Set(t.ID, t)
	m.rehash(old, t)
	m.reindex(l, old, t)
}

// drop removes a terminal record.
func (m *Machine) drop(l *line, t *Task) {
	m.tasks.Delete(t.ID)
	m.sum -= t.hash()
	l.counts[t.State]--
	if t.Extra != nil {
		m.dropBroadcast(t)
	}
	l.terminal.DeleteHint(trimItem{t.trimAt(), t.ID}, &l.terminalHint)
	l.terminalBytes -= t.size()
	if t.State == Dead {
		m.leaveDead(t)
	}
	m.catalog.drop(l, t)
	if t.Extra != nil && t.Extra.Batch != 0 {
		m.goneFromBatch(t)
	}
}

// reindex brings counters and indexes from old (nil: absent) to t.
func (m *Machine) reindex(l *line, old, t *Task) {
	if old == nil {
		old = &absent
	}
	if old.State != t.State {
		l.counts[t.State]++
		if old != &absent {
			l.counts[old.State]--
		}
		if was, is := old.live(), t.live(); is && !was {
			l.liveBytes += int64(len(t.Payload))
		} else if was && !is {
			l.liveBytes -= int64(len(t.Payload))
		}
	}
	if t.Extra != nil {
		m.indexUnique(old, t)
	}
	if t.Extra != nil && (t.Extra.Broadcast != nil || t.Extra.Target != nil) {
		m.indexBroadcast(old, t)
	}
	if t.target() == nil {
		l.indexReady(old, t)
	}
	if was, is := old.due(), t.due(); was != is || (old.State == Running) != (t.State == Running) {
		m.dueIn(old).remove(was, t.ID)
		m.dueIn(t).add(is, t.ID)
	}
	m.indexHeld(old, t)
	m.indexLost(old, t)
	if old.State.Terminal() || t.State.Terminal() {
		l.indexTerminal(old, t)
	}
	if old.State == Dead || t.State == Dead {
		m.indexDead(old, t)
	}
	m.catalog.update(l, old, t)
	if t.Extra != nil {
		m.indexExtra(old, t)
	}
}

// indexExtra keeps what only few tasks are counted in.
func (m *Machine) indexExtra(old, t *Task) {
	if t.Extra.Batch != 0 && old.State != t.State {
		m.countInBatch(old, t)
	}
	m.indexFired(old, t)
	if old.waiting() && !t.waiting() {
		delete(m.waits, t.ID)
	}
}

// absent stands for the record before the first.
var absent = Task{Options: new(Options), Attempt: &noAttempt}

func (l *line) indexTerminal(old, t *Task) {
	if old.State.Terminal() {
		l.terminalBytes -= old.size()
	}
	if t.State.Terminal() {
		l.terminalBytes += t.size()
	}
	was, is := old.trimmable(), t.trimmable()
	if was && !is {
		l.terminal.DeleteHint(trimItem{old.trimAt(), old.ID}, &l.terminalHint)
	}
	if is && !was {
		l.terminal.SetHint(trimItem{t.trimAt(), t.ID}, &l.terminalHint)
	}
}

// indexHeld keeps each session's list of the attempts it holds.
func (m *Machine) indexHeld(old, t *Task) {
	was, is := old.held(), t.held()
	if was == is && old.Session == t.Session && old.Fence == t.Fence {
		return
	}
	if was {
		s := m.live[old.Session]
		s.held.remove(old.Fence)
		if old.Solo {
			s.solo--
		}
		if old.target() != nil {
			s.targets--
		}
	}
	if is {
		s := m.live[t.Session]
		s.held.add(t.Fence, t.ID)
		if t.Solo {
			s.solo++
		}
		if t.target() != nil {
			s.targets++
		}
	}
}

// indexLost keeps each worker's list of the fences that it may still redeem.
func (m *Machine) indexLost(old, t *Task) {
	if old.Redeemable == t.Redeemable {
		return
	}
	if t.Redeemable {
		f := m.lost[t.Worker]
		if f == nil {
			f = new(fences)
			m.lost[t.Worker] = f
		}
		f.add(t.Fence, t.ID)
		return
	}
	f := m.lost[old.Worker]
	f.remove(old.Fence)
	if f.len() == 0 {
		delete(m.lost, old.Worker)
	}
}

// dueItem is when a tick must look at a task.
type dueItem struct {
	at int64
	id uint64
}

func (a dueItem) before(b dueItem) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	return a.id < b.id
}

// dueIndex holds tasks by when a tick must look at them.
type dueIndex struct {
	tree *btree.BTreeG[dueItem]
	hint btree.PathHint
}

// dueIn returns the index that t belongs into.
func (m *Machine) dueIn(t *Task) *dueIndex {
	if t.State == Running {
		return &m.timeouts
	}
	return &m.due
}

// add notes a task's due time; 0 means none.
func (x *dueIndex) add(at int64, id uint64) {
	if at != 0 {
		x.tree.SetHint(dueItem{at, id}, &x.hint)
	}
}

func (x *dueIndex) remove(at int64, id uint64) {
	if at != 0 {
		x.tree.DeleteHint(dueItem{at, id}, &x.hint)
	}
}

// first returns the earliest that is due after a time. It is asked under a read
// lock, too, so it leaves the hint alone.
func (x *dueIndex) first(after int64) (it dueItem, ok bool) {
	if after <= 0 {
		return x.tree.Min()
	}
	x.tree.Ascend(dueItem{after + 1, 0}, func(found dueItem) bool {
		it, ok = found, true
		return false
	})
	return it, ok
}

// dueKind orders what is due under a name at one time.
type dueKind uint8

const (
	dueQueue    dueKind = iota + 1 // retention has records to remove
	dueWorker                      // a worker long without a session
	dueRequest                     // a request id past its time
	dueClient                      // an idle client
	dueToken                       // a queue has a token again
	dueSchedule                    // a schedule whose overlapped tasks are not all cancelled
)

// nameItem is when a tick must look at a record that has a name for a key.
type nameItem struct {
	at   int64
	kind dueKind
	name string
}

func (a nameItem) before(b nameItem) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	if a.kind != b.kind {
		return a.kind < b.kind
	}
	return a.name < b.name
}

// setNameDue moves a name's due time; 0 means none.
func (m *Machine) setNameDue(kind dueKind, name string, was, is int64) {
	if was == is {
		return
	}
	if was != 0 {
		m.names.Delete(nameItem{was, kind, name})
	}
	if is != 0 {
		m.names.Set(nameItem{is, kind, name})
	}
}

func newDue() dueIndex {
	return dueIndex{tree: btree.NewBTreeGOptions(dueItem.before, btree.Options{NoLocks: true})}
}

func newNames() *btree.BTreeG[nameItem] {
	return btree.NewBTreeGOptions(nameItem.before, btree.Options{NoLocks: true})
}
