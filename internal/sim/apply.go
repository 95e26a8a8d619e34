package sim

import (
	"bytes"
	"slices"
	"strings"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
	"github.com/taskraft/taskraft/internal/model"
)

// commit applies an entry to machine, model and follower, compares them and tells
// whoever waits.
func (w *world) commit(h fsm.Header, batch []proposal, answered bool) {
	e := &fsm.Entry{Header: h}
	for _, p := range batch {
		e.Commands = append(e.Commands, p.command)
	}
	data, err := fsm.EncodeEntry(nil, e)
	if err != nil {
		failf("encode: %v", err)
	}
	decoded, err := fsm.DecodeEntry(data)
	if err != nil {
		failf("decode what was encoded: %v", err)
	}
	w.index++
	w.traceEntry(h, batch)
	done := w.table.Apply(w.index, w.lead.term, decoded)
	want, err := w.model.Apply(w.index, w.lead.term, data)
	if err != nil {
		failf("model: %v", err)
	}
	w.compare(done, want)
	w.follower.log = append(w.follower.log, record{w.index, w.lead.term, data})
	w.maintain()
	if done.NotLeader {
		w.cover["entry of a dead leader"]++
		return
	}
	if !answered {
		return
	}
	for i, p := range batch {
		if p.reply != nil {
			p.reply(done.Results[i])
		}
	}
	w.publish(done.Events)
}

// publish sends the workers what they must know of events.
func (w *world) publish(events []fsm.Event) {
	for _, e := range events {
		if e.Kind != fsm.TaskStopping && e.Kind != fsm.AttemptVoid {
			continue
		}
		fence := e.Fence
		if s := w.table.Session(e.Session); s != nil {
			if one := w.byName[s.Worker]; one != nil {
				w.send(func() { one.stop(fence) })
			}
		}
	}
}

// compare holds the machine's answers and touched tasks to the model's.
func (w *world) compare(done *fsm.Applied, want *model.Applied) {
	if done.NotLeader != want.NotLeader {
		failf("entry %d: not leader: %t, the model says %t", w.index, done.NotLeader, want.NotLeader)
	}
	for i, r := range want.Results {
		w.note(want.Commands[i], r)
		if diff := model.DiffResult(ResultOf(&done.Results[i]), r); diff != "" {
			failf("entry %d, command %d (%v): %s", w.index, i, want.Commands[i], diff)
		}
	}
	for i, r := range want.Results {
		w.metBulk(want.Commands[i], r)
		w.metRetry(want.Commands[i].GetRetry(), r)
	}
	for _, id := range want.Touched {
		w.compareTask(id)
	}
	for _, e := range done.Events {
		w.metBatch(e)
		if e.Task != nil {
			w.met(e)
			w.metBroadcast(e, want.Commands[e.Command])
			w.compareTask(e.Task.ID)
		}
	}
	w.compareSchedules()
	if w.index%64 == 0 {
		w.compareAll()
	}
	if w.cfg.batches && w.index%4 == 0 {
		w.compareBatches()
	}
}

func (w *world) compareTask(id uint64) {
	have, known := w.table.Task(id)
	want, known2 := w.model.Task(id)
	if known != known2 || (have == nil) != (want.ID == 0) {
		failf("entry %d: task %d: there %t, known %t; the model: there %t, known %t", w.index, id, have != nil, known, want.ID != 0, known2)
	}
	if have == nil {
		return
	}
	if diff := model.DiffTask(taskOf(have), want); diff != "" {
		failf("entry %d: task %d: %s", w.index, id, diff)
	}
}

// compareAll compares every record and recounts every queue (S16).
func (w *world) compareAll() {
	ids := w.model.Tasks()
	for _, id := range ids {
		w.compareTask(id)
	}
	if tasks, _, _ := w.table.Counts(); tasks != len(ids) {
		failf("entry %d: %d tasks, the model has %d (S2)", w.index, tasks, len(ids))
	}
	w.compareSweeps()
	w.compareWorkers()
	for _, name := range w.model.Queues() {
		q, counts := w.table.Queue(name), w.model.Counts(name)
		if q == nil {
			failf("entry %d: queue %s is missing", w.index, name)
		}
		for s := fsm.Scheduled; s <= fsm.Cancelled; s++ {
			if q.Counts[s] != counts[s.String()] {
				failf("entry %d: queue %s counts %d %v, a recount %d (S16)", w.index, name, q.Counts[s], s, counts[s.String()])
			}
		}
	}
}

// maintain restores the table from its own snapshot, lets the follower catch up
// and compares both, each at times.
func (w *world) maintain() {
	if w.chance(w.cfg.snapshots) {
		before := snapshot(w.table)
		restored, err := fsm.Restore(bytes.NewReader(before))
		if err != nil {
			failf("entry %d: restore: %v (C3)", w.index, err)
		}
		if !bytes.Equal(before, snapshot(restored)) {
			failf("entry %d: a restored table writes other bytes (C3)", w.index)
		}
		w.table = restored
		w.cover["table restored"]++
	}
	switch {
	case w.chance(0.05):
		w.follower.catchUp()
		if w.chance(0.3) {
			w.sameTables()
		}
	case w.chance(0.01):
		w.follower.install(snapshot(w.table), w.index)
		w.cover["snapshot installed"]++
	}
}

