package logstore

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskraft/taskraft/cluster/datadir"
	"github.com/taskraft/taskraft/cluster/mutant"
)

// ErrClosed is returned by a closed store.
var ErrClosed = errors.New("the log store is closed")

// guard makes a store fail-stop: it watches how long writes take and lets
// nothing through after the first failure.
type guard struct {
	path            string
	deadline, limit time.Duration
	onHang          func(error)
	onResume        func(time.Duration)
	onFatal         func(error)

	mu   sync.Mutex   // held while onHang and onResume run, so that they alternate
	hung atomic.Int32 // writes over the deadline; changed under mu

	fatal  sync.Once
	failed atomic.Bool
	dead   chan struct{} // closed when failed
	closed chan struct{}
	inside atomic.Int64 // calls in the backend
}

func newGuard(c *Config) *guard {
	return &guard{
		path: c.Path, deadline: c.WriteDeadline, limit: c.HangLimit,
		onHang: c.OnHang, onResume: c.OnResume, onFatal: c.OnFatal,
		dead: make(chan struct{}), closed: make(chan struct{}),
	}
}

// write runs f, which writes durably, under the deadline. It returns nil or, once
// the store is closed, ErrClosed; what is the verb phrase for messages.
func (g *guard) write(what string, f func() error) error {
	if err := g.pass(); err != nil {
		return err
	}
	g.inside.Add(1)
	w := g.watch(what)
	err := protect(f)
	g.inside.Add(-1)
	w.finish(err)
	if err != nil {
		return g.fail(fmt.Errorf("%s: %w", what, err))
	}
	return g.pass() // a write that came back after the limit is never acknowledged
}

// pass blocks, once the store has failed, until Close.
func (g *guard) pass() error {
	if !g.failed.Load() {
		return nil
	}
	<-g.closed
	return ErrClosed
}

// read runs f, which must not find damage.
func (g *guard) read(f func() error) error {
	if err := g.pass(); err != nil {
		return err
	}
	g.inside.Add(1)
	defer g.inside.Add(-1)
	return protect(f)
}

// fail reports the error once and blocks until Close.
func (g *guard) fail(err error) error {
	if g.isClosed() {
		return ErrClosed
	}
	g.stop(err)
	return g.pass()
}

func (g *guard) stop(err error) {
	g.failed.Store(true)
	g.fatal.Do(func() {
		close(g.dead)
		g.onFatal(&datadir.Error{Kind: datadir.Disk, Path: g.path, Err: err})
	})
}

func (g *guard) isClosed() bool {
	select {
	case <-g.closed:
		return true
	default:
		return false
	}
}

// tick is how often a slow write is looked at.
func (g *guard) tick() time.Duration { return g.deadline / 8 }

// write is one call in the backend.
type write struct {
	guard *guard
	what  string
	start time.Time
	timer *time.Timer

	// Under guard.mu:
	last  time.Time     // of the newest check
	awake time.Duration // how long the write has taken while this process ran
	hung  bool
	done  bool
}

// watch starts the watch over a write.
func (g *guard) watch(what string) *write {
	w := &write{guard: g, what: what, start: time.Now()}
	w.last = w.start
	g.mu.Lock()
	w.timer = time.AfterFunc(g.tick(), w.check)
	g.mu.Unlock()
	return w
}

// check runs every tick while the write lasts. Each check counts for two ticks at
// most, so that a process that was stopped or frozen does not blame its disk for it.
func (w *write) check() {
	g := w.guard
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.done || mutant.On("M23") {
		return
	}
	now := time.Now()
	w.awake += min(now.Sub(w.last), 2*g.tick())
	w.last = now
	if w.awake >= g.limit {
		g.stop(fmt.Errorf("%s: log store write exceeded %v: check the disk", w.what, g.limit))
		return
	}
	if w.awake >= g.deadline && !w.hung {
		w.hung = true
		if g.hung.Add(1) == 1 && !g.failed.Load() {
			g.onHang(&datadir.Error{
				Kind: datadir.Disk, Path: g.path,
				Err: fmt.Errorf("%s: log store write exceeded %v", w.what, g.deadline),
			})
		}
	}
	w.timer.Reset(g.tick())
}

// finish ends the watch of a write that returned err.
func (w *write) finish(err error) {
	w.timer.Stop()
	g := w.guard
	g.mu.Lock()
	defer g.mu.Unlock()
	w.done = true
	if !w.hung {
		return
	}
	if g.hung.Add(-1) == 0 && err == nil && !g.failed.Load() {
		g.onResume(time.Since(w.start))
	}
}

// protect runs f and turns its panics into errors: bbolt panics on pages that
// make no sense, and reading a page that the disk does not give back is a fault.
func protect(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("damaged file: %v", r)
		}
	}()
	return f()
}
