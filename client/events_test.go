package client_test

import (
	"errors"
	"testing"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
	"github.com/taskraft/taskraft/tasktest"
)

// TestEvents follows events over a restart of the only master: none is missing, and
// none comes twice.
func TestEvents(t *testing.T) {
	const tasks = 40
	m := tasktest.Start(t)
	c := m.Client()
	submit := func() {
		if _, err := c.Submit(t.Context(), client.Task{Queue: "q"}); err != nil {
			t.Error(err)
		}
	}
	submit()
	var seen []uint64
	last := ""
	for e, err := range c.Events(t.Context(), client.EventQuery{Follow: true, Types: []string{"created"}, Queue: "q"}) {
		if err != nil {
			t.Fatal(err)
		}
		seen, last = append(seen, e.GetTask()), e.GetCursor()
		if len(seen) == tasks {
			break
		}
		if len(seen) == tasks/2 {
			if err := m.Restart(); err != nil {
				t.Fatal(err)
			}
		}
		submit()
	}
	for i, id := range seen {
		if id != uint64(i+1) {
			t.Fatalf("saw the tasks %v", seen)
		}
	}
	var one []*taskraftv1.Event
	for e, err := range c.Events(t.Context(), client.EventQuery{Limit: 3, Task: tasks}) {
		if err != nil {
			t.Fatal(err)
		}
		one = append(one, e)
	}
	if len(one) != 1 || one[0].GetCursor() != last {
		t.Errorf("of task %d: %v, want the event before %s", tasks, one, last)
	}
	for range c.Events(t.Context(), client.EventQuery{Since: last}) {
		t.Error("there is an event behind the last")
	}
}

func TestBadEventQuery(t *testing.T) {
	c := tasktest.Start(t).Client()
	for _, q := range []client.EventQuery{{Since: "yesterday"}, {Types: []string{"died"}}, {Queue: "\xff"}, {Types: []string{"\xff"}}} {
		heard := false
		for e, err := range c.Events(t.Context(), q) {
			heard = true
			if x, ok := errors.AsType[*client.Error](err); e != nil || !ok || x.Reason != reason.InvalidField || len(x.Fields) != 1 {
				t.Errorf("%+v: %v, %v", q, e, err)
			}
		}
		if !heard {
			t.Errorf("%+v is taken", q)
		}
	}
}
