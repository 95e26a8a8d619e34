package cluster

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// pollWait is a unary request for tasks. It sits at its queues like a stream,
// with room for what it asks; when its turn comes it is woken and proposes the
// poll itself, so that waiting costs no entries.
type pollWait struct {
	session *session
	seq     uint64
	ttl     time.Duration
	unheard bool // its session runs what its process does not list
	ready   bell // look at the fields below

	// Guarded by reign.mu.
	taker  taker
	again  bool // the request that it replaced may have got tasks
	noMore bool
	err    error // why it ended
}

// poll opens the session when needed and waits for tasks.
func (e *engine) poll(ctx context.Context, p Poll) (PollResult, Position, error) {
	l, err := e.serving()
	if err != nil {
		return PollResult{}, Position{}, err
	}
	over, err := e.pollBatch(p.Batch)
	if err != nil {
		return PollResult{}, Position{}, err
	}
	defer over.drop()
	rec, err := l.pollSession(ctx, p.Hello)
	if err != nil {
		return PollResult{}, Position{}, err
	}
	w, err := l.addPoll(rec.ID, p)
	if err != nil {
		return PollResult{}, Position{}, err
	}
	if w == nil { // who sent it has given it up
		pos, err := e.read(ctx, ReadOptions{Level: Stale}, func(*fsm.Machine) {})
		return PollResult{TTL: e.ttl(p.Hello)}, pos, err
	}
	defer l.removePoll(w)
	// A repeat is answered from the table, which holds what the first one got, and
	// so is who does not know of all that his session runs.
	if p.Seq < rec.PollSeq || (p.Seq == rec.PollSeq && len(rec.PollTasks) > 0) || w.unheard {
		return l.pollOnce(ctx, w, p)
	}
	if over.finished() {
		return l.pollEmpty(ctx, w, over)
	}
	patience := time.NewTimer(p.Wait)
	defer patience.Stop()
	for {
		act, err := l.pollTurn(w)
		switch {
		case err != nil:
			return PollResult{}, Position{}, err
		case act == pollDone:
			return l.pollEmpty(ctx, w, over)
		case act == pollNow:
			r, pos, err := l.pollOnce(ctx, w, p)
			if err != nil || len(r.Tasks) > 0 {
				return r, pos, err
			}
			l.seatPoll(w) // somebody was faster
			continue
		}
		select {
		case <-w.ready:
		case <-over.changed():
			return l.pollEmpty(ctx, w, over)
		case <-patience.C:
			return l.pollEmpty(ctx, w, over)
		case <-ctx.Done():
			return PollResult{}, Position{}, ctx.Err()
		}
	}
}

// pollSession returns the session of a polling process, opened or brought up to
// date when needed.
func (l *reign) pollSession(ctx context.Context, h Hello) (*fsm.Session, error) {
	l.e.t.mu.RLock()
	rec := l.e.t.m.SessionOf(h.Worker)
	l.e.t.mu.RUnlock()
	var cmd *fsmpb.Command
	switch {
	case rec == nil || rec.Boot != h.Boot || rec.Ending != fsm.CauseNone:
		takeover, err := l.mayTakeOver(h.Worker, h.Boot)
		if err != nil {
			return nil, err
		}
		cmd = openCommand(h, l.e.ttl(h), takeover, true)
	case rec.Slots != h.Slots || !slices.Equal(rec.Queues, h.Queues) || (len(h.Labels) > 0 && !maps.Equal(rec.Labels, h.Labels)):
		cmd = updateCommand(h.Worker, &fsmpb.UpdateSession{
			Session: rec.ID, Queues: queueWeights(h.Queues), Labels: h.Labels, Slots: uint32(h.Slots),
		})
	default:
		return rec, nil
	}
	res, _, err := l.order(ctx, cmd, tie{})
	switch {
	case err != nil:
		return nil, err
	case res.Outcome != fsm.Accepted:
		return nil, &RefusedError{Outcome: res.Outcome}
	}
	return res.Session, nil
}

func updateCommand(worker string, u *fsmpb.UpdateSession) *fsmpb.Command {
	return &fsmpb.Command{
		Principal: "worker:" + worker,
		Kind:      &fsmpb.Command_UpdateSession{UpdateSession: u},
	}
}

// addPoll makes this the session's one outstanding poll. It returns nil when the
// session's process has sent a later one already.
func (l *reign) addPoll(session uint64, p Poll) (*pollWait, error) {
	l.e.t.mu.RLock()
	defer l.e.t.mu.RUnlock()
	rec := l.e.t.m.Session(session)
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.byID[session]
	if s == nil || rec == nil {
		return nil, &RefusedError{Outcome: fsm.NoSession}
	}
	if !l.open.Load() {
		return nil, &NotLeaderError{}
	}
	if p.Seq < s.asked {
		return nil, nil
	}
	s.asked = p.Seq
	if s.poll != nil {
		l.endPoll(s.poll, ErrStreamReplaced)
	}
	w := &pollWait{
		session: s, seq: p.Seq, ttl: s.ttl, unheard: l.e.t.m.Unheard(session, p.Held), ready: newBell(),
	}
	w.taker = taker{session: session, poll: w, slots: p.Max, seen: rec.AssignedTotal > 0}
	s.poll = w
	l.heardOf(s)
	l.sit(l.e.t.m, &w.taker, rec.Queues)
	l.askTaker(l.e.t.m, &w.taker)
	if p.ExitWhenDone {
		l.exits[&w.taker] = struct{}{}
		l.nothingLeft(&w.taker)
	}
	return w, nil
}

