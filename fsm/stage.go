package fsm

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Staging: open, chunks, commit. A staged task is a spec in a chunk and nothing
// else: it has no id, no queue counts it, nothing finds it. The commit gives the
// tasks their ids in one stroke, and they exist; their records are made (unpacked)
// in the order of their ids, at once as far as one entry may go and by ticks from
// there on. Before its turn a task is shown as what it will be, and counted, as
// SCHEDULED.

// chunk is a part of a staged batch. Frozen.
type chunk struct {
	offset uint64 // place of its first task in the batch
	digest uint64 // of the batch up to its last
	tasks  []*fsmpb.TaskSpec
	bytes  int64
}

// end is the place after its last task.
func (c *chunk) end() uint64 { return c.offset + uint64(len(c.tasks)) }

// stagedSize is what all staged tasks take.
type stagedSize struct{ tasks, bytes int64 }

func (s *stagedSize) add(c *chunk, sign int64) {
	s.tasks += sign * int64(len(c.tasks))
	s.bytes += sign * c.bytes
}

func newChunk(offset, digest uint64, tasks []*fsmpb.TaskSpec) *chunk {
	c := &chunk{offset: offset, digest: digest, tasks: tasks}
	for _, spec := range tasks {
		c.bytes += int64(proto.Size(spec))
	}
	return c
}

// openBatch begins a staged batch, or finds the one with its request id: open, to
// go on with, or committed.
func (m *Machine) openBatch(c *fsmpb.OpenBatch) Result {
	spec := c.GetBatch()
	if id, ok := m.batchIDs[spec.GetRequestId()]; ok {
		b := m.lots[id]
		if b.rec.committedAt == 0 {
			m.touchBatch(b)
		}
		return Result{Outcome: Existing, Batch: id, Count: b.rec.total}
	}
	if !m.roomForBatch() {
		return Result{Outcome: BatchesFull}
	}
	return Result{Outcome: Accepted, Batch: m.addBatch(spec).rec.id}
}

// touchBatch keeps an open batch from being dropped.
func (m *Machine) touchBatch(b *lot) {
	m.editBatch(b).touchedAt = m.now
	m.placeBatch(b)
}

// stageBatch adds a chunk to an open batch. The same chunk again is a duplicate.
func (m *Machine) stageBatch(c *fsmpb.StageBatch) Result {
	b := m.lots[c.GetBatch()]
	specs := c.GetTasks()
	r := Result{Outcome: Accepted, Batch: c.GetBatch(), Outcomes: make([]Outcome, len(specs)), IDs: make([]uint64, len(specs))}
	if b == nil {
		r.Outcome = NoBatch
		return r
	}
	r.Count = b.rec.total
	switch {
	case b.rec.committedAt != 0:
		r.Outcome = Duplicate // the commit compares the whole
	case c.GetOffset() != b.rec.total:
		r.Outcome = b.staged(c)
	case b.rec.total+uint64(len(specs)) > MaxStagedTasks || len(specs) > MaxBatch:
		r.Outcome = BatchFull
	default:
		r.Outcome = m.admissible(specs, nil, &r, nil)
	}
	if r.Outcome != Accepted {
		return r
	}
	if m.staged.bytes+int64(proto.Size(c)) > MaxStagedBytes {
		r.Outcome = StagingFull
		return r
	}
	m.addChunk(b, c.GetDigest(), specs)
	m.touchBatch(b)
	r.Count = b.rec.total
	return r
}

// addChunk adds tasks to a batch. Their queues are made now, since a queue that is
// there can be relied on; parents that have succeeded already need no record by
// the time of the commit.
func (m *Machine) addChunk(b *lot, digest uint64, specs []*fsmpb.TaskSpec) {
	rec := m.editBatch(b)
	for _, spec := range specs {
		spec.RequestId = ""
		m.line(queueName(spec.GetQueue()))
		spec.After = slices.DeleteFunc(spec.After, m.succeeded)
		for _, item := range spec.GetAfterItems() {
			rec.widest = max(rec.widest, uint64(item)+1)
		}
	}
	ch := newChunk(rec.total, digest, specs)
	rec.chunks = append(rec.chunks, ch)
	rec.total += uint64(len(ch.tasks))
	m.holdChunk(ch, 1)
}

