package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/taskraft/taskraft/internal/proc"
)

// nextVersion builds the imagined next version: the build tag vnext adds a command and
// a field at feature level 2.
func nextVersion(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "taskraft-next")
	cmd := exec.CommandContext(within(t, 5*time.Minute), "go", "build", "-tags", "vnext", "-ldflags", "-X main.version=vnext", "-o", out, "./cmd/taskraft")
	cmd.Dir, cmd.Env = repository, append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the next version: %v\n%s", err, text)
	}
	return out
}

// TestF37RollingUpgrade replaces the masters of a cluster by the next version, one
// after the other and back again, while tasks are submitted and completed: either
// version leads with followers of the other, and one dies as the leader. Finalize is
// refused until every master can, and afterwards no old one takes part (C5, D07, D08).
func TestF37RollingUpgrade(t *testing.T) {
	next := nextVersion(t)
	c := newCluster(t)
	n1, n2, n3 := c.Masters()[0], c.Masters()[1], c.Masters()[2]
	for _, id := range []string{"w1", "w2"} {
		startWorker(t, c, id, c.Addrs(), "--queue", "load", "--slots", "4")
	}
	l := startLoad(t, c.Addrs(), "load", 10*time.Millisecond)
	tally := proc.NewTally()
	steady(t, c, tally)

	restart(t, c, n1, next)
	cli(t, c, "cluster", "transfer", "n1")
	steady(t, c, tally) // the new version leads old ones
	refusedLevel(t, c, "n2 runs version")
	must(t, n1.Kill())
	_, err := c.NextLeader(within(t, time.Minute), n1)
	must(t, err)
	must(t, n1.Start())
	must(t, c.Rejoined(within(t, time.Minute), n1))

	restart(t, c, n1, "") // back, as long as nothing is finalized
	restart(t, c, n1, next)
	restart(t, c, n2, next)
	cli(t, c, "cluster", "transfer", "n3")
	steady(t, c, tally) // the old version leads new ones
	cli(t, c, "debug", "hash")
	refusedLevel(t, c, "n3 runs version")
	must(t, n3.Stop())
	refusedLevel(t, c, "no answer from n3")
	n3.Binary = next
	must(t, n3.Start())
	must(t, c.Rejoined(within(t, time.Minute), n3))

	if out := cli(t, c, "cluster", "finalize"); !strings.Contains(out, "--level 2") {
		t.Errorf("nothing is offered:\n%s", out)
	}
	cli(t, c, "cluster", "finalize", "--level", "2")
	for _, m := range c.Masters() {
		awaitLevel(t, m, 2)
	}
	noted(t, c)
	steady(t, c, tally)

	for _, m := range []*proc.Master{n1, n2} {
		tooOld(t, c, m)
		m.Binary = next
		must(t, m.Start())
		must(t, c.Rejoined(within(t, time.Minute), m))
	}
	oldJoiner(t, c)
	steady(t, c, tally)
	l.finish(t)
	l.check(t, c, tally, nil)
	must(t, c.StopWorkers())
	_, _, err = c.Digest(within(t, time.Minute))
	must(t, err)
}

// restart replaces a master's binary, "" for the one under test, and waits until it
// has caught up.
func restart(t *testing.T, c *proc.Cluster, m *proc.Master, to string) {
	t.Helper()
	must(t, m.Stop())
	m.Binary = to
	must(t, m.Start())
	must(t, c.Rejoined(within(t, time.Minute), m))
}

// refusedLevel tries to raise the feature level, which must be refused with this
// reason, and whatever level the table has must stay.
func refusedLevel(t *testing.T, c *proc.Cluster, why string) {
	t.Helper()
	cmd := exec.CommandContext(within(t, time.Minute), binary, "cluster", "finalize", "--level", "2", "--masters", strings.Join(c.Addrs(), ","))
	out, err := cmd.CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 6 || !strings.Contains(string(out), why) {
		t.Errorf("finalize: %v, want exit status 6 and %q in:\n%s", err, why, out)
	}
	leader, err := c.Leader(within(t, time.Minute))
	must(t, err)
	awaitLevel(t, leader, 1)
}

func awaitLevel(t *testing.T, m *proc.Master, level uint32) {
	t.Helper()
	ctx := within(t, time.Minute)
	must(t, proc.Poll(ctx, 20*time.Millisecond, m.Name+" has the level", func() bool {
		s, err := m.Status(ctx)
		return err == nil && s.GetFeatureLevel() == level
	}))
}

// noted waits until a leader has written the command that level 2 adds.
func noted(t *testing.T, c *proc.Cluster) {
	t.Helper()
	must(t, proc.Poll(within(t, time.Minute), 50*time.Millisecond, "a leader writes the new command", func() bool {
		return strings.Contains(c.Logs(), "leadership noted")
	}))
}

// tooOld starts a master with the version under test, which must end with its code and
// say what to do.
func tooOld(t *testing.T, c *proc.Cluster, m *proc.Master) {
	t.Helper()
	must(t, m.Stop())
	m.Binary = ""
	must(t, m.Start())
	if err := m.Process().Wait(within(t, time.Minute)); err == nil || !strings.Contains(err.Error(), "exit status 13") {
		t.Errorf("%s of the old version ended with %v, want exit status 13", m.Name, err)
	}
	if log := c.Logs(); !strings.Contains(log, "upgrade this node") {
		t.Errorf("its log does not say what to do:\n%s", log)
	}
}

// oldJoiner tries to add a master of the version under test.
func oldJoiner(t *testing.T, c *proc.Cluster) {
	t.Helper()
	ports, err := proc.FreePorts(3)
	must(t, err)
	at := func(i int) string { return "127.0.0.1:" + strconv.Itoa(ports[i]) }
	cmd := exec.CommandContext(within(t, time.Minute), binary, "master", "--name", "n4", "--data-dir", t.TempDir(),
		"--join", c.Addrs()[0], "--grpc-addr", at(0), "--raft-addr", at(1), "--http-addr", at(2))
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 13 || !strings.Contains(string(out), "upgrade it") {
		t.Errorf("an old joiner ended with code %d, want 13 and what to do:\n%s", code, out)
	}
}

// TestUpgradePage runs the example of docs/upgrade.md.
func TestUpgradePage(t *testing.T) { runPage(t, "docs/upgrade.md") }
