package cluster

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/taskraft/taskraft/fsm"
)

// followGrace is how long a new leader waits for the last output of a task that
// ended before it heard of it: its worker says it again when it attaches.
const followGrace = 3 * time.Second

// FollowFrom says what to tell of a task.
type FollowFrom struct {
	// Fence and Offset are behind the last output that the caller has.
	Fence, Offset uint64
	// Resumed: the caller followed the task before, perhaps on another leader.
	Resumed bool
	// NoOutput leaves the output out.
	NoOutput bool
	// Once tells what there is, and no more.
	Once bool
}

// Update is what changed since the last one.
type Update struct {
	Task     *fsm.Task // its record, if it changed
	Output   []Output
	Progress *Progress // if it changed; of the present attempt
	Done     bool      // this is the last one
}

// Follow tells of one task's states, progress and output. It belongs to one
// leadership.
type Follow struct {
	e    *engine
	l    *reign
	id   uint64
	from FollowFrom
	wake bell

	at       mark
	state    fsm.State
	fence    uint64
	progress *Progress
}

func (e *engine) follow(ctx context.Context, id uint64, from FollowFrom) (*Follow, error) {
	l, err := e.confirm(ctx)
	if err != nil {
		return nil, err
	}
	f := &Follow{e: e, l: l, id: id, from: from, wake: newBell(), at: mark{from.Fence, from.Offset}}
	if from.NoOutput {
		f.at.fence = math.MaxUint64
	}
	v := l.live
	v.mu.Lock()
	defer v.mu.Unlock()
	t := v.heard(id)
	t.follows = append(t.follows, f)
	v.followed.Add(1)
	v.known.Store(int64(len(v.tasks)))
	return f, nil
}

// Close ends it.
func (f *Follow) Close() {
	v := f.l.live
	v.mu.Lock()
	defer v.mu.Unlock()
	v.followed.Add(-1)
	t := v.tasks[f.id] // it stays as long as somebody follows it
	t.follows = slices.DeleteFunc(t.follows, func(x *Follow) bool { return x == f })
	if len(t.follows) == 0 && t.progress == nil && t.end == (mark{}) {
		v.forget(t)
		v.known.Store(int64(len(v.tasks)))
	}
}

// Next waits for an update. It returns nil when there is no such task; known is as
// in fsm.Machine.Task. Errors: *NotLeaderError when leadership ended, and ctx's.
func (f *Follow) Next(ctx context.Context) (u *Update, known bool, p Position, err error) {
	for {
		t, known, p := f.e.look(f.id)
		if t == nil {
			return nil, known, p, nil
		}
		u, grace := f.look(t)
		if u != nil {
			return u, known, p, nil
		}
		if err := f.pause(ctx, grace); err != nil {
			return nil, false, Position{}, err
		}
	}
}

// pause waits for news, at most for grace if that is not zero.
func (f *Follow) pause(ctx context.Context, grace time.Duration) error {
	var over <-chan time.Time
	if grace > 0 {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-f.wake:
	case <-over:
	case <-ctx.Done():
		return ctx.Err()
	case <-f.l.closed:
		return f.e.notLeader()
	}
	return nil
}

// look compares t, read a moment ago, and what is known of its attempts with what
// was told. Nil: nothing is new, or its last output is waited for, for grace.
func (f *Follow) look(t *fsm.Task) (u *Update, grace time.Duration) {
	out, over, progress := f.l.live.read(f.id, f.at)
	u = &Update{Output: out}
	if t.State != f.state || t.Fence != f.fence {
		u.Task = t
	}
	if progress != nil && progress != f.progress && progress.Fence == t.Fence {
		u.Progress = progress
	}
	switch {
	case f.from.Once:
		u.Done, u.Task = true, t
	case t.State.Terminal():
		if grace = f.lastWords(t, over); grace == 0 {
			u.Done, u.Task = true, t
		} else {
			u.Task = nil // its end is told with its last output
		}
	}
	if u.Task == nil && u.Progress == nil && len(u.Output) == 0 {
		return nil, grace
	}
	if n := len(out); n > 0 {
		f.at = out[n-1].behind()
	}
	if u.Task != nil {
		f.state, f.fence = t.State, t.Fence
	}
	if u.Progress != nil {
		f.progress = progress
	}
	return u, 0
}

// lastWords returns how long the last output of a terminal task may still come.
func (f *Follow) lastWords(t *fsm.Task, over uint64) time.Duration {
	n := len(t.Ended)
	if !f.from.Resumed || f.from.NoOutput || n == 0 || over == t.Ended[n-1].Fence {
		return 0
	}
	return max(followGrace-(f.e.mono()-f.l.began), 0)
}
