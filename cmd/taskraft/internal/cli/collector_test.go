package cli

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestPercentFor(t *testing.T) {
	for _, tt := range []struct {
		live uint64
		want int
	}{
		{0, 200}, {5 << 20, 200}, {96 << 20, 200}, {192 << 20, 100}, {384 << 20, 50}, {768 << 20, 25}, {100 << 30, 25},
	} {
		if got := percentFor(tt.live); got != tt.want {
			t.Errorf("%d MiB live: %d %%, want %d", tt.live>>20, got, tt.want)
		}
	}
}

// TestCollectorFollowsTheHeap fills the heap and looks at what is set.
func TestCollectorFollowsTheHeap(t *testing.T) {
	before := debug.SetGCPercent(100)
	paceCollector()
	if got := gcPercentNow(); got != gcPercent {
		t.Errorf("GOGC is %d, want %d", got, gcPercent)
	}
	held := make([]byte, 384<<20)
	deadline := time.Now().Add(10 * time.Second)
	for gcPercentNow() > 50 && time.Now().Before(deadline) {
		runtime.GC()
	}
	if got := gcPercentNow(); got > 50 || got < 40 {
		t.Errorf("with 384 MiB live GOGC is %d, want 40 to 50", got)
	}
	runtime.KeepAlive(held)
	held = nil
	deadline = time.Now().Add(10 * time.Second)
	for gcPercentNow() < gcPercent && time.Now().Before(deadline) {
		runtime.GC()
	}
	if got := gcPercentNow(); got != gcPercent {
		t.Errorf("with little live GOGC is %d, want %d again", got, gcPercent)
	}
	debug.SetGCPercent(before)
}
