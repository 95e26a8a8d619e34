package e2e

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/taskraft/taskraft/internal/proc"
)

// TestHealth asks for the health of a cluster that loses one master after the other.
func TestHealth(t *testing.T) {
	c := newCluster(t)
	healthy := func(code int, want string) {
		t.Helper()
		var out []byte
		var got int
		err := proc.Poll(within(t, time.Minute), 100*time.Millisecond, "health is as it should be", func() bool {
			cmd := exec.CommandContext(within(t, time.Minute), binary, "cluster", "health", "--masters", strings.Join(c.Addrs(), ","))
			out, _ = cmd.CombinedOutput()
			got = cmd.ProcessState.ExitCode()
			return got == code && strings.Contains(string(out), want)
		})
		if err != nil {
			t.Fatalf("%v: exit code %d, want %d and %q in:\n%s", err, got, code, want, out)
		}
	}
	healthy(0, "healthy: 3 masters")
	followers, err := c.Followers(within(t, time.Minute))
	must(t, err)
	dead := followers[0]
	must(t, dead.Kill())
	healthy(1, "problem  quorum: "+dead.Name+" does not answer the leader: no other may fail")
	must(t, followers[1].Kill())
	healthy(7, "problem  quorum: no master leads: 1 of 3 answer")
	must(t, dead.Start())
	healthy(1, followers[1].Name)
	must(t, followers[1].Start())
	healthy(0, "healthy: 3 masters")
}
