package measure

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

func TestRoomBoundsTheBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRoom(10)
		var inside, most atomic.Int64
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for r.Take(ctx, 4) {
					if n := inside.Add(4); n > most.Load() {
						most.Store(n)
					}
					time.Sleep(time.Millisecond)
					inside.Add(-4)
					r.Give(4)
				}
			})
		}
		wg.Wait()
		if most.Load() > 10 {
			t.Errorf("%d at once, want at most 10", most.Load())
		}
		if r.Take(ctx, 1) {
			t.Error("room was given after the end")
		}
	})
}

func TestRoomIsGivenInOrder(t *testing.T) {
	r := NewRoom(2)
	if !r.Take(t.Context(), 2) {
		t.Fatal("no room where there is some")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if r.Take(ended, 1) {
		t.Error("room after the end")
	}
	var taken sync.WaitGroup
	taken.Go(func() {
		if !r.Take(t.Context(), 2) {
			t.Error("no room though it was given")
		}
	})
	r.Give(1)
	r.Give(1)
	taken.Wait()
}
