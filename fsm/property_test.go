package fsm

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// watch checks what must hold over a whole log.
type watch struct {
	fence uint64             // the last one given
	ends  map[[2]uint64]bool // task and generation that ended
	after map[string]bool    // what was submitted with an end
	fired map[firing]bool    // schedule and nominal time that made a task
}

// firing is one nominal time of a schedule.
type firing struct {
	schedule string
	at       int64
}

// events checks fences (S6), one end per generation (S4) and one task per schedule
// and time (S11).
func (w *watch) events(tb reporter, events []Event) {
	for _, e := range events {
		switch {
		case e.Kind == TaskAssigned && e.Cause == CauseNone:
			if e.Fence <= w.fence {
				tb.Fatalf("S6: fence %d after %d", e.Fence, w.fence)
			}
			w.fence = e.Fence
		case e.Kind == TaskSubmitted && e.Task.Extra != nil && e.Task.Extra.FireTime != 0:
			f := firing{e.Task.Extra.Schedule, e.Task.Extra.FireTime}
			if w.fired[f] {
				tb.Fatalf("S11: schedule %s fired twice for %d", f.schedule, f.at)
			}
			w.fired[f] = true
		case e.Kind == TaskFinished:
			k := [2]uint64{e.Task.ID, uint64(e.Task.Generation)}
			if w.ends[k] {
				tb.Fatalf("S4: task %d ended twice in generation %d", k[0], k[1])
			}
			w.ends[k] = true
		case e.Kind == TaskSubmitted && e.Task.Extra != nil:
			w.followed(tb, e.Task)
		}
	}
}

// followed checks that what was asked for with an end is submitted once. The kind
// says what it was asked for with; a completion asks for as much as it likes.
func (w *watch) followed(tb reporter, t *Task) {
	x := t.Extra
	if x.Follows|x.FollowsBatch == 0 || t.Kind == "completed" {
		return
	}
	k := fmt.Sprint(x.Follows, x.FollowsBatch, t.Kind)
	if w.after[k] {
		tb.Fatalf("%s of task %d, batch %d is submitted twice", t.Kind, x.Follows, x.FollowsBatch)
	}
	w.after[k] = true
}

// assigned applies an assignment and compares it with the naive choice.
func assigned(t *rapid.T, w *table, c *fsmpb.Assign) *Applied {
	m := restored(t, snapshotBytes(t, w.m)) // at the entry's now, as Apply will see it
	m.now = w.now
	want, known := chosen(m, c.Session, int(c.N))
	count := m.Assignable(c.Session, int(c.N))
	held := 0
	if s := w.m.Session(c.Session); s != nil {
		held = s.Held
	}
	a := w.apply(assignCmd(c.Session, c.N))
	var got []uint64
	delivered := 0
	for _, task := range a.Results[0].Tasks {
		if task.target() != nil {
			delivered++
			continue
		}
		got = append(got, task.ID)
	}
	expired := expiredTargets(m)
	if delivers := delivered > 0; delivers != m.Deliverable(c.Session) && !expired {
		t.Fatalf("deliverable said %v, delivered %d", !delivers, delivered)
	}
	if known && !slices.Equal(want, got) {
		t.Fatalf("S9: session %d asked for %d and got %v, want %v", c.Session, c.N, got, want)
	}
	if len(got) > count && !expired { // whose end may submit what follows it
		t.Fatalf("assignable said %d, got %v", count, got)
	}
	if s := w.m.Session(c.Session); s != nil && s.Held != held+len(got)+delivered {
		t.Fatalf("held %d, got %v, now %d", held, got, s.Held)
	}
	return a
}

// polled applies a poll, or another change of a session, and checks that an old seq
// assigns nothing, and that a new one leaves nothing running that the process
// neither lists nor is told of, unless it has no room for it.
func polled(t *rapid.T, w *table, c *fsmpb.UpdateSession) *Applied {
	before := w.m.Session(c.Session)
	a := w.apply(updateCmd(c))
	if before == nil || c.PollSeq == 0 || a.Results[0].Outcome != Accepted {
		return a
	}
	got := a.Results[0].Tasks
	fresh := c.PollSeq > before.PollSeq || c.PollSeq == before.PollSeq && len(before.PollTasks) == 0
	if now := w.m.Session(c.Session); !fresh && now.AssignedTotal != before.AssignedTotal || c.PollSeq < before.PollSeq && len(got) > 0 {
		t.Fatalf("poll %d after poll %d got %d tasks, %d new", c.PollSeq, before.PollSeq, len(got), now.AssignedTotal-before.AssignedTotal)
	}
	if !fresh || c.PollHeld == nil || len(got) >= int(c.PollMax) {
		return a
	}
	for task := range w.m.Held(c.Session) {
		told := func(x *Task) bool { return x.Fence == task.Fence }
		if task.State == Running && !slices.Contains(c.PollHeld.Fences, task.Fence) && !slices.ContainsFunc(got, told) {
			t.Fatalf("poll %d leaves task %d with nobody who knows of it", c.PollSeq, task.ID)
		}
	}
	return a
}

