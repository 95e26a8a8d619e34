package model

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

const (
	keepStaging = 10 * minute
	keepBatch   = 24 * hour

	// maxAtOnce bounds a batch that is sure to be done within one entry. The model has
	// no words for what entries cut off.
	maxAtOnce = 2000
)

// Batch is a batch's record: open, which nobody sees the tasks of, or committed.
type Batch struct {
	ID, First, Total               uint64
	Committed, Finished, Cancelled int64
	Reason                         string
	Counts                         map[string]int64 // recounted, with those whose records are gone

	request             string
	digest              uint64
	touched             int64
	chunks              []*fsmpb.StageBatch
	followUp, onSuccess []*fsmpb.TaskSpec
	gone                map[string]int64
}

func (m *Table) batchOf(request string) *Batch {
	for _, b := range m.batches {
		if request != "" && b.request == request {
			return b
		}
	}
	return nil
}

// count recounts the batch's tasks by state (S16).
func (m *Table) count(b *Batch) map[string]int64 {
	counts := make(map[string]int64)
	for state, n := range b.gone {
		counts[state] += n
	}
	for _, t := range m.tasks {
		if t.Batch == b.ID {
			counts[t.State]++
		}
	}
	return counts
}

// unfinished counts the batch's tasks that have not ended.
func (m *Table) unfinished(b *Batch) uint64 {
	n := m.count(b)
	return b.Total - uint64(n[Succeeded]+n[Dead]+n[Cancelled])
}

// submitBatch enters all tasks as one batch, or none.
func (m *Table) submitBatch(c *fsmpb.Submit, r Result) Result {
	spec, n := c.GetBatch(), uint64(len(c.GetTasks()))
	if b := m.batchOf(spec.GetRequestId()); b != nil {
		if b.Committed == 0 || b.digest != spec.GetContentDigest() || b.Total != n {
			return Result{Outcome: "REQUEST_ID_CONFLICT", Batch: b.ID}
		}
		for i := range r.IDs {
			r.Outcomes[i], r.IDs[i] = "EXISTING", b.First+uint64(i)
		}
		r.Outcome, r.Batch, r.Count = "EXISTING", b.ID, n
		return r
	}
	if orderOf(c.GetTasks(), &r); r.Outcome != "ACCEPTED" {
		return r
	}
	m.obstacles(c.GetTasks(), true, func(i int, outcome string, id uint64) {
		r.Outcome, r.Outcomes[i], r.IDs[i] = outcome, outcome, id
	})
	if r.Outcome != "ACCEPTED" || n == 0 {
		return r
	}
	b := m.addBatch(spec)
	b.chunks, b.Total = []*fsmpb.StageBatch{{Tasks: c.GetTasks()}}, n
	m.commit(b, spec.GetContentDigest())
	for i := range r.IDs {
		r.Outcomes[i], r.IDs[i] = "ACCEPTED", b.First+uint64(i)
	}
	r.Batch, r.Count = b.ID, n
	return r
}

// obstacles names each of the tasks that cannot enter: a parent (id) is not there, if
// that matters, or another task has its unique key, in the table (id) or before it
// among them (0).
func (m *Table) obstacles(specs []*fsmpb.TaskSpec, parents bool, found func(i int, outcome string, id uint64)) {
	seen := make(map[string]bool)
	for i, s := range specs {
		key := s.GetUniqueKey()
		if parent, missing := m.noParent(s); missing && parents {
			found(i, "NO_PARENT", parent)
			continue
		}
		if t := m.holder(key); t != nil {
			found(i, "UNIQUE_KEY_TAKEN", t.ID)
		} else if seen[key] {
			found(i, "UNIQUE_KEY_TAKEN", 0)
		}
		seen[key] = key != ""
	}
}

func (m *Table) addBatch(spec *fsmpb.BatchSpec) *Batch {
	m.lastBatch++
	b := &Batch{
		ID: m.lastBatch, request: spec.GetRequestId(), touched: m.now, gone: make(map[string]int64),
		followUp: spec.GetFollowUp(), onSuccess: spec.GetOnSuccess(),
	}
	m.batches[b.ID] = b
	return b
}

// commit makes the tasks of a batch exist, with ids that follow each other.
func (m *Table) commit(b *Batch, digest uint64) {
	if b.Total > maxAtOnce {
		panic(gap("a large batch"))
	}
	b.digest, b.Committed, b.First = digest, m.now, m.lastTask+1
	m.coming = b.First + b.Total
	m.lastTask += b.Total
	id := b.First // what follows one of them that ends at once has none between
	for _, c := range b.chunks {
		for _, s := range c.GetTasks() {
			s = proto.CloneOf(s)
			s.RequestId = ""
			t := m.enterAs(id, s)
			t.Batch = b.ID
			id++
			m.after(t, s, func(item uint32) uint64 { return b.First + uint64(item) })
			m.admit(t)
		}
	}
	b.chunks = nil
}

// openBatch begins a batch, or finds the one with its request id.
func (m *Table) openBatch(c *fsmpb.OpenBatch) Result {
	b := m.batchOf(c.GetBatch().GetRequestId())
	if b == nil {
		return Result{Outcome: "ACCEPTED", Batch: m.addBatch(c.GetBatch()).ID}
	}
	b.touched = m.now
	return Result{Outcome: "EXISTING", Batch: b.ID, Count: b.Total}
}

