package cli

import (
	"strings"
	"testing"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// TestWhatToFinalize: the next step is the first that is still to be done.
func TestWhatToFinalize(t *testing.T) {
	member := func(name string, level uint32, reachable bool) *taskraftv1.Member {
		return &taskraftv1.Member{Name: name, Version: "v", FeatureLevel: level, Reachable: reachable}
	}
	for name, c := range map[string]struct {
		table    uint32
		members  []*taskraftv1.Member
		possible uint32
		next     string
	}{
		"all new":       {1, []*taskraftv1.Member{member("n1", 2, true), member("n2", 2, true)}, 2, "taskraft cluster finalize --level 2"},
		"one old":       {1, []*taskraftv1.Member{member("n1", 2, true), member("n2", 1, true)}, 1, "upgrade n2"},
		"one silent":    {1, []*taskraftv1.Member{member("n1", 2, true), member("n2", 2, false)}, 2, "start n2"},
		"never heard":   {1, []*taskraftv1.Member{member("n1", 1, true), member("n2", 0, false)}, 1, "start n2"},
		"nothing to do": {2, []*taskraftv1.Member{member("n1", 2, true), member("n2", 2, true)}, 2, "nothing"},
	} {
		v := levelsOf(c.table, c.members)
		var b strings.Builder
		if err := v.describe(&b); err != nil || v.Possible != c.possible || !strings.Contains(b.String(), c.next) {
			t.Errorf("%s: possible %d, want %d, and %q in:\n%s(%v)", name, v.Possible, c.possible, c.next, b.String(), err)
		}
	}
}
