package cluster

import (
	"errors"
	"strings"
	"testing"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// TestFinalizeAsksEveryMember: the level stays where it is unless every member answers
// and knows the level that is asked for.
func TestFinalizeAsksEveryMember(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.startAll()
	leader := c.nodes[c.leader()]
	follower := c.follower()
	refused := func(level uint32, dryRun bool, why string) {
		t.Helper()
		if err := leader.Finalize(t.Context(), level, dryRun); !errors.Is(err, ErrLevel) || !strings.Contains(err.Error(), why) {
			t.Errorf("finalize %d: got %v, want a refusal with %q", level, err, why)
		}
		if got := leader.FeatureLevel(); got != 1 {
			t.Fatalf("the table is at level %d", got)
		}
	}
	for _, dryRun := range []bool{true, false} {
		if err := leader.Finalize(t.Context(), 1, dryRun); err != nil {
			t.Errorf("the present level: %v", err)
		}
		refused(fsm.Level+1, dryRun, "n1 runs version test, which knows level 1")
		refused(0, dryRun, "never goes down")
	}
	if _, moved := errors.AsType[*NotLeaderError](c.nodes[follower].Finalize(t.Context(), 1, false)); !moved {
		t.Error("a follower took it")
	}
	name := c.cfgs[follower].Name
	c.crash(follower)
	if err := leader.supported(t.Context(), 1); !errors.Is(err, ErrLevel) || !strings.Contains(err.Error(), "no answer from "+name) {
		t.Errorf("with %s down: %v", name, err)
	}
}

// TestRaisedAboveThisVersion: a node that applies a finalize above what it knows stops
// with that entry, though the entry itself is one that it can read (D08).
func TestRaisedAboveThisVersion(t *testing.T) {
	c := newTestCluster(t, 1, nil)
	c.startAll()
	n := c.nodes[c.leader()]
	eventually(t, "the level is raised", func() bool { // the leader mends the record
		member := &fsmpb.SetMember{Name: "n1", ServerId: string(n.peers.self), Level: fsm.Level + 1}
		_, _, _ = n.Propose(t.Context(), &fsmpb.Command{Kind: &fsmpb.Command_SetMember{SetMember: member}})
		res, _, err := n.Propose(t.Context(), &fsmpb.Command{Kind: &fsmpb.Command_Finalize{Finalize: &fsmpb.Finalize{Level: fsm.Level + 1}}})
		return err != nil || res.Outcome == fsm.Accepted
	})
	if err := ended(t, n, FaultIdentity); !errors.Is(err, fsm.ErrNewer) || !strings.Contains(err.Error(), "raised to 2") {
		t.Errorf("ended with %v", err)
	}
}
