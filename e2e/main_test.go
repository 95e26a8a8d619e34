package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/internal/proc"
)

const repository = ".."

// The binary under test, and the directory that the tests' data lies under.
var binary, scratch string

func TestMain(m *testing.M) {
	os.Exit(setUp(m))
}

// setUp builds the binary, unless E2E_BINARY names one, and runs the tests.
func setUp(m *testing.M) int {
	var storage string
	var err error
	scratch, storage, err = proc.Scratch(filepath.Join(repository, ".data", "e2e"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	fmt.Printf("e2e: data in %s on %s\n", scratch, storage)
	binary = os.Getenv("E2E_BINARY")
	if binary == "" {
		binary = filepath.Join(scratch, "taskraft")
		if err := build(context.Background(), "./cmd/taskraft", binary); err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
			return 1
		}
	}
	status := m.Run()
	if status != 0 {
		fmt.Printf("e2e: data, logs and journals are kept in %s\n", scratch)
	} else if err := os.RemoveAll(scratch); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return status
}

func build(ctx context.Context, pkg, out string, flags ...string) error {
	cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"build", "-o", out}, flags, []string{pkg})...)
	cmd.Dir = repository
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, text)
	}
	return nil
}

// newCluster starts three masters and waits until one leads. When the test fails,
// every process's output is in its log.
func newCluster(t *testing.T, args ...string) *proc.Cluster {
	t.Helper()
	return newClusterOf(t, binary, args...)
}

// newClusterOf does the same with another binary.
func newClusterOf(t *testing.T, binary string, args ...string) *proc.Cluster {
	t.Helper()
	dir, err := os.MkdirTemp(scratch, "cluster-")
	if err != nil {
		t.Fatal(err)
	}
	c, err := proc.NewCluster(binary, dir, 3, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(c.Logs())
		}
	})
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Leader(within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

func newClient(t *testing.T, masters []string) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{Masters: masters})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// startWorker starts a worker process; the cluster's clean-up ends it.
func startWorker(t *testing.T, c *proc.Cluster, id string, masters []string, args ...string) *proc.Worker {
	t.Helper()
	w, err := c.Worker(id, masters, args...)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// within returns the test's context with a time limit.
func within(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), limit, fmt.Errorf("not within %v", limit))
	t.Cleanup(cancel)
	return ctx
}

// must fails the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pass waits for d, where the passing of time is itself the fault or the subject.
func pass(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}
