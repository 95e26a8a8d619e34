package measure

import (
	"context"
	"sync"
)

// Room bounds a backlog: the tasks that are submitted or being submitted, and not
// completed. Who waits gets room in the order of arrival.
type Room struct {
	mu   sync.Mutex
	free int
	wait []waiter // in the order of arrival
}

type waiter struct {
	n     int
	ready chan struct{}
}

// NewRoom returns room for n tasks.
func NewRoom(n int) *Room { return &Room{free: n} }

// Take waits for room for n tasks; false when ctx ended first.
func (r *Room) Take(ctx context.Context, n int) bool {
	if ctx.Err() != nil {
		return false
	}
	r.mu.Lock()
	if len(r.wait) == 0 && r.free >= n {
		r.free -= n
		r.mu.Unlock()
		return true
	}
	w := waiter{n, make(chan struct{})}
	r.wait = append(r.wait, w)
	r.mu.Unlock()
	select {
	case <-w.ready:
		return true
	case <-ctx.Done():
		return false
	}
}

// Give returns room for n tasks.
func (r *Room) Give(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free += n
	for len(r.wait) > 0 && r.free >= r.wait[0].n {
		r.free -= r.wait[0].n
		close(r.wait[0].ready)
		r.wait = r.wait[1:]
	}
}
