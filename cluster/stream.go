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

// attach is an OpenSession on its way: its stream is registered in the very
// apply of the command, so that what the session holds then is sent again and
// what comes later arrives as events (DESIGN.md §2.3).
type attach struct {
	hello  Hello
	stream *Stream // set with reign.mu held, once registered
	gone   bool    // the caller waits no longer
}

// openCommand registers a worker process.
func openCommand(h Hello, ttl time.Duration, takeover, pull bool) *fsmpb.Command {
	return &fsmpb.Command{
		Principal: "worker:" + h.Worker,
		Kind: &fsmpb.Command_OpenSession{OpenSession: &fsmpb.OpenSession{
			Worker: h.Worker, Boot: h.Boot, Queues: queueWeights(h.Queues), Labels: h.Labels,
			Slots: uint32(h.Slots), Ttl: int64(ttl), Held: h.Held, Takeover: takeover, Pull: pull,
			Host: h.Host, Pid: h.PID, Version: h.Version,
		}},
	}
}

func queueWeights(in []fsm.QueueWeight) []*fsmpb.QueueWeight {
	out := make([]*fsmpb.QueueWeight, len(in))
	for i, q := range in {
		out[i] = &fsmpb.QueueWeight{Queue: q.Queue, Weight: q.Weight}
	}
	return out
}

func (e *engine) ttl(h Hello) time.Duration {
	if h.TTL > 0 {
		return h.TTL
	}
	return e.cfg.SessionTTL
}

// attach opens the worker's session, or takes it up again, with a stream.
func (e *engine) attach(ctx context.Context, h Hello) (*Stream, error) {
	l, err := e.serving()
	if err != nil {
		return nil, err
	}
	takeover, err := l.mayTakeOver(h.Worker, h.Boot)
	if err != nil {
		return nil, err
	}
	at := &attach{hello: h}
	res, _, err := l.order(ctx, openCommand(h, e.ttl(h), takeover, false), tie{attach: at})
	if err != nil {
		l.giveUp(at)
		return nil, err
	}
	if res.Outcome != fsm.Accepted {
		return nil, &RefusedError{Outcome: res.Outcome}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if at.stream == nil { // closed in the very entry that opened it
		return nil, &RefusedError{Outcome: fsm.NoSession}
	}
	return at.stream, nil
}

// giveUp closes the stream that an abandoned attach opens, or has opened.
func (l *reign) giveUp(at *attach) {
	l.mu.Lock()
	at.gone = true
	s := at.stream
	l.mu.Unlock()
	if s != nil {
		s.Close()
	}
}

// Stream is one attached worker. Its methods do not wait for the disk: outcomes
// come back through Next. A newer Attach of the same process ends it.
type Stream struct {
	l         *reign
	session   *session
	slots     int
	exit      bool
	principal string // of its reports

	wake bell // Next has something
	room bell // Report has room, Goodbye may go on

	// The rest is guarded by reign.mu.
	taker taker
	out   outbox
	held  heldSet
	batch Batch // the last one returned by Next; its slices are reused
	spare outbox
	flush bool // wake it after this apply
	err   error
	solo  uint64 // the fence of a task that runs alone
	told  bool   // NoMoreTasks

	draining bool
	failed   time.Duration // alive time of an entry's failure; 0: none
	oldest   time.Duration // alive time since when the outbox was not emptied; 0: empty

	pending    pending
	dirty      bool // in batcher.dirty
	unanswered int  // items from Report to Next
}

// register makes the stream of an accepted attach, as of the end of the entry
// that was just applied. Called in applied.
func (l *reign) register(m *fsm.Machine, at *attach, res *fsm.Result) {
	if res.Outcome != fsm.Accepted || res.Session == nil || at.gone {
		return
	}
	rec := m.Session(res.Session.ID)
	if rec == nil || rec.Ending != fsm.CauseNone {
		return
	}
	sess := l.opened(rec)
	if sess.stream != nil {
		l.drop(sess.stream, ErrStreamReplaced)
	}
	if sess.poll != nil {
		l.endPoll(sess.poll, ErrStreamReplaced)
	}
	s := &Stream{
		l: l, session: sess, slots: rec.Slots, exit: at.hello.ExitWhenDone,
		principal: "worker:" + rec.Worker, wake: newBell(), room: newBell(),
	}
	s.taker = taker{session: rec.ID, stream: s, slots: rec.Slots, seen: rec.AssignedTotal > 0}
	at.stream, sess.stream, sess.left = s, s, false
	s.resend(m, at.hello.Held, res.Aborts)
	l.sit(m, &s.taker, rec.Queues)
	if s.exit {
		l.exits[&s.taker] = struct{}{}
		l.nothingLeft(&s.taker)
	}
	l.flushLater(s)
	l.e.count.attaches.Add(1)
}

// resend puts into the outbox what the worker does not know of what it holds.
func (s *Stream) resend(m *fsm.Machine, listed, void []uint64) {
	known := make(map[uint64]struct{}, len(listed))
	for _, f := range listed {
		known[f] = struct{}{}
	}
	s.held.begin(known)
	for t := range m.Held(s.session.id) {
		s.holds(t)
		if _, ok := known[t.Fence]; !ok {
			s.out.assignments = append(s.out.assignments, t)
		}
		if t.State == fsm.Stopping {
			s.out.aborts = append(s.out.aborts, Abort{Task: t.ID, Fence: t.Fence, Cause: t.StopCause})
			s.held.aborted(t.Fence, s.l.now())
		}
	}
	for _, f := range void {
		if !s.held.has(f) {
			s.out.aborts = append(s.out.aborts, Abort{Fence: f})
			s.held.aborted(f, s.l.now())
		}
	}
}

func (s *Stream) holds(t *fsm.Task) {
	s.held.add(t.Fence)
	s.taker.held = s.held.len()
	if t.Solo {
		s.solo = t.Fence
		s.taker.blocked = true
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
	s.taker.held = s.held.len()
	if s.solo == fence {
		s.solo, s.taker.blocked = 0, s.draining
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
	return Attached{Session: s.session.id, TTL: s.session.ttl, HeartbeatEvery: heartbeatEvery(s.session.ttl)}
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
	s.draining, s.taker.blocked = true, true
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

// noMoreTasks tells those who asked for it that nothing is left for them.
func (l *reign) noMoreTasks() {
	for t := range l.exits {
		l.nothingLeft(t)
	}
}

func (l *reign) nothingLeft(t *taker) {
	switch {
	case !t.nothingLeft():
	case t.poll != nil:
		t.poll.noMore = true
		t.poll.ready.ring()
	case !t.stream.told:
		t.stream.told, t.stream.out.noMore = true, true
		l.flushLater(t.stream)
	}
}
