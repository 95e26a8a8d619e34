package cluster

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskraft/taskraft/fsm"
)

// waits holds those who wait for the table to reach an index or for a task to
// end. It is served in applied, on every master.
type waits struct {
	n atomic.Int64 // nobody waits: applied has nothing to do

	mu      sync.Mutex
	indexes []*indexWait
	tasks   map[uint64][]*taskWait
	batches map[uint64][]*batchWait
}

type indexWait struct {
	index uint64
	done  chan struct{}
}

// taskWait is one who waits for a task: a single call, or a Watch among others.
type taskWait struct {
	id    uint64
	done  chan *fsm.Task // one place; nil: of a watch
	watch *Watch
}

// end tells that the task has ended; nil: that its record is trimmed.
func (x *taskWait) end(t *fsm.Task) {
	if x.watch != nil {
		x.watch.end(Ended{ID: x.id, Task: t, Known: true})
		return
	}
	x.done <- t
}

func newWaits() *waits {
	return &waits{tasks: make(map[uint64][]*taskWait), batches: make(map[uint64][]*batchWait)}
}

// applied wakes whoever waited for this entry. Called with table.mu held.
func (w *waits) applied(a *fsm.Applied) {
	if w.n.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reached(a.Index)
	if len(w.tasks) == 0 && len(w.batches) == 0 {
		return
	}
	for i := range a.Events {
		ev := &a.Events[i]
		if ev.Kind == fsm.BatchFinished {
			w.endBatch(ev.Batch)
		}
		if ev.Kind != fsm.TaskFinished || ev.Task == nil {
			continue
		}
		for _, t := range w.tasks[ev.Task.ID] {
			t.end(ev.Task)
			w.n.Add(-1)
		}
		delete(w.tasks, ev.Task.ID)
	}
}

func (w *waits) reached(index uint64) {
	w.indexes = slices.DeleteFunc(w.indexes, func(x *indexWait) bool {
		if x.index > index {
			return false
		}
		close(x.done)
		w.n.Add(-1)
		return true
	})
}

// restored looks at everything again: the table jumped. Called with table.mu held.
func (w *waits) restored(m *fsm.Machine) {
	w.mu.Lock()
	defer w.mu.Unlock()
	index, _, _ := m.Position()
	w.reached(index)
	for id, list := range w.tasks {
		t, known := m.Task(id)
		if (t != nil && !t.State.Terminal()) || (t == nil && !known) {
			continue
		}
		for _, x := range list {
			x.end(t)
			w.n.Add(-1)
		}
		delete(w.tasks, id)
	}
	for id := range w.batches { // they look again
		w.endBatch(id)
	}
}

func (w *waits) addIndex(index uint64) *indexWait {
	x := &indexWait{index: index, done: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.indexes = append(w.indexes, x)
	w.n.Add(1)
	return x
}

func (w *waits) dropIndex(x *indexWait) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.Index(w.indexes, x); i >= 0 {
		w.indexes = slices.Delete(w.indexes, i, i+1)
		w.n.Add(-1)
	}
}

func (w *waits) addTask(id uint64) *taskWait {
	x := &taskWait{id: id, done: make(chan *fsm.Task, 1)}
	w.addTasks(x)
	return x
}

func (w *waits) addTasks(all ...*taskWait) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range all {
		w.tasks[x.id] = append(w.tasks[x.id], x)
	}
	w.n.Add(int64(len(all)))
}

func (w *waits) dropTask(x *taskWait) { w.dropTasks(x) }

func (w *waits) dropTasks(all ...*taskWait) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range all {
		w.drop(x)
	}
}

func (w *waits) drop(x *taskWait) {
	list := w.tasks[x.id]
	i := slices.Index(list, x)
	if i < 0 {
		return
	}
	w.n.Add(-1)
	if len(list) == 1 {
		delete(w.tasks, x.id)
		return
	}
	w.tasks[x.id] = slices.Delete(list, i, i+1)
}

// waitIndex returns once the table has applied index.
func (e *engine) waitIndex(ctx context.Context, index uint64) error {
	x := e.waits.addIndex(index)
	defer e.waits.dropIndex(x)
	e.t.mu.RLock()
	have, _, _ := e.t.m.Position()
	e.t.mu.RUnlock()
	if have >= index {
		return nil
	}
	select {
	case <-x.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-e.stopping:
		return ErrStopped
	}
}

// waitTask returns the task once it is terminal, or as it is after wait.
func (e *engine) waitTask(ctx context.Context, id uint64, wait time.Duration) (*fsm.Task, bool, Position, error) {
	l, err := e.confirm(ctx)
	if err != nil {
		return nil, false, Position{}, err
	}
	x := e.waits.addTask(id)
	defer e.waits.dropTask(x)
	t, known, pos := e.look(id)
	if t == nil || t.State.Terminal() {
		return t, known, pos, nil
	}
	enough := time.NewTimer(wait)
	defer enough.Stop()
	select {
	case t = <-x.done:
		_, _, pos = e.look(id)
		return t, true, pos, nil
	case <-enough.C:
		t, known, pos = e.look(id)
		return t, known, pos, nil
	case <-ctx.Done():
		return nil, false, Position{}, ctx.Err()
	case <-l.closed:
		return nil, false, Position{}, e.notLeader()
	}
}

func (e *engine) look(id uint64) (t *fsm.Task, known bool, p Position) {
	e.t.mu.RLock()
	defer e.t.mu.RUnlock()
	t, known = e.t.m.Task(id)
	p.Index, p.Term, _ = e.t.m.Position()
	return t, known, p
}
