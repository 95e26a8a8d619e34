package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/taskraft/taskraft/internal/proc"
)

var goodDemo = regexp.MustCompile(`(?m)^demo: submitted=300 completed=300 wrong=0 lost=0 duplicate_completions=0 leader_kills=1 gap_ms=\d+$`)

// TestDemo runs what `make demo` runs and looks at its last line and its status.
func TestDemo(t *testing.T) {
	program, data := buildDemo(t)
	cmd := exec.CommandContext(within(t, 2*time.Minute), program, "-taskraft", binary, "-data", data)
	cmd.Dir = repository
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("demo: %v\n%s\n%s", err, out, &stderr)
	}
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	if last := lines[len(lines)-1]; !goodDemo.MatchString(last) {
		t.Errorf("the last line is %q\n%s", last, out)
	}
	readme, err := os.ReadFile(filepath.Join(repository, "README.md"))
	must(t, err)
	if !goodDemo.Match(readme) {
		t.Error("README.md has no recording of the demo with this last line")
	}
	t.Log(lines[len(lines)-1])
	empty(t, data)
}

// TestDemoInterrupted presses Ctrl-C in the middle of the demo: status 130, no
// process and no data left.
func TestDemoInterrupted(t *testing.T) {
	program, data := buildDemo(t)
	log := filepath.Join(t.TempDir(), "log")
	p, err := proc.Start(proc.Spec{Name: "demo", Path: program, Args: []string{"-taskraft", binary, "-data", data}, Dir: repository, Log: log})
	must(t, err)
	t.Cleanup(func() { must(t, p.Kill()) })
	must(t, proc.Poll(within(t, time.Minute), 10*time.Millisecond, "tasks are completed", func() bool {
		return strings.Contains(p.LogTail(1<<20), " completed") || !p.Running()
	}))
	must(t, p.Signal(syscall.SIGINT))
	err = p.Wait(within(t, time.Minute))
	if p.Exit() != "exit status 130" {
		t.Errorf("after Ctrl-C the demo ended with %v, want exit status 130\n%s", err, p.LogTail(1<<20))
	}
	for _, pid := range regexp.MustCompile(`pid (\d+)`).FindAllStringSubmatch(p.LogTail(1<<20), -1) {
		if line, err := os.ReadFile("/proc/" + pid[1] + "/cmdline"); err == nil && bytes.Contains(line, []byte(data)) {
			t.Errorf("process %s still runs: %q", pid[1], line)
		}
	}
	empty(t, data)
}

func buildDemo(t *testing.T) (program, data string) {
	t.Helper()
	dir, err := os.MkdirTemp(scratch, "demo-")
	must(t, err)
	program = filepath.Join(dir, "demo")
	must(t, build(t.Context(), "./e2e/demo", program))
	return program, filepath.Join(dir, "data")
}

func empty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	must(t, err)
	for _, entry := range left {
		t.Errorf("%s was left behind in %s", entry.Name(), dir)
	}
}
