package cluster

import (
	"context"
	"time"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// attach is an OpenSession on its way: its stream is registered in the very
// apply of the command, so that what the session holds then is sent again and
// what comes later arrives as events.
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
			Host: h.Host, Pid: h.PID, Version: h.Version, Push: h.Push,
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
		l: l, session: sess, slots: rec.Slots, ttl: sess.ttl, exit: at.hello.ExitWhenDone,
		principal: "worker:" + rec.Worker, wake: newBell(), room: newBell(),
	}
	s.taker = taker{session: rec.ID, stream: s, slots: rec.Slots, seen: rec.AssignedTotal > 0}
	at.stream, sess.stream, sess.left = s, s, false
	s.drained = rec.Drained
	s.block()
	s.resend(m, at.hello, res.Aborts)
	l.sit(m, &s.taker, rec.Queues)
	if s.exit {
		l.exits[&s.taker] = struct{}{}
		l.nothingLeft(&s.taker)
	}
	l.flushLater(s)
	l.e.count.attaches.Add(1)
}

// resend puts into the outbox what the worker does not know of what it holds.
// A push worker is called again for all of it: it joins what it runs.
func (s *Stream) resend(m *fsm.Machine, h Hello, void []uint64) {
	known := make(map[uint64]struct{}, len(h.Held))
	for _, f := range h.Held {
		known[f] = struct{}{}
	}
	s.held.begin(known)
	for t := range m.Held(s.session.id) {
		s.holds(t)
		if _, ok := known[t.Fence]; !ok || h.Push != "" {
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
