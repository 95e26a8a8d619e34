package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/taskraft/taskraft/internal/proc"
)

// tested finds the block of commands that a page vouches for.
var tested = regexp.MustCompile("(?s)<!-- tested:[^\n]*-->\n```sh\n(.*?)```")

// TestReadmeCommands runs what the README tells a newcomer to type, line by line
// in one shell, with another port and directory for the cluster.
func TestReadmeCommands(t *testing.T) { runPage(t, "README.md") }

// TestQueuesPage runs the example of docs/queues.md.
func TestQueuesPage(t *testing.T) { runPage(t, "docs/queues.md") }

// TestSearchPage runs the example of docs/search.md.
func TestSearchPage(t *testing.T) { runPage(t, "docs/search.md") }

// TestFeaturesPage runs the commands of docs/features.md.
func TestFeaturesPage(t *testing.T) { runPage(t, "docs/features.md") }

// TestBatchesPage runs the example of docs/batches.md.
func TestBatchesPage(t *testing.T) { runPage(t, "docs/batches.md") }

// TestEventsPage runs the example of docs/events.md.
func TestEventsPage(t *testing.T) { runPage(t, "docs/events.md") }

// TestHTTPPage runs the example of docs/http.md.
func TestHTTPPage(t *testing.T) { runPage(t, "docs/http.md") }

// runPage runs a page's block of tested commands.
func runPage(t *testing.T, page string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, page))
	must(t, err)
	block := tested.FindSubmatch(text)
	if block == nil {
		t.Fatal(page + " has no block of tested commands")
	}
	dir, err := os.MkdirTemp(scratch, "readme-")
	must(t, err)
	first := freeStretch(t)
	var masters []string
	for i := range 3 {
		masters = append(masters, "127.0.0.1:"+strconv.Itoa(first+10*i))
	}
	env := append(os.Environ(), "CLUSTER_DIR="+dir, "CLUSTER_PORT="+strconv.Itoa(first), "TASKRAFT_MASTERS="+strings.Join(masters, ","))
	t.Cleanup(func() {
		down := exec.Command("scripts/cluster.sh", "down")
		down.Dir, down.Env = repository, env
		if out, err := down.CombinedOutput(); err != nil {
			t.Errorf("cluster.sh down: %v\n%s", err, out)
		}
	})
	cmd := exec.CommandContext(within(t, 3*time.Minute), "bash", "-euxo", "pipefail")
	cmd.Dir, cmd.Env, cmd.Stdin = repository, env, bytes.NewReader(block[1])
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("\n%s", out)
}

// freeStretch returns a port from which on a cluster of cluster.sh finds its ports free.
func freeStretch(t *testing.T) int {
	t.Helper()
	for range 100 {
		ports, err := proc.FreePorts(23)
		must(t, err)
		if ports[22] == ports[0]+22 {
			return ports[0]
		}
	}
	t.Fatal("no 23 free ports in a row")
	return 0
}
