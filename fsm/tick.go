package fsm

// tick carries out what is due, and what falls due by that: the end of a task may
// end those that wait for it, and fill their queues. What the entry's budget leaves
// undone stays due, and so do the timeouts up to the time before which they are
// spared.
func (m *Machine) tick(spareBefore int64) Result {
	for left := -1; m.budget > 0 && m.budget != left; {
		if due := m.NextDueSparing(spareBefore); due == 0 || due > m.now {
			break
		}
		left = m.budget
		m.round(spareBefore)
	}
	return Result{Outcome: Accepted}
}

// round carries out what is due: first what earlier entries had to cut off (ends of
// sessions, batches, children to be told, bulk retries, sweeps), then tasks, then
// queues, workers, request ids, clients, schedules and batches, each in the order of
// their times.
func (m *Machine) round(spareBefore int64) {
	for m.budget > 0 {
		_, s, ok := m.ending.Min()
		if !ok {
			break
		}
		m.returnHeld(s, m.budget)
	}
	m.carryOn()
	for m.budget > 0 {
		it, ok := m.nextTask(spareBefore)
		if !ok || it.at > m.now {
			break
		}
		t, _ := m.tasks.Get(it.id)
		m.doDue(m.lines[t.Queue], t)
	}
	for m.budget > 0 {
		it, ok := m.names.Min()
		if !ok || it.at > m.now {
			break
		}
		m.doNameDue(it)
	}
	for m.budget > 0 {
		it, ok := m.batchDue.tree.Min()
		if !ok || it.at > m.now {
			break
		}
		m.budget--
		m.dropBatch(m.lots[it.id])
	}
}

// carryOn goes on with what was more than one entry may do.
func (m *Machine) carryOn() {
	for m.budget > 0 {
		_, b, ok := m.busy.Min()
		if !ok {
			break
		}
		m.work(b)
	}
	m.tellChildren()
	m.retryMore()
	m.sweepMore()
}

// cutOff reports whether carryOn has something to do.
func (m *Machine) cutOff() bool {
	return m.ending.Len() > 0 || m.pursuing.Len() > 0 || m.busy.Len() > 0 || m.releasing.Len() > 0 || len(m.deadRetries)+len(m.sweeping) > 0
}

// nextTask returns the task that is due next; timeouts up to spareBefore do not count.
func (m *Machine) nextTask(spareBefore int64) (dueItem, bool) {
	next, ok := m.due.tree.Min()
	it, runs := m.timeouts.first(spareBefore)
	if runs && (!ok || it.before(next)) {
		return it, true
	}
	return next, ok
}

// doDue does what a task is due for.
func (m *Machine) doDue(l *line, t *Task) {
	switch at := t.expiry(); {
	case t.State == Running && t.broadcast() != nil:
		m.overdue(l, t)
	case t.State == Running:
		m.timeOut(l, t)
	case t.State == Stopping:
		m.void(t, t.StopCause)
		m.stopped(l, t)
	case at != 0 && at <= m.now:
		m.expire(l, t)
	case mutated("M25") && addTime(t.SubmittedAt, t.Retain) <= m.now:
		m.revoke(l, t, ReasonExpired)
		m.trim(l)
	default:
		m.wake(l, t)
	}
}

// doNameDue does what a named record is due for.
func (m *Machine) doNameDue(it nameItem) {
	switch it.kind {
	case dueQueue:
		m.trimDue(m.lines[it.name])
	case dueWorker:
		m.forgetWorker(it.name)
	case dueRequest:
		m.forgetRequest(it.name)
	case dueClient:
		m.forgetClient(it.name)
	case dueToken:
		m.refill(m.lines[it.name])
	case dueSchedule:
		m.cancelMore(it.name)
	}
}

// NextDue returns the earliest time at which a Tick has work, or 0 when none.
// What is overdue is due now.
func (m *Machine) NextDue() int64 { return m.NextDueSparing(0) }

// NextDueSparing is NextDue for Ticks that spare the timeouts which fell due up
// to that time.
func (m *Machine) NextDueSparing(before int64) int64 {
	if m.cutOff() {
		return m.now
	}
	next := int64(0)
	if it, ok := m.nextTask(before); ok {
		next = it.at
	}
	if it, ok := m.names.Min(); ok && (next == 0 || it.at < next) {
		next = it.at
	}
	if it, ok := m.batchDue.tree.Min(); ok && (next == 0 || it.at < next) {
		next = it.at
	}
	if next == 0 {
		return 0
	}
	return max(next, m.now)
}
