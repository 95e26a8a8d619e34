package load

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/internal/checker"
)

func TestLedger(t *testing.T) {
	l := ledger{chunks: make(map[uint64]*chunk)}
	l.ack(1, 2, 3, chunkTasks+5)
	l.complete(2)
	if !l.complete(9) { // completed before its acknowledgement was seen
		t.Error("the first completion of 9 is called a second one")
	}
	l.ack(9)
	if l.complete(2) {
		t.Error("the second completion of 2 is called a first one")
	}
	if acked, completed, duplicates := l.totals(); acked != 5 || completed != 2 || duplicates != 1 {
		t.Errorf("acknowledged %d, completed %d, duplicates %d; want 5, 2, 1", acked, completed, duplicates)
	}
	if n := l.unfinished(); n != 3 {
		t.Errorf("unfinished %d, want 3", n)
	}
	some, n := l.lost(10)
	if n != 3 || len(some) != 3 {
		t.Errorf("lost %v, %d; want 1, 3 and %d", some, n, chunkTasks+5)
	}
	if some, n := l.lost(1); n != 3 || len(some) != 1 {
		t.Errorf("lost %v, %d; want one of 3", some, n)
	}
}

// TestTrails: of more tasks than are to be followed every other is, and each wholly.
func TestTrails(t *testing.T) {
	tr := newTrails(10, time.Unix(100, 0))
	for id := range uint64(35) {
		if id%2 == 0 {
			tr.ran("w1", id, id+1, 2, 3) // before its acknowledgement is seen
		}
		tr.submitted(1, client.Receipt{ID: id, Index: id}, time.Duration(id), time.Duration(id+1))
		tr.ran("w2", id, id+2, 4, 5)
		tr.confirmed(id, id+2)
	}
	if len(tr.tasks) != 9 {
		t.Errorf("%d tasks are followed, want those of 35 that 4 divides", len(tr.tasks))
	}
	for id, known := range tr.tasks {
		want := []checker.Run{
			{Worker: "w1", Task: id, Fence: id + 1, Start: 100e9 + 2, End: 100e9 + 3},
			{Worker: "w2", Task: id, Fence: id + 2, Start: 100e9 + 4, End: 100e9 + 5, Confirmed: true},
		}
		if id%4 != 0 || known.submit.Task != id || known.submit.Call != 100e9+int64(id) || !slices.Equal(known.runs, want) {
			t.Errorf("task %d: submit %+v, executions %+v", id, known.submit, known.runs)
		}
	}
	var none *trails
	none.confirmed(1, 1)
	if h, err := none.history(t.Context(), nil, nil); h != nil || err != nil {
		t.Errorf("a history of nothing: %v, %v", h, err)
	}
}

func TestGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Gaps{epoch: time.Now()}
		for _, pause := range []time.Duration{time.Millisecond, 30 * time.Millisecond, 2 * time.Millisecond} {
			time.Sleep(pause)
			g.completed()
		}
		if got := g.Longest(); got != 30*time.Millisecond {
			t.Errorf("longest gap %v, want 30ms", got)
		}
		time.Sleep(5 * time.Millisecond)
		g.Reset()
		time.Sleep(5 * time.Millisecond)
		if got := g.Silence(); got != 10*time.Millisecond {
			t.Errorf("silence %v, want 10ms", got)
		}
		g.completed()
		if got := g.Longest(); got != 10*time.Millisecond {
			t.Errorf("gap across a reset %v, want 10ms", got)
		}
	})
}