// expiredTargets reports whether a target waits beyond its deadline: it is not
// delivered any more.
func expiredTargets(m *Machine) bool {
	for t := range m.TasksBefore(0) {
		if x := t.target(); x != nil && t.State == Ready && x.Until <= m.now {
			return true
		}
	}
	return false
}

// honest checks NextDueSparing: nothing is due before it, something is at it,
// and a tick spares what it is told to.
func honest(t *rapid.T, w *table, spare int64) []Event {
	due := w.m.NextDueSparing(spare)
	if due == 0 {
		return nil
	}
	if due > w.now {
		early := restored(t, snapshotBytes(t, w.m))
		a := early.Apply(w.index+1, 1, &Entry{Header: Header{Level: 1, Term: 1, Now: due - 1}, Commands: []*fsmpb.Command{spareCmd(spare)}})
		if len(a.Events) > 0 || early.NextDueSparing(spare) != due {
			t.Fatalf("a tick before %d did %d things", due, len(a.Events))
		}
	}
	records := func(m *Machine) string {
		tasks, sessions, _ := m.Counts()
		return fmt.Sprint(tasks, sessions, m.workers.Len(), m.requests.Len(), m.clients.Len(), m.batches.Len(), m.pursuing.Len())
	}
	w.now = max(w.now, due)
	before := records(w.m)
	a := w.apply(spareCmd(spare))
	for _, e := range a.Events {
		if e.Kind == TaskStopping && addTime(e.Task.StartedAt, e.Task.Timeout) <= spare {
			t.Fatalf("task %d timed out, though what fell due until %d is spared", e.Task.ID, spare)
		}
	}
	if len(a.Events) == 0 && records(w.m) == before {
		t.Fatalf("a tick at %d, when NextDue said, did nothing", due)
	}
	if next := w.m.NextDueSparing(spare); next != 0 && next <= w.now {
		t.Fatalf("after a tick at %d still due at %d", w.now, next)
	}
	return a.Events
}

// world runs a random log and checks everything along the way.
func world(t *rapid.T) {
	w := &table{reporter: t, m: New(), now: epochStart}
	seen := watch{ends: map[[2]uint64]bool{}, after: map[string]bool{}, fired: map[firing]bool{}}
	rates := rateWatch{}
	var mid []byte // a snapshot somewhere on the way
	midAt, events := 0, []Event(nil)
	for _, seed := range rapid.SliceOfN(rapid.Uint64(), 100, 200).Draw(t, "entries") {
		if seed == 0 {
			continue // what shrinking makes of an entry that does not matter
		}
		c := &chance{splitmix64(seed), w.m}
		switch c.n(0, 9) {
		case 0:
			spare := int64(0)
			if c.one(2) {
				spare = w.now - c.n(-2, 20)*Second
			}
			events = honest(t, w, spare)
		case 1:
			w.now += c.n(0, 30) * Second
			continue
		default:
			cmd := c.command()
			switch k := cmd.Kind.(type) {
			case *fsmpb.Command_Assign:
				events = assigned(t, w, k.Assign).Events
			case *fsmpb.Command_UpdateSession:
				events = polled(t, w, k.UpdateSession).Events
			default:
				events = w.apply(cmd).Events
				withinLength(t, w.m, cmd, events)
			}
		}
		seen.events(t, events)
		withinLimits(t, w.m, events)
		rates.events(t, w.m, events)
		if c.one(8) {
			check(t, w.m)
			mid, midAt = snapshotBytes(t, w.m), len(w.log)
		}
	}
	check(t, w.m)
	end := snapshotBytes(t, w.m)
	replay := New()
	for i, b := range w.log {
		applyBytes(t, replay, uint64(i+1), b)
	}
	if !bytes.Equal(end, snapshotBytes(t, replay)) { // C4
		t.Fatal("a replay of the log writes another snapshot")
	}
	if mid == nil {
		return
	}
	rest := restored(t, mid)
	for i, b := range w.log[midAt:] {
		applyBytes(t, rest, uint64(midAt+i+1), b)
	}
	if !bytes.Equal(end, snapshotBytes(t, rest)) { // C3
		t.Fatal("snapshot and the rest of the log write another snapshot")
	}
}

// TestWorld runs random logs against everything that must hold: S4, S6, S8, S9,
// S11, S16, C3, C4 and an honest NextDue.
func TestWorld(t *testing.T) { rapid.Check(t, world) }

// FuzzWorld is TestWorld guided by coverage.
func FuzzWorld(f *testing.F) { f.Fuzz(rapid.MakeFuzz(world)) }
