package fsm

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// TestTransitionsAreBounded: ends of sessions, ticks and assignments stop at
// MaxTransitions, and following ticks carry on what is left.
func TestTransitionsAreBounded(t *testing.T) {
	w := newTable(t)
	for i := range 3 {
		w.do(openCmd(&fsmpb.OpenSession{Worker: fmt.Sprint("w", i), Boot: "a", Slots: MaxSlots}))
	}
	spec := &fsmpb.TaskSpec{Timeout: proto.Int64(Minute)}
	for range 10 {
		specs := make([]*fsmpb.TaskSpec, 1000)
		for i := range specs {
			specs[i] = spec
		}
		w.do(submitCmd(specs...))
	}
	a := w.apply(assignCmd(1, MaxSlots), assignCmd(2, MaxSlots), assignCmd(3, 1))
	if n := fmt.Sprint(len(a.Results[0].Tasks), len(a.Results[1].Tasks), len(a.Results[2].Tasks)); n != "4096 0 0" {
		t.Fatalf("one entry assigned %s", n)
	}
	w.apply(assignCmd(2, MaxSlots))
	a = w.apply(expireCmd(1), expireCmd(2))
	if n := len(a.Events); n != MaxTransitions+2 {
		t.Errorf("two ends of sessions made %d events", n)
	}
	s := w.m.Session(2)
	if s == nil || s.Ending != CauseExpired || s.Held != MaxSlots || w.m.SessionOf("w1") != nil || w.m.Session(1) != nil {
		t.Fatalf("the second session is %+v", s)
	}
	check(t, w.m)
	// Its tasks still count, it gets none, and its worker may attach at once.
	first := w.task(4097)
	if r := w.do(completeCmd("w1", &fsmpb.Completion{Task: first.ID, Fence: first.Fence})); r.Outcomes[0] != Accepted {
		t.Errorf("complete in an ending session: %v", r.Outcomes)
	}
	if r := w.do(assignCmd(2, 1)); r.Outcome != NoSession {
		t.Errorf("assign to an ending session: %v", r.Outcome)
	}
	if due := w.m.NextDue(); due != w.now {
		t.Errorf("next due %d, now %d", due, w.now)
	}
	w.do(tickCmd())
	if s := w.m.Session(2); s != nil {
		t.Errorf("after a tick the session is %+v", s)
	}
	if _, sessions, _ := w.m.Counts(); sessions != 1 {
		t.Errorf("%d sessions are left", sessions)
	}
	check(t, w.m)
}

// TestTickIsBounded: what a tick leaves undone is due at once.
func TestTickIsBounded(t *testing.T) {
	w := newTable(t)
	specs := make([]*fsmpb.TaskSpec, 1000)
	for i := range specs {
		specs[i] = &fsmpb.TaskSpec{Delay: Second, Retain: proto.Int64(Second)}
	}
	for range 5 {
		w.do(submitCmd(specs...))
	}
	w.now += Second
	for _, want := range []int{MaxTransitions, 5000 - MaxTransitions} {
		if n := len(w.apply(tickCmd()).Events); n != want {
			t.Errorf("a tick woke %d tasks, want %d", n, want)
		}
	}
	ids := make([]uint64, 5000)
	for i := range ids {
		ids[i] = uint64(i + 1)
	}
	w.do(cancelCmd("", ids...)) // asked for one by one: all of them
	if c := w.m.Queue(DefaultQueue).Counts; c[Cancelled] != 5000 {
		t.Errorf("cancelled %d", c[Cancelled])
	}
	w.now += Second
	for _, want := range []int{MaxTransitions, 5000 - MaxTransitions, 0} {
		if n := len(w.apply(tickCmd()).Events); n != want {
			t.Errorf("a tick trimmed %d records, want %d", n, want)
		}
	}
	check(t, w.m)
}

// TestAttachWhileEnding: a process that comes back before its ended session was
// cleaned up takes its attempts along.
func TestAttachWhileEnding(t *testing.T) {
	w := newTable(t)
	w.do(openCmd(&fsmpb.OpenSession{Worker: "w0", Boot: "a", Slots: MaxSlots}))
	w.do(openCmd(&fsmpb.OpenSession{Worker: "w1", Boot: "a", Slots: 2}))
	specs := make([]*fsmpb.TaskSpec, MaxSlots+2)
	for i := range specs {
		specs[i] = &fsmpb.TaskSpec{}
	}
	w.do(submitCmd(specs...))
	w.do(assignCmd(1, MaxSlots))
	w.do(assignCmd(2, 2))
	w.apply(expireCmd(1), expireCmd(2))
	if s := w.m.Session(2); s == nil || s.Ending != CauseExpired {
		t.Fatalf("session 2 is %+v", s)
	}
	fence := w.task(MaxSlots + 1).Fence
	r := w.do(openCmd(&fsmpb.OpenSession{Worker: "w1", Boot: "a", Slots: 2, Held: []uint64{fence}}))
	if r.Outcome != Accepted || r.Session.ID != 3 || r.Session.Held != 1 || len(r.Aborts) != 0 {
		t.Errorf("attach: %+v, session %+v", r, r.Session)
	}
	if a, b := w.task(MaxSlots+1), w.task(MaxSlots+2); a.State != Running || a.Crashes != 0 || b.State != Ready || b.Crashes != 1 {
		t.Errorf("the listed task is %s with %d crashes, the other %s with %d", a.State, a.Crashes, b.State, b.Crashes)
	}
	check(t, w.m)
}

