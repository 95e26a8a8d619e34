package fsm

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// client remembers what the calls of one SDK client were answered, so that a
// repeat gets the first answer and no second effect. Changed in place by its epoch.
type client struct {
	epoch      uint64
	id         string
	ackedBelow uint64
	usedAt     int64
	calls      []call // by seq; at most MaxCallsPerClient
}

// call is one answered call; the outcome is encoded and frozen.
type call struct {
	seq     uint64
	outcome []byte
}

// due is when the client has been idle long enough to be forgotten, rounded up
// to a minute so that a busy one does not move in the index with every call.
func (c *client) due() int64 {
	at := addTime(c.usedAt, KeepClient)
	return addTime(at, (Minute-at%Minute)%Minute)
}

// once carries out a command whose caller may repeat it, at most once.
func (m *Machine) once(c *fsmpb.Command) Result {
	id, seq := string(c.Call.GetClient()), c.Call.GetSeq()
	cl, known := m.clients.Get(id)
	if !known {
		if c.Call.GetRepeat() && c.Call.GetAckedBelow() > 1 {
			return Result{Outcome: CallForgotten} // it may have been carried out: never guess
		}
		cl = &client{epoch: m.epoch, id: id, usedAt: m.now}
		m.clients.Set(id, cl)
		m.setNameDue(dueClient, id, 0, cl.due())
	}
	cl = m.touchClient(cl)
	i, found := slices.BinarySearchFunc(cl.calls, seq, func(a call, seq uint64) int { return cmp.Compare(a.seq, seq) })
	if found {
		return decodeOutcome(cl.calls[i].outcome)
	}
	if seq < cl.ackedBelow {
		return Result{Outcome: CallForgotten}
	}
	cl.acknowledge(min(c.Call.GetAckedBelow(), seq))
	if len(cl.calls) >= MaxCallsPerClient {
		return Result{Outcome: CallsFull}
	}
	r := m.verb(c)
	cl.remember(seq, encodeOutcome(&r))
	return r
}

// touchClient returns the record to change (a copy, if a snapshot shares it),
// used now.
func (m *Machine) touchClient(cl *client) *client {
	if cl.epoch != m.epoch {
		c := *cl
		c.epoch = m.epoch
		c.calls = slices.Clone(cl.calls)
		cl = &c
		m.clients.Set(c.id, cl)
	}
	was := cl.due()
	cl.usedAt = m.now
	m.setNameDue(dueClient, cl.id, was, cl.due())
	return cl
}

// acknowledge forgets the answers that the client has seen.
func (c *client) acknowledge(below uint64) {
	if below <= c.ackedBelow {
		return
	}
	c.ackedBelow = below
	n := 0
	for n < len(c.calls) && c.calls[n].seq < below {
		n++
	}
	c.calls = slices.Delete(c.calls, 0, n)
}

func (c *client) remember(seq uint64, outcome []byte) {
	i := len(c.calls)
	for i > 0 && c.calls[i-1].seq > seq {
		i--
	}
	c.calls = slices.Insert(c.calls, i, call{seq, outcome})
}

// forgetClient drops an idle client.
func (m *Machine) forgetClient(id string) {
	m.budget--
	cl, _ := m.clients.Get(id)
	m.setNameDue(dueClient, id, cl.due(), 0)
	m.clients.Delete(id)
}

// encodeOutcome packs the parts of a result that a verb has: the outcome, the
// outcomes per item, the ids as differences (they are mostly dense), and batch and
// count when there are. These bytes stand in snapshots.
func encodeOutcome(r *Result) []byte {
	b := make([]byte, 0, 8+len(r.Outcomes)+2*len(r.IDs))
	b = append(b, byte(r.Outcome))
	b = binary.AppendUvarint(b, uint64(len(r.Outcomes)))
	for _, o := range r.Outcomes {
		b = append(b, byte(o))
	}
	b = binary.AppendUvarint(b, uint64(len(r.IDs)))
	last := uint64(0)
	for _, id := range r.IDs {
		b = binary.AppendVarint(b, int64(id-last))
		last = id
	}
	if r.Batch|r.Count != 0 {
		b = binary.AppendUvarint(b, r.Batch)
		b = binary.AppendUvarint(b, r.Count)
	}
	return b
}

// decodeOutcome is the inverse. Restore has checked the bytes with outcomeFault.
func decodeOutcome(b []byte) Result {
	r := Result{Outcome: Outcome(b[0])}
	n, k := binary.Uvarint(b[1:])
	b = b[1+k:]
	if n > 0 {
		r.Outcomes = make([]Outcome, n)
		for i := range r.Outcomes {
			r.Outcomes[i] = Outcome(b[i])
		}
	}
	b = b[n:]
	n, k = binary.Uvarint(b)
	b = b[k:]
	if n > 0 {
		r.IDs = make([]uint64, n)
	}
	last := uint64(0)
	for i := range r.IDs {
		d, k := binary.Varint(b)
		b = b[k:]
		last += uint64(d)
		r.IDs[i] = last
	}
	if len(b) > 0 {
		r.Batch, k = binary.Uvarint(b)
		r.Count, _ = binary.Uvarint(b[k:])
	}
	return r
}

// outcomeFault says whether b is what encodeOutcome writes: nil, ErrNewer or ErrCorrupt.
func outcomeFault(b []byte) error {
	if len(b) == 0 {
		return ErrCorrupt
	}
	newest := Outcome(b[0])
	n, k := binary.Uvarint(b[1:])
	if k <= 0 || n > uint64(len(b)-1-k) {
		return ErrCorrupt
	}
	b = b[1+k:]
	for _, o := range b[:n] {
		newest = max(newest, Outcome(o))
	}
	b = b[n:]
	n, k = binary.Uvarint(b)
	if k <= 0 || n > uint64(len(b)-k) {
		return ErrCorrupt
	}
	b = b[k:]
	for range n {
		if _, k = binary.Varint(b); k <= 0 {
			return ErrCorrupt
		}
		b = b[k:]
	}
	if len(b) > 0 { // batch and count
		for range 2 {
			if _, k = binary.Uvarint(b); k <= 0 {
				return ErrCorrupt
			}
			b = b[k:]
		}
	}
	switch {
	case len(b) != 0:
		return ErrCorrupt
	case newest > lastOutcome:
		return ErrNewer
	}
	return nil
}
