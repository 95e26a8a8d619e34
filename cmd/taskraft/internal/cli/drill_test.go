package cli

import (
	"strings"
	"testing"

	"github.com/taskraft/taskraft/internal/checker"
)

// TestDrillSaysWhatDoesNotHold: what the checker finds is in the output, and is an error.
func TestDrillSaysWhatDoesNotHold(t *testing.T) {
	for name, c := range map[string]struct {
		corrupt func(*checker.History)
		want    string
	}{
		"everything holds":      {func(*checker.History) {}, ""},
		"two executions count":  {func(h *checker.History) { h.Runs[0].Confirmed = true }, "1 violation, the first: S4: task 1 "},
		"a kill without effect": {func(h *checker.History) { h.Faults = nil }, "1 violation, the first: vacuity: 0 "},
	} {
		t.Run(name, func(t *testing.T) {
			h := &checker.History{
				Ops:    []checker.Op{{Client: "producer-0", Kind: "submit", Task: 1, Intent: "first", Call: 1, Return: 2, Outcome: checker.OK, Index: 7}},
				Runs:   []checker.Run{{Worker: "w", Task: 1, Fence: 1, Start: 3, End: 4}, {Worker: "w", Task: 1, Fence: 2, Start: 5, End: 6, Confirmed: true}},
				Finals: []checker.Final{{Task: 1, State: "SUCCEEDED"}},
				Faults: []checker.Fault{{Kind: "kill leader", Target: "n1", Start: 1, End: 2, Effect: "completions go on after 40ms"}},
			}
			c.corrupt(h)
			v := &drillView{Kills: 1}
			v.judge(h.Faults, h)
			err := v.verdict()
			if v.Checked != 1 || (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("%d checked, %v; want 1, %q", v.Checked, err, c.want)
			}
		})
	}
}
