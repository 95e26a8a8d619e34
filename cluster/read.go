package cluster

import (
	"context"
	"sync"

	"github.com/taskraft/taskraft/cluster/mutant"
	"github.com/taskraft/taskraft/fsm"
)

// rounds shares the confirmations of leadership between linearizable reads:
// whoever arrived before a round began takes part in it, whoever comes later
// waits for the next. One round runs at a time.
type rounds struct {
	wake bell

	mu   sync.Mutex
	next *round
}

type round struct {
	done chan struct{}
	err  error // set before done is closed
}

func newRounds() *rounds { return &rounds{wake: newBell()} }

// join returns the round that has not begun yet.
func (r *rounds) join() *round {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = &round{done: make(chan struct{})}
		r.wake.ring()
	}
	return r.next
}

// begin takes the round that was gathered.
func (r *rounds) begin() *round {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.next
	r.next = nil
	return x
}

// confirmReads runs the rounds of a leadership until it closes.
func (l *reign) confirmReads() {
	for {
		select {
		case <-l.rounds.wake:
		case <-l.closed:
			return
		}
		x := l.rounds.begin()
		l.e.count.rounds.Add(1)
		x.err = l.e.r.ConfirmTerm(l.ctx, l.term)
		close(x.done)
	}
}

// confirm returns the leadership that a majority confirmed after the call.
func (e *engine) confirm(ctx context.Context) (*reign, error) {
	l, err := e.serving()
	if err != nil {
		return nil, err
	}
	if mutant.On("M9") { // S12
		return l, nil
	}
	x := l.rounds.join()
	select {
	case <-x.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.closed:
		return nil, e.notLeader()
	}
	if x.err != nil { // no majority answers: whether there is a leader is not known
		return nil, &NotLeaderError{}
	}
	return l, nil
}

// read calls f with the table once the level is met.
func (e *engine) read(ctx context.Context, o ReadOptions, f func(*fsm.Machine)) (Position, error) {
	if o.Level == Linearizable {
		if _, err := e.confirm(ctx); err != nil {
			return Position{}, err
		}
	}
	if o.MinIndex > 0 && !mutant.On("M10") {
		if err := e.waitIndex(ctx, o.MinIndex); err != nil {
			return Position{}, err
		}
	}
	var p Position
	e.t.mu.RLock()
	defer e.t.mu.RUnlock()
	p.Index, p.Term, _ = e.t.m.Position()
	f(e.t.m)
	return p, nil
}
