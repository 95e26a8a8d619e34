package sim

import (
	"slices"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
	"github.com/taskraft/taskraft/internal/model"
)

// bulk is what a client does to many tasks at once.
func (c *client) bulk() *fsmpb.Command {
	if c.w.chance(0.5) {
		return &fsmpb.Command{Kind: &fsmpb.Command_RetryDead{RetryDead: c.dead()}}
	}
	sweep := &fsmpb.Sweep{What: c.filter(), Reason: []string{"", "swept"}[c.w.rng.IntN(2)]}
	return &fsmpb.Command{Kind: &fsmpb.Command_Sweep{Sweep: sweep}}
}

// filter chooses few tasks more often than many: what is swept away meets nothing else.
func (c *client) filter() *fsmpb.TaskFilter {
	w := c.w
	f := &fsmpb.TaskFilter{Queue: c.queue()}
	if w.chance(0.5) {
		f.States = []uint32{uint32(fsm.Scheduled), uint32(fsm.Ready)}
	}
	newest := uint64(1)
	if n := len(c.acked); n > 0 {
		newest = c.acked[n-1]
	}
	switch w.rng.IntN(7) {
	case 0:
		f.Queue, f.Worker, f.States = "", w.anyWorker().name, nil
	case 1:
		f.First, f.Last = newest-min(newest, w.rng.Uint64N(8)), newest
	case 2:
		f.Labels = []*fsmpb.Label{{Key: "tenant", Value: "7"}}
	case 3:
		f.Queue, f.Batch = "", c.someBatch()
	case 4:
		f.Since, f.Until = w.tableTime()-w.rng.Int64N(second), w.tableTime()-w.rng.Int64N(second/2)
	case 5:
		f.Kind = "other"
	}
	return f
}

// dead chooses dead tasks: those of a queue, of a kind, or of a group.
func (c *client) dead() *fsmpb.RetryDead {
	what := &fsmpb.RetryDead{Queue: c.queue()}
	if c.w.chance(0.3) {
		what.Kind = new("k")
	}
	groups := slices.Collect(c.w.table.DeadGroups(new(fsmpb.RetryDead), 0))
	if len(groups) > 0 && c.w.chance(0.5) {
		what.Queue, what.Group = "", groups[c.w.rng.IntN(len(groups))].ID
	}
	return what
}

// operate is what an operator does to workers.
func (c *client) operate() *fsmpb.Command {
	w := c.w
	name := w.anyWorker().name
	if w.chance(0.05) {
		name = "nobody"
	}
	if w.chance(0.3) {
		return &fsmpb.Command{Kind: &fsmpb.Command_RemoveWorker{RemoveWorker: &fsmpb.RemoveWorker{Worker: name, Force: w.chance(0.6)}}}
	}
	return drainWorker(name, w.chance(0.55))
}

func drainWorker(name string, undo bool) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_DrainWorker{DrainWorker: &fsmpb.DrainWorker{Worker: name, Undo: undo}}}
}

// undrain lets every worker have tasks again.
func (w *world) undrain() {
	for one := range w.table.WorkersAfter("") {
		if one.Drained {
			w.propose(drainWorker(one.Name, true), nil)
		}
	}
}

// metBulk counts what bulk verbs met, as the table was after them.
func (w *world) metBulk(c *fsmpb.Command, r model.Result) {
	switch {
	case r.Outcome != "ACCEPTED" || r.Count == 0:
	case c.GetSweep() != nil:
		w.cover["swept"]++
	case c.GetRetryDead() != nil:
		w.cover["retried in bulk"]++
		if left := w.table.DeadGroups(c.GetRetryDead(), 0); len(slices.Collect(left)) > 0 {
			w.cover["left dead by a bulk retry"]++
		}
	}
}

// compareSweeps compares every sweep.
func (w *world) compareSweeps() {
	have, want := slices.Collect(w.table.Sweeps()), w.model.Sweeps()
	if len(have) != len(want) {
		failf("entry %d: %d sweeps, the model has %d", w.index, len(have), len(want))
	}
	for i, s := range have {
		if diff := model.DiffSweep(sweepOf(s), want[i]); diff != "" || s.Left != 0 {
			failf("entry %d: sweep %d, with %d left: %s (S14)", w.index, s.ID, s.Left, diff)
		}
	}
}

// compareWorkers compares what is known of every worker.
func (w *world) compareWorkers() {
	names := w.model.Workers()
	n := 0
	for one := range w.table.WorkersAfter("") {
		if n++; n > len(names) || names[n-1] != one.Name {
			failf("entry %d: worker %s, the model has %v", w.index, one.Name, names)
		}
		if diff := model.DiffWorker(workerOf(one), w.model.Worker(one.Name)); diff != "" {
			failf("entry %d: worker %s: %s", w.index, one.Name, diff)
		}
	}
	if n < len(names) {
		failf("entry %d: %d workers, the model has %v", w.index, n, names)
	}
}