func TestQueuesAreBounded(t *testing.T) {
	w := newTable(t)
	for i := range MaxQueues / 1000 {
		specs := make([]*fsmpb.TaskSpec, 1000)
		for j := range specs {
			specs[j] = &fsmpb.TaskSpec{Queue: fmt.Sprintf("q%d", i*1000+j)}
		}
		w.do(submitCmd(specs...))
	}
	r := w.do(submitCmd(&fsmpb.TaskSpec{Queue: "q1"}, &fsmpb.TaskSpec{Queue: "one-more"}))
	if r.Outcome != QueuesFull || r.Outcomes[0] != OutcomeNone || r.Outcomes[1] != QueuesFull || r.IDs[0] != 0 {
		t.Errorf("submit: %+v", r)
	}
	if r := w.do(queueCmd(&fsmpb.SetQueue{Queue: "one-more"})); r.Outcome != QueuesFull {
		t.Errorf("set queue: %v", r.Outcome)
	}
	if r := w.do(submitCmd(&fsmpb.TaskSpec{Queue: "q1"})); r.Outcome != Accepted {
		t.Errorf("submit to a queue that exists: %v", r.Outcome)
	}
}

func TestRequestIDsAreBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("fills two million request ids")
	}
	w := newTable(t)
	w.do(submitCmd(&fsmpb.TaskSpec{RequestId: "z"}))
	old := &request{task: 1, createdAt: w.now}
	for i := range MaxRequestIDs - 2 {
		w.m.requests.Load(fmt.Sprintf("r%07d", i), old)
	}
	if r := w.do(submitCmd(&fsmpb.TaskSpec{RequestId: "s1"}, &fsmpb.TaskSpec{RequestId: "s2"})); r.Outcome != RequestIDsFull || w.m.lastTask != 1 {
		t.Errorf("two more: %+v", r)
	}
	if r := w.do(submitCmd(&fsmpb.TaskSpec{RequestId: "s1"}, &fsmpb.TaskSpec{RequestId: "s1"}, &fsmpb.TaskSpec{RequestId: "z"})); r.Outcome != Accepted {
		t.Errorf("one more, twice, and a known one: %+v", r)
	}
	if r := w.do(submitCmd(&fsmpb.TaskSpec{})); r.Outcome != Accepted {
		t.Errorf("without an id: %+v", r)
	}
}

func TestCallsAreBounded(t *testing.T) {
	w := newTable(t)
	call := func(seq, acked uint64) Outcome {
		return w.do(&fsmpb.Command{
			Call: &fsmpb.Call{Client: []byte("c"), Seq: seq, AckedBelow: acked}, Kind: cancelCmd("", 1).Kind,
		}).Outcome
	}
	for seq := range uint64(MaxCallsPerClient) {
		if o := call(MaxCallsPerClient-seq+1, 1); o != Accepted { // in any order
			t.Fatalf("call %d: %v", seq, o)
		}
	}
	check(t, w.m)
	for _, c := range []struct {
		seq, acked uint64
		want       Outcome
	}{{5000, 1, CallsFull}, {3, 1, Accepted}, {5000, 10, Accepted}, {3, 1, CallForgotten}, {10, 10, Accepted}, {6000, 7000, Accepted}, {6500, 1, Accepted}} { // an acked_below above seq is cut to it
		if o := call(c.seq, c.acked); o != c.want {
			t.Errorf("call %d acked below %d: %v, want %v", c.seq, c.acked, o, c.want)
		}
	}
	check(t, w.m)
}

func TestRetiredBootsAreBounded(t *testing.T) {
	w := newTable(t)
	for i := range MaxRetiredBoots + 2 {
		if r := w.do(openCmd(&fsmpb.OpenSession{Worker: "w", Boot: fmt.Sprint("b", i), Takeover: true})); r.Outcome != Accepted {
			t.Fatalf("boot %d: %v", i, r.Outcome)
		}
	}
	if n := len(w.m.known["w"].rec.retired); n != MaxRetiredBoots {
		t.Errorf("%d boots are kept", n)
	}
	if r := w.do(openCmd(&fsmpb.OpenSession{Worker: "w", Boot: "b1", Takeover: true})); r.Outcome != BootReplaced {
		t.Errorf("a replaced boot: %v", r.Outcome)
	}
}

