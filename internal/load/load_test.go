package load

import (
	"testing"
	"testing/synctest"
	"time"
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
