package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskraft/taskraft/internal/proc"
)

// commandLine is one run of the program, with its streams apart.
type commandLine struct {
	cmd      *exec.Cmd
	out, err lockedBuffer
}

// lockedBuffer can be read while a process writes to it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func runTaskraft(ctx context.Context, t *testing.T, c *proc.Cluster, args ...string) *commandLine {
	t.Helper()
	l := &commandLine{cmd: exec.CommandContext(ctx, binary, args...)}
	l.cmd.Env = append(os.Environ(), "TASKRAFT_MASTERS="+strings.Join(c.Addrs(), ","))
	l.cmd.Stdout, l.cmd.Stderr = &l.out, &l.err
	must(t, l.cmd.Start())
	return l
}

// exit waits for the end and returns the exit code.
func (l *commandLine) exit(t *testing.T) int {
	t.Helper()
	err := l.cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	must(t, err)
	return 0
}

func (l *commandLine) prints(ctx context.Context, t *testing.T, text string) {
	t.Helper()
	must(t, proc.Poll(ctx, 5*time.Millisecond, "output "+text, func() bool { return strings.Contains(l.out.String(), text) }))
}

// TestFollowOverALeaderKill follows a program that writes a line every few
// milliseconds while the leader is killed, twice. Every line is shown once, in
// order, and the program's end is our exit code. Then a program's follower is
// interrupted: it says how to go on, and going on shows the rest.
func TestFollowOverALeaderKill(t *testing.T) {
	const lines = 300
	c := newCluster(t)
	ctx := within(t, 3*time.Minute)
	startWorker(t, c, "w1", c.Addrs())
	var want strings.Builder
	for i := range lines {
		fmt.Fprintf(&want, "line %d\n", i+1)
	}
	script := fmt.Sprintf(`i=1; while [ $i -le %d ]; do echo "line $i"; sleep 0.01; i=$((i+1)); done; exit 3`, lines)
	followed := runTaskraft(ctx, t, c, "submit", "--follow", "--max-attempts", "1", "--", "sh", "-c", script)
	for _, at := range []int{lines / 4, lines / 2} {
		followed.prints(ctx, t, fmt.Sprintf("line %d\n", at))
		leader, err := c.Leader(ctx)
		must(t, err)
		must(t, leader.Kill())
		must(t, leader.Start())
		_, err = c.NextLeader(ctx, leader)
		must(t, err)
		must(t, c.Rejoined(ctx, leader))
	}
	if code := followed.exit(t); code != 3 {
		t.Errorf("exit code %d, want 3 for a DEAD task\n%s", code, followed.err.String())
	}
	if got := followed.out.String(); got != want.String() {
		t.Errorf("%d lines, want each of %d once:\n%s\n%s", strings.Count(got, "\n"), lines, got, followed.err.String())
	}

	gate := filepath.Join(c.Dir(), "gate")
	script = fmt.Sprintf(`echo begun; while [ ! -e '%s' ]; do sleep 0.01; done; echo done`, gate)
	left := runTaskraft(ctx, t, c, "submit", "--follow", "--", "sh", "-c", script)
	left.prints(ctx, t, "begun\n")
	must(t, left.cmd.Process.Signal(os.Interrupt))
	if code := left.exit(t); code != 130 {
		t.Errorf("exit code %d, want 130 for an interruption", code)
	}
	_, again, found := strings.Cut(left.err.String(), "try: taskraft ")
	if !found || !strings.Contains(left.err.String(), "goes on") {
		t.Fatalf("the interrupted follower says %q", left.err.String())
	}
	resumed := runTaskraft(ctx, t, c, strings.Fields(again)...)
	resumed.prints(ctx, t, "begun\n")
	must(t, os.WriteFile(gate, nil, 0o600))
	if code := resumed.exit(t); code != 0 || resumed.out.String() != "begun\ndone\n" {
		t.Errorf("exit code %d, output %q", code, resumed.out.String())
	}
}

// TestOutputPage runs what docs/output.md tells to type.
func TestOutputPage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(repository, "docs", "output.md"))
	must(t, err)
	block := tested.FindSubmatch(text)
	if block == nil {
		t.Fatal("docs/output.md has no block of tested commands")
	}
	c := newCluster(t)
	startWorker(t, c, "w1", c.Addrs())
	cmd := exec.CommandContext(within(t, time.Minute), "bash", "-euxo", "pipefail")
	cmd.Env = append(os.Environ(), "TASKRAFT_MASTERS="+strings.Join(c.Addrs(), ","), "PATH="+c.Dir()+":"+os.Getenv("PATH"))
	must(t, os.Symlink(c.Binary(), filepath.Join(c.Dir(), "taskraft")))
	cmd.Dir, cmd.Stdin = c.Dir(), bytes.NewReader(block[1])
	out, err := cmd.Output()
	must(t, err)
	if want := "step 1\nstep 2\nstep 3\n2\nhello\nhello\n"; string(out) != want {
		t.Errorf("got %q, want %q", out, want)
	}
}
