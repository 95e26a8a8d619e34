package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/internal/proc"
)

// terminal is a program in a terminal that nobody sees: a tmux of the test's own.
type terminal struct {
	t      *testing.T
	socket string
}

// inTerminal runs a program at a size. The test's clean-up ends it.
func inTerminal(t *testing.T, width, height int, env []string, command ...string) *terminal {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Fatalf("%v: make tools installs it", err)
	}
	x := &terminal{t, filepath.Join(t.TempDir(), "tmux")}
	args := []string{"-f", os.DevNull, "new-session", "-d", "-x", fmt.Sprint(width), "-y", fmt.Sprint(height)}
	for _, kv := range env {
		args = append(args, "-e", kv)
	}
	args = append(args, "timeout", "--foreground", "5m") // tmux outlives a test that is killed
	x.tmux(append(args, command...)...)
	t.Cleanup(func() { _, _ = x.run("kill-server") }) // it has ended by itself if all went well
	return x
}

func (x *terminal) run(args ...string) (string, error) {
	cmd := exec.Command("tmux", append([]string{"-S", x.socket}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TERM=xterm-256color")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (x *terminal) tmux(args ...string) string {
	x.t.Helper()
	out, err := x.run(args...)
	if err != nil {
		x.t.Fatalf("tmux %v: %v\n%s", args, err, out)
	}
	return out
}

func (x *terminal) press(keys ...string) {
	x.t.Helper()
	x.tmux(append([]string{"send-keys"}, keys...)...)
}

// shows waits until the screen has all the texts, and returns it.
func (x *terminal) shows(ctx context.Context, texts ...string) string {
	x.t.Helper()
	var screen string
	err := proc.Poll(ctx, 50*time.Millisecond, fmt.Sprintf("the screen shows %q", texts), func() bool {
		screen = x.tmux("capture-pane", "-p")
		for _, text := range texts {
			if !strings.Contains(screen, text) {
				return false
			}
		}
		return true
	})
	if err != nil {
		x.t.Fatalf("%v; it shows\n%s", err, screen)
	}
	return screen
}

// TestTop watches a cluster at 80 × 24 while its leader is killed, looks at every
// view, has the window grow, and quits.
func TestTop(t *testing.T) {
	c := newCluster(t)
	ctx := within(t, 2*time.Minute)
	startWorker(t, c, "w1", c.Addrs(), "--queue", "default", "--queue", "mail=3")
	cl := newClient(t, c.Addrs())
	for _, q := range []string{"default", "mail", "nobody-serves"} {
		for range 3 {
			_, err := cl.Submit(ctx, client.Task{Queue: q, Kind: "command", Payload: []byte(`{"argv": ["sleep", "600"]}`)})
			must(t, err)
		}
	}
	leader, err := c.Leader(ctx)
	must(t, err)
	x := inTerminal(t, 80, 24, []string{"TASKRAFT_MASTERS=" + strings.Join(c.Addrs(), ",")}, c.Binary(), "top")
	t.Logf("at 80 × 24:\n%s", x.shows(ctx, "● "+leader.Name+" leads", "running 6 of 8 slots", "ready 3", "nobody-serves", "mail", "○ n", "q quit"))
	x.press("3")
	t.Logf("workers:\n%s", x.shows(ctx, "w1", "online", "6/8", "default,mail=3"))
	x.press("4")
	t.Logf("tasks:\n%s", x.shows(ctx, "running  default  command", "running  mail"))
	x.press("5")
	x.shows(ctx, c.Addrs()[0], c.Addrs()[2], "ADDRESS")
	x.press("?")
	x.shows(ctx, "hold the screen still")
	x.press("1")
	x.shows(ctx, "● "+leader.Name+" leads")

	must(t, leader.Kill())
	next, err := c.NextLeader(ctx, leader)
	must(t, err)
	t.Logf("after the kill:\n%s", x.shows(ctx, "● "+next.Name+" leads", next.Name+" leads now, in term", "✗ "+leader.Name, "running 6 of 8 slots"))

	x.tmux("resize-window", "-x", "132", "-y", "43")
	t.Logf("at 132 × 43:\n%s", x.shows(ctx, "DONE/S, the last", "● "+next.Name+" leads"))
	must(t, leader.Start())
	x.shows(ctx, leader.Name+" is back")
	x.press("q")
	must(t, proc.Poll(ctx, 50*time.Millisecond, "top has ended", func() bool {
		_, err := x.run("has-session")
		return err != nil
	}))
}

// TestTopWithoutColour draws no colour when NO_COLOR is set, and refuses what is no
// terminal.
func TestTopWithoutColour(t *testing.T) {
	c := newCluster(t)
	ctx := within(t, time.Minute)
	masters := "TASKRAFT_MASTERS=" + strings.Join(c.Addrs(), ",")
	coloured := func(env ...string) bool {
		x := inTerminal(t, 80, 24, append(env, masters), c.Binary(), "top")
		x.shows(ctx, " leads")
		screen := x.tmux("capture-pane", "-p", "-e")
		return strings.Contains(screen, "\x1b[32m") || strings.Contains(screen, "\x1b[38;")
	}
	if !coloured() {
		t.Error("no colour on a terminal")
	}
	if coloured("NO_COLOR=1") {
		t.Error("colour in spite of NO_COLOR")
	}
	l := runTaskraft(ctx, t, c, "top")
	if code := l.exit(t); code != 2 || !strings.Contains(l.err.String(), "terminal") || !strings.Contains(l.err.String(), "taskraft cluster status") {
		t.Errorf("into a pipe: exit code %d, %q", code, l.err.String())
	}
}
