package clustersim

import "testing"

// TestRareSituationsGetMoreSeeds: what chance has left out of enough seeds is looked for
// in more, and what never comes fails.
func TestRareSituationsGetMoreSeeds(t *testing.T) {
	meeting := func(from uint64) func(uint64) Report {
		return func(seed uint64) Report {
			r := Report{Seed: seed, Cover: map[string]uint64{}}
			for _, name := range mustMeet[1:] {
				r.Cover[name] = 1
			}
			if seed >= from {
				r.Cover[mustMeet[0]] = 1
			}
			return r
		}
	}
	for _, tt := range []struct {
		name   string
		least  uint64
		from   uint64 // the first seed that meets it
		seeds  uint64
		failed bool
	}{
		{"at once", enoughSeeds, 1, enoughSeeds, false},
		{"late", enoughSeeds, 100, 100, false},
		{"never", enoughSeeds, 1 << 30, plentySeeds, true},
		{"too few to tell", enoughSeeds - 1, 1 << 30, enoughSeeds - 1, false},
	} {
		sum := PlayMany(Plan{First: 1, Least: tt.least, Jobs: 1, Failures: 1}, meeting(tt.from))
		if sum.Seeds != tt.seeds || sum.Failed() != tt.failed {
			t.Errorf("%s: %d seeds, failed %t; want %d, %t", tt.name, sum.Seeds, sum.Failed(), tt.seeds, tt.failed)
		}
	}
}