// stageBatch adds a chunk to an open batch: the next one, or one that it has.
func (m *Table) stageBatch(c *fsmpb.StageBatch) Result {
	b, n := m.batches[c.GetBatch()], len(c.GetTasks())
	r := Result{Outcome: "NO_BATCH", Batch: c.GetBatch(), Outcomes: slices.Repeat([]string{"NONE"}, n), IDs: make([]uint64, n)}
	if b == nil {
		return r
	}
	same := func(old *fsmpb.StageBatch) bool {
		return old.GetOffset() == c.GetOffset() && old.GetDigest() == c.GetDigest() && len(old.GetTasks()) == n
	}
	switch {
	case b.Committed != 0:
		r.Outcome = "DUPLICATE"
	case c.GetOffset() == b.Total:
		m.stage(b, c, &r)
	case slices.ContainsFunc(b.chunks, same):
		r.Outcome = "DUPLICATE"
	default:
		r.Outcome = "REQUEST_ID_CONFLICT"
	}
	r.Count = b.Total
	return r
}

// stage adds the next chunk. Parents that have succeeded need not be there any more.
func (m *Table) stage(b *Batch, c *fsmpb.StageBatch, r *Result) {
	r.Outcome = "ACCEPTED"
	c = proto.CloneOf(c)
	for i, s := range c.GetTasks() {
		if parent, missing := m.noParent(s); missing {
			r.Outcome, r.Outcomes[i], r.IDs[i] = "NO_PARENT", "NO_PARENT", parent
		}
		s.After = slices.DeleteFunc(s.After, func(id uint64) bool { return m.tasks[id] != nil && m.tasks[id].State == Succeeded })
	}
	if r.Outcome == "ACCEPTED" {
		b.chunks, b.Total, b.touched = append(b.chunks, c), b.Total+uint64(len(c.GetTasks())), m.now
	}
}

func (m *Table) commitBatch(c *fsmpb.CommitBatch) Result {
	b := m.batches[c.GetBatch()]
	r := Result{Outcome: "ACCEPTED", Batch: c.GetBatch()}
	switch {
	case b == nil:
		r.Outcome = "NO_BATCH"
		return r
	case b.Committed != 0 && b.digest != c.GetContentDigest(), b.Committed == 0 && (b.Total != c.GetTotal() || b.Total == 0):
		r.Outcome = "REQUEST_ID_CONFLICT"
		return r
	case b.Committed != 0:
		r.Outcome = "EXISTING"
	default:
		var specs []*fsmpb.TaskSpec
		for _, chunk := range b.chunks {
			specs = append(specs, chunk.GetTasks()...)
		}
		if r.Outcome, r.IDs = m.committable(specs); r.Outcome != "ACCEPTED" {
			return r
		}
		m.commit(b, c.GetContentDigest())
	}
	r.IDs, r.Count = []uint64{b.First}, b.Total
	return r
}

// committable judges the tasks of a staged batch: for a circle ids are its places, for
// a unique key the place of the first that cannot enter and who has the key. Parents
// were there when the tasks were staged.
func (m *Table) committable(specs []*fsmpb.TaskSpec) (outcome string, ids []uint64) {
	r := Result{Outcome: "ACCEPTED", Outcomes: make([]string, len(specs))}
	if orderOf(specs, &r); r.Outcome != "ACCEPTED" {
		return r.Outcome, r.IDs
	}
	outcome = "ACCEPTED"
	m.obstacles(specs, false, func(i int, o string, id uint64) {
		if outcome == "ACCEPTED" {
			outcome, ids = o, []uint64{uint64(i), id}
		}
	})
	return outcome, ids
}

// cancelBatch cancels what of a batch has not ended. An open one is dropped.
func (m *Table) cancelBatch(c *fsmpb.CancelBatch) Result {
	b := m.batches[c.GetBatch()]
	r := Result{Outcome: "ACCEPTED", Batch: c.GetBatch()}
	switch {
	case b == nil:
		r.Outcome = "NO_BATCH"
	case b.Committed == 0:
		r.Count = b.Total
		delete(m.batches, b.ID)
	case b.Cancelled != 0 && m.unfinished(b) == uint64(m.count(b)[Stopping]):
		r.Outcome = "DUPLICATE"
	case b.Finished != 0:
		r.Outcome = "ALREADY_TERMINAL"
	default:
		r.Count = m.unfinished(b)
		b.Cancelled, b.Reason = m.now, reasonOf(c.GetReason())
		for id := b.First; id < b.First+b.Total; id++ {
			m.cancelOne(id, b.Reason)
		}
	}
	return r
}

// endBatch ends a batch whose last task has ended. What follows is submitted once,
// also when the batch ends again because a task was retried.
func (m *Table) endBatch(b *Batch) {
	if b == nil || b.Committed == 0 || b.Finished != 0 || m.unfinished(b) > 0 {
		return
	}
	b.Finished = m.now
	specs := b.followUp
	b.followUp = nil
	if uint64(m.count(b)[Succeeded]) == b.Total {
		specs = slices.Concat(specs, b.onSuccess)
		b.onSuccess = nil
	}
	m.follow(specs, 0, b.ID)
}

// forgetBatches drops open batches that nobody goes on with, and long finished ones.
func (m *Table) forgetBatches() {
	for id, b := range m.batches {
		if b.Committed == 0 && b.touched+keepStaging <= m.now || b.Finished != 0 && b.Finished+keepBatch <= m.now {
			delete(m.batches, id)
		}
	}
}
