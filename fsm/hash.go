package fsm

import (
	"encoding/binary"
	"math/bits"
)

// The state hash (C1): masters that have applied the same entries have the same hash
// at the same index. It has two parts, both kept up as entries apply:
//
//	chain   folds what every entry decided, outcomes and events, into what was
//	        decided before, so that one different decision shows for ever
//	sum     adds the hashes of all tasks' records, so that it can be counted anew
//	        from the table: Restore does, and refuses a snapshot that lost something
//
// It finds faults of memory, disk and program. It does not keep out who wants to
// forge it.
type hash uint64

// word folds w into h.
func (h hash) word(w uint64) hash { return h.pair(0, w) }

// pair folds two words into h: the multiply and fold of wyhash.
func (h hash) pair(a, b uint64) hash {
	hi, lo := bits.Mul64(uint64(h)^a^0xa0761d6478bd642f, b^0xe7037ed1a0b428db)
	return hash(hi ^ lo)
}

// bytes folds a byte string and its length into h.
func (h hash) bytes(b []byte) hash {
	h = h.word(uint64(len(b)))
	for ; len(b) >= 16; b = b[16:] {
		h = h.pair(binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]))
	}
	if len(b) == 0 {
		return h
	}
	var last [16]byte
	copy(last[:], b)
	return h.pair(binary.LittleEndian.Uint64(last[:]), binary.LittleEndian.Uint64(last[8:]))
}

// text folds a short string into h (FNV-1a).
func (h hash) text(s string) hash {
	sum := uint64(14695981039346656037)
	for i := range len(s) {
		sum = (sum ^ uint64(s[i])) * 1099511628211
	}
	return h.word(sum)
}

// hash is that of the whole record.
func (t *Task) hash() hash { return t.fixedHash() + t.movingHash() }

// fixedHash covers what stays as it was submitted, and so need not be hashed again
// with each change.
func (t *Task) fixedHash() hash {
	o := t.Options
	h := hash(0).word(t.ID).word(uint64(t.SubmittedAt)).bytes(t.Payload).
		text(o.Queue).text(o.Kind).text(o.ContentType).text(t.RequestID).
		word(uint64(uint32(o.Priority)) | uint64(o.MaxAttempts)<<32).
		word(uint64(o.Timeout)).word(uint64(o.BackoffBase)).word(uint64(o.BackoffMax)).word(uint64(o.Retain))
	if t.Extra == nil {
		return h
	}
	return h + t.Extra.fixedHash() - noExtra
}

// fixedHash covers what of an extra stays as it was submitted.
func (x *Extra) fixedHash() hash {
	h := hash(0).word(x.Batch).word(x.Follows).word(x.FollowsBatch).word(uint64(x.FireTime)).
		word(bit(x.UntilStart) | bit(x.AfterRun)<<1).
		text(x.ConcurrencyKey).text(x.UniqueKey).text(x.Schedule).text(x.pool)
	for _, l := range x.Labels {
		h = h.text(l.Key).text(l.Value)
	}
	return h
}

// noExtra makes an extra that a transition added count like none.
var noExtra = new(Extra).fixedHash()

// movingHash covers what transitions change.
func (t *Task) movingHash() hash {
	h := hash(t.ID).word(uint64(t.State) | uint64(t.Generation)<<8).
		word(uint64(t.Attempts) | uint64(t.Failures)<<32).word(uint64(t.Crashes) | uint64(t.SoloCrashes)<<32).
		word(uint64(t.EligibleAt)).word(uint64(t.FinishedAt)).word(uint64(t.ExpiresAt))
	if a := t.Attempt; a != &noAttempt && *a != noAttempt {
		h = h.word(a.Fence).word(a.Session).word(uint64(a.StartedAt)).word(uint64(a.Deadline)).
			word(uint64(a.StopCause) | bit(a.Solo)<<8 | bit(a.Redeemable)<<9 | bit(a.SelfFence)<<10)
	}
	if len(t.Result)+len(t.Error)+len(t.Reason) > 0 {
		h = h.bytes(t.Result).text(t.Error).text(t.Reason).text(t.ResultContentType)
	}
	for i := range t.Ended {
		e := &t.Ended[i]
		h = h.word(e.Fence).word(e.Digest).word(uint64(e.At)).word(uint64(e.Cause) | uint64(e.Verb)<<8)
	}
	if x := t.Extra; x != nil {
		w := uint64(len(x.After)) | bit(x.Waiting)<<32 | uint64(len(x.Superseded))<<33
		if w |= uint64(len(x.OnSuccess))<<40 | uint64(len(x.OnDead))<<52; w != 0 {
			h = h.word(w)
		}
		if b := x.Broadcast; b != nil {
			h = h.word(uint64(b.Until)).word(uint64(b.Acked) | uint64(b.Failed)<<32).
				word(uint64(b.Targets) | uint64(len(b.Audience))<<32).word(uint64(b.Pursued) | uint64(b.Pursuit)<<32)
		}
		if x.Target != nil {
			h = h.word(x.Target.Broadcast).word(uint64(x.Target.Until)).text(x.Target.Worker)
		}
	}
	return h
}

func bit(set bool) uint64 {
	if set {
		return 1
	}
	return 0
}

// rehash brings the sum from a task's old record (nil: absent) to its new one.
func (m *Machine) rehash(old, t *Task) {
	if old == nil {
		m.sum += t.hash()
		return
	}
	m.sum += t.movingHash() - old.movingHash()
}

// link adds what an entry decided to the chain.
func (m *Machine) link(a *Applied) {
	h := m.chain.word(a.Index).word(a.Term)
	for i := range a.Results {
		r := &a.Results[i]
		h = h.word(uint64(r.Outcome) | uint64(len(r.Tasks))<<8 | uint64(len(r.Aborts))<<32).word(r.Batch ^ r.Count<<32)
		for _, o := range r.Outcomes {
			h = h.word(uint64(o))
		}
		for _, id := range r.IDs {
			h = h.word(id)
		}
	}
	for i := range a.Events {
		e := &a.Events[i]
		id := e.Batch
		if e.Task != nil {
			id = e.Task.ID
		}
		h = h.word(uint64(e.Kind) | uint64(e.Cause)<<8).word(id).word(e.Fence ^ e.Session<<32)
	}
	m.chain = h
}

// Hash is the state hash after the last entry.
func (m *Machine) Hash() uint64 {
	h := m.chain.word(uint64(m.sum)).word(uint64(m.now)).
		word(m.lastTask).word(m.lastFence).word(m.lastSession).word(m.lastBatch).word(m.trimmed)
	for _, n := range []int{
		m.tasks.Len(), m.queues.Len(), m.sessions.Len(), m.workers.Len(), m.requests.Len(), m.clients.Len(),
		m.members.Len(), m.batches.Len(), m.schedules.Len(), m.sweeps.Len(), m.pushes.Len(),
	} {
		h = h.word(uint64(n))
	}
	return uint64(h)
}
