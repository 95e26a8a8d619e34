package fsm

import (
	"fmt"
	"os"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// lifeTask is the task under observation: its first attempt, fence 1 of worker
// w00, timed out (but for the states "new"); the attempt of the state, if there
// is one, is fence 2 of worker w01 in session 2.
const lifeTask = 1

// lifeStates drive a table into each state of a task.
var lifeStates = []struct {
	name, means string
	reach       func(*table)
}{
	{"SCHD", "SCHEDULED, never started", func(w *table) { w.life(&fsmpb.TaskSpec{Delay: Hour}, false) }},
	{"KIDS", "SCHEDULED, waiting for a parent", func(w *table) { w.lifeChild() }},
	{"REDY", "READY, never started", func(w *table) { w.life(&fsmpb.TaskSpec{}, false) }},
	{"WAIT", "SCHEDULED, between attempts", func(w *table) { w.life(&fsmpb.TaskSpec{}, true) }},
	{"AGIN", "READY, between attempts", func(w *table) { w.lifeAgain() }},
	{"LOST", "READY, its attempt lost with the session", func(w *table) { w.lifeRuns(); w.do(expireCmd(2)) }},
	{"RUNS", "RUNNING", func(w *table) { w.lifeRuns() }},
	{"OVER", "STOPPING, timed out", func(w *table) { w.lifeRuns(); w.until(Stopping) }},
	{"HALT", "STOPPING, cancelled", func(w *table) { w.lifeRuns(); w.do(cancelCmd("", lifeTask)) }},
	{"DONE", "SUCCEEDED", func(w *table) { w.lifeRuns(); w.do(lifeComplete) }},
	{"DEAD", "DEAD", func(w *table) {
		w.lifeRuns()
		w.do(failCmd("w01", &fsmpb.Failure{Task: lifeTask, Fence: 2, Permanent: true}))
	}},
	{"CANC", "CANCELLED", func(w *table) { w.lifeRuns(); w.do(cancelCmd("", lifeTask)); w.until(Cancelled) }},
	{"GONE", "its record trimmed", func(w *table) { w.lifeRuns(); w.do(lifeComplete); w.advance(25 * Hour) }},
}

var (
	lifeComplete = completeCmd("w01", &fsmpb.Completion{Task: lifeTask, Fence: 2, Digest: 7})
	lifeFail     = failCmd("w01", &fsmpb.Failure{Task: lifeTask, Fence: 2})
)

// lifeCommands are the rows. A nil outcome means that the command has none per
// task; fenced rows make sense only where the task has that fence.
var lifeCommands = []struct {
	name   string
	only   string // states where it makes sense; empty: all
	run    func(*table) (Outcome, bool)
	fenced bool
}{
	{name: "assign", run: plain(assignCmd(3, 1))},
	{name: "complete", run: judged(lifeComplete), fenced: true},
	{name: "complete, other digest", run: judged(completeCmd("w01", &fsmpb.Completion{Task: lifeTask, Fence: 2, Digest: 8})), fenced: true},
	{name: "complete, first fence", run: judged(completeCmd("w00", &fsmpb.Completion{Task: lifeTask, Fence: 1})), fenced: true},
	{name: "complete, other worker", run: judged(completeCmd("w02", &fsmpb.Completion{Task: lifeTask, Fence: 2}))},
	{name: "complete, other boot", run: judged(completeCmd("w01/z", &fsmpb.Completion{Task: lifeTask, Fence: 2}))},
	{name: "fail", run: judged(lifeFail), fenced: true},
	{name: "fail, last attempt", run: lifeLastFail, only: "RUNS LOST"},
	{name: "fail, permanent", run: judged(failCmd("w01", &fsmpb.Failure{Task: lifeTask, Fence: 2, Permanent: true})), fenced: true},
	{name: "fail, snooze", run: judged(failCmd("w01", &fsmpb.Failure{Task: lifeTask, Fence: 2, Snooze: true, RetryAfter: Minute})), fenced: true},
	{name: "release", run: judged(releaseCmd("w01", &fsmpb.Handback{Task: lifeTask, Fence: 2})), fenced: true},
	{name: "cancel", run: judged(cancelCmd("", lifeTask))},
	{name: "retry", run: judged(retryCmd(lifeTask))},
	{name: "sweep", run: plain(sweepCmd(&fsmpb.Sweep{}))},
	{name: "delete", run: judged(deleteCmd(lifeTask))},
	{name: "session expires", run: plain(expireCmd(2))},
	{name: "session closes", run: plain(closeCmd(2))},
	{name: "worker taken over", run: plain(openCmd(&fsmpb.OpenSession{Worker: "w01", Boot: "b", Takeover: true}))},
	{name: "attach, fence listed", run: plain(openCmd(&fsmpb.OpenSession{Worker: "w01", Boot: "a", Held: []uint64{2}}))},
	{name: "attach, not listed", run: plain(openCmd(&fsmpb.OpenSession{Worker: "w01", Boot: "a"}))},
	{name: "its time comes", run: lifeTick},
	{name: "parent succeeds", run: lifeParent(true), only: "KIDS"},
	{name: "parent fails", run: lifeParent(false), only: "KIDS"},
	{name: "expires_in passes", run: lifeExpiry, only: "SCHD KIDS REDY RUNS"},
}

// plain runs a command without an outcome per task, judged one that has it.
func plain(c *fsmpb.Command) func(*table) (Outcome, bool) {
	return func(w *table) (Outcome, bool) { w.do(c); return OutcomeNone, false }
}

func judged(c *fsmpb.Command) func(*table) (Outcome, bool) {
	return func(w *table) (Outcome, bool) { return w.do(c).Outcomes[0], true }
}

// lifeTick lets the next due time come that changes the task.
func lifeTick(w *table) (Outcome, bool) {
	before, _ := w.m.Task(lifeTask)
	for range 10 {
		due := w.m.NextDue()
		if due == 0 {
			break
		}
		w.advance(due - w.now)
		if after, _ := w.m.Task(lifeTask); after != before {
			break
		}
	}
	return OutcomeNone, false
}

// lifeChild submits the task with a parent, which is submitted with it and has id 2.
func (w *table) lifeChild() {
	w.life(nil, false)
	w.do(submitBatchCmd(&fsmpb.BatchSpec{}, &fsmpb.TaskSpec{AfterItems: []uint32{1}}, &fsmpb.TaskSpec{}))
}

// lifeParent ends the parent.
func lifeParent(well bool) func(*table) (Outcome, bool) {
	return func(w *table) (Outcome, bool) {
		w.do(assignCmd(1, 1))
		if well {
			w.do(completeCmd("w00", &fsmpb.Completion{Task: 2, Fence: 1}))
		} else {
			w.do(failCmd("w00", &fsmpb.Failure{Task: 2, Fence: 1, Permanent: true}))
		}
		return OutcomeNone, false
	}
}

// lifeLastFail fails with no attempt left.
func lifeLastFail(w *table) (Outcome, bool) {
	for t := range w.m.TasksBefore(0) {
		last, options := *t, *t.Options
		options.MaxAttempts = t.Failures + 1
		last.Options = &options
		w.m.sum += last.fixedHash() - t.fixedHash()
		w.m.put(w.m.lines[t.Queue], t, &last)
	}
	return w.do(lifeFail).Outcomes[0], true
}

// lifeExpiry gives the task an expires_in that passes.
func lifeExpiry(w *table) (Outcome, bool) {
	for t := range w.m.TasksBefore(0) {
		late := *t
		late.ExpiresAt = w.now + 1
		w.m.put(w.m.lines[t.Queue], t, &late)
	}
	w.now++
	w.do(tickCmd())
	return OutcomeNone, false
}

// life submits the task and, unless it is to be new, lets its first attempt time out.
func (w *table) life(spec *fsmpb.TaskSpec, attempt bool) {
	if spec != nil {
		spec.MaxAttempts, spec.Timeout, spec.Retain = proto.Uint32(9), proto.Int64(10*Minute), proto.Int64(Hour)
	}
	w.do(openCmd(&fsmpb.OpenSession{Worker: "w00", Boot: "a"}))
	w.do(openCmd(&fsmpb.OpenSession{Worker: "w01", Boot: "a"}))
	w.do(openCmd(&fsmpb.OpenSession{Worker: "w02", Boot: "a"}))
	if spec != nil {
		w.do(submitCmd(spec))
	}
	if attempt {
		w.do(assignCmd(1, 1))
		w.until(Scheduled)
	}
}

func (w *table) lifeAgain() {
	w.life(&fsmpb.TaskSpec{}, true)
	w.until(Ready)
}

func (w *table) lifeRuns() {
	w.lifeAgain()
	w.do(assignCmd(2, 1))
}

// until lets time pass until the task is in that state.
func (w *table) until(s State) {
	for w.task(lifeTask).State != s {
		w.advance(w.m.NextDue() - w.now)
	}
}

// lifeState names where the task stands now.
func lifeState(m *Machine) string {
	t, _ := m.Task(lifeTask)
	switch {
	case t == nil:
		return "GONE"
	case t.State == Ready && t.Redeemable:
		return "LOST"
	case t.State == Stopping && t.StopCause == CauseCancelled:
		return "HALT"
	case t.waiting():
		return "KIDS"
	case t.Attempts == 0 && !t.State.Terminal():
		return [...]string{Scheduled: "SCHD", Ready: "REDY"}[t.State]
	}
	return [...]string{
		Scheduled: "WAIT", Ready: "AGIN", Running: "RUNS", Stopping: "OVER", Succeeded: "DONE", Dead: "DEAD", Cancelled: "CANC",
	}[t.State]
}

var lifeOutcomes = map[Outcome]string{
	Accepted: "ok", Duplicate: "dup", Conflict: "conf", StaleTimedOut: "late", StaleReassigned: "other",
	AlreadyTerminal: "term", TaskCancelled: "canc", Forgotten: "forg", UnknownTask: "unkn", NotTerminal: "not",
}

// lifecycleTable is the comment that opens lifecycle.go, from behaviour.
func lifecycleTable(tb reporter) string {
	var b strings.Builder
	b.WriteString("// State × command, regenerated by TestLifecycleTable: the outcome (where the\n" +
		"// command has one per task) and the state after it (where it changes).\n//\n")
	for _, s := range lifeStates {
		fmt.Fprintf(&b, "//\t%s  %s\n", s.name, s.means)
	}
	b.WriteString("//\n//\tok ACCEPTED  dup DUPLICATE  conf CONFLICT  late STALE_TIMED_OUT  other STALE_REASSIGNED\n" +
		"//\tterm ALREADY_TERMINAL  canc TASK_CANCELLED  forg FORGOTTEN  unkn UNKNOWN_TASK  not NOT_TERMINAL\n//\n")
	fmt.Fprintf(&b, "//\t%-23s", "")
	for _, s := range lifeStates {
		fmt.Fprintf(&b, "%-10s", s.name)
	}
	trimLine(&b)
	for _, c := range lifeCommands {
		fmt.Fprintf(&b, "//\t%-23s", c.name)
		for _, s := range lifeStates {
			cell := " "
			never := s.name == "SCHD" || s.name == "KIDS" || s.name == "REDY"
			if (c.only == "" || strings.Contains(c.only, s.name)) && (!c.fenced || !never) {
				w := newTable(tb)
				s.reach(w)
				cell = lifeCell(w, s.name, c.run)
				check(tb, w.m)
			}
			fmt.Fprintf(&b, "%-10s", cell)
		}
		trimLine(&b)
	}
	return b.String()
}

func lifeCell(w *table, before string, run func(*table) (Outcome, bool)) string {
	if now := lifeState(w.m); now != before {
		w.Fatalf("reached %s instead of %s", now, before)
	}
	o, has := run(w)
	cell := "·"
	if has {
		cell = lifeOutcomes[o]
	}
	if after := lifeState(w.m); after != before {
		cell = strings.TrimPrefix(cell, "·") + ">" + after
	}
	return cell
}

// trimLine ends a line without trailing blanks.
func trimLine(b *strings.Builder) {
	s := strings.TrimRight(b.String(), " ")
	b.Reset()
	b.WriteString(s + "\n")
}

// TestLifecycleTable drives a machine into every state, applies every command
// and compares what happened with the comment that opens lifecycle.go.
func TestLifecycleTable(t *testing.T) {
	const file, head, foot = "lifecycle.go", "// TABLE\n", "// END\n"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), head)
	old, after, ok2 := strings.Cut(rest, foot)
	if !ok || !ok2 {
		t.Fatalf("%s has no table between %q and %q", file, head, foot)
	}
	now := lifecycleTable(t)
	if *update {
		if err := os.WriteFile(file, []byte(before+head+now+foot+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := gocmp.Diff(old, now); diff != "" {
		t.Errorf("%s says otherwise (-comment +behaviour; -update rewrites it):\n%s", file, diff)
	}
}
