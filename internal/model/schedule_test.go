package model

import (
	"errors"
	"testing"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// TestFireTimes holds what leaders decide to the rule and to the policy (S11). The
// schedule fires every second and was made at second 100.
func TestFireTimes(t *testing.T) {
	t.Parallel()
	const last, skip, all = 0, 1, 2
	item := func(at, next int64, leaveOut bool) *fsmpb.FireItem {
		return &fsmpb.FireItem{FireTime: at * second, NextFire: next * second, Skip: leaveOut}
	}
	for name, c := range map[string]struct {
		misfire uint32
		now     int64
		items   []*fsmpb.FireItem
		want    string // outcome of the last item, or the breach
	}{
		"on time":                  {last, 101, []*fsmpb.FireItem{item(101, 102, false)}, "ACCEPTED"},
		"too early":                {last, 100, []*fsmpb.FireItem{item(101, 102, false)}, "FIRE_REFUSED"},
		"the same again":           {last, 101, []*fsmpb.FireItem{item(101, 102, false), item(101, 102, false)}, "FIRE_STALE"},
		"not the next time":        {last, 103, []*fsmpb.FireItem{item(102, 103, false)}, "FIRE_STALE"},
		"a time passed over":       {last, 101, []*fsmpb.FireItem{item(101, 103, false)}, "S11"},
		"late, not missed":         {last, 130, []*fsmpb.FireItem{item(101, 102, false)}, "ACCEPTED"},
		"missed, and skipped":      {skip, 140, []*fsmpb.FireItem{item(101, 110, true)}, "ACCEPTED"},
		"missed, and made":         {skip, 140, []*fsmpb.FireItem{item(101, 102, false)}, "FIRE_REFUSED"},
		"left out in time":         {skip, 110, []*fsmpb.FireItem{item(101, 102, true)}, "FIRE_REFUSED"},
		"left out too much":        {skip, 140, []*fsmpb.FireItem{item(101, 111, true)}, "S11"},
		"goes on at no time":       {skip, 140, []*fsmpb.FireItem{{FireTime: 101 * second, NextFire: 109*second + 1, Skip: true}}, "S11"},
		"goes on never":            {last, 140, []*fsmpb.FireItem{item(101, 0, true)}, "S11"},
		"the newest two":           {all, 140, []*fsmpb.FireItem{item(101, 108, true), item(108, 109, false), item(109, 110, false)}, "ACCEPTED"},
		"the newest two, and more": {all, 200, []*fsmpb.FireItem{item(101, 168, true), item(168, 169, false), item(169, 170, false), item(170, 171, false)}, "ACCEPTED"},
		"one of two left out":      {all, 140, []*fsmpb.FireItem{item(101, 109, true)}, "S11"},
		"the oldest":               {all, 200, []*fsmpb.FireItem{item(101, 102, false)}, "S11"},
	} {
		t.Run(name, func(t *testing.T) {
			m := New()
			set := &fsmpb.SetSchedule{Schedule: "s", Cron: "@every 1s", Misfire: c.misfire, MaxMisfires: 2, Task: &fsmpb.TaskSpec{Queue: "a"}}
			plan := item(0, 101, false)
			plan.Schedule, plan.SpecVersion = "s", 1
			commands := []*fsmpb.Command{
				{Kind: &fsmpb.Command_SetSchedule{SetSchedule: set}},
				{Kind: &fsmpb.Command_Fire{Fire: &fsmpb.Fire{Items: []*fsmpb.FireItem{plan}}}},
			}
			if _, err := m.Apply(1, 1, entry(t, 1, 100*second, commands...)); err != nil {
				t.Fatal(err)
			}
			for _, i := range c.items {
				i.Schedule, i.SpecVersion = "s", 1
			}
			fire := &fsmpb.Command{Kind: &fsmpb.Command_Fire{Fire: &fsmpb.Fire{Items: c.items}}}
			done, err := m.Apply(2, 1, entry(t, 1, c.now*second, fire))
			var broken *Breach
			switch {
			case errors.As(err, &broken):
				if c.want != broken.ID {
					t.Errorf("%v, want %s", err, c.want)
				}
			case err != nil:
				t.Error(err)
			case done.Results[0].Outcomes[len(c.items)-1] != c.want:
				t.Errorf("%v, want %s for the last", done.Results[0].Outcomes, c.want)
			}
		})
	}
}

// TestUniqueKey: while a task lives nobody else gets its key (S20).
func TestUniqueKey(t *testing.T) {
	t.Parallel()
	m := New()
	one := func() *fsmpb.Command {
		return &fsmpb.Command{Kind: &fsmpb.Command_Submit{Submit: &fsmpb.Submit{Tasks: []*fsmpb.TaskSpec{{Queue: "a", UniqueKey: "k"}}}}}
	}
	cancel := &fsmpb.Command{Kind: &fsmpb.Command_Cancel{Cancel: &fsmpb.Cancel{Tasks: []uint64{1}}}}
	retry := &fsmpb.Command{Kind: &fsmpb.Command_Retry{Retry: &fsmpb.Retry{Tasks: []uint64{1}}}}
	done, err := m.Apply(1, 1, entry(t, 1, second, one(), one(), cancel, one(), retry))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"ACCEPTED", "EXISTING", "ACCEPTED", "ACCEPTED", "UNIQUE_KEY_TAKEN"} {
		if got := done.Results[i].Outcomes[0]; got != want {
			t.Errorf("command %d: %s, want %s", i, got, want)
		}
	}
}