// TestWorkersAreForgotten a day after their last session ended.
func TestWorkersAreForgotten(t *testing.T) {
	w := newTable(t)
	w.do(openCmd(&fsmpb.OpenSession{Worker: "w", Boot: "a"}))
	w.advance(48 * Hour)
	if w.m.workers.Len() != 1 {
		t.Fatal("forgotten while it has a session")
	}
	w.do(closeCmd(1))
	w.advance(KeepWorker - 1)
	if w.m.workers.Len() != 1 {
		t.Fatal("forgotten early")
	}
	w.advance(1)
	if w.m.workers.Len() != 0 || w.m.NextDue() != 0 {
		t.Fatal("not forgotten")
	}
}

// TestSizesAreBounded: errors and superseded results are kept up to a limit.
func TestSizesAreBounded(t *testing.T) {
	w := newTable(t)
	w.do(openCmd(&fsmpb.OpenSession{Worker: "w", Boot: "a"}))
	w.do(submitCmd(&fsmpb.TaskSpec{}))
	w.do(assignCmd(1, 1))
	long := strings.Repeat("é", MaxError)
	w.do(failCmd("w", &fsmpb.Failure{Task: 1, Fence: 1, Error: "a" + long}))
	if e := w.task(1).Error; len(e) != MaxError-1 || !utf8.ValidString(e) {
		t.Errorf("an error of %d bytes is kept", len(e))
	}
	w.do(completeCmd("w", &fsmpb.Completion{Task: 1, Fence: 1, Result: make([]byte, MaxSuperseded+1)}))
	if p := w.task(1).Superseded()[0]; len(p.Result) != MaxSuperseded || !p.Truncated || p.Outcome != Conflict {
		t.Errorf("kept %d bytes, truncated=%v, %v", len(p.Result), p.Truncated, p.Outcome)
	}
	check(t, w.m)
}

// TestCancelOldIsBounded: what an overlap cancels stops at MaxTransitions, and
// following ticks carry on; the new task is not touched.
func TestCancelOldIsBounded(t *testing.T) {
	w := newTable(t)
	set := &fsmpb.SetSchedule{Schedule: "s"}
	w.do(scheduleCmd(set))
	triggers := make([]*fsmpb.Command, 6000)
	for i := range triggers {
		triggers[i] = triggerCmd("s")
	}
	w.apply(triggers...)
	w.do(scheduleCmd(&fsmpb.SetSchedule{Schedule: "s", Overlap: uint32(OverlapCancelOld), Replace: true}))
	r := w.do(triggerCmd("s"))
	check(t, w.m)
	if q := w.m.Queue(DefaultQueue); q.Counts[Cancelled] != MaxTransitions || w.m.NextDue() != w.now {
		t.Errorf("one entry cancelled %d, next due %d, now %d", q.Counts[Cancelled], w.m.NextDue(), w.now)
	}
	w.do(tickCmd())
	check(t, w.m)
	if q := w.m.Queue(DefaultQueue); q.Counts[Cancelled] != 6000 || q.Counts[Ready] != 1 || w.task(r.IDs[0]).State != Ready {
		t.Errorf("after a tick %v", q.Counts)
	}
}

// TestSchedulesAreBounded: one more than MaxSchedules is refused.
func TestSchedulesAreBounded(t *testing.T) {
	w := newTable(t)
	for i := range MaxSchedules {
		w.m.command(scheduleCmd(&fsmpb.SetSchedule{Schedule: fmt.Sprint(i)}))
	}
	if r := w.do(scheduleCmd(&fsmpb.SetSchedule{Schedule: "more"})); r.Outcome != SchedulesFull {
		t.Errorf("one more: %v", r.Outcome)
	}
}

// TestFiredTaskRefused: a fire time whose task the table cannot take passes all
// the same, and says why.
func TestFiredTaskRefused(t *testing.T) {
	w := newTable(t)
	for i := range MaxQueues {
		w.m.command(queueCmd(&fsmpb.SetQueue{Queue: fmt.Sprint("q", i)}))
	}
	w.do(scheduleCmd(&fsmpb.SetSchedule{Schedule: "s", Task: &fsmpb.TaskSpec{Queue: "more"}}))
	w.do(fireCmd(&fsmpb.FireItem{Schedule: "s", SpecVersion: 1, NextFire: w.now + 1}))
	w.now++
	r := w.do(fireCmd(&fsmpb.FireItem{Schedule: "s", SpecVersion: 1, FireTime: w.now, NextFire: w.now + 1}))
	s := w.m.Schedule("s")
	if r.Outcomes[0] != QueuesFull || s.NextFire != w.now+1 || s.RefusedTotal != 1 || s.LastRefusal != QueuesFull {
		t.Errorf("%v, %+v", r.Outcomes, s)
	}
}
