package cluster

import "github.com/taskraft/taskraft/fsm"

// Targets of broadcasts are each for one worker, in a slot of its session that is
// reserved for them. Whenever such a target, or that slot, may have become free,
// its taker is asked; an Assign delivers what waits, whatever its n.

// touchWorker has a worker asked after this round.
func (l *reign) touchWorker(worker string) {
	switch s := l.byWorker[worker]; {
	case s == nil:
	case s.stream != nil:
		l.touchTaker(&s.stream.taker)
	case s.poll != nil:
		l.touchTaker(&s.poll.taker)
	}
}

// touchWorkers has all of them asked: a queue with targets may have been resumed.
func (l *reign) touchWorkers() {
	for worker := range l.byWorker {
		l.touchWorker(worker)
	}
}

// planDelivery plans an Assign for a taker whose worker has a target waiting.
func (l *reign) planDelivery(m *fsm.Machine, t *taker) {
	if t.deliver || t.delivering || !m.Deliverable(t.session) {
		return
	}
	if t.poll != nil {
		t.deliver = true
		t.poll.ready.ring()
		return
	}
	l.plannedTaker(t)
	t.deliver = true
}

// plannedTaker has the taker's plan go into the next entry.
func (l *reign) plannedTaker(t *taker) {
	if t.stream != nil && t.planned == 0 && !t.deliver {
		l.planned = append(l.planned, t)
	}
}

// isTarget reports whether a session holds t in the slot reserved for targets.
func isTarget(t *fsm.Task) bool { return t.Extra != nil && t.Extra.Target != nil }
