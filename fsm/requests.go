package fsm

// request remembers which task a request id made (S3). Frozen.
type request struct {
	task      uint64
	digest    uint64
	createdAt int64
}

// expiry is when a request id may go, its task being terminal or trimmed: the
// later of KeepRequestID and the task's end.
func (r *request) expiry() int64 { return addTime(r.createdAt, KeepRequestID) }

// freeRequest lets the request id of a task that has ended go when its time is
// over, or at once when it is over already.
func (m *Machine) freeRequest(t *Task) {
	if r := m.requestOf(t); r != nil {
		if r.expiry() <= m.now {
			m.requests.Delete(t.RequestID)
			return
		}
		m.setNameDue(dueRequest, t.RequestID, 0, r.expiry())
	}
}

// holdRequest keeps the request id of a task that lives again.
func (m *Machine) holdRequest(t *Task) {
	if r := m.requestOf(t); r != nil {
		m.setNameDue(dueRequest, t.RequestID, r.expiry(), 0)
	}
}

// requestOf returns the request that made t, if it is still remembered. The id
// may have been forgotten and used again for another task.
func (m *Machine) requestOf(t *Task) *request {
	if t.RequestID == "" {
		return nil
	}
	r, ok := m.requests.Get(t.RequestID)
	if !ok || r.task != t.ID {
		return nil
	}
	return r
}

// forgetRequest drops a request id past its time.
func (m *Machine) forgetRequest(id string) {
	m.budget--
	r, _ := m.requests.Get(id)
	m.setNameDue(dueRequest, id, r.expiry(), 0)
	m.requests.Delete(id)
}
