package fsm

import (
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// A batch is tasks submitted together with a counter. Its tasks have the ids
// first … first+total−1. Small ones come whole in a Submit; larger ones are staged
// in chunks (stage.go) that nobody sees until one commit makes them exist.

// Batch is a batch's progress; a copy.
type Batch struct {
	ID        uint64
	Name      string
	RequestID string

	OpenedAt    int64
	CommittedAt int64 // 0: open, its tasks do not exist
	FinishedAt  int64 // 0: some have not ended
	CancelledAt int64 // 0: not cancelled
	Reason      string

	First  uint64 // the id of its first task
	Total  uint64 // tasks; when open: staged so far
	Counts [Cancelled + 1]int64
}

// batchRecord is what the table keeps of a batch. It may be changed in place by
// the epoch that made it; its slices are replaced or appended to.
type batchRecord struct {
	epoch     uint64
	id        uint64
	name      string
	requestID string
	digest    uint64

	openedAt, touchedAt, committedAt, finishedAt int64

	first, total uint64
	unpacked     uint64               // of these have records of their own, the lower ids
	gone         [Cancelled + 1]int64 // ended ones whose records are trimmed

	reason      string // of its cancellation
	cancelledAt int64
	cancelFrom  uint64 // lower ids are done

	followUp  []*fsmpb.TaskSpec // until they are submitted
	onSuccess []*fsmpb.TaskSpec

	widest uint64   // 1 + the greatest place that a task waits for
	chunks []*chunk // whose tasks are not all unpacked
}

// lot is a batch at work: its record and the counters over its tasks.
type lot struct {
	rec    *batchRecord
	counts [Cancelled + 1]int64 // tasks with records, by State
	due    int64                // where the index has it; 0: nowhere
}

// ended returns how many of the batch's tasks have ended in this state.
func (b *lot) ended(s State) uint64 { return uint64(b.counts[s] + b.rec.gone[s]) }

// unfinished returns how many of the batch's tasks have not ended.
func (b *lot) unfinished() uint64 {
	return b.rec.total - b.ended(Succeeded) - b.ended(Dead) - b.ended(Cancelled)
}

// view returns the exported copy. Tasks without records of their own count as Scheduled.
func (b *lot) view() *Batch {
	r := b.rec
	out := &Batch{
		ID: r.id, Name: r.name, RequestID: r.requestID, OpenedAt: r.openedAt, CommittedAt: r.committedAt,
		FinishedAt: r.finishedAt, CancelledAt: r.cancelledAt, Reason: r.reason, First: r.first, Total: r.total,
	}
	if r.committedAt == 0 {
		return out
	}
	for s := range out.Counts {
		out.Counts[s] = b.counts[s] + r.gone[s]
	}
	out.Counts[Scheduled] += int64(r.total - r.unpacked)
	return out
}

// dueAt is when a tick must drop the batch: an open one that is gone on with no
// more, or one long finished; 0: never.
func (b *lot) dueAt() int64 {
	switch r := b.rec; {
	case r.committedAt == 0:
		return addTime(r.touchedAt, KeepStaging)
	case r.finishedAt != 0:
		return addTime(r.finishedAt, KeepBatch)
	default:
		return 0
	}
}

// busy reports whether ticks have work with the batch.
func (b *lot) busy() bool {
	r := b.rec
	return r.committedAt != 0 && (r.unpacked < r.total || r.cancelledAt != 0 && r.cancelFrom < r.first+r.total)
}

// doomed reports whether a task is in the part of a cancelled batch that ticks
// have not come to: it must not start.
func (m *Machine) doomed(t *Task) bool {
	if t.Extra == nil || t.Extra.Batch == 0 {
		return false
	}
	b := m.lots[t.Extra.Batch]
	return b != nil && b.rec.cancelledAt != 0 && t.ID >= b.rec.cancelFrom
}

// addBatch enters a new batch. The caller has made sure that there is room.
func (m *Machine) addBatch(spec *fsmpb.BatchSpec) *lot {
	m.lastBatch++
	for _, specs := range [][]*fsmpb.TaskSpec{spec.GetFollowUp(), spec.GetOnSuccess()} {
		for _, s := range specs {
			bare(s)
		}
	}
	b := &lot{rec: &batchRecord{
		epoch: m.epoch, id: m.lastBatch, name: spec.GetName(), requestID: spec.GetRequestId(), digest: spec.GetContentDigest(),
		openedAt: m.now, touchedAt: m.now, followUp: spec.GetFollowUp(), onSuccess: spec.GetOnSuccess(),
	}}
	m.indexBatch(b)
	m.batches.Set(b.rec.id, b.rec)
	return b
}

// indexBatch enters a batch's record into the indexes.
func (m *Machine) indexBatch(b *lot) {
	m.lots[b.rec.id] = b
	if b.rec.requestID != "" {
		m.batchIDs[b.rec.requestID] = b.rec.id
	}
	m.placeBatch(b)
}

// placeBatch brings the indexes of what is due, finished or to be worked on up to date.
func (m *Machine) placeBatch(b *lot) {
	if due := b.dueAt(); due != b.due {
		m.batchDue.remove(b.due, b.rec.id)
		m.batchDue.add(due, b.rec.id)
		b.due = due
	}
	if b.busy() {
		m.busy.Set(b.rec.id, b)
	} else {
		m.busy.Delete(b.rec.id)
	}
}

// editBatch returns the batch's record to change: a copy, if a snapshot shares it.
func (m *Machine) editBatch(b *lot) *batchRecord {
	if b.rec.epoch != m.epoch {
		c := *b.rec
		c.epoch = m.epoch
		b.rec = &c
		m.batches.Set(c.id, b.rec)
	}
	return b.rec
}

// roomForBatch reports whether one more batch may enter; long lists make room by
// the oldest of those that finished.
func (m *Machine) roomForBatch() bool {
	if m.batches.Len() < MaxBatches {
		return true
	}
	it, ok := m.batchDue.tree.Min()
	if !ok || m.lots[it.id].rec.committedAt == 0 {
		return false
	}
	m.dropBatch(m.lots[it.id])
	return true
}

// dropBatch forgets a batch. Its tasks stay.
func (m *Machine) dropBatch(b *lot) {
	m.batchDue.remove(b.due, b.rec.id)
	for _, c := range b.rec.chunks {
		m.holdChunk(c, -1)
	}
	m.busy.Delete(b.rec.id)
	if m.batchIDs[b.rec.requestID] == b.rec.id {
		delete(m.batchIDs, b.rec.requestID)
	}
	delete(m.lots, b.rec.id)
	m.batches.Delete(b.rec.id)
}

// countInBatch keeps the counters of the batch that a task belongs to.
func (m *Machine) countInBatch(old, t *Task) {
	b := m.lots[t.Extra.Batch]
	if b == nil {
		return // forgotten
	}
	b.counts[t.State]++
	if old != &absent {
		b.counts[old.State]--
	}
}

// goneFromBatch notes that the record of an ended task is trimmed.
func (m *Machine) goneFromBatch(t *Task) {
	if b := m.lots[t.Extra.Batch]; b != nil {
		b.counts[t.State]--
		m.editBatch(b).gone[t.State]++
	}
}

// finishBatch ends a batch whose last task has ended, and submits what was asked
// for with that, each once: a batch that is finished again, because a task of it
// was retried, has nothing left of what it submitted before.
func (m *Machine) finishBatch(b *lot, l *line) {
	if b.rec.committedAt == 0 || b.rec.finishedAt != 0 || b.unfinished() > 0 {
		return
	}
	rec := m.editBatch(b)
	rec.finishedAt = m.now
	specs := rec.followUp
	if !mutated("S16") {
		rec.followUp = nil
	}
	if b.ended(Succeeded) == rec.total {
		specs = append(specs[:len(specs):len(specs)], rec.onSuccess...)
		rec.onSuccess = nil
	}
	m.placeBatch(b)
	m.emit(Event{Kind: BatchFinished, Batch: rec.id})
	m.follow(l, 0, rec.id, specs)
}

// reopenBatch notes that a task of a finished batch lives again.
func (m *Machine) reopenBatch(t *Task) {
	b := m.lots[t.Extra.Batch]
	if b == nil || b.rec.finishedAt == 0 {
		return
	}
	m.editBatch(b).finishedAt = 0
	m.placeBatch(b)
}

// cancelBatch cancels what of a batch has not ended. From this index on nothing
// of it starts; more than this entry may do is left to ticks.
func (m *Machine) cancelBatch(c *fsmpb.CancelBatch) Result {
	b := m.lots[c.GetBatch()]
	r := Result{Outcome: Accepted, Batch: c.GetBatch()}
	switch {
	case b == nil:
		r.Outcome = NoBatch
	case b.rec.committedAt == 0:
		r.Count = b.rec.total
		m.emit(Event{Kind: BatchCancelled, Batch: b.rec.id})
		m.dropBatch(b)
	case b.rec.cancelledAt != 0 && (b.busy() || b.unfinished() == uint64(b.counts[Stopping])):
		r.Outcome = Duplicate
	case b.rec.finishedAt != 0:
		r.Outcome = AlreadyTerminal
	default:
		r.Count = b.unfinished()
		rec := m.editBatch(b)
		rec.reason = Clip(c.GetReason(), MaxError)
		if rec.reason == "" {
			rec.reason = ReasonCancelled
		}
		rec.cancelledAt, rec.cancelFrom = m.now, rec.first
		m.placeBatch(b)
		m.emit(Event{Kind: BatchCancelled, Batch: rec.id})
		m.work(b)
	}
	return r
}

// work goes on with a batch's unpacking and cancellation, as far as the entry's
// budget goes.
func (m *Machine) work(b *lot) {
	for m.budget > 0 && b.rec.unpacked < b.rec.total {
		m.unpack(b)
	}
	end := b.rec.first + b.rec.total
	for m.budget > 0 && b.rec.unpacked == b.rec.total && b.rec.cancelledAt != 0 && b.rec.cancelFrom < end {
		m.budget--
		rec := m.editBatch(b)
		id := rec.cancelFrom
		rec.cancelFrom++
		if t, ok := m.tasks.Get(id); ok && !t.State.Terminal() && !t.revoked() {
			m.revoke(m.lines[t.Queue], t, rec.reason)
		}
	}
	m.placeBatch(b)
}
