package datadir

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestMain turns this binary into a second process when asked to.
func TestMain(m *testing.M) {
	if path := os.Getenv("DATADIR_TEST_OPEN"); path != "" {
		_, err := Open(path, forming("n1"))
		fmt.Println(err)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestSecondProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	d := mustOpen(t, path, forming("n1"))
	second := func() string {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "DATADIR_TEST_OPEN="+path)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	want := fmt.Sprintf("%s: the data directory is in use by process %d: stop it, or give this master its own --data-dir\n", path, os.Getpid())
	if got := second(); got != want {
		t.Errorf("second process: %q, want %q", got, want)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if got := second(); got != "<nil>\n" {
		t.Errorf("after close: %q", got)
	}
	// The dead process's lock and pid are no obstacle.
	mustOpen(t, path, forming("n1"))
}

func TestLockIsNoSymlink(t *testing.T) {
	path := formed(t)
	remove("lock")(t, path)
	if err := os.Symlink("/etc/passwd", filepath.Join(path, "lock")); err != nil {
		t.Fatal(err)
	}
	_, err := Open(path, forming("n1"))
	wantError(t, err, Disk, "open lock")
}
