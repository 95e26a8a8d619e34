package cluster

import (
	"time"

	"github.com/taskraft/taskraft/fsm"
)

// maxAsked bounds how many takers of one queue are asked in one apply.
const maxAsked = 32

// refresh brings lines and takers up to date with the table after an apply and
// sees to it that no free slot stays beside an eligible task (L6). Called with
// table.mu held.
func (l *reign) refresh(m *fsm.Machine) {
	finished := false
	for _, q := range l.changed {
		q.refresh(m)
		finished = finished || q.demanded.Unfinished == 0
	}
	if len(l.changed) > 0 {
		l.touchClearing(m)
	}
	for _, t := range l.stirred {
		l.askTaker(m, t)
	}
	for _, q := range l.changed {
		l.ask(m, q, maxAsked)
	}
	l.askUnsure(m, maxAsked)
	if finished {
		l.noMoreTasks()
	}
	clear(l.changed)
	clear(l.stirred)
	l.changed, l.stirred = l.changed[:0], l.stirred[:0]
}

// touchClearing has the sessions asked that keep slots free so that a task can
// run alone: with it gone from a queue of theirs, all their queues count again.
func (l *reign) touchClearing(m *fsm.Machine) {
	for id := range m.Clearing() {
		switch s := l.byID[id]; {
		case s == nil:
		case s.stream != nil:
			l.touchTaker(&s.stream.taker)
		case s.poll != nil:
			l.touchTaker(&s.poll.taker)
		}
	}
}

// askTaker plans for a taker that may have got room.
func (l *reign) askTaker(m *fsm.Machine, t *taker) {
	if t.gone {
		return
	}
	l.planDelivery(m, t)
	for i := range t.seats {
		if t.free() == 0 {
			return
		}
		q := t.seats[i].line
		switch {
		case q.demand(false) > 0:
			if !l.plan(m, t, q) {
				return
			}
		case q.demanded.Restricted > 0:
			q.search = true // what others were meant for may be what only this one can take
		}
	}
}

// plan asks the table how much of the queue's demand the taker would get, and
// reserves that. It reports whether there was any.
func (l *reign) plan(m *fsm.Machine, t *taker, q *line) bool {
	n := min(q.demand(false), t.free())
	n = min(n, m.Assignable(t.session, t.reserved+n)-t.reserved)
	if n <= 0 {
		return false
	}
	l.reserve(t, q, n)
	if t.poll != nil {
		t.poll.ready.ring()
	}
	return true
}

// ask looks for takers of what a queue has, at most limit; streams first, since
// their tasks travel in the entry itself.
func (l *reign) ask(m *fsm.Machine, q *line, limit int) {
	for _, r := range []*ring{&q.push, &q.pull} {
		for k := r.n; k > 0 && r.n > 0 && q.calls(); k-- {
			if limit--; limit < 0 {
				l.doubtNow(q)
				return
			}
			l.plan(m, r.turn().taker, q)
		}
	}
	if q.demand(false) > 0 {
		q.search = false
	}
}

// doubtNow has the keeper look at a queue at once.
func (l *reign) doubtNow(q *line) {
	l.doubt(q)
	l.due.ring()
}

// doubt has a queue looked at again: with the next apply, or by the keeper.
func (l *reign) doubt(q *line) {
	if !q.unsure {
		q.unsure = true
		l.unsure = append(l.unsure, q)
	}
}

func (l *reign) askUnsure(m *fsm.Machine, limit int) {
	if len(l.unsure) == 0 {
		return
	}
	again := l.unsure
	l.unsure = nil
	for _, q := range again {
		q.unsure = false
		q.refresh(m)
		l.ask(m, q, limit)
	}
}

// lookAgain settles what applied left open. Called by the keeper.
func (l *reign) lookAgain() {
	l.mu.Lock()
	open := len(l.unsure) > 0 || len(l.stirred) > 0
	l.mu.Unlock()
	if !open {
		return
	}
	t := l.e.t
	t.mu.RLock()
	defer t.mu.RUnlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, taker := range l.stirred { // by an entry that failed
		l.askTaker(t.m, taker)
	}
	clear(l.stirred)
	l.stirred = l.stirred[:0]
	l.askUnsure(t.m, 1<<20)
	if len(l.planned) > 0 {
		l.work.ring()
	}
}

// lookEvery is how often the keeper settles doubts and sweeps.
const lookEvery = 250 * time.Millisecond

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
