package worker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskraft/taskraft/internal/follow"
	"github.com/taskraft/taskraft/internal/tracing"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const (
	settleLimit = 5 * time.Second  // for the last outcomes
	leaveLimit  = 2 * time.Second  // for the goodbye
	inUseLimit  = 15 * time.Second // for a process with the same id to be found dead
)

// worker is one Run.
type worker struct {
	cfg    Config
	log    *slog.Logger
	boot   string
	host   string
	follow *follow.Follower
	table  *table
	tracer trace.Tracer // nil: no spans

	drain    chan struct{} // closed: no more assignments
	leave    chan struct{} // closed: say goodbye
	done     chan struct{} // closed: there are no more tasks
	doneOnce sync.Once
	open     atomic.Bool // a stream is attached, or about to be
	left     atomic.Bool // the goodbye was sent
	reached  func() bool // push: a leader is likely to call soon
}

// Run executes tasks until ctx ends, and then drains: it takes no more tasks, lets
// handlers finish for up to DrainTimeout, cancels the rest, hands back what is
// left without counting an attempt, says goodbye and returns nil. While no master
// answers, handlers go on and their results wait.
//
// It returns an error when the configuration is wrong, when another process has
// the worker's id (reason.WorkerIDInUse) or took its place (reason.BootReplaced),
// or when the masters refuse this worker for another reason that does not pass.
func Run(ctx context.Context, cfg Config) error {
	var random [16]byte
	rand.Read(random[:])
	boot := hex.EncodeToString(random[:])
	if err := cfg.complete(boot); err != nil {
		return fmt.Errorf("start worker: %w", err)
	}
	f, err := follow.New(follow.Config{Masters: cfg.Masters, Dial: cfg.DialOptions, Logger: cfg.Logger})
	if err != nil {
		return fmt.Errorf("start worker: %w", err)
	}
	defer f.Close()
	w := &worker{
		cfg: cfg, log: cfg.Logger, boot: boot, follow: f,
		drain: make(chan struct{}), leave: make(chan struct{}), done: make(chan struct{}),
	}
	w.host, _ = os.Hostname() // only shown to operators
	if p := cfg.TracerProvider; p != nil {
		w.tracer = p.Tracer(tracing.Scope)
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	w.table = newTable(life, cfg.ID, cfg.Slots, w.execute)
	defer w.table.leash.stop()

	streams := make(chan error, 1)
	if cfg.Push != nil {
		w.table.called = true
		go func() { streams <- w.serve(life) }()
	} else {
		go func() { streams <- w.streams(life) }()
	}
	select {
	case <-ctx.Done():
		w.log.Info("draining", "worker", cfg.ID)
	case <-w.done:
		w.log.Info("no more tasks", "worker", cfg.ID)
	case err := <-streams:
		w.table.cancelAll(ErrLost)
		w.table.close(w.within(cfg.StopGrace, w.table.inactive))
		return err
	}
	idle := w.finish()
	close(w.leave)
	err = w.farewell(streams, stop)
	w.table.close(idle)
	return err
}

// finish lets the handlers end and offers what they leave. It reports whether all
// have returned.
func (w *worker) finish() (idle bool) {
	close(w.drain)
	w.table.drain()
	idle = w.within(w.cfg.DrainTimeout, w.table.inactive)
	if !idle {
		w.table.cancelAll(ErrDraining)
		idle = w.within(w.cfg.StopGrace, w.table.inactive)
	}
	if n := w.table.releaseAll(); n > 0 {
		w.log.Warn("handlers did not end: their tasks are handed back", "worker", w.cfg.ID, "tasks", n)
	}
	if !w.within(settleLimit, w.table.settled) {
		n, _ := w.table.summary()
		w.log.Warn("no master confirmed the last reports", "worker", w.cfg.ID, "tasks", n)
	}
	return idle
}

// farewell waits for the goodbye to be heard, if there is a stream to say it on.
func (w *worker) farewell(streams <-chan error, stop context.CancelFunc) error {
	if w.open.Load() || w.reached != nil && w.reached() {
		timer := time.NewTimer(leaveLimit)
		defer timer.Stop()
		select {
		case err := <-streams:
			return err
		case <-timer.C:
		}
	}
	stop()
	return <-streams
}

// within waits for cond at most d.
func (w *worker) within(d time.Duration, cond func() bool) bool {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return w.table.wait(ctx, cond)
}

func (w *worker) noMore() { w.doneOnce.Do(func() { close(w.done) }) }

// streams holds one stream after another until ctx ends, the goodbye was said, or
// the masters refuse the worker for good.
func (w *worker) streams(ctx context.Context) error {
	var p follow.Pause
	var refused time.Time // since when the id is in use elsewhere
	for {
		err := w.follow.Do(ctx, w.stream)
		level := slog.LevelWarn
		switch {
		case ctx.Err() != nil || w.left.Load():
			return nil
		case err == nil:
			p.Reset()
			refused = time.Time{}
			continue
		case follow.Reason(err) == reason.WorkerIDInUse:
			if refused.IsZero() {
				refused = time.Now()
			} else {
				level = slog.LevelDebug // it was said once
			}
			if time.Since(refused) < inUseLimit {
				break
			}
			fallthrough
		case final(err):
			return fmt.Errorf("attach worker %s: %w", w.cfg.ID, err)
		}
		w.log.Log(ctx, level, "stream refused, trying again", "worker", w.cfg.ID, "err", err)
		p.Wait(ctx, nil)
	}
}

// final reports whether err will be the answer to every further attach.
func final(err error) bool {
	switch follow.Reason(err) {
	case reason.BootReplaced, reason.InvalidField, reason.WorkerIDInUse:
		return true
	case "":
		switch status.Code(err) {
		case codes.Unimplemented, codes.Unauthenticated, codes.PermissionDenied, codes.InvalidArgument:
			return true
		}
	}
	return false
}

// execute runs one attempt, in a span if there is a tracer.
func (w *worker) execute(a *attempt) report {
	if w.tracer == nil {
		return w.handle(&a.ctx, a)
	}
	return w.traced(a)
}

// handle runs the handler for one attempt.
func (w *worker) handle(ctx context.Context, a *attempt) (r report) {
	t := &a.task
	defer func() {
		if p := recover(); p != nil {
			w.log.Warn("handler panicked", "worker", w.cfg.ID, "task", t.ID, "attempt", t.Attempt, "err", p)
			r = reportOf(t, Result{}, panicError(p), a.ctx.why(), w.cfg.MaxResult)
		}
	}()
	h := w.cfg.Handlers[t.Kind]
	if h == nil {
		h = w.cfg.Default
	}
	if h == nil {
		return report{fail: &taskraftv1.Failure{Task: t.ID, Fence: t.Fence, Error: fmt.Sprintf("no handler for kind %q at worker %s", t.Kind, w.cfg.ID)}}
	}
	res, err := h(ctx, t)
	if a.trace || w.tracer != nil {
		res.FollowUp = continued(ctx, res.FollowUp)
	}
	return reportOf(t, res, err, a.ctx.why(), w.cfg.MaxResult)
}
