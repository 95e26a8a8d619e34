package model

import (
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// request is what one idempotency key stands for.
type request struct {
	task    uint64
	digest  uint64
	created int64
}

// caller is what is remembered of one client of the SDK.
type caller struct {
	below uint64 // every seq below has been answered
	used  int64
	calls map[uint64]Result
}

// answer carries out a command, or repeats the first answer to the same call.
func (m *Table) answer(c *fsmpb.Command) Result {
	call := c.GetCall()
	if call == nil {
		return m.do(c)
	}
	key := string(call.GetClient())
	who := m.clients[key]
	if who == nil {
		// A new client's first call may be a repeat of one that never arrived. What may
		// have been carried out is never guessed.
		if call.GetRepeat() && call.GetAckedBelow() > 1 {
			return Result{Outcome: "CALL_FORGOTTEN"}
		}
		who = &caller{calls: make(map[uint64]Result)}
		m.clients[key] = who
	}
	who.used = m.now
	if r, ok := who.calls[call.GetSeq()]; ok {
		return r
	}
	if call.GetSeq() < who.below {
		return Result{Outcome: "CALL_FORGOTTEN"}
	}
	who.below = max(who.below, min(call.GetAckedBelow(), call.GetSeq()))
	for seq := range who.calls {
		if seq < who.below {
			delete(who.calls, seq)
		}
	}
	if len(who.calls) >= maxClientCalls {
		return Result{Outcome: "CALLS_FULL"}
	}
	r := m.do(c)
	who.calls[call.GetSeq()] = r
	return r
}

// submit enters all tasks or, when one is refused, none (S3).
func (m *Table) submit(c *fsmpb.Submit) Result {
	r := Result{Outcome: "ACCEPTED", Outcomes: make([]string, len(c.GetTasks())), IDs: make([]uint64, len(c.GetTasks()))}
	for i := range r.Outcomes {
		r.Outcomes[i] = "NONE"
	}
	if c.GetBatch() != nil {
		return m.submitBatch(c, r)
	}
	entering := orderOf(c.GetTasks(), &r)
	digests := make(map[string]uint64)
	for _, i := range entering {
		s := c.GetTasks()[i]
		if parent, missing := m.noParent(s); missing {
			r.Outcome, r.Outcomes[i], r.IDs[i] = "NO_PARENT", "NO_PARENT", parent
			continue
		}
		id := s.GetRequestId()
		if id == "" {
			continue
		}
		digest, named := digests[id]
		if old := m.requests[id]; old != nil {
			digest, named, r.IDs[i] = old.digest, true, old.task
		}
		if named && digest != s.GetContentDigest() {
			r.Outcome, r.Outcomes[i] = "REQUEST_ID_CONFLICT", "REQUEST_ID_CONFLICT"
			continue
		}
		digests[id] = s.GetContentDigest()
	}
	if r.Outcome != "ACCEPTED" {
		return r
	}
	entered := make(map[string]uint64) // unique key → the first of this call, even if it has ended at once
	for _, i := range entering {
		s := c.GetTasks()[i]
		if old := m.requests[s.GetRequestId()]; old != nil {
			r.Outcomes[i], r.IDs[i] = "EXISTING", old.task
			continue
		}
		if t := m.holder(s.GetUniqueKey()); t != nil {
			r.Outcomes[i], r.IDs[i] = "EXISTING", t.ID
			continue
		}
		if id := entered[s.GetUniqueKey()]; id != 0 {
			r.Outcomes[i], r.IDs[i] = "EXISTING", id
			continue
		}
		r.Outcomes[i], r.IDs[i] = "ACCEPTED", m.lastTask+1
		if s.GetUniqueKey() != "" {
			entered[s.GetUniqueKey()] = r.IDs[i]
		}
		t := m.enter(s)
		m.after(t, s, func(item uint32) uint64 { return r.IDs[item] })
		m.admit(t)
	}
	return r
}

// enter makes one task, which is to be admitted when all is known of it.
func (m *Table) enter(s *fsmpb.TaskSpec) *Task {
	m.lastTask++
	return m.enterAs(m.lastTask, s)
}

func (m *Table) enterAs(id uint64, s *fsmpb.TaskSpec) *Task {
	knownFields(s.ProtoReflect(), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 25, 26, 27, 28, 29, 40)
	q := m.queue(s.GetQueue())
	t := &Task{
		ID: id, Generation: 1, State: Ready, Queue: s.GetQueue(), Kind: s.GetKind(), labels: s.GetLabels(),
		Priority:    pick(s.Priority, q.set.Priority, 0),
		Timeout:     pick(s.Timeout, q.set.Timeout, 5*minute),
		MaxAttempts: pick(s.MaxAttempts, q.set.MaxAttempts, 3),
		BackoffBase: pick(s.BackoffBase, q.set.BackoffBase, second),
		BackoffMax:  pick(s.BackoffMax, q.set.BackoffMax, 10*minute),
		Retain:      pick(s.Retain, q.set.Retain, 24*hour),
		Require:     s.GetRequire(), Key: s.GetConcurrencyKey(), RequestID: s.GetRequestId(),
		Unique: s.GetUniqueKey(), UntilStart: s.GetUniqueUntilStart(), onSuccess: s.GetOnSuccess(), onDead: s.GetOnDead(),
		Submitted: m.now, Eligible: max(m.now, s.GetRunAt(), m.now+s.GetDelay()),
	}
	if s.GetExpiresIn() > 0 {
		t.Expires = m.now + s.GetExpiresIn()
	}
	if t.Eligible > m.now {
		t.State = Scheduled
	}
	if spec := s.GetBroadcast(); spec != nil {
		knownFields(spec.ProtoReflect(), 1, 2, 3, 4)
		t.broadcast = &broadcast{spec: spec}
	}
	m.tasks[t.ID] = t
	m.touch(t)
	if t.RequestID != "" {
		m.requests[t.RequestID] = &request{task: t.ID, digest: s.GetContentDigest(), created: m.now}
	}
	return t
}

// admit lets a new task go on that waits for nothing.
func (m *Table) admit(t *Task) {
	if t.State == Ready {
		m.ready(t)
	}
}

// follow submits what was asked for with the end of a task or batch. Nothing may
// refuse it, so it has no request id, unique key or parents.
func (m *Table) follow(specs []*fsmpb.TaskSpec, task, batch uint64) {
	for _, s := range specs {
		s = proto.CloneOf(s)
		s.RequestId, s.UniqueKey, s.UniqueUntilStart, s.After, s.AfterItems = "", "", false, nil, nil
		t := m.enter(s)
		t.Follows, t.FollowsBatch = task, batch
		m.admit(t)
	}
}

// pick returns what the task says, else the queue, else everybody.
func pick[T any](task, queue *T, everybody T) T {
	switch {
	case task != nil:
		return *task
	case queue != nil:
		return *queue
	}
	return everybody
}

// knownFields panics for a message with a field that the model has no words for.
func knownFields(m protoreflect.Message, numbers ...protoreflect.FieldNumber) {
	m.Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if !slices.Contains(numbers, f.Number()) {
			panic(gap(string(f.FullName())))
		}
		return true
	})
}

// forgetRequest drops an idempotency key that is older than it must be kept and
// whose task has ended.
func (m *Table) forgetRequest(t *Task) {
	if r := m.requests[t.RequestID]; t.RequestID != "" && r != nil && r.task == t.ID && r.created+keepRequest <= m.now {
		delete(m.requests, t.RequestID)
	}
}