// staged judges a chunk that is not the next one.
func (b *lot) staged(c *fsmpb.StageBatch) Outcome {
	i, found := slices.BinarySearchFunc(b.rec.chunks, c.GetOffset(), func(ch *chunk, at uint64) int { return cmp.Compare(ch.offset, at) })
	if found && b.rec.chunks[i].digest == c.GetDigest() && len(b.rec.chunks[i].tasks) == len(c.GetTasks()) {
		return Duplicate
	}
	return RequestIDConflict
}

func (m *Machine) succeeded(id uint64) bool {
	t, ok := m.tasks.Get(id)
	return ok && t.State == Succeeded
}

// commitBatch makes the staged tasks exist: from this index on they have their
// ids. The same content again is the same batch.
func (m *Machine) commitBatch(c *fsmpb.CommitBatch) Result {
	b := m.lots[c.GetBatch()]
	r := Result{Outcome: Accepted, Batch: c.GetBatch()}
	switch {
	case b == nil:
		r.Outcome = NoBatch
		return r
	case b.rec.committedAt != 0:
		r.Outcome = Existing
		if b.rec.digest != c.GetContentDigest() {
			r.Outcome = RequestIDConflict
			return r
		}
	case b.rec.total != c.GetTotal() || b.rec.total == 0:
		r.Outcome = RequestIDConflict
		return r
	case b.rec.widest > b.rec.total:
		r.Outcome = NoParent
		return r
	default:
		if r.IDs = b.circle(); r.IDs != nil {
			r.Outcome = DependencyCycle
			return r
		}
		if o, place, holder := m.obstacle(b); o != Accepted {
			r.Outcome, r.IDs = o, []uint64{place, holder}
			return r
		}
		m.commit(b, c.GetContentDigest())
	}
	r.IDs, r.Count = []uint64{b.rec.first}, b.rec.total
	return r
}

// circle returns places of tasks that wait for each other in a circle, or nil.
func (b *lot) circle() []uint64 {
	if b.rec.widest == 0 {
		return nil
	}
	_, circle := arrange(int(b.rec.total), func(i int) []uint32 { return b.spec(uint64(i)).GetAfterItems() })
	return circle
}

// spec returns the packed task at a place in the batch.
func (b *lot) spec(at uint64) *fsmpb.TaskSpec {
	i, found := slices.BinarySearchFunc(b.rec.chunks, at, func(ch *chunk, at uint64) int { return cmp.Compare(ch.offset, at) })
	if !found {
		i--
	}
	ch := b.rec.chunks[i]
	return ch.tasks[at-ch.offset]
}

// commit gives a batch's tasks their ids and begins to unpack them.
func (m *Machine) commit(b *lot, digest uint64) {
	rec := m.editBatch(b)
	rec.digest, rec.committedAt, rec.first = digest, m.now, m.lastTask+1
	m.lastTask += rec.total
	m.countPacked(b)
	m.placeBatch(b)
	m.emit(Event{Kind: BatchAccepted, Batch: rec.id})
	m.work(b)
}

// unpack makes the record of the batch's next task.
func (m *Machine) unpack(b *lot) {
	rec := m.editBatch(b)
	ch := rec.chunks[0]
	spec := ch.tasks[rec.unpacked-ch.offset]
	id := rec.first + rec.unpacked
	rec.unpacked++
	if rec.unpacked == ch.end() {
		rec.chunks = rec.chunks[1:]
		m.holdChunk(ch, -1)
	}
	m.countSpec(id, spec, -1)
	if key := spec.GetUniqueKey(); key != "" {
		delete(m.unique, key) // the record keeps it, unless it starts at once
	}
	m.enter(id, spec, &origin{batch: rec.id, first: rec.first, at: rec.committedAt})
	if t, ok := m.tasks.Get(id); ok && rec.cancelledAt != 0 && !t.State.Terminal() {
		m.revoke(m.lines[t.Queue], t, rec.reason)
	}
}

