package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Stream is one attached worker. Its methods do not wait for the disk: outcomes
// come back through Next. A newer Attach of the same process ends it.
type Stream struct {
	l         *reign
	session   *session
	slots     int
	ttl       time.Duration
	exit      bool
	principal string // of its reports

	wake bell // Next has something
	room bell // Report has room, Goodbye may go on

	// The rest is guarded by reign.mu.
	taker    taker
	out      outbox
	held     heldSet
	batch    Batch // the last one returned by Next; its slices are reused
	spare    outbox
	flush    bool // wake it after this apply
	err      error
	solo     uint64 // the fence of a task that runs alone
	reserved uint64 // the fence in the slot reserved for targets
	told     bool   // NoMoreTasks
	owes     bool   // in sessions.owing

	draining bool          // its process ends
	drained  bool          // an operator keeps tasks from its worker
	failed   time.Duration // alive time of an entry's failure; 0: none
	oldest   time.Duration // alive time since when the outbox was not emptied; 0: empty

	pending    pending
	dirty      bool // in batcher.dirty
	unanswered int  // items from Report to Next
}

func (s *Stream) holds(t *fsm.Task) {
	s.held.add(t.Fence)
	if isTarget(t) {
		s.reserved = t.Fence
	}
	s.count()
	if t.Solo {
		s.solo = t.Fence
		s.block()
	}
}

// count brings the number of slots in use up to date.
func (s *Stream) count() {
	if s.taker.held = s.held.len(); s.reserved != 0 {
		s.taker.held--
	}
}

// block lets the stream have tasks, or not.
func (s *Stream) block() { s.taker.blocked = s.draining || s.drained || s.solo != 0 }

// workerChanged follows an operator's drain of a worker, or its end.
func (l *reign) workerChanged(m *fsm.Machine, id uint64) {
	s, rec := l.byID[id], m.Session(id)
	switch {
	case s == nil || rec == nil:
	case s.stream != nil:
		s.stream.drained = rec.Drained
		s.stream.block()
		l.offer(&s.stream.taker)
		l.touchTaker(&s.stream.taker)
	case s.poll != nil:
		l.touchTaker(&s.poll.taker)
	}
}

// assigned sends a task to the worker that got it.
func (l *reign) assigned(s *Stream, t *fsm.Task) {
	s.taker.seen = true
	s.holds(t)
	s.out.assignments = append(s.out.assignments, t)
	l.touchTaker(&s.taker)
	l.offer(&s.taker)
	l.flushLater(s)
}

// abort tells the worker that an execution must stop.
func (l *reign) abort(s *Stream, a Abort) {
	s.out.aborts = append(s.out.aborts, a)
	s.held.aborted(a.Fence, l.now())
	l.flushLater(s)
}

// ended notes that an attempt is over; the worker learns it by an outcome, or
// has been told to stop before.
func (l *reign) ended(s *Stream, fence uint64) {
	if !s.held.remove(fence) {
		return
	}
	if s.reserved == fence {
		s.reserved = 0
	}
	s.count()
	if s.solo == fence {
		s.solo = 0
		s.block()
	}
	l.offer(&s.taker)
	l.touchTaker(&s.taker)
}

// drop ends a stream: what is in its outbox still goes out, then Next fails.
func (l *reign) drop(s *Stream, err error) {
	if s.err != nil {
		return
	}
	s.err = err
	l.rise(&s.taker)
	delete(l.exits, &s.taker)
	if s.session.stream == s {
		s.session.stream, s.session.left = nil, true
	}
	s.pending = pending{}
	if s.dirty {
		s.dirty = false
		l.dirty = slices.DeleteFunc(l.dirty, func(x *Stream) bool { return x == s })
	}
	s.wake.ring()
	s.room.ring()
}

// Attached returns what the session was opened with.
func (s *Stream) Attached() Attached {
	return Attached{Session: s.session.id, TTL: s.ttl, HeartbeatEvery: heartbeatEvery(s.ttl)}
}

// Next waits for something to send. It returns an error when the stream ended:
// replaced, session gone, node stopped, ctx. The batch is valid until the next call.
func (s *Stream) Next(ctx context.Context) (*Batch, error) {
	for {
		if b, err := s.take(); b != nil || err != nil {
			return b, err
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *Stream) take() (*Batch, error) {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	if s.out.empty() {
		return nil, s.err
	}
	if errors.Is(s.err, ErrSlowConsumer) || errors.Is(s.err, ErrStreamReplaced) {
		return nil, s.err
	}
	s.out, s.spare = s.spare, s.out
	s.spare.fill(&s.batch)
	s.out.reset()
	s.oldest = 0
	s.held.sent()
	if n := len(s.batch.Outcomes); n > 0 {
		s.unanswered -= n
		s.room.ring()
	}
	return &s.batch, nil
}

// Close unregisters the stream; the session stays until its TTL.
func (s *Stream) Close() {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.l.drop(s, ErrStreamReplaced)
}

// Drain asks for no more assignments.
func (s *Stream) Drain(ctx context.Context) error {
	s.l.mu.Lock()
	s.draining = true
	s.block()
	s.l.offer(&s.taker)
	s.l.mu.Unlock()
	return s.change(ctx, &fsmpb.Command{
		Principal: s.principal,
		Kind:      &fsmpb.Command_UpdateSession{UpdateSession: &fsmpb.UpdateSession{Session: s.session.id, Draining: true}},
	})
}

// Goodbye closes the session: what is held returns to its queue at once.
// Reports that were offered before are ordered before.
func (s *Stream) Goodbye(ctx context.Context) error {
	if err := s.wait(ctx, func() bool { return s.pending.len() == 0 }); err != nil {
		return err
	}
	return s.change(ctx, &fsmpb.Command{
		Principal: s.principal,
		Kind:      &fsmpb.Command_CloseSession{CloseSession: &fsmpb.CloseSession{Session: s.session.id}},
	})
}

func (s *Stream) change(ctx context.Context, cmd *fsmpb.Command) error {
	res, _, err := s.l.order(ctx, cmd, tie{})
	if err != nil {
		return fmt.Errorf("change session %d: %w", s.session.id, err)
	}
	if res.Outcome != fsm.Accepted {
		return &RefusedError{Outcome: res.Outcome}
	}
	return nil
}

// wait blocks until ok, asked with reign.mu held, or the stream has ended.
func (s *Stream) wait(ctx context.Context, ok func() bool) error {
	for {
		s.l.mu.Lock()
		err, done := s.err, ok()
		s.l.mu.Unlock()
		if err != nil {
			return err
		}
		if done {
			return nil
		}
		select {
		case <-s.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
