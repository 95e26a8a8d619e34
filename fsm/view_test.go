package fsm

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// TestViews reads the table as the edges do.
func TestViews(t *testing.T) {
	w := fullTable(t)
	var b bytes.Buffer
	for task := range w.m.TasksBefore(4) {
		fmt.Fprint(&b, task.ID, " ")
	}
	for task := range w.m.TasksBefore(0) {
		fmt.Fprint(&b, task.ID, " ")
		break
	}
	for s := range w.m.Sessions() {
		fmt.Fprint(&b, s.Worker, " ", s.Held, " ")
	}
	for task := range w.m.Held(2) {
		fmt.Fprint(&b, "#", task.Fence, " ")
	}
	for range w.m.Held(99) {
		b.WriteString("held by nobody")
	}
	for q := range w.m.QueuesAfter("default") {
		fmt.Fprint(&b, q.Name, " ", q.Unfinished(), " ")
	}
	for member := range w.m.Members() {
		fmt.Fprint(&b, member.Name, " ")
	}
	for _, id := range []uint64{0, 1, w.m.lastTask + 1} {
		task, known := w.m.Task(id)
		fmt.Fprint(&b, task != nil, known, " ")
	}
	fmt.Fprint(&b, w.m.Session(1) == nil, w.m.SessionOf("w1").ID, w.m.SessionOf("w9") == nil, w.m.Queue("nowhere") == nil)
	w.m.SetApplied(1000, 3)
	index, term, now := w.m.Position()
	fmt.Fprint(&b, " ", index, term, now == w.now, w.m.FeatureLevel(), w.m.Assignable(99, 1))
	const want = "3 2 1 30 w1 7 w3 1 w4 2 #2 #5 #6 #7 #8 #9 #14 mail 2 slow 4 n1 n2 false false true true false false true 2 true true 1000 3 true 1 0"
	if got := b.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestApplyPanics on a programmer's error only: an index applied before.
func TestApplyPanics(t *testing.T) {
	w := newTable(t)
	w.do(tickCmd())
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	w.m.Apply(1, 1, &Entry{})
}

// TestNames: every number of the closed sets has a name.
func TestNames(t *testing.T) {
	if len(outcomeNames) != int(lastOutcome)+1 || len(causeNames) != int(lastCause)+1 ||
		len(stateNames) != int(Cancelled)+1 || len(eventNames) != int(LevelRaised)+1 ||
		len(hindranceNames) != int(HeldByRate)+1 {
		t.Error("a number without a name, or a name without a number")
	}
	if s := State(99).String() + Outcome(99).String() + Cause(99).String() + EventKind(99).String(); s != strings.Repeat("unknown", 4) {
		t.Error(s)
	}
}
