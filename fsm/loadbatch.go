package fsm

import (
	"fmt"
	"maps"
	"slices"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

func (l *loader) batch(r *fsmpb.BatchRecord) error {
	last, _, _ := l.m.batches.Max()
	_, twice := l.m.batchIDs[r.RequestId]
	committed := r.CommittedAt != 0
	end := r.First + r.Total
	if r.Id <= last || r.Id > l.m.lastBatch || twice || r.Unpacked > r.Total || end < r.First || r.TouchedAt <= 0 ||
		committed != (r.First != 0) || !committed && (r.Unpacked != 0 || r.FinishedAt != 0 || r.CancelledAt != 0) ||
		committed && (r.Total == 0 || end > l.m.lastTask+1 || r.Widest > r.Total) ||
		r.CancelledAt != 0 && (r.CancelFrom < r.First || r.CancelFrom > end) {
		return errInconsistent
	}
	b := &lot{rec: batchOf(r, l.m.epoch)}
	l.m.batches.Set(r.Id, b.rec)
	l.m.indexBatch(b)
	return nil
}

// chunk adds a chunk to its batch: in order, without a gap, the first one with
// the first task that has no record.
func (l *loader) chunk(r *fsmpb.ChunkRecord) error {
	b := l.m.lots[r.Batch]
	if b == nil || len(r.Tasks) == 0 {
		return errInconsistent
	}
	c := newChunk(r.Offset, r.Digest, r.Tasks)
	next := b.rec.unpacked
	if n := len(b.rec.chunks); n > 0 {
		next = b.rec.chunks[n-1].end()
	} else if r.Offset <= next {
		next = r.Offset
	}
	if r.Offset != next || c.end() <= b.rec.unpacked || c.end() > b.rec.total {
		return errInconsistent
	}
	for _, spec := range r.Tasks {
		if l.m.lines[queueName(spec.GetQueue())] == nil || spec.GetRequestId() != "" {
			return errInconsistent
		}
		for _, item := range spec.GetAfterItems() {
			if uint64(item) >= b.rec.widest {
				return errInconsistent
			}
		}
	}
	b.rec.chunks = append(b.rec.chunks, c)
	l.m.holdChunk(c, 1)
	return nil
}

func (l *loader) release(r *fsmpb.ReleaseRecord) error {
	if r.State > uint32(Cancelled) {
		return fmt.Errorf("state %d: %w", r.State, ErrNewer)
	}
	last, _, _ := l.m.releasing.Max()
	l.m.releasing.Set(r.Parent, &release{generation: r.Generation, state: State(r.State), after: r.After, last: r.Last})
	return must(r.Parent > last && r.After < r.Last && State(r.State).Terminal())
}

// endBatches builds the indexes that need the whole table, and checks that every
// task of a batch is somewhere.
func (l *loader) endBatches() error {
	for _, t := range l.waiting {
		l.m.enlist(t)
		if l.m.waits[t.ID] == 0 {
			return fmt.Errorf("snapshot task %d waits for nothing: %w", t.ID, ErrCorrupt)
		}
	}
	whole, ends := true, make(map[uint64]uint64) // first → end of the batches with packed tasks
	l.m.batches.Scan(func(id uint64, r *batchRecord) bool {
		b, staged, count := l.m.lots[id], r.unpacked, uint64(0)
		if n := len(r.chunks); n > 0 {
			staged = r.chunks[n-1].end()
		}
		for s := range b.counts {
			count += uint64(b.counts[s] + r.gone[s])
		}
		if r.committedAt != 0 {
			whole = l.m.countPacked(b) && whole
		}
		whole = whole && staged == r.total && count == r.unpacked && (r.finishedAt == 0 || b.unfinished() == 0)
		if b.busy() && r.unpacked < r.total {
			_, twice := ends[r.first+r.unpacked]
			whole = whole && !twice && !l.anyTask(r.first+r.unpacked, r.first+r.total)
			ends[r.first+r.unpacked] = r.first + r.total
		}
		return whole
	})
	end := uint64(0)
	for _, first := range slices.Sorted(maps.Keys(ends)) {
		whole = whole && first >= end
		end = ends[first]
	}
	if !whole {
		return fmt.Errorf("snapshot's batches miss tasks: %w", ErrCorrupt) // S16
	}
	return nil
}

// anyTask reports whether a task has a record with an id from first on below end.
func (l *loader) anyTask(first, end uint64) (found bool) {
	l.m.tasks.Ascend(first, func(id uint64, _ *Task) bool {
		found = id < end
		return false
	})
	return found
}

// inBatch checks that a task stands where its batch has it.
func (l *loader) inBatch(t *Task) bool {
	if t.Extra == nil || t.Extra.Batch == 0 {
		return true
	}
	b := l.m.lots[t.Extra.Batch]
	if b == nil { // long finished and forgotten
		return t.Extra.Batch <= l.m.lastBatch
	}
	return b.rec.first <= t.ID && t.ID < b.rec.first+b.rec.unpacked
}
