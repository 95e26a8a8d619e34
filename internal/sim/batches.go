package sim

import (
	"fmt"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
	"github.com/taskraft/taskraft/internal/model"
)

// batch is what a client does to batches: whole ones, and all steps of staged ones,
// each also when it is another one's turn.
func (c *client) batch() *fsmpb.Command {
	w := c.w
	id := c.someBatch()
	have := w.table.Batch(id)
	if have == nil {
		have = new(fsm.Batch)
	}
	switch p := w.rng.Float64(); {
	case p < 0.4:
		s := &fsmpb.Submit{Batch: c.batchSpec("whole"), Tasks: c.members()}
		s.Batch.ContentDigest = uint64(w.rng.IntN(2))
		return &fsmpb.Command{Kind: &fsmpb.Command_Submit{Submit: s}}
	case p < 0.5:
		return &fsmpb.Command{Kind: &fsmpb.Command_OpenBatch{OpenBatch: &fsmpb.OpenBatch{Batch: c.batchSpec("staged")}}}
	case p < 0.75:
		stage := &fsmpb.StageBatch{Batch: id, Offset: have.Total, Tasks: c.members()}
		if w.chance(0.3) {
			stage.Offset = 0
		}
		c.parents = nil
		for _, s := range stage.Tasks {
			c.parents = append(c.parents, s.After...)
		}
		stage.Digest = stage.Offset + uint64(len(stage.Tasks))
		return &fsmpb.Command{Kind: &fsmpb.Command_StageBatch{StageBatch: stage}}
	case p < 0.9:
		commit := &fsmpb.CommitBatch{Batch: id, Total: have.Total, ContentDigest: uint64(w.rng.IntN(2))}
		if w.chance(0.1) {
			commit.Total++
		}
		return &fsmpb.Command{Kind: &fsmpb.Command_CommitBatch{CommitBatch: commit}}
	}
	return &fsmpb.Command{Kind: &fsmpb.Command_CancelBatch{CancelBatch: &fsmpb.CancelBatch{Batch: id, Reason: []string{"", "enough"}[w.rng.IntN(2)]}}}
}

// batchSpec is a batch that may be one of a few that have a request id.
func (c *client) batchSpec(kind string) *fsmpb.BatchSpec {
	s := &fsmpb.BatchSpec{Name: kind}
	if c.w.chance(0.5) {
		s.RequestId = fmt.Sprintf("%s-%d", kind, c.w.rng.IntN(6))
	}
	if c.w.chance(0.4) {
		s.FollowUp = []*fsmpb.TaskSpec{c.plain()}
	}
	if c.w.chance(0.4) {
		s.OnSuccess = []*fsmpb.TaskSpec{c.plain()}
	}
	return s
}

// members are tasks for a batch: with no request ids, and few unique keys.
func (c *client) members() (specs []*fsmpb.TaskSpec) {
	for range 1 + c.w.rng.IntN(4) {
		s := c.spec()
		s.RequestId = ""
		if c.w.chance(0.7) {
			s.UniqueKey, s.UniqueUntilStart = "", false
		}
		specs = append(specs, s)
	}
	c.relate(specs)
	return specs
}

// plain is a task that follows another one.
func (c *client) plain() *fsmpb.TaskSpec { return &fsmpb.TaskSpec{Queue: c.queue(), Kind: "k"} }

// someBatch returns the newest open batch, more often than not, or one of the newest of
// all, or one that is not there.
func (c *client) someBatch() uint64 {
	newest, open := uint64(0), uint64(0)
	for b := range c.w.table.BatchesBefore(0) {
		newest = max(newest, b.ID)
		if b.CommittedAt == 0 {
			open = b.ID
			break
		}
	}
	switch p := c.w.rng.Float64(); {
	case p < 0.05:
		return newest + 1
	case p < 0.7 && open != 0:
		return open
	}
	return max(1, newest-min(newest, c.w.rng.Uint64N(4)))
}

// compareBatches compares every batch, and recounts it (S16).
func (w *world) compareBatches() {
	ids := w.model.Batches()
	for b := range w.table.BatchesBefore(0) {
		n := len(ids)
		if n == 0 || ids[n-1] != b.ID {
			failf("entry %d: batch %d, the model has %v", w.index, b.ID, ids)
		}
		ids = ids[:n-1]
		if diff := model.DiffBatch(batchOf(b), w.model.Batch(b.ID)); diff != "" {
			failf("entry %d: batch %d: %s (S16)", w.index, b.ID, diff)
		}
	}
	if len(ids) > 0 {
		failf("entry %d: no batches %v, which the model has", w.index, ids)
	}
}

// metBatch counts what became of batches and of what follows an end.
func (w *world) metBatch(e fsm.Event) {
	switch {
	case e.Kind == fsm.BatchFinished:
		w.cover["batch finished"]++
	case e.Kind == fsm.TaskSubmitted && e.Task.Extra != nil && e.Task.Extra.FollowsBatch != 0:
		w.cover["followed a batch"]++
	case e.Kind == fsm.TaskSubmitted && e.Task.Extra != nil && e.Task.Extra.Follows != 0:
		w.cover["followed a task"]++
	}
}
