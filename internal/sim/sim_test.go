package sim

import (
	"strings"
	"testing"
)

// TestSeeds plays some seeds under the race detector; make sim plays many more.
func TestSeeds(t *testing.T) {
	for seed := range uint64(10) {
		if r := Run(seed, nil); r.Err != nil {
			t.Errorf("seed %d after %d entries: %v", seed, r.Entries, r.Err)
		}
	}
}

// TestReplay: a seed is one run, entry by entry.
func TestReplay(t *testing.T) {
	var first, second strings.Builder
	Run(3, &first)
	Run(3, &second)
	if first.String() != second.String() {
		t.Error("one seed made two different runs")
	}
}

func BenchmarkSeeds(b *testing.B) {
	for seed := uint64(0); b.Loop(); seed++ {
		Run(seed, nil)
	}
}
