package worker

import "github.com/taskraft/taskraft/rpc/taskraftv1"

// wakeOne sees to it that somebody takes the head of the queue. Called with mu held.
func (t *table) wakeOne() {
	switch {
	case len(t.queue) == 0 || t.waking:
	case t.idle > 0:
		t.waking = true
		t.wake.Signal()
	case t.size < t.slots:
		t.waking = true
		t.size++
		t.wg.Go(t.work)
	}
}

// work is one slot: it runs what is queued until close.
func (t *table) work() {
	t.mu.Lock()
	t.waking = false
	defer func() {
		t.size--
		t.wakeOne() // a handler may have ended this goroutine with runtime.Goexit
		t.mu.Unlock()
	}()
	for {
		for len(t.queue) == 0 && !t.closed {
			t.idle++
			t.wake.Wait()
			t.idle--
			t.waking = false
		}
		if t.closed {
			return
		}
		a := t.queue[0]
		t.queue[0] = nil
		t.queue = t.queue[1:]
		a.stage = running
		t.wakeOne()
		t.execute(a)
	}
}

// beside runs what was broadcast: the masters reserve a slot for it beside the
// pool's, so that a busy worker gets it.
func (t *table) beside(a *attempt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.execute(a)
}

// execute runs one handler. It is called and returns with mu held.
func (t *table) execute(a *attempt) {
	t.mu.Unlock()
	r := report{fail: &taskraftv1.Failure{Task: a.task.ID, Fence: a.task.Fence, Error: "the handler ended its goroutine"}}
	defer func() {
		a.ctx.end(nil)
		t.mu.Lock()
		a.task.Payload = nil
		if a.stage == running { // else it was handed back already
			t.finish(a, r)
		}
	}()
	if a.selfFence && t.leash.over() { // it was assigned, or waited, too long ago
		r = release(&a.task)
		return
	}
	r = t.run(a)
}

// close ends the pool. With join it waits for its goroutines; a handler that does
// not return would hold that up.
func (t *table) close(join bool) {
	t.mu.Lock()
	t.closed = true
	t.wake.Broadcast()
	t.mu.Unlock()
	if join {
		t.wg.Wait()
	}
}
