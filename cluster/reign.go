package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskraft/taskraft/fsm"
)

// reign is one term's worth of leading: proposer, dispatcher, sessions and
// read rounds. It starts when the first entry of its term has applied and never
// opens again once closed.
type reign struct {
	e    *engine
	term uint64

	ctx    context.Context // for calls to the other masters
	cancel context.CancelFunc
	closed chan struct{}
	open   atomic.Bool // what closed says, at the price of a load
	told   chan struct{}

	inbox  *inbox
	rounds *rounds
	live   *live
	began  time.Duration // monotonic
	work   bell          // the proposer may have something to do
	due    bell          // nextDue moved
	pushed bell          // the list of push workers changed

	mu sync.Mutex // with table.mu: table.mu first
	dispatch
	sessions
	batcher
	scheduler
	nextDue  int64         // table time of the next Tick, 0: none
	spares   int64         // Ticks spare the timeouts that fell due until this table time; 0: none
	tickFrom time.Duration // monotonic time of the next try after a failure
	ending   error         // why, once closed; nil: leadership moved
	moved    bool          // the streams have been told where to
	skewed   bool
}

func newReign(e *engine, term uint64) *reign {
	l := &reign{
		e: e, term: term,
		closed: make(chan struct{}), told: make(chan struct{}),
		inbox: newInbox(e.cfg.QueueDepth), rounds: newRounds(), live: newLive(), began: e.mono(),
		work: newBell(), due: newBell(), pushed: newBell(),
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.dispatch.init()
	l.sessions.init()
	l.batcher.init()
	l.scheduler.init()
	return l
}

// start opens the gate and runs the leadership's goroutines; each ends with it.
func (l *reign) start() {
	l.open.Store(true)
	l.e.wg.Go(l.propose)
	l.e.wg.Go(l.settle)
	l.e.wg.Go(l.confirmReads)
	l.e.wg.Go(l.keep)
	l.e.wg.Go(l.fireSchedules)
	if l.e.cfg.PushDialer != nil {
		l.e.wg.Go(l.pushes)
	}
}

// load takes over the table as it is. Called with table.mu held, before start.
func (l *reign) load(m *fsm.Machine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.beginSessions(m)
	_, _, l.spares = m.Position()
	l.nextDue = m.NextDueSparing(l.spares)
}

// reload follows a table that was replaced: every stream attaches again. Called
// with table.mu held.
func (l *reign) reload(m *fsm.Machine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.byID {
		if s.stream != nil {
			l.drop(s.stream, ErrUncertain)
		}
		if s.poll != nil {
			l.endPoll(s.poll, ErrUncertain)
		}
	}
	l.beginSessions(m)
	l.nextDue = m.NextDueSparing(l.spares)
	l.due.ring()
	l.fires.ring()
}

// close shuts the gate and fails what waits; with a leader, or a cause, the
// streams are told at once, otherwise when announce or the keeper does it.
func (l *reign) close(to Leader, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open.CompareAndSwap(true, false) {
		l.ending = cause
		close(l.closed)
		l.cancel()
		l.failQueued(l.closingError(to))
		l.endPolls(l.closingError(to))
	}
	if to.Name != "" || cause != nil {
		l.tell(to, cause)
	}
}

// announce tells the streams of a closed leadership where the leader is now.
func (l *reign) announce(to Leader) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.open.Load() {
		l.tell(to, nil)
	}
}

// tell ends all streams, once; with l.mu held.
func (l *reign) tell(to Leader, cause error) {
	if l.moved {
		return
	}
	l.moved = true
	close(l.told)
	for _, s := range l.byID {
		switch {
		case s.stream == nil:
		case cause != nil:
			l.drop(s.stream, cause)
		default:
			s.stream.out.moved = &to
			l.drop(s.stream, &NotLeaderError{Leader: to})
		}
	}
}

func (l *reign) closingError(to Leader) error {
	if l.ending != nil {
		return l.ending
	}
	return &NotLeaderError{Leader: to}
}

// applied follows one entry in log order. Called with table.mu held for writing.
func (l *reign) applied(m *fsm.Machine, a *fsm.Applied) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.round++
	l.level = m.FeatureLevel()
	for i := range a.Events {
		l.event(m, &a.Events[i])
	}
	if l.open.Load() { // afterwards it is the next leader's work
		l.e.worked.applied(a, l.e.clock.now())
		if l.e.steps.waiting != nil {
			l.e.observe(a)
		}
	}
	if f := l.match(a); f != nil {
		l.answer(m, f, a)
		l.land(f)
	}
	l.refresh(m)
	if next := m.NextDueSparing(l.spares); next != l.nextDue {
		l.nextDue = next
		l.due.ring()
	}
	l.flushStreams()
	if l.hasWork() {
		l.work.ring()
	}
}

// event takes note of one change of the table.
func (l *reign) event(m *fsm.Machine, ev *fsm.Event) {
	if ev.Task != nil {
		l.touchLine(ev.Task.Queue)
		l.live.changed(ev.Task.ID)
		if isTarget(ev.Task) {
			l.touchWorker(ev.Task.Extra.Target.Worker)
		}
	}
	switch ev.Kind {
	case fsm.TaskAssigned:
		if s := l.byID[ev.Session]; s != nil && s.stream != nil {
			l.assigned(s.stream, ev.Task)
		}
	case fsm.TaskStopping:
		if s := l.byID[ev.Session]; s != nil && s.stream != nil {
			l.abort(s.stream, Abort{Task: ev.Task.ID, Fence: ev.Fence, Cause: ev.Cause})
		}
	case fsm.TaskReady, fsm.TaskScheduled, fsm.TaskFinished, fsm.AttemptVoid:
		if ev.Fence == 0 {
			break
		}
		switch s := l.byID[ev.Session]; {
		case s == nil:
		case s.stream != nil:
			l.ended(s.stream, ev.Fence)
		case s.poll != nil: // its slot is free for its other queues, too
			l.touchTaker(&s.poll.taker)
		}
	case fsm.SessionOpened:
		if rec := m.Session(ev.Session); rec != nil {
			l.opened(rec)
		}
	case fsm.SessionClosed:
		l.sessionClosed(ev.Session, ev.Cause)
	case fsm.ScheduleChanged:
		l.fires.ring()
	case fsm.QueueChanged, fsm.QueueOpened:
		l.touchLine(ev.Name)
		l.touchWorkers()
	case fsm.PushChanged:
		l.pushed.ring()
	case fsm.WorkerChanged:
		l.workerChanged(m, ev.Session)
	}
}
