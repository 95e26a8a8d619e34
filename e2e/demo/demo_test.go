package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestVerdict(t *testing.T) {
	v := verdict{submitted: 300, completed: 300, leaderKills: 1, gap: 47 * time.Millisecond}
	want := "demo: submitted=300 completed=300 wrong=0 lost=0 duplicate_completions=0 leader_kills=1 gap_ms=47"
	if diff := cmp.Diff(want, v.String()); diff != "" {
		t.Errorf("last line (-want +got):\n%s", diff)
	}
	if !v.good() {
		t.Error("a perfect run is not good")
	}
	for name, spoil := range map[string]func(*verdict){
		"submitted":  func(v *verdict) { v.submitted-- },
		"completed":  func(v *verdict) { v.completed-- },
		"wrong":      func(v *verdict) { v.wrong++ },
		"lost":       func(v *verdict) { v.lost++ },
		"duplicates": func(v *verdict) { v.duplicates++ },
		"kills":      func(v *verdict) { v.leaderKills = 0 },
	} {
		bad := v
		spoil(&bad)
		if bad.good() {
			t.Errorf("a run with other %s is good", name)
		}
	}
}

func TestChoose(t *testing.T) {
	tests := []struct {
		names []string
		n     int
		want  []string
	}{
		{[]string{"a", "b"}, 5, []string{"a", "b", "a", "b", "a"}},
		{[]string{"a", "b", "c", "d", "e", "f"}, 3, []string{"a", "c", "e"}},
		{[]string{"a", "b"}, 2, []string{"a", "b"}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, choose(tt.names, tt.n)); diff != "" {
			t.Errorf("choose %d of %v (-want +got):\n%s", tt.n, tt.names, diff)
		}
	}
}

// TestExpectation compares what is computed here with what the task's own script
// prints, on a file whose name would not survive a shell.
func TestExpectation(t *testing.T) {
	dir := t.TempDir()
	name := "a file; echo 'oops' $(date) \"*\"\n.txt"
	if err := os.WriteFile(filepath.Join(dir, name), []byte("some\ncontent"), 0o600); err != nil {
		t.Fatal(err)
	}
	want, err := expect(t.Context(), dir, name)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script, "sh", name)
	cmd.Dir = dir
	got, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("the script prints something else (-want +got):\n%s", diff)
	}
}

func TestMatches(t *testing.T) {
	tests := []struct {
		result string
		want   bool
	}{
		{`{"exit_code":0,"stdout":"x\n"}`, true},
		{`{"exit_code":1,"stdout":"x\n"}`, false},
		{`{"exit_code":0,"stdout":"y\n"}`, false},
		{`x`, false},
		{``, false},
	}
	for _, tt := range tests {
		if got := matches([]byte(tt.result), "x\n"); got != tt.want {
			t.Errorf("matches(%q) is %v", tt.result, got)
		}
	}
}

// TestFiles finds this repository's own files, with and without git.
func TestFiles(t *testing.T) {
	names, err := files(t.Context(), "../..")
	if err != nil {
		t.Fatal(err)
	}
	walked, err := walk("../..")
	if err != nil {
		t.Fatal(err)
	}
	for what, names := range map[string][]string{"files": names, "walk": walked} {
		found := false
		for _, name := range names {
			found = found || name == "go.mod"
		}
		if !found {
			t.Errorf("%s did not find go.mod among %d", what, len(names))
		}
	}
}
