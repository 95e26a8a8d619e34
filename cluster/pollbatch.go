package cluster

import "github.com/taskraft/taskraft/fsm"

// pollBatch is the batch that a poll asks about; nil: none.
type pollBatch struct {
	e    *engine
	wait *batchWait
}

// pollBatch begins to watch a batch; 0: none.
func (e *engine) pollBatch(id uint64) (*pollBatch, error) {
	if id == 0 {
		return nil, nil
	}
	if b, _ := e.lookBatch(id); b == nil {
		return nil, &RefusedError{Outcome: fsm.NoBatch}
	}
	return &pollBatch{e: e, wait: e.waits.addBatch(id)}, nil
}

// finished reports whether all tasks of the batch have ended. One that is forgotten
// meanwhile had.
func (b *pollBatch) finished() bool {
	if b == nil {
		return false
	}
	now, _ := b.e.lookBatch(b.wait.id)
	return now == nil || now.FinishedAt != 0
}

// changed is closed when there may be something to see.
func (b *pollBatch) changed() <-chan struct{} {
	if b == nil {
		return nil
	}
	return b.wait.done
}

// drop ends the watch.
func (b *pollBatch) drop() {
	if b != nil {
		b.e.waits.dropBatch(b.wait)
	}
}
