package follow

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
)

const (
	minPause = 20 * time.Millisecond
	maxPause = time.Second
	maxHops  = 3 // redirects in a row without a pause

	// newsPause is how long a call that found no leader waits at least for the
	// news of one before it asks again: an election after a seen death takes less,
	// and the masters need their time for it.
	newsPause = 50 * time.Millisecond
)

// errClosed answers calls on a closed Follower.
var errClosed = errors.New("closed")

// Call is one try of a call on the given connection. ctx ends early when another
// master is known to lead.
type Call func(ctx context.Context, conn grpc.ClientConnInterface) error

// Do makes a call on the leader and repeats it until it is answered. It returns
// nil, the error of an answer that repeating cannot change, or a *GaveUpError when
// ctx ended or the Follower was closed first.
func (f *Follower) Do(ctx context.Context, call Call) error {
	t := tries{f: f, ctx: ctx}
	return t.onLeader(call)
}

// DoOnce is Do for calls that are not safe to repeat: it repeats only tries that
// took no effect for certain.
func (f *Follower) DoOnce(ctx context.Context, call Call) error {
	t := tries{f: f, ctx: ctx, once: true}
	return t.onLeader(call)
}

// DoAny is Do for calls that every master answers from what it knows. It begins
// with the next master in rotation and goes on to the others.
func (f *Follower) DoAny(ctx context.Context, call Call) error {
	t := tries{f: f, ctx: ctx}
	for n := 1; ; n++ {
		to, masters := f.anybody()
		if done, err := t.one(to, call); done {
			return err
		}
		if n%masters != 0 {
			continue // each master once before a pause
		}
		t.hops = maxHops
		if err := t.pause(to); err != nil {
			return err
		}
	}
}

// tries is the course of one Do.
type tries struct {
	f    *Follower
	ctx  context.Context
	p    Pause
	hops int
	last error
	verdict
	once    bool // not again when it may have taken effect
	unknown bool // some try may have taken effect
}

func (t *tries) onLeader(call Call) error {
	for {
		to := t.f.leader()
		if done, err := t.one(to, call); done {
			return err
		}
		if err := t.pause(to); err != nil {
			return err
		}
	}
}

// one makes a try. done means that err is Do's answer.
func (t *tries) one(to target, call Call) (done bool, err error) {
	if t.f.ctx.Err() != nil {
		return true, &GaveUpError{Cause: errClosed, Last: t.last, Maybe: t.unknown}
	}
	if t.ctx.Err() != nil {
		return true, t.gaveUp()
	}
	ctx, cancel := context.WithCancelCause(t.ctx)
	unbind := context.AfterFunc(to.bound, func() { cancel(errOver) })
	began := time.Now()
	err = call(ctx, to.master)
	switch took := time.Since(began); {
	case took > maxPause: // a stream that was served: what ended it is new
		t.p.Reset()
		t.hops = 0
	case took > newsPause: // no hop, whatever ended it
		t.hops = 0
	}
	unbind()
	cancel(nil)
	if err == nil {
		return true, nil
	}
	noLeader := t.noLeader
	t.verdict = judge(err)
	t.unknown = t.unknown || t.maybe
	switch {
	case t.cut && context.Cause(ctx) == errOver: // another master is known to lead
		t.noLeader = false
	case t.cut && t.maybe && t.f.leads(to.master): // the leader was reached and takes its time
		t.noLeader = false
	case t.cut: // says nothing about the master: what was known before stands
		t.noLeader = t.noLeader || noLeader
	default:
		t.last = err
	}
	switch {
	case !t.again, t.once && t.maybe:
		return true, err
	case t.ctx.Err() != nil:
		return true, t.gaveUp()
	}
	if t.redirect != nil {
		t.f.Learn(t.redirect, to.addr)
	}
	return false, nil
}

// pause waits before the next try: not at all when another leader is known and
// the hops allow it.
func (t *tries) pause(to target) error {
	var over <-chan struct{}
	least := t.after
	if t.hops < maxHops && t.after == 0 {
		over = to.over
		if t.noLeader && t.redirect == nil {
			least = newsPause
		}
	}
	began := time.Now()
	waited := t.p.waitAtLeast(t.ctx, over, least)
	if t.ctx.Err() != nil {
		return t.gaveUp()
	}
	if waited || time.Since(began) > minPause {
		t.hops = 0
	} else {
		t.hops++
	}
	return nil
}

func (t *tries) gaveUp() error {
	return &GaveUpError{Cause: context.Cause(t.ctx), Last: t.last, Maybe: t.unknown, NoLeader: t.noLeader}
}

// Pause makes full-jitter back-off: between zero and a limit that doubles from
// 20 ms to 1 s.
type Pause struct{ limit time.Duration }

// Reset starts over with the shortest limit.
func (p *Pause) Reset() { p.limit = 0 }

// Wait pauses until the time is over, ctx ends, or early is closed. It reports
// whether the time was over.
func (p *Pause) Wait(ctx context.Context, early <-chan struct{}) bool {
	return p.waitAtLeast(ctx, early, 0)
}

func (p *Pause) waitAtLeast(ctx context.Context, early <-chan struct{}, least time.Duration) bool {
	p.limit = min(max(2*p.limit, minPause), maxPause)
	timer := time.NewTimer(least + rand.N(p.limit))
	defer timer.Stop()
	select {
	case <-early:
		return false
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
