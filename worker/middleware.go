package worker

import (
	"context"
	"log/slog"
	"time"
)

// Middleware makes a handler that does something around another one.
type Middleware func(next Handler) Handler

// Recover turns a panic of the handlers inside it into an error with a trimmed
// stack. The worker does so itself in the end; with Recover the middleware
// outside it sees the error, too.
func Recover(next Handler) Handler {
	return func(ctx context.Context, t *Task) (res Result, err error) {
		defer func() {
			if p := recover(); p != nil {
				res, err = Result{}, panicError(p)
			}
		}()
		return next(ctx, t)
	}
}

// Log logs every execution when it ends: Info when it succeeded, Warn with the
// error when it did not. Nil: slog.Default().
func Log(log *slog.Logger) Middleware {
	if log == nil {
		log = slog.Default()
	}
	return func(next Handler) Handler {
		return func(ctx context.Context, t *Task) (Result, error) {
			began := time.Now()
			res, err := next(ctx, t)
			attrs := []any{
				"worker", t.Worker, "task", t.ID, "attempt", t.Attempt, "queue", t.Queue, "kind", t.Kind, "dur", time.Since(began),
			}
			if err != nil {
				log.WarnContext(ctx, "task not done", append(attrs, "err", err)...)
			} else {
				log.InfoContext(ctx, "task done", attrs...)
			}
			return res, err
		}
	}
}

// Timeout ends the handler's context after d, with the cause ErrTimedOut, when the
// task's own limit is longer. What the handler returns then counts as always.
func Timeout(d time.Duration) Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, t *Task) (Result, error) {
			ctx, cancel := context.WithTimeoutCause(ctx, d, ErrTimedOut)
			defer cancel()
			return next(ctx, t)
		}
	}
}

// around puts middleware around a handler, the first outermost.
func around(h Handler, all []Middleware) Handler {
	for i := len(all) - 1; i >= 0; i-- {
		h = all[i](h)
	}
	return h
}
