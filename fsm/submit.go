package fsm

import "github.com/taskraft/taskraft/fsm/fsmpb"

// submit enters all tasks of the command or none of them.
func (m *Machine) submit(c *fsmpb.Submit) Result {
	specs := c.GetTasks()
	r := Result{Outcome: Accepted, Outcomes: make([]Outcome, len(specs)), IDs: make([]uint64, len(specs))}
	if o := m.admissible(specs, &r); o != Accepted {
		r.Outcome = o
		return r
	}
	for i, spec := range specs {
		if id := spec.GetRequestId(); id != "" {
			if req, ok := m.requests.Get(id); ok {
				r.Outcomes[i], r.IDs[i] = Existing, req.task
				continue
			}
		}
		r.Outcomes[i], r.IDs[i] = Accepted, m.create(spec)
	}
	return r
}

// admissible decides whether the whole batch may enter. When not, it marks the
// items that stand in the way, with the id of the task that has their request id.
func (m *Machine) admissible(specs []*fsmpb.TaskSpec, r *Result) Outcome {
	whole := Accepted
	queues, ids := m.lines, 0
	var newQueues map[string]bool
	var newIDs map[string]uint64 // request id → content digest, within this batch
	for i, spec := range specs {
		if name := queueName(spec.GetQueue()); queues[name] == nil && !newQueues[name] {
			if newQueues == nil {
				newQueues = make(map[string]bool)
			}
			newQueues[name] = true
			if len(queues)+len(newQueues) > MaxQueues {
				r.Outcomes[i], whole = QueuesFull, QueuesFull
			}
		}
		id := spec.GetRequestId()
		if id == "" {
			continue
		}
		digest, seen := newIDs[id]
		if req, ok := m.requests.Get(id); ok {
			digest, seen, r.IDs[i] = req.digest, true, req.task
		}
		switch {
		case !seen:
			if newIDs == nil {
				newIDs = make(map[string]uint64)
			}
			newIDs[id] = spec.GetContentDigest()
			if ids++; m.requests.Len()+ids > MaxRequestIDs {
				r.Outcomes[i], whole = RequestIDsFull, RequestIDsFull
			}
		case digest != spec.GetContentDigest():
			r.Outcomes[i], whole = RequestIDConflict, RequestIDConflict
		}
	}
	return whole
}

// create makes the task of a spec: what the spec leaves open the queue decides,
// then the product's defaults (§3).
func (m *Machine) create(spec *fsmpb.TaskSpec) uint64 {
	l := m.line(queueName(spec.GetQueue()))
	d := l.rec.settings
	m.lastTask++
	t := &Task{
		ID: m.lastTask, Generation: 1,
		Options: l.share(Options{
			Queue: l.rec.name, Kind: spec.GetKind(), ContentType: spec.GetContentType(),
			Priority:    either(spec.Priority, d.Priority, 0),
			Timeout:     max(either(spec.Timeout, d.Timeout, DefaultTimeout), 1),
			MaxAttempts: max(either(spec.MaxAttempts, d.MaxAttempts, DefaultMaxAttempts), 1),
			BackoffBase: either(spec.BackoffBase, d.BackoffBase, DefaultBackoffBase),
			BackoffMax:  either(spec.BackoffMax, d.BackoffMax, DefaultBackoffMax),
			Retain:      max(either(spec.Retain, d.Retain, DefaultRetain), 0),
		}),
		Attempt: &noAttempt,
		Payload: spec.GetPayload(), RequestID: spec.GetRequestId(), Extra: l.extraOf(spec),
		SubmittedAt: m.now, EligibleAt: m.now,
	}
	switch {
	case spec.GetRunAt() > m.now:
		t.EligibleAt = spec.GetRunAt()
	case spec.GetRunAt() == 0 && spec.GetDelay() > 0:
		t.EligibleAt = addTime(m.now, spec.GetDelay())
	}
	if spec.GetExpiresIn() > 0 {
		t.ExpiresAt = addTime(m.now, spec.GetExpiresIn())
	}
	m.editQueue(l).submitted++
	if t.RequestID != "" {
		m.requests.Set(t.RequestID, &request{task: t.ID, digest: spec.GetContentDigest(), createdAt: m.now})
	}
	m.admit(l, t)
	return t.ID
}

// either returns the first option that is set.
func either[T any](own, queue *T, product T) T {
	if own != nil {
		return *own
	}
	if queue != nil {
		return *queue
	}
	return product
}
