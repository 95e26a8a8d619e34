package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// signalEcho is how soon after a signal another one does not count: timeout(1),
// make and shells send one to a program and again to its whole group.
const signalEcho = 500 * time.Millisecond

// errInterrupted is the cause of a context that a signal ended.
var errInterrupted = errors.New("interrupted")

// onSignals calls first at the first of the signals and second at the next one,
// until stop is called.
func onSignals(first, second func(), signals ...os.Signal) (stop func()) {
	arrived := make(chan os.Signal, 2)
	signal.Notify(arrived, signals...)
	done := make(chan struct{})
	go func() {
		var last time.Time
		for acts := []func(){first, second}; len(acts) > 0; {
			select {
			case <-arrived:
			case <-done:
				return
			}
			if now := time.Now(); now.Sub(last) > signalEcho {
				last = now
				acts[0]()
				acts = acts[1:]
			}
		}
	}()
	return sync.OnceFunc(func() {
		signal.Stop(arrived)
		close(done)
	})
}

// interruptible returns a context that ends with errInterrupted at SIGINT,
// SIGTERM or SIGHUP. A second signal ends the program.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	return untilSignal(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
}

// drainable is interruptible for programs that need time to end: they live on
// when their terminal goes away.
func drainable(ctx context.Context) (context.Context, context.CancelFunc) {
	return untilSignal(ctx, os.Interrupt, syscall.SIGTERM)
}

func untilSignal(ctx context.Context, signals ...os.Signal) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := onSignals(func() { cancel(errInterrupted) }, func() { os.Exit(exitInterrupted) }, signals...)
	return ctx, func() {
		stop()
		cancel(context.Canceled)
	}
}
