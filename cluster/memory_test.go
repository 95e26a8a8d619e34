package cluster

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// TestMemoryWatermark: above the watermark submits are refused, until well below it.
func TestMemoryWatermark(t *testing.T) {
	r := newRig(t, nil)
	defer r.close()
	var m memory
	w := newMemoryWatch(r.e, discard)
	w.measure = func() memory { return m }
	for i, step := range []struct {
		live uint64
		low  bool
	}{{700, false}, {750, false}, {760, true}, {700, true}, {651, true}, {650, false}, {760, true}, {0, false}} {
		m = memory{live: step.live, limit: 1000}
		w.look()
		_, _, err := r.e.propose(t.Context(), submitTo("q", 1))
		if w.low.Load() != step.low || errors.Is(err, ErrMemoryLow) != step.low || (err == nil) == step.low {
			t.Errorf("step %d, %d of 1000 alive: low %v, submit %v", i, step.live, w.low.Load(), err)
		}
	}
}

// TestLowMemoryRefusesSubmitsOnly: what ends tasks, or changes settings, is accepted.
func TestLowMemoryRefusesSubmitsOnly(t *testing.T) {
	var live atomic.Uint64
	c := newTestCluster(t, 1, func(_ int, cfg *Config) {
		cfg.hooks.memory = func() memory { return memory{live: live.Load(), limit: 1000} }
	})
	c.startAll()
	n := c.nodes[c.leader()]
	id := c.submit("before")
	live.Store(900)
	eventually(t, "the alarm is on", func() bool { return slices.Contains(n.Status().Alarms, AlarmMemoryLow) })
	if _, _, err := n.Propose(t.Context(), oneTask("refused")); !errors.Is(err, ErrMemoryLow) {
		t.Errorf("a submit: %v", err)
	}
	res, _, err := n.Propose(t.Context(), &fsmpb.Command{Kind: &fsmpb.Command_Cancel{Cancel: &fsmpb.Cancel{Tasks: []uint64{id}}}})
	if err != nil || len(res.Outcomes) != 1 {
		t.Errorf("a cancel: %+v, %v", res, err)
	}
	live.Store(100)
	eventually(t, "the alarm is off", func() bool { return !slices.Contains(n.Status().Alarms, AlarmMemoryLow) })
	c.submit("after")
}

// TestMeasuredMemory: this process has live objects, and no limit unless one is set.
func TestMeasuredMemory(t *testing.T) {
	if m := measureMemory(); m.limit == 0 || m.fills(100) {
		t.Errorf("%+v", m)
	}
}
