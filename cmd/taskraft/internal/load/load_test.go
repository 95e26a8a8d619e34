package load

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestQuantiles(t *testing.T) {
	h := new(Histogram)
	if got := h.Quantile(0.5); got != 0 {
		t.Errorf("empty: p50 %v", got)
	}
	for i := range 1000 {
		h.Add(time.Duration(i+1) * time.Millisecond)
	}
	for q, want := range map[float64]time.Duration{0: time.Millisecond, 0.5: 501 * time.Millisecond, 0.99: 991 * time.Millisecond, 1: time.Second} {
		got := h.Quantile(q)
		if off := (got - want).Abs(); off > want*3/100 {
			t.Errorf("quantile %v is %v, want %v within 3 %%", q, got, want)
		}
	}
}

func TestBucketsAreMonotone(t *testing.T) {
	last := -1
	for _, d := range []time.Duration{-1, 0, 1, 31, 32, 33, 63, 64, 65, 127, 128, 1000, 1 << 20, 1 << 40, 1<<63 - 1} {
		b := bucket(d)
		if b < last {
			t.Errorf("bucket of %d is %d, below the one before, %d", d, b, last)
		}
		if m := middle(b); d > 32 && (m-d).Abs() > d/32 {
			t.Errorf("middle of the bucket of %d is %d", d, m)
		}
		last = b
	}
}

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

func TestRoomBoundsTheBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := room{free: 10}
		var inside, most atomic.Int64
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for r.take(ctx, 4) {
					if n := inside.Add(4); n > most.Load() {
						most.Store(n)
					}
					time.Sleep(time.Millisecond)
					inside.Add(-4)
					r.give(4)
				}
			})
		}
		wg.Wait()
		if most.Load() > 10 {
			t.Errorf("%d at once, want at most 10", most.Load())
		}
		if r.take(ctx, 1) {
			t.Error("room was given after the end")
		}
	})
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
