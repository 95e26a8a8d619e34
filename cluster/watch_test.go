package cluster

import (
	"testing"

	"github.com/taskraft/taskraft/fsm"
)

// Results that nobody fetches take a bounded amount of memory: beyond it they are
// looked up when they are fetched.
func TestWatchKeepsFewResults(t *testing.T) {
	c := newTestCluster(t, 1, nil)
	c.startAll()
	n := c.nodes[c.leader()]
	w, err := n.WatchTasks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	large := make([]byte, maxWatchBytes/2)
	for id := range uint64(4) {
		w.tasks[id] = &taskWait{id: id, watch: w}
		w.end(Ended{ID: id, Known: true, Task: &fsm.Task{ID: id, Result: large}})
		w.end(Ended{ID: id, Known: true}) // no longer watched
	}
	kept := 0
	for _, e := range w.ended {
		if e.Task != nil {
			kept++
		}
	}
	if len(w.ended) != 4 || kept != 2 {
		t.Fatalf("%d ends, %d with their results, want 4 and 2", len(w.ended), kept)
	}
	got, _, err := w.Next(t.Context())
	if err != nil || len(got) != 4 || got[0].Task == nil || got[3].Task != nil { // the table has none of them
		t.Fatalf("got %d ends, %v", len(got), err)
	}
}
