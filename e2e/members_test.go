package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskraft/taskraft/internal/proc"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// TestMembersChangeUnderLoad changes the masters of a cluster while tasks are
// submitted and completed: one is added, a follower and a leader are removed,
// leadership is moved, and one whose disk was lost takes its place again. Nothing that
// was acknowledged may be lost or completed twice, and the tables must be equal.
func TestMembersChangeUnderLoad(t *testing.T) {
	c := newCluster(t)
	first := c.Addrs()
	for i := range 2 {
		startWorker(t, c, fmt.Sprintf("w%d", i+1), first, "--queue", "load", "--slots", "4")
	}
	l := startLoad(t, first, "load", 10*time.Millisecond)
	tally := proc.NewTally()
	steady(t, c, tally)

	fourth, err := c.Join("n4")
	must(t, err)
	cli(t, c, "cluster", "add", "n4="+fourth.Raft)
	voters(t, c, "n1", "n2", "n3", "n4")
	steady(t, c, tally)
	sameHash(t, c, 4)

	t.Log(cli(t, c, "cluster", "transfer", "n4"))
	leader, err := c.Leader(within(t, time.Minute))
	must(t, err)
	steady(t, c, tally)
	must(t, leader.Kill()) // the leader dies while the cluster has four members
	_, err = c.NextLeader(within(t, time.Minute), leader)
	must(t, err)
	must(t, leader.Start())
	must(t, c.Rejoined(within(t, time.Minute), leader))

	followers, err := c.Followers(within(t, time.Minute))
	must(t, err)
	remove(t, c, followers[0])
	steady(t, c, tally)
	leader, err = c.Leader(within(t, time.Minute))
	must(t, err)
	left := c.Masters()
	for _, m := range left {
		must(t, c.Rejoined(within(t, time.Minute), m))
	}

	followers, err = c.Followers(within(t, time.Minute))
	must(t, err)
	lost := followers[0]
	must(t, lost.Kill())
	must(t, lost.Wipe())
	must(t, lost.Start())
	cli(t, c, "cluster", "add", lost.Name+"="+lost.Raft, "--replace")
	steady(t, c, tally)

	remove(t, c, leader)
	steady(t, c, tally)
	l.finish(t)
	l.check(t, c, tally, nil)
	must(t, c.StopWorkers())
	_, _, err = c.Digest(within(t, time.Minute))
	must(t, err)
}

// remove removes a master with the command line and waits until its process has ended.
func remove(t *testing.T, c *proc.Cluster, m *proc.Master) {
	t.Helper()
	t.Log(cli(t, c, "cluster", "remove", m.Name))
	if err := m.Process().Wait(within(t, time.Minute)); err == nil || !strings.Contains(err.Error(), "exit status 13") {
		t.Errorf("%s was removed and ended with %v, want exit status 13", m.Name, err)
	}
	must(t, c.Forget(m))
}

