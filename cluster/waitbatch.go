package cluster

import (
	"context"
	"slices"
	"time"

	"github.com/taskraft/taskraft/fsm"
)

// batchWait is one call that waits for a batch.
type batchWait struct {
	id   uint64
	done chan struct{} // closed when there may be something to see
}

func (w *waits) addBatch(id uint64) *batchWait {
	x := &batchWait{id: id, done: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.batches[id] = append(w.batches[id], x)
	w.n.Add(1)
	return x
}

// endBatch wakes those who wait for a batch. Called with w.mu held.
func (w *waits) endBatch(id uint64) {
	for _, x := range w.batches[id] {
		close(x.done)
		w.n.Add(-1)
	}
	delete(w.batches, id)
}

func (w *waits) dropBatch(x *batchWait) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.batches[x.id]
	i := slices.Index(list, x)
	if i < 0 {
		return
	}
	w.n.Add(-1)
	if len(list) == 1 {
		delete(w.batches, x.id)
		return
	}
	w.batches[x.id] = slices.Delete(list, i, i+1)
}

// waitBatch returns a batch once all its tasks have ended, or as it is after wait.
func (e *engine) waitBatch(ctx context.Context, id uint64, wait time.Duration) (*fsm.Batch, Position, error) {
	l, err := e.confirm(ctx)
	if err != nil {
		return nil, Position{}, err
	}
	x := e.waits.addBatch(id)
	defer e.waits.dropBatch(x)
	b, pos := e.lookBatch(id)
	if b == nil || b.FinishedAt != 0 {
		return b, pos, nil
	}
	enough := time.NewTimer(wait)
	defer enough.Stop()
	select {
	case <-x.done:
	case <-enough.C:
	case <-ctx.Done():
		return nil, Position{}, ctx.Err()
	case <-l.closed:
		return nil, Position{}, e.notLeader()
	}
	b, pos = e.lookBatch(id)
	return b, pos, nil
}

func (e *engine) lookBatch(id uint64) (b *fsm.Batch, p Position) {
	e.t.mu.RLock()
	defer e.t.mu.RUnlock()
	p.Index, p.Term, _ = e.t.m.Position()
	return e.t.m.Batch(id), p
}
