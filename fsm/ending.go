package fsm

// closeSession ends a session: goodbye, or its heartbeats stopped.
func (m *Machine) closeSession(id uint64, cause Cause) Result {
	s := m.live[id]
	if s == nil {
		return Result{Outcome: NoSession}
	}
	m.endSession(s, cause)
	m.returnHeld(s, m.budget)
	return Result{Outcome: Accepted}
}

// endSession marks a session as ended: it gets no more tasks, and what it holds
// is being returned. The first cause stands.
func (m *Machine) endSession(s *session, cause Cause) {
	if s.rec.Ending != CauseNone {
		return
	}
	m.setClearing(s, false)
	m.editSession(s).Ending = cause
	m.ending.Set(s.rec.ID, s)
	if cause == CauseClosed && s.rec.Push != "" {
		m.unregister(s.rec.Worker, false)
	}
	m.emit(Event{Kind: SessionClosed, Cause: cause, Session: s.rec.ID, Name: s.rec.Worker})
}

// returnHeld returns at most n of an ended session's tasks, by fence, and
// removes the session when nothing is left. Ticks carry on what n cuts off.
func (m *Machine) returnHeld(s *session, n int) {
	for i, id := range s.held.tasks() {
		if i >= n {
			return
		}
		t, _ := m.tasks.Get(id)
		m.lose(m.lines[t.Queue], t, s.rec.Ending)
	}
	m.ending.Delete(s.rec.ID)
	m.sessions.Delete(s.rec.ID)
	delete(m.live, s.rec.ID)
	m.setWorker(m.known[s.rec.Worker], func(w *worker, rec *workerRecord) {
		w.session, rec.seenAt = nil, m.now
	})
}

// setClearing notes that the session drains so that a task can run alone in it,
// or no longer does.
func (m *Machine) setClearing(s *session, on bool) {
	if s.rec.Clearing == on {
		return
	}
	m.editSession(s).Clearing = on
	if on {
		m.clearing.Set(s.rec.ID, s)
	} else {
		m.clearing.Delete(s.rec.ID)
	}
}
