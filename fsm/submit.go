package fsm

import (
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// submit enters all tasks of the command or none of them.
func (m *Machine) submit(c *fsmpb.Submit) Result {
	specs := c.GetTasks()
	r := Result{Outcome: Accepted, Outcomes: make([]Outcome, len(specs)), IDs: make([]uint64, len(specs))}
	if c.Batch != nil {
		return m.submitBatch(c, r)
	}
	order := orderOf(specs, &r)
	if r.Outcome == Accepted {
		r.Outcome = m.admissible(specs, order, &r, &entering{m: m})
	}
	if r.Outcome != Accepted {
		return r
	}
	m.createAll(specs, order, &r)
	return r
}

// createAll enters the tasks, in order or as they stand, and notes their ids. Of
// those with one unique key the first stands for all, even if it is a broadcast that
// starts, and ends, at once: admissible has counted one.
func (m *Machine) createAll(specs []*fsmpb.TaskSpec, order []int, r *Result) {
	from := &origin{items: r.IDs}
	var entered map[string]uint64 // unique key → task
	for n := range specs {
		i := n
		if order != nil {
			i = order[n]
		}
		spec := specs[i]
		if id := spec.GetRequestId(); id != "" {
			if req, ok := m.requests.Get(id); ok {
				r.Outcomes[i], r.IDs[i] = Existing, req.task
				continue
			}
		}
		if key := spec.GetUniqueKey(); key != "" {
			id, taken := m.unique[key]
			if !taken {
				id, taken = entered[key]
			}
			if taken {
				r.Outcomes[i], r.IDs[i] = Existing, id
				continue
			}
		}
		r.Outcomes[i], r.IDs[i] = Accepted, m.create(spec, from)
		if key := spec.GetUniqueKey(); key != "" && len(specs) > 1 {
			if entered == nil {
				entered = make(map[string]uint64)
			}
			entered[key] = r.IDs[i]
		}
	}
}

// submitBatch enters all tasks of the command as one batch. The request id of the
// batch makes it safe to repeat; its tasks have none of their own.
func (m *Machine) submitBatch(c *fsmpb.Submit, r Result) Result {
	specs := c.GetTasks()
	if b := m.lots[m.batchIDs[c.Batch.GetRequestId()]]; b != nil {
		if b.rec.committedAt == 0 || b.rec.digest != c.Batch.GetContentDigest() || b.rec.total != uint64(len(specs)) {
			return Result{Outcome: RequestIDConflict, Batch: b.rec.id}
		}
		for i := range r.IDs {
			r.Outcomes[i], r.IDs[i] = Existing, b.rec.first+uint64(i)
		}
		r.Outcome, r.Batch, r.Count = Existing, b.rec.id, b.rec.total
		return r
	}
	for _, spec := range specs {
		spec.RequestId = ""
	}
	orderOf(specs, &r)
	if r.Outcome == Accepted {
		r.Outcome = m.admissible(specs, nil, &r, &entering{m: m, strict: true})
	}
	if r.Outcome == Accepted && !m.roomForBatch() {
		r.Outcome = BatchesFull
	}
	if r.Outcome != Accepted || len(specs) == 0 {
		return r
	}
	b := m.addBatch(c.Batch)
	m.addChunk(b, 0, specs)
	m.commit(b, c.Batch.GetContentDigest())
	for i := range r.IDs {
		r.Outcomes[i], r.IDs[i] = Accepted, b.rec.first+uint64(i)
	}
	r.Batch, r.Count = b.rec.id, b.rec.total
	return r
}

// admissible decides whether the whole batch may enter, in order or as it stands.
// When not, it marks the items that stand in the way, with the id of the task that
// has their request id or unique key. Without entering, keys and lengths are left
// to be judged later.
func (m *Machine) admissible(specs []*fsmpb.TaskSpec, order []int, r *Result, in *entering) Outcome {
	whole := Accepted
	queues, ids := m.lines, 0
	var newQueues map[string]bool
	var newIDs map[string]uint64 // request id → content digest, within this batch
	for n := range specs {
		i := n
		if order != nil {
			i = order[n]
		}
		spec := specs[i]
		if name := queueName(spec.GetQueue()); queues[name] == nil && !newQueues[name] {
			if newQueues == nil {
				newQueues = make(map[string]bool)
			}
			newQueues[name] = true
			if len(queues)+len(newQueues) > MaxQueues {
				r.Outcomes[i], whole = QueuesFull, QueuesFull
			}
		}
		if len(spec.GetAfter()) > 0 {
			if parent, missing := m.noParent(spec); missing {
				r.Outcomes[i], r.IDs[i], whole = NoParent, parent, NoParent
				continue
			}
		}
		if id := spec.GetRequestId(); id != "" {
			digest, seen := newIDs[id]
			if req, ok := m.requests.Get(id); ok {
				digest, seen, r.IDs[i] = req.digest, true, req.task
			}
			if seen {
				if digest != spec.GetContentDigest() && !mutated("S3") {
					r.Outcomes[i], whole = RequestIDConflict, RequestIDConflict
				}
				continue
			}
			if newIDs == nil {
				newIDs = make(map[string]uint64)
			}
			newIDs[id] = spec.GetContentDigest()
			if ids++; m.requests.Len()+ids > MaxRequestIDs {
				r.Outcomes[i], whole = RequestIDsFull, RequestIDsFull
				continue
			}
		}
		if o, holder := in.admits(spec); o != Accepted {
			r.Outcomes[i], r.IDs[i], whole = o, holder, o
		}
	}
	return whole
}

// create makes the task of a spec.
func (m *Machine) create(spec *fsmpb.TaskSpec, from *origin) uint64 {
	m.lastTask++
	id := m.lastTask
	m.enter(id, spec, from)
	return id
}

// enter makes the record of a task that has its id.
func (m *Machine) enter(id uint64, spec *fsmpb.TaskSpec, from *origin) {
	l := m.lines[queueName(spec.GetQueue())]
	switch {
	case l != nil:
	case from.line != nil && len(m.lines) >= MaxQueues:
		l = from.line
	default:
		l = m.line(queueName(spec.GetQueue()))
	}
	t := m.build(id, spec, l, from)
	t.Options = l.share(optionsOf(spec, l.rec))
	l.shareTrace(t.Extra)
	m.editQueue(l).submitted++
	if t.RequestID != "" {
		m.requests.Set(t.RequestID, &request{task: t.ID, digest: spec.GetContentDigest(), createdAt: m.now})
	}
	m.admit(l, t)
}

// optionsOf returns the options of a new task: what the spec leaves open the queue
// decides, then the product's defaults (§3).
func optionsOf(spec *fsmpb.TaskSpec, q *queueRecord) Options {
	d := q.settings
	return Options{
		Queue: q.name, Kind: spec.GetKind(), ContentType: spec.GetContentType(),
		Priority:    either(spec.Priority, d.Priority, 0),
		Timeout:     max(either(spec.Timeout, d.Timeout, DefaultTimeout), 1),
		MaxAttempts: max(either(spec.MaxAttempts, d.MaxAttempts, DefaultMaxAttempts), 1),
		BackoffBase: either(spec.BackoffBase, d.BackoffBase, DefaultBackoffBase),
		BackoffMax:  either(spec.BackoffMax, d.BackoffMax, DefaultBackoffMax),
		Retain:      max(either(spec.Retain, d.Retain, DefaultRetain), 0),
	}
}

// build returns the task of a spec without its options. It changes nothing.
func (m *Machine) build(id uint64, spec *fsmpb.TaskSpec, l *line, from *origin) *Task {
	at := m.now
	if from.at != 0 {
		at = from.at
	}
	t := &Task{
		ID: id, Generation: 1,
		Attempt: &noAttempt,
		Payload: spec.GetPayload(), RequestID: spec.GetRequestId(),
		SubmittedAt: at, EligibleAt: at,
		Extra: m.extra(spec, l, from),
	}
	switch {
	case spec.GetRunAt() > at:
		t.EligibleAt = spec.GetRunAt()
	case spec.GetRunAt() == 0 && spec.GetDelay() > 0:
		t.EligibleAt = addTime(at, spec.GetDelay())
	}
	if spec.GetExpiresIn() > 0 {
		t.ExpiresAt = addTime(at, spec.GetExpiresIn())
	}
	if t.Extra != nil && len(t.Extra.After) > 0 {
		t.Extra.Waiting = m.pending(t) > 0
	}
	return t
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
