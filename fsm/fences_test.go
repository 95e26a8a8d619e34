package fsm

import (
	"testing"

	"pgregory.net/rapid"
)

// TestFences compares the list with a map.
func TestFences(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f fences
		want := map[uint64]uint64{}
		for range rapid.IntRange(0, 300).Draw(t, "steps") {
			fence := rapid.Uint64Range(1, 90).Draw(t, "fence")
			if _, ok := want[fence]; ok {
				f.remove(fence)
				delete(want, fence)
			} else {
				f.add(fence, fence+1000)
				want[fence] = fence + 1000
			}
		}
		last, n := uint64(0), 0
		for fence, task := range f.all() {
			if got, ok := f.get(fence); fence <= last || want[fence] != task || !ok || got != task {
				t.Fatalf("fence %d after %d is task %d, want %d", fence, last, task, want[fence])
			}
			last = fence
			n++
		}
		if n != len(want) || f.len() != n || len(f.tasks()) != n {
			t.Fatalf("%d of %d fences", n, len(want))
		}
	})
}
