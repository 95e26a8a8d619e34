package cluster

import (
	"context"
	"sync"

	"github.com/taskraft/taskraft/fsm"
)

const (
	// MaxWatched is how many tasks one Watch can have that have not ended.
	MaxWatched = 1 << 16
	// maxWatchBytes of results are kept for a caller that does not fetch them; those
	// of later tasks are looked up when it does.
	maxWatchBytes = 8 << 20
)

// Ended is what a Watch tells of one task.
type Ended struct {
	ID    uint64
	Task  *fsm.Task // frozen; nil: there is no record
	Known bool      // as fsm.Machine.Task has it
}

// Watch tells of tasks as they end, each once. It belongs to one leadership.
type Watch struct {
	e    *engine
	l    *reign
	wake bell

	mu    sync.Mutex // after table.mu and waits.mu
	tasks map[uint64]*taskWait
	ended []Ended
	bytes int // of results in ended
}

func (e *engine) watch(ctx context.Context) (*Watch, error) {
	l, err := e.confirm(ctx)
	if err != nil {
		return nil, err
	}
	return &Watch{e: e, l: l, wake: newBell(), tasks: make(map[uint64]*taskWait)}, nil
}

// Add watches more tasks; the table is looked at once a majority has confirmed
// that this node leads. Errors: ErrWatchFull, *NotLeaderError, and ctx's.
func (w *Watch) Add(ctx context.Context, ids []uint64) error {
	waits, err := w.enter(ids)
	if err != nil {
		return err
	}
	w.e.waits.addTasks(waits...)
	if l, err := w.e.confirm(ctx); err != nil {
		return err
	} else if l != w.l {
		return w.e.notLeader()
	}
	var over []*taskWait
	var found []Ended
	w.e.t.mu.RLock()
	for _, x := range waits {
		t, known := w.e.t.m.Task(x.id)
		if t == nil || t.State.Terminal() {
			over, found = append(over, x), append(found, Ended{ID: x.id, Task: t, Known: known})
		}
	}
	w.e.t.mu.RUnlock()
	w.e.waits.dropTasks(over...)
	for _, e := range found {
		w.end(e)
	}
	return nil
}

// enter makes the waits of the ids that are not watched yet.
func (w *Watch) enter(ids []uint64) ([]*taskWait, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	waits := make([]*taskWait, 0, len(ids))
	for _, id := range ids {
		if w.tasks[id] != nil {
			continue
		}
		if len(w.tasks) == MaxWatched {
			for _, x := range waits {
				delete(w.tasks, x.id)
			}
			return nil, ErrWatchFull
		}
		x := &taskWait{id: id, watch: w}
		w.tasks[id] = x
		waits = append(waits, x)
	}
	return waits, nil
}

// end notes what became of a task, if it is still watched.
func (w *Watch) end(e Ended) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tasks[e.ID] == nil {
		return
	}
	delete(w.tasks, e.ID)
	if e.Task != nil {
		if n := len(e.Task.Result); w.bytes+n > maxWatchBytes {
			e.Task = nil
		} else {
			w.bytes += n
		}
	}
	w.ended = append(w.ended, e)
	w.wake.ring()
}

// Forget stops watching tasks.
func (w *Watch) Forget(ids []uint64) {
	w.mu.Lock()
	var waits []*taskWait
	for _, id := range ids {
		if x := w.tasks[id]; x != nil {
			delete(w.tasks, id)
			waits = append(waits, x)
		}
	}
	w.mu.Unlock()
	w.e.waits.dropTasks(waits...)
}

// Next waits until tasks have ended and returns all there are. Errors:
// *NotLeaderError when leadership ended, and ctx's.
func (w *Watch) Next(ctx context.Context) ([]Ended, Position, error) {
	for {
		if ended, pos := w.take(); len(ended) > 0 {
			return ended, pos, nil
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return nil, Position{}, ctx.Err()
		case <-w.l.closed:
			return nil, Position{}, w.e.notLeader()
		}
	}
}

// take returns what has ended, with the records that were not kept.
func (w *Watch) take() ([]Ended, Position) {
	w.mu.Lock()
	ended := w.ended
	w.ended, w.bytes = nil, 0
	w.mu.Unlock()
	var p Position
	w.e.t.mu.RLock()
	defer w.e.t.mu.RUnlock()
	for i := range ended {
		if e := &ended[i]; e.Task == nil && e.Known {
			e.Task, _ = w.e.t.m.Task(e.ID)
		}
	}
	p.Index, p.Term, _ = w.e.t.m.Position()
	return ended, p
}

// Close ends the watch.
func (w *Watch) Close() {
	w.mu.Lock()
	waits := make([]*taskWait, 0, len(w.tasks))
	for _, x := range w.tasks {
		waits = append(waits, x)
	}
	clear(w.tasks)
	w.mu.Unlock()
	w.e.waits.dropTasks(waits...)
}
