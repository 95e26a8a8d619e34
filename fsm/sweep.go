package fsm

import (
	"iter"
	"slices"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// A sweep cancels the tasks that match a filter at its index: exactly those. Which
// they are is decided at once, as a set of ids; from then on none of them starts.
// They are cancelled by id, as many in an entry as its budget allows, the rest by
// ticks.

// Sweep is a sweep's progress; a copy. Matched is the sum of the other three.
type Sweep struct {
	ID         uint64
	What       *fsmpb.TaskFilter // do not change
	Reason     string
	StartedAt  int64
	FinishedAt int64 // 0: it goes on
	Matched    uint64
	Cancelled  uint64 // the running ones among them stop
	Ended      uint64 // by themselves, before their turn, or were run again after that
	Left       uint64
}

// sweepRecord is what the table keeps of a sweep. It may be changed in place by the
// epoch that made it.
type sweepRecord struct {
	epoch uint64
	id    uint64
	what  *fsmpb.TaskFilter

	reason                    string
	startedAt, finishedAt     int64
	matched, cancelled, ended uint64

	left *idSet // whose turn has not come
}

// sweep marks what matches and begins to cancel it.
func (m *Machine) sweep(c *fsmpb.Sweep) Result {
	if len(m.sweeping) >= MaxSweeps {
		return Result{Outcome: SweepsFull}
	}
	s := m.searchFor(c.GetWhat())
	if len(c.GetWhat().GetStates()) == 0 {
		s.any = s.any[:Succeeded] // those before
	}
	left := s.set()
	m.lastSweep++
	rec := &sweepRecord{
		epoch: m.epoch, id: m.lastSweep, what: c.GetWhat(), reason: Clip(c.GetReason(), MaxError),
		startedAt: m.now, matched: uint64(left.len()), left: left,
	}
	if rec.reason == "" {
		rec.reason = ReasonCancelled
	}
	m.sweeps.Set(rec.id, rec)
	m.sweeping = append(m.sweeping, rec.id)
	m.emit(Event{Kind: SweepStarted})
	m.sweepMore()
	return Result{Outcome: Accepted, IDs: []uint64{rec.id}, Count: rec.matched}
}

// editSweep returns a sweep's record to change: a copy, if a snapshot shares it.
func (m *Machine) editSweep(id uint64) *sweepRecord {
	rec, _ := m.sweeps.Get(id)
	if rec.epoch != m.epoch {
		c := *rec
		c.epoch, c.left = m.epoch, rec.left.clone()
		rec = &c
		m.sweeps.Set(id, rec)
	}
	return rec
}

// sweepMore goes on with sweeps, as far as the entry's budget goes. Tasks of
// batches get their records first.
func (m *Machine) sweepMore() {
	for m.budget > 0 && len(m.sweeping) > 0 && m.busy.Len() == 0 {
		rec := m.editSweep(m.sweeping[0])
		id, ok := rec.left.first()
		if !ok {
			m.endSweep(rec)
			continue
		}
		m.sweepOne(rec, id)
	}
}

// sweepOne gives a task of a sweep its turn.
func (m *Machine) sweepOne(rec *sweepRecord, id uint64) {
	rec.left.remove(id)
	t, ok := m.tasks.Get(id)
	if !ok || t.State.Terminal() || t.revoked() || mutated("W2") && t.State == Running {
		m.budget--
		rec.ended++
		return
	}
	rec.cancelled++
	m.revoke(m.lines[t.Queue], t, rec.reason)
}

// endSweep notes that a sweep is done, and forgets the oldest beyond KeepSweeps.
func (m *Machine) endSweep(rec *sweepRecord) {
	rec.finishedAt = m.now
	m.sweeping = m.sweeping[1:]
	for m.sweeps.Len() > KeepSweeps+len(m.sweeping) {
		oldest := uint64(0)
		m.sweeps.Scan(func(id uint64, r *sweepRecord) bool {
			oldest = id
			return r.finishedAt == 0
		})
		m.sweeps.Delete(oldest)
	}
}

// sweptBy returns the sweep whose turn for a task has not come: it must not start.
func (m *Machine) sweptBy(id uint64) (sweep uint64) {
	for _, s := range m.sweeping {
		if rec, _ := m.sweeps.Get(s); rec.left.has(id) {
			return s
		}
	}
	return 0
}

// reprieve takes a task that is run again out of the sweeps that meant its earlier
// generation.
func (m *Machine) reprieve(id uint64) {
	for s := m.sweptBy(id); s != 0; s = m.sweptBy(id) {
		rec := m.editSweep(s)
		rec.left.remove(id)
		rec.ended++
	}
}

// condemned cancels a Ready task that a cancelled batch or a sweep has not come to,
// and reports whether it was one: it must not start.
func (m *Machine) condemned(l *line, t *Task) bool {
	if s := m.sweptBy(t.ID); s != 0 {
		m.sweepOne(m.editSweep(s), t.ID)
		return true
	}
	if m.doomed(t) {
		m.revoke(l, t, m.lots[t.Extra.Batch].rec.reason)
		return true
	}
	return false
}

// Sweep returns a sweep's progress, or nil.
func (m *Machine) Sweep(id uint64) *Sweep {
	if rec, ok := m.sweeps.Get(id); ok {
		return rec.view()
	}
	return nil
}

// Sweeps yields the sweeps that are remembered, oldest first.
func (m *Machine) Sweeps() iter.Seq[*Sweep] {
	return func(yield func(*Sweep) bool) {
		m.sweeps.Scan(func(_ uint64, r *sweepRecord) bool { return yield(r.view()) })
	}
}

func (r *sweepRecord) view() *Sweep {
	return &Sweep{
		ID: r.id, What: r.what, Reason: r.reason, StartedAt: r.startedAt, FinishedAt: r.finishedAt,
		Matched: r.matched, Cancelled: r.cancelled, Ended: r.ended, Left: uint64(r.left.len()),
	}
}

func recordOfSweep(r *sweepRecord) *fsmpb.SweepRecord {
	return &fsmpb.SweepRecord{
		Id: r.id, What: r.what, Reason: r.reason, StartedAt: r.startedAt, FinishedAt: r.finishedAt,
		Matched: r.matched, Cancelled: r.cancelled, Ended: r.ended, Left: r.left.runs(),
	}
}

func (l *loader) sweep(r *fsmpb.SweepRecord) error {
	m := l.m
	last, _, _ := m.sweeps.Max()
	left, ok := idsOfRuns(r.Left, m.lastTask)
	rec := &sweepRecord{
		epoch: m.epoch, id: r.Id, what: r.What, reason: r.Reason, startedAt: r.StartedAt, finishedAt: r.FinishedAt,
		matched: r.Matched, cancelled: r.Cancelled, ended: r.Ended, left: left,
	}
	if !ok || r.Id <= last || r.Id > m.lastSweep || r.Matched != r.Cancelled+r.Ended+uint64(left.len()) ||
		r.FinishedAt != 0 && left.len() > 0 {
		return errInconsistent
	}
	m.sweeps.Set(r.Id, rec)
	if r.FinishedAt == 0 {
		m.sweeping = append(m.sweeping, r.Id)
	}
	return must(len(m.sweeping) <= MaxSweeps && m.sweeps.Len() <= KeepSweeps+MaxSweeps && slices.IsSorted(m.sweeping))
}