// seatPoll lets a poll that got nothing wait again.
func (l *reign) seatPoll(w *pollWait) {
	l.e.t.mu.RLock()
	defer l.e.t.mu.RUnlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	w.taker.blocked = false
	if !w.taker.gone {
		l.offer(&w.taker)
		l.askTaker(l.e.t.m, &w.taker)
	}
}

type pollAct uint8

const (
	pollWaits pollAct = iota
	pollNow
	pollDone
)

// pollTurn decides what a poll that was woken does.
func (l *reign) pollTurn(w *pollWait) (pollAct, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case w.err != nil:
		return 0, w.err
	case w.taker.planned > 0 || w.again || w.taker.deliver:
		w.again, w.taker.deliver = false, false
		w.taker.blocked = true // until this one has its answer
		l.offer(&w.taker)
		return pollNow, nil
	case w.noMore:
		return pollDone, nil
	}
	return pollWaits, nil
}

// pollOnce asks the table: the same seq gets the same tasks.
func (l *reign) pollOnce(ctx context.Context, w *pollWait, p Poll) (PollResult, Position, error) {
	res, pos, err := l.order(ctx, updateCommand(p.Worker, &fsmpb.UpdateSession{
		Session: w.session.id, PollSeq: p.Seq, PollMax: uint32(p.Max), PollHeld: &fsmpb.PollHeld{Fences: p.Held},
	}), tie{poll: w})
	switch {
	case err != nil:
		return PollResult{}, Position{}, err
	case res.Outcome != fsm.Accepted:
		return PollResult{}, Position{}, &RefusedError{Outcome: res.Outcome}
	}
	return PollResult{Tasks: res.Tasks, TTL: w.ttl}, pos, nil
}

// pollEmpty answers without tasks; that nothing is left must be sure.
func (l *reign) pollEmpty(ctx context.Context, w *pollWait, over *pollBatch) (PollResult, Position, error) {
	l.mu.Lock()
	r := PollResult{TTL: w.ttl, NoMoreTasks: w.taker.nothingLeft()}
	l.mu.Unlock()
	if over != nil {
		r.NoMoreTasks = over.finished()
	}
	if r.NoMoreTasks {
		if _, err := l.e.confirm(ctx); err != nil {
			return PollResult{}, Position{}, err
		}
	}
	pos, err := l.e.read(ctx, ReadOptions{Level: Stale}, func(*fsm.Machine) {})
	return r, pos, err
}

// polled follows the apply of a poll: what was meant for it is free again. Who has
// replaced it looks whether it got what nobody was told of.
func (l *reign) polled(w *pollWait) {
	l.forgetPlan(&w.taker)
	if now := w.session.poll; now != nil && now != w {
		now.again = true
		now.ready.ring()
	}
}

// endPoll ends a poll from outside.
func (l *reign) endPoll(w *pollWait, err error) {
	w.err = err
	l.leavePoll(w)
	w.ready.ring()
}

func (l *reign) endPolls(err error) {
	for _, s := range l.byID {
		if s.poll != nil {
			l.endPoll(s.poll, err)
		}
	}
}

// removePoll is a poll's own end.
func (l *reign) removePoll(w *pollWait) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leavePoll(w)
}

func (l *reign) leavePoll(w *pollWait) {
	l.rise(&w.taker)
	delete(l.exits, &w.taker)
	if w.session.poll == w {
		w.session.poll = nil
		l.heardOf(w.session)
	}
}

// beat is a unary heartbeat: it returns which of the held fences are void.
func (e *engine) beat(worker, boot string, held []uint64) ([]Abort, time.Duration, error) {
	l, err := e.serving()
	if err != nil {
		return nil, 0, err
	}
	e.t.mu.RLock()
	defer e.t.mu.RUnlock()
	rec := e.t.m.SessionOf(worker)
	switch {
	case rec == nil || rec.Ending != fsm.CauseNone:
		return nil, 0, &RefusedError{Outcome: fsm.NoSession}
	case rec.Boot != boot:
		return nil, 0, &RefusedError{Outcome: fsm.BootReplaced}
	}
	valid := make(map[uint64]*fsm.Task, rec.Held)
	for t := range e.t.m.Held(rec.ID) {
		valid[t.Fence] = t
	}
	var aborts []Abort
	for _, f := range held {
		switch t := valid[f]; {
		case t == nil:
			aborts = append(aborts, Abort{Fence: f})
		case t.State == fsm.Stopping:
			aborts = append(aborts, Abort{Task: t.ID, Fence: f, Cause: t.StopCause})
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.byID[rec.ID]
	if s == nil {
		return nil, 0, &RefusedError{Outcome: fsm.NoSession}
	}
	l.heardOf(s)
	if s.pull && !s.beats {
		s.beats = true
		l.beating = append(l.beating, s)
		l.work.ring()
	}
	e.count.heartbeats.Add(1)
	return aborts, s.ttl, nil
}

// heardWorker takes a worker's unary report for a sign of life.
func (l *reign) heardWorker(worker, boot string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.byWorker[worker]; s != nil && s.boot == boot {
		l.heardOf(s)
	}
}