// cli runs the program against the cluster and returns what it printed.
func cli(t *testing.T, c *proc.Cluster, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(within(t, time.Minute), binary, append(args, "--masters", strings.Join(c.Addrs(), ","))...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("taskraft %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// voters waits until these masters, and no others, are members and vote.
func voters(t *testing.T, c *proc.Cluster, want ...string) {
	t.Helper()
	client := newClient(t, c.Addrs())
	ctx := within(t, time.Minute)
	must(t, proc.Poll(ctx, 50*time.Millisecond, fmt.Sprintf("the voters are %v", want), func() bool {
		members, err := client.Members(ctx)
		var got []string
		for _, m := range members {
			if !m.GetVoter() {
				return false
			}
			got = append(got, m.GetName())
		}
		slices.Sort(got)
		return err == nil && slices.Equal(got, want)
	}))
}

// TestD02JoinersThatAreRefused starts masters that must not get in: each ends at once
// with its code, says why, and the cluster stays as it is.
func TestD02JoinersThatAreRefused(t *testing.T) {
	c := newCluster(t)
	live := c.Masters()[1]
	ports, err := proc.FreePorts(4)
	must(t, err)
	addr := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	tests := []struct {
		name string
		args []string
		code int
		want string
	}{
		{"D02 name of a live member", []string{"--name", "n2", "--join", c.Addrs()[0], "--raft-addr", addr(0)}, 13, "n2 is n2@" + live.Raft},
		{"D02 rejoin while it lives", []string{"--name", "n2", "--join", c.Addrs()[0], "--raft-addr", addr(0), "--rejoin"}, 13, "is alive at " + live.Raft},
		{"D04 cannot be dialled back", []string{"--name", "n4", "--join", c.Addrs()[0], "--raft-addr", addr(0), "--advertise-raft", addr(3)}, 13, "does not reach the master"},
		{"D03 by a follower, name taken", []string{"--name", "n3", "--join", c.Addrs()[2], "--raft-addr", addr(0)}, 13, "n3 is n3@"},
		{"A15 both ways at once", []string{"--name", "n4", "--join", c.Addrs()[0], "--peers", "n4=" + addr(0), "--raft-addr", addr(0)}, 2, "choose one of --join and --peers"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"master", "--data-dir", t.TempDir(), "--grpc-addr", addr(1), "--http-addr", addr(2)}, tt.args...)
			cmd := exec.CommandContext(within(t, 30*time.Second), binary, args...)
			out, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(string(out), tt.want) {
				t.Errorf("exit code %d, want %d and %q in:\n%s", code, tt.code, tt.want, out)
			}
		})
	}
	voters(t, c, "n1", "n2", "n3")
	leader, err := c.Leader(within(t, time.Minute))
	must(t, err)
	down := c.Masters()[0]
	if leader == down {
		down = live
	}
	must(t, down.Kill())
	for _, m := range c.Masters() {
		if m == down || m == leader {
			continue
		}
		out, err := exec.CommandContext(within(t, time.Minute), binary, "cluster", "remove", m.Name, "--masters", strings.Join(c.Addrs(), ",")).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "lose its majority") {
			t.Errorf("D05: the last follower that answers was removed: %v\n%s", err, out)
		}
	}
	if s := statusOf(t, leader); !s.GetServing() {
		t.Error("the leader does not serve any more")
	}
}

func statusOf(t *testing.T, m *proc.Master) *taskraftv1.GetStatusResponse {
	t.Helper()
	var s *taskraftv1.GetStatusResponse
	must(t, proc.Poll(within(t, time.Minute), 50*time.Millisecond, m.Name+" answers", func() bool {
		var err error
		s, err = m.Status(context.WithoutCancel(t.Context()))
		return err == nil
	}))
	return s
}

// sameHash sees that `debug hash` compares n masters at one entry while work goes on.
func sameHash(t *testing.T, c *proc.Cluster, n int) {
	t.Helper()
	found := map[string]int{}
	for line := range strings.Lines(cli(t, c, "debug", "hash", "-o", "jsonl")) {
		var v struct{ Index, Hash string }
		must(t, json.Unmarshal([]byte(line), &v))
		found[v.Index+" "+v.Hash]++
	}
	if len(found) != 1 || slices.Max(slices.Collect(maps.Values(found))) != n {
		t.Errorf("debug hash of %d masters: %v", n, found)
	}
}

// TestOperationsPage runs the example of docs/operations.md.
func TestOperationsPage(t *testing.T) { runPage(t, "docs/operations.md") }

// TestDrill kills the leader of a cluster that the drill starts itself.
func TestDrill(t *testing.T) {
	cmd := exec.CommandContext(within(t, 2*time.Minute), binary, "drill", "kill-leader", "--n", "2", "--producers", "8", "--slots", "8", "--data-dir", scratch, "-o", "json")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{`"kills": 2`, `"gap_p50_ms"`, `"gap_p99_ms"`, `"lost": 0`, `"duplicate_completions": 0`, `"violations": []`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %s in:\n%s", want, out)
		}
	}
}