// sameTables compares the bytes of both tables (C1).
func (w *world) sameTables() {
	w.follower.catchUp()
	if !bytes.Equal(snapshot(w.table), snapshot(w.follower.table)) {
		failf("entry %d: two tables at one index write different bytes (C1)", w.index)
	}
	w.cover["tables compared"]++
}

func snapshot(m *fsm.Machine) []byte {
	var b bytes.Buffer
	if _, err := m.Snapshot().WriteTo(&b); err != nil {
		failf("write a snapshot: %v", err)
	}
	return b.Bytes()
}

// follower is a second machine, behind by some entries.
type follower struct {
	table *fsm.Machine
	log   []record
}

type record struct {
	index, term uint64
	data        []byte
}

func (f *follower) catchUp() {
	for _, r := range f.log {
		e, err := fsm.DecodeEntry(r.data)
		if err != nil {
			failf("entry %d: decode: %v", r.index, err)
		}
		f.table.Apply(r.index, r.term, e)
	}
	f.log = nil
}

// install replaces the follower's table, as for one that was away too long.
func (f *follower) install(data []byte, index uint64) {
	m, err := fsm.Restore(bytes.NewReader(data))
	if err != nil {
		failf("entry %d: install a snapshot: %v (C3)", index, err)
	}
	f.table, f.log = m, nil
}

// met counts what became of tasks.
func (w *world) met(e fsm.Event) {
	t := e.Task
	switch {
	case e.Kind == fsm.TaskFinished && t.Reason == fsm.ReasonPoison:
		w.cover["became poison"]++
	case e.Kind == fsm.TaskFinished && t.Reason == fsm.ReasonExpired:
		w.cover["expired unstarted"]++
	case e.Kind == fsm.TaskFinished && t.Reason == fsm.ReasonParent:
		w.cover["cancelled with its parent"]++
	case e.Kind == fsm.TaskReady && e.Cause == fsm.CauseNone && t.Extra != nil && len(t.Extra.After) > 0:
		w.cover["ready after its parents"]++
	case e.Kind == fsm.TaskFinished && t.Reason == fsm.ReasonOverlapped:
		w.cover["cancelled by its schedule"]++
	case e.Kind == fsm.TaskFinished && t.Reason == fsm.ReasonTimedOut:
		w.cover["timed out for good"]++
	case e.Kind == fsm.TaskFinished && t.State == fsm.Succeeded && e.Session == 0:
		w.cover["redeemed"]++
	case e.Kind == fsm.TaskAssigned && e.Cause != fsm.CauseNone:
		w.cover["taken back"]++
	case e.Kind == fsm.TaskAssigned && t.Solo:
		w.cover["ran alone"]++
	}
}

// note counts what the commands met.
func (w *world) note(c *fsmpb.Command, r model.Result) {
	verb := string(c.ProtoReflect().WhichOneof(c.ProtoReflect().Descriptor().Oneofs().Get(0)).Name())
	if f := c.GetFire(); f != nil {
		w.metFires(f, r)
	}
	if s := c.GetSubmit(); s != nil && r.Outcome == "ACCEPTED" {
		for i, id := range r.IDs {
			w.metKey(s.GetTasks()[i], r.Outcomes[i], id)
		}
	}
	outcomes := r.Outcomes
	if c.GetSubmit().GetBatch() != nil {
		verb, outcomes = "submit_batch", nil
	}
	if len(outcomes) == 0 || c.GetStageBatch() != nil {
		outcomes = []string{r.Outcome}
	}
	for _, o := range outcomes {
		w.cover[verb+" "+o]++
	}
	if len(r.Got) > 0 {
		w.cover[verb+" got tasks"]++
	}
	if len(r.Aborts) > 0 {
		w.cover[verb+" aborts"]++
	}
}

// metKey counts what became of a task with a unique key.
func (w *world) metKey(s *fsmpb.TaskSpec, outcome string, id uint64) {
	switch {
	case s.GetUniqueKey() == "":
	case outcome == "EXISTING" && s.GetRequestId() == "":
		w.cover["unique key taken"]++
	case outcome == "ACCEPTED":
		for t := range w.table.TasksBefore(id) {
			if t.Extra != nil && t.Extra.UniqueKey == s.GetUniqueKey() && !t.State.Terminal() {
				w.cover["unique key free at the start"]++
			}
		}
	}
}

func (w *world) traceEntry(h fsm.Header, batch []proposal) {
	if w.trace == nil {
		return
	}
	texts := make([]string, 0, len(batch))
	for _, p := range batch {
		texts = append(texts, strings.ReplaceAll(p.command.String(), "\n", " "))
	}
	w.tracef("%d term=%d/%d now=+%.3fs %s", w.index, h.Term, w.lead.term, seconds(h.Now-epoch), strings.Join(slices.Clip(texts), " ; "))
}
