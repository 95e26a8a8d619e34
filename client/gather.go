package client

import (
	"context"
	"errors"
	"sync"

	"github.com/taskraft/taskraft/rpc/reason"
)

const (
	maxGathers  = 4         // submits of gathered tasks under way
	gatherBytes = 768 << 10 // of payload in one of them; its limit is 1 MiB in all
	taskBytes   = 256       // counted for what a task has besides its payload
)

// gather makes few calls of many submits. There is no timer: a call takes
// whatever came while earlier ones were under way.
type gather struct {
	c *Client

	mu     sync.Mutex
	queue  []*Handle
	flying int
	closed bool
	wg     sync.WaitGroup
}

// submit sends h's task, together with others if there are any.
func (g *gather) submit(h *Handle) {
	if !g.enqueue(h) {
		h.finish(nil, errClosed)
	}
}

func (g *gather) enqueue(h *Handle) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.queue = append(g.queue, h)
	if g.flying < maxGathers {
		g.flying++
		g.wg.Go(g.fly)
	}
	return true
}

// close fails what was not sent, and what comes later, once the client's life has
// ended.
func (g *gather) close() {
	g.mu.Lock()
	queue := g.queue
	g.queue, g.closed = nil, true
	g.mu.Unlock()
	for _, h := range queue {
		h.finish(nil, errClosed)
	}
	g.wg.Wait()
}

// fly makes calls until nothing is queued.
func (g *gather) fly() {
	for {
		batch := g.take()
		if batch == nil {
			return
		}
		g.send(batch)
	}
}

// take returns the next batch, without those whose context has ended; nil: there
// is nothing left, and this goroutine no longer counts.
func (g *gather) take() []*Handle {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.queue) > 0 {
		var batch []*Handle
		n, bytes := 0, 0
		for ; n < len(g.queue) && len(batch) < maxBatch; n++ {
			h := g.queue[n]
			size := len(h.task.Payload) + taskBytes
			if len(batch) > 0 && bytes+size > gatherBytes {
				break
			}
			if h.sending() {
				batch = append(batch, h)
				bytes += size
			}
		}
		clear(g.queue[:n])
		g.queue = g.queue[n:]
		if len(batch) > 0 {
			return batch
		}
	}
	g.queue = nil
	g.flying--
	return nil
}

// send submits a batch. A batch is accepted whole or not at all, so one that is
// refused is cut in two, until the refusal meets only whom it concerns.
func (g *gather) send(batch []*Handle) {
	receipts, err := g.submitAll(batch)
	switch {
	case err == nil:
		for i, h := range batch {
			h.accept(receipts[i])
		}
		g.c.watches.watch(batch)
	case len(batch) > 1 && concernsOne(err):
		half := len(batch) / 2
		g.send(batch[:half])
		g.send(batch[half:])
	default:
		for _, h := range batch {
			h.finish(nil, err)
		}
	}
}

func (g *gather) submitAll(batch []*Handle) ([]Receipt, error) {
	if len(batch) == 1 { // errors then name its fields without a place
		r, err := g.c.Submit(g.c.life, batch[0].task)
		return []Receipt{r}, g.known(err)
	}
	tasks := make([]Task, len(batch))
	for i, h := range batch {
		tasks[i] = h.task
	}
	receipts, err := g.c.SubmitMany(g.c.life, tasks)
	return receipts, g.known(err)
}

// known replaces the end of the client's own context by what it means.
func (g *gather) known(err error) error {
	if err != nil && g.c.life.Err() != nil && !errors.Is(err, ErrUncertain) {
		return errors.Join(errClosed, err)
	}
	return err
}

// concernsOne reports whether a refusal may be that of a single task.
func concernsOne(err error) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok || errors.Is(err, ErrUncertain) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	switch e.Reason {
	case "", reason.DiskLow, reason.Stopping, reason.NoLeader, reason.NotLeader, reason.Overloaded, reason.TooManyCalls:
		return false
	}
	return true
}
