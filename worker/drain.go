package worker

import "context"

// drain hands back what has not begun, now and from now on.
func (t *table) drain() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.draining = true
	for _, a := range t.queue {
		t.finish(a, release(&a.task))
	}
	t.queue = nil
}

// cancelAll ends the contexts of all running handlers.
func (t *table) cancelAll(cause error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range t.held {
		if a.stage == running {
			a.ctx.end(cause)
		}
	}
}

// releaseAll hands back what still runs and returns how many there were.
func (t *table) releaseAll() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range t.held {
		if a.stage == running {
			t.finish(a, release(&a.task))
			n++
		}
	}
	return n
}

// inactive and settled are conditions for wait.
func (t *table) inactive() bool { return t.active == 0 }
func (t *table) settled() bool  { return len(t.held) == 0 }

// wait waits until cond, which is called with mu held, is true, or ctx ends.
func (t *table) wait(ctx context.Context, cond func() bool) bool {
	for {
		t.mu.Lock()
		if cond() {
			t.mu.Unlock()
			return true
		}
		if t.changed == nil {
			t.changed = make(chan struct{})
		}
		changed := t.changed
		t.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

func (t *table) notify() {
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}
