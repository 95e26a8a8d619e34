package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/taskraft/taskraft/internal/proc"
)

// runPageOn runs the tested block of a page against a cluster that is there.
func runPageOn(t *testing.T, c *proc.Cluster, page string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, page))
	must(t, err)
	block := tested.FindSubmatch(text)
	if block == nil {
		t.Fatalf("%s has no block of tested commands", page)
	}
	cmd := exec.CommandContext(within(t, time.Minute), "bash", "-euxo", "pipefail")
	cmd.Env = append(os.Environ(), "TASKRAFT_MASTERS="+strings.Join(c.Addrs(), ","), "PATH="+filepath.Dir(c.Binary())+":"+os.Getenv("PATH"))
	cmd.Dir, cmd.Stdin = c.Dir(), bytes.NewReader(block[1])
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", page, err, out)
	}
	t.Logf("\n%s", out)
}