// packed returns the committed batch in which a task waits for its record, or nil.
func (m *Machine) packed(id uint64) (found *lot) {
	m.busy.Scan(func(_ uint64, b *lot) bool {
		if r := b.rec; r.first+r.unpacked <= id && id < r.first+r.total {
			found = b
		}
		return found == nil
	})
	return found
}

// packedUpTo returns the greatest id up to this one whose task waits for its
// record; 0: none.
func (m *Machine) packedUpTo(id uint64) (found uint64) {
	m.busy.Scan(func(_ uint64, b *lot) bool {
		if r := b.rec; r.unpacked < r.total && r.first+r.unpacked <= id {
			found = max(found, min(id, r.first+r.total-1))
		}
		return true
	})
	return found
}

// countPacked adds the batch's tasks without records to their queues' counters, and
// gives them their unique keys. It reports whether these were free.
func (m *Machine) countPacked(b *lot) (free bool) {
	free = true
	for _, c := range b.rec.chunks {
		for i, spec := range c.tasks {
			at := c.offset + uint64(i)
			if at < b.rec.unpacked {
				continue
			}
			m.countSpec(b.rec.first+at, spec, 1)
			if key := spec.GetUniqueKey(); key != "" {
				_, taken := m.unique[key]
				free = free && !taken
				m.unique[key] = b.rec.first + at
			}
		}
	}
	return free
}

// countSpec adds a task without a record to its queue's counters and the catalog,
// or takes it out.
func (m *Machine) countSpec(id uint64, spec *fsmpb.TaskSpec, sign int64) {
	l := m.lines[queueName(spec.GetQueue())]
	if sign > 0 {
		m.catalog.states[Scheduled].add(id)
		m.catalog.enter(l, id, spec.GetKind(), labelsOf(spec.GetLabels()))
	} else {
		m.catalog.states[Scheduled].remove(id)
		m.catalog.leave(l, id, spec.GetKind(), labelsOf(spec.GetLabels()))
	}
	l.packed += sign
	l.liveBytes += sign * int64(len(spec.GetPayload()))
}

// holdChunk counts a chunk in, or out: its size, and the tasks that its tasks will
// wait for, which must not be deleted meanwhile.
func (m *Machine) holdChunk(c *chunk, sign int) {
	m.staged.add(c, int64(sign))
	for _, spec := range c.tasks {
		for _, parent := range spec.GetAfter() {
			if m.named[parent] += sign; m.named[parent] == 0 {
				delete(m.named, parent)
			}
		}
	}
}

// catchUp makes the record of a task whose turn has not come, and of those before it.
func (m *Machine) catchUp(id uint64) *Task {
	b := m.packed(id)
	if b == nil {
		return nil
	}
	for b.rec.first+b.rec.unpacked <= id {
		m.unpack(b)
	}
	m.placeBatch(b)
	t, _ := m.tasks.Get(id)
	return t
}

// preview returns what a task will be whose turn has not come. It changes nothing.
func (m *Machine) preview(id uint64) *Task {
	b := m.packed(id)
	if b == nil {
		return nil
	}
	spec := b.spec(id - b.rec.first)
	l := m.lines[queueName(spec.GetQueue())]
	t := m.build(id, spec, l, &origin{batch: b.rec.id, first: b.rec.first, at: b.rec.committedAt})
	o := optionsOf(spec, l.rec)
	t.Options, t.State = &o, Scheduled
	return t
}
