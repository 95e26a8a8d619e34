package client

import (
	"context"
	"errors"
	"sync"

	"github.com/taskraft/taskraft/rpc/reason"
)

const (
	maxGathers  = 2         // submits of gathered tasks under way
	gatherBytes = 768 << 10 // of payload in one of them; its limit is 1 MiB in all
	taskBytes   = 256       // counted for what a task has besides its payload
)

// offer is a task that somebody wants submitted.
type offer interface {
	sending() (Task, bool) // it is still wanted, and counts as sent from now on
	accept(Receipt)
	refuse(error)
}

// waiter is an offer in the queue, with the bytes that it counts for.
type waiter struct {
	offer
	size int
}

// parcel is an offer whose task is on its way: the offer may end before that.
type parcel struct {
	offer
	task Task
}

// gather makes few calls of many submits. There is no timer: a call takes
// whatever came while earlier ones were under way, so one caller alone waits for
// nobody.
type gather struct {
	c *Client

	mu     sync.Mutex
	queue  []waiter
	flying int
	closed bool
	wg     sync.WaitGroup
}

// submit sends a task with that many bytes of payload, together with others if
// there are any.
func (g *gather) submit(o offer, payload int) {
	if !g.enqueue(waiter{o, payload + taskBytes}) {
		o.refuse(errClosed)
	}
}

// lone reports whether a call need not wait for others: it may be made at once,
// and landed follows it.
func (g *gather) lone() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || g.flying >= maxGathers || len(g.queue) > 0 {
		return false
	}
	g.flying++
	return true
}

// landed ends a lone call: another takes its place if anything is queued.
func (g *gather) landed() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) > 0 && !g.closed {
		g.wg.Go(g.fly)
	} else {
		g.flying--
	}
}

func (g *gather) enqueue(w waiter) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.queue = append(g.queue, w)
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
	for _, o := range queue {
		o.refuse(errClosed)
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
func (g *gather) take() []parcel {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.queue) > 0 {
		var batch []parcel
		n, bytes := 0, 0
		for ; n < len(g.queue) && len(batch) < maxBatch; n++ {
			w := g.queue[n]
			if len(batch) > 0 && bytes+w.size > gatherBytes {
				break
			}
			if t, wanted := w.sending(); wanted {
				batch = append(batch, parcel{w.offer, t})
				bytes += w.size
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
func (g *gather) send(batch []parcel) {
	receipts, err := g.submitAll(batch)
	switch {
	case err == nil:
		var handles []*Handle
		for i, o := range batch {
			o.accept(receipts[i])
			if h, ok := o.offer.(*Handle); ok {
				handles = append(handles, h)
			}
		}
		if len(handles) > 0 {
			g.c.watches.watch(handles)
		}
	case len(batch) > 1 && concernsOne(err):
		half := len(batch) / 2
		g.send(batch[:half])
		g.send(batch[half:])
	default:
		for _, o := range batch {
			o.refuse(err)
		}
	}
}

func (g *gather) submitAll(batch []parcel) ([]Receipt, error) {
	if len(batch) == 1 { // errors then name its fields without a place
		if bad := batch[0].task.check(""); bad != nil {
			return nil, invalid("submit", bad...)
		}
		r, err := g.c.submitOne(g.c.life, &batch[0].task)
		return []Receipt{r}, g.known(err)
	}
	tasks := make([]Task, len(batch))
	for i, o := range batch {
		tasks[i] = o.task
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
	case "", reason.DiskLow, reason.MemoryLow, reason.Stopping, reason.NoLeader, reason.NotLeader, reason.Overloaded, reason.TooManyCalls:
		return false
	}
	return true
}
