package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"
)

// How says how a death was observed.
type How uint8

// The ways in which a dead process shows.
const (
	// Gone: the connection ended and nobody listens at the address any more.
	Gone How = iota + 1
	// Restarted: the connection ended and the same server answers in another process.
	Restarted
)

func (h How) String() string {
	switch h {
	case Gone:
		return "gone"
	case Restarted:
		return "restarted"
	}
	return fmt.Sprintf("how %d", uint8(h))
}

// Death is an observed death.
type Death struct {
	Peer Peer
	Boot string // of the dead process
	How  How
}

// Watch is a silent connection to another master's process.
type Watch struct {
	port *Port
	to   Peer
	boot string
	c    *conn
}

// Watch connects to the process of a peer. An error says nothing about its life:
// what was never seen alive is not seen dying.
func (p *Port) Watch(ctx context.Context, to Peer) (*Watch, error) {
	c, a, err := p.dial(ctx, KindWatch, to)
	if err != nil {
		return nil, err
	}
	return &Watch{port: p, to: to, boot: a.boot, c: c}, nil
}

// Boot returns the boot id of the watched process.
func (w *Watch) Boot() string { return w.boot }

// Close ends a watch that Wait is not called on; Wait closes it when it returns.
func (w *Watch) Close() { w.c.Close() }

// Wait returns a Death once the process is seen to have died: its connection
// ended by EOF or reset, and then a dial was refused or reached the same server
// in another process. If the same process answers, it watches on. Everything else
// (ctx, our own isolation, time-outs, no route) is an error and no death.
func (w *Watch) Wait(ctx context.Context) (Death, error) {
	defer func() { w.c.Close() }()
	for {
		if err := w.ended(ctx); err != nil {
			return Death{}, err
		}
		how, err := w.redial(ctx)
		if err != nil {
			return Death{}, fmt.Errorf("watch %s: %w", w.to, err)
		}
		if how != 0 {
			return Death{Peer: w.to, Boot: w.boot, How: how}, nil
		}
	}
}

// ended waits until the other side has ended the connection.
func (w *Watch) ended(ctx context.Context) error {
	c := w.c
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	_, err := io.ReadFull(c, make([]byte, 1))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		return fmt.Errorf("watch %s: unexpected data", w.to)
	}
	if !hungUp(err) {
		return fmt.Errorf("watch %s: %w", w.to, err)
	}
	return nil
}

// redialFor bounds how long an unclear answer is asked again: a dying process
// may still complete a dial, and a restarted one has no identity for a moment.
const redialFor = 2 * time.Second

// redial asks who is at the address now; 0 is the same process, now watched anew.
func (w *Watch) redial(ctx context.Context) (How, error) {
	ctx, cancel := context.WithTimeout(ctx, redialFor)
	defer cancel()
	pause := time.Millisecond
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		c, a, err := w.port.dial(ctx, KindWatch, w.to)
		if err == nil && a.boot == w.boot {
			w.c.Close()
			w.c = c
			return 0, nil
		}
		if err == nil {
			c.Close()
			return Restarted, nil
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			return Gone, nil
		}
		if !hungUp(err) && !unadopted(err) {
			return 0, err
		}
		retry.Reset(pause)
		pause = min(2*pause, 20*time.Millisecond)
		select {
		case <-retry.C:
		case <-ctx.Done():
			return 0, err
		}
	}
}

// hungUp reports whether the other side ended the connection.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// unadopted reports whether a process without an identity answered.
func unadopted(err error) bool {
	refused, ok := errors.AsType[*RefusedError](err)
	return ok && refused.Reason == NotAdopted
}
