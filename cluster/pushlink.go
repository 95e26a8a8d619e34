package cluster

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

const (
	firstRedial = 20 * time.Millisecond
	lastRedial  = time.Second
	// buryAfter is how many dials in a row must be refused before a worker is dead:
	// a restart in place may take its listener away for a moment.
	buryAfter = 5
	// pushCall bounds a call that does not wait for an execution.
	pushCall = 3 * time.Second
)

// pushLink keeps one address attached, as a worker keeps itself attached.
type pushLink struct {
	l      *reign
	addr   string
	from   PushCaller
	cancel context.CancelFunc

	// Of the present attachment.
	w      PushWorker
	boot   string
	stream *Stream
	fail   context.CancelCauseFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	calls  map[uint64]bool // fences that a Do waits for
}

// run attaches again and again until the leadership, or the address's place in
// the list, ends.
func (k *pushLink) run(ctx context.Context) {
	defer k.cancel()
	refused, pause, told := 0, firstRedial, false
	for ctx.Err() == nil {
		began := k.l.e.mono()
		err := k.attach(ctx)
		if k.l.e.mono()-began > lastRedial {
			pause, refused = firstRedial, 0
		}
		if errors.Is(err, ErrRefused) {
			if refused++; refused == buryAfter {
				k.l.bury(k.addr)
			}
		} else {
			refused = 0
		}
		level := slog.LevelDebug
		if _, known := errors.AsType[*RefusedError](err); known && !told {
			level, told = slog.LevelWarn, true // its id is in use, or it was replaced: once is enough
		}
		k.l.e.log.Log(ctx, level, "push worker is not attached", slog.String("worker", k.addr), slog.Any("err", err))
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		pause = min(2*pause, lastRedial)
	}
}

// attach dials, attaches the worker that it finds there and serves it until
// something ends.
func (k *pushLink) attach(ctx context.Context) error {
	w, err := k.l.e.cfg.PushDialer.Dial(k.addr)
	if err != nil {
		return err
	}
	defer w.Close()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	k.w, k.fail, k.calls = w, fail, make(map[uint64]bool)
	hello, err := k.describe(ctx)
	if err != nil {
		return err
	}
	hello.Push = k.addr
	if k.stream, err = k.l.e.attach(ctx, hello); err != nil {
		return err
	}
	k.boot = hello.Boot
	defer k.wg.Wait()
	defer fail(nil)
	defer k.stream.Close()
	k.wg.Go(func() { k.listen(ctx) })
	return k.serve(ctx)
}

func (k *pushLink) describe(ctx context.Context) (Hello, error) {
	ctx, cancel := context.WithTimeout(ctx, pushCall)
	defer cancel()
	return k.w.Describe(ctx, k.from)
}

// serve passes on what the stream has for the worker.
func (k *pushLink) serve(ctx context.Context) error {
	for {
		b, err := k.stream.Next(ctx)
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return err
		}
		for _, t := range b.Assignments {
			k.begin(ctx, t, false)
		}
		for _, a := range b.Aborts {
			k.wg.Go(func() { k.abort(ctx, a) })
		}
		if len(b.Outcomes) > 0 {
			outcomes := append([]TaskOutcome(nil), b.Outcomes...) // the batch is reused
			k.wg.Go(func() { k.settle(ctx, outcomes) })
		}
		if b.Moved != nil {
			return errMoved
		}
	}
}

// errMoved ends an attachment whose leadership moved.
var errMoved = errors.New("leadership moved")

// begin has an attempt executed, once at a time.
func (k *pushLink) begin(ctx context.Context, t *fsm.Task, join bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.calls[t.Fence] {
		return
	}
	k.calls[t.Fence] = true
	k.wg.Go(func() {
		k.do(ctx, t, join)
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.calls, t.Fence)
	})
}

// do calls the worker and offers its report. An error ends the attachment: the
// next one finds out what became of the worker and calls again.
func (k *pushLink) do(ctx context.Context, t *fsm.Task, join bool) {
	r, err := k.w.Do(ctx, k.from, k.boot, t, k.l.e.clock.now(), join)
	switch {
	case errors.Is(err, ErrNotThere):
		return
	case err != nil:
		k.fail(err)
		return
	}
	var done []*fsmpb.Completion
	var failed []*fsmpb.Failure
	var back []*fsmpb.Handback
	switch {
	case r.Done != nil:
		done = append(done, r.Done)
	case r.Failed != nil:
		failed = append(failed, r.Failed)
	default:
		back = append(back, r.Back)
	}
	if err := k.stream.Report(ctx, done, failed, back); err != nil {
		k.fail(err)
	}
}

// abort stops an execution. One that nobody here waits for, because its fence was
// void before the attach, is joined: its report must be settled, too.
func (k *pushLink) abort(ctx context.Context, a Abort) {
	call, cancel := context.WithTimeout(ctx, pushCall)
	defer cancel()
	if err := k.w.Stop(call, k.from, k.boot, a); err != nil {
		k.fail(err)
		return
	}
	k.begin(ctx, &fsm.Task{ID: a.Task, Options: new(fsm.Options), Attempt: &fsm.Attempt{Fence: a.Fence}}, true)
}

// settle tells the worker outcomes, so that it can forget them.
func (k *pushLink) settle(ctx context.Context, outcomes []TaskOutcome) {
	ctx, cancel := context.WithTimeout(ctx, pushCall)
	defer cancel()
	if _, err := k.w.Check(ctx, k.from, k.boot, outcomes); err != nil {
		k.fail(err)
	}
}

// listen keeps the session as long as the worker answers, and follows what it
// says of itself.
func (k *pushLink) listen(ctx context.Context) {
	drained := false
	for ctx.Err() == nil {
		call, cancel := context.WithTimeout(ctx, k.stream.Attached().HeartbeatEvery+pushCall)
		state, err := k.w.Check(call, k.from, k.boot, nil)
		cancel()
		if err != nil {
			k.fail(err)
			return
		}
		k.stream.Heard()
		if state.Draining && !drained {
			drained = true
			err = k.stream.Drain(ctx)
		}
		if state.Goodbye && err == nil {
			err = k.stream.Goodbye(ctx)
		}
		if err != nil || state.Goodbye {
			k.fail(err)
			return
		}
	}
}
