package tidy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// pins are the versions that the project depends on in more than their names.
var pins = []struct{ path, exact, atLeast, atMost, why string }{
	{path: "github.com/hashicorp/raft", exact: "v1.7.3", why: "the work-arounds in cluster were written and tested against this release; v1.8.0 does not build with raft-boltdb"},
	{path: "github.com/hashicorp/raft-boltdb/v2", exact: "v2.3.1", why: "the log store's wrapper relies on its layout"},
	{path: "github.com/hashicorp/go-metrics", atMost: "v0.6.1", why: "v0.7.0 dropped the compat package that raft-boltdb imports"},
	{path: "go.etcd.io/bbolt", exact: "v1.5.0", why: "the store of every vote and entry is upgraded on purpose only"},
	{path: "google.golang.org/grpc", atLeast: "v1.79.3", why: "older releases have CVE-2026-33186"},
}

type goMod struct {
	Go      string
	Require []struct {
		Path, Version string
		Indirect      bool
	}
	Replace []struct{ Old, New struct{ Path string } }
}

func readGoMod(t *testing.T) goMod {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go mod edit: %v", err)
	}
	var mod goMod
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	return mod
}

func TestModulesArePinned(t *testing.T) {
	mod := readGoMod(t)
	versions := make(map[string]string)
	for _, r := range mod.Require {
		versions[r.Path] = r.Version
	}
	for _, pin := range pins {
		v := versions[pin.path]
		switch {
		case v == "":
			t.Errorf("go.mod does not require %s", pin.path)
		case pin.exact != "" && v != pin.exact:
			t.Errorf("go.mod requires %s %s, want %s: %s", pin.path, v, pin.exact, pin.why)
		case pin.atLeast != "" && older(t, v, pin.atLeast):
			t.Errorf("go.mod requires %s %s, want at least %s: %s", pin.path, v, pin.atLeast, pin.why)
		case pin.atMost != "" && older(t, pin.atMost, v):
			t.Errorf("go.mod requires %s %s, want at most %s: %s", pin.path, v, pin.atMost, pin.why)
		}
	}
	for _, r := range mod.Replace {
		t.Errorf("go.mod replaces %s: users of our SDKs would not get that", r.Old.Path)
	}
}

// TestDependenciesHaveReasons compares go.mod's direct dependencies with the
// lines of docs/dependencies.md.
func TestDependenciesHaveReasons(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	listed := make(map[string]bool)
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllSubmatch(text, -1) {
		listed[string(m[1])] = true
	}
	for _, r := range readGoMod(t).Require {
		if r.Indirect {
			continue
		}
		if !listed[r.Path] {
			t.Errorf("docs/dependencies.md has no line for %s: say why we depend on it, or do not", r.Path)
		}
		delete(listed, r.Path)
	}
	for path := range listed {
		t.Errorf("docs/dependencies.md lists %s, which go.mod does not require directly", path)
	}
}

// older reports whether version a is older than b; both are vX.Y.Z.
func older(t *testing.T, a, b string) bool {
	t.Helper()
	x, y := numbers(t, a), numbers(t, b)
	for i := range x {
		if x[i] != y[i] {
			return x[i] < y[i]
		}
	}
	return false
}

func numbers(t *testing.T, version string) [3]int {
	t.Helper()
	var n [3]int
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	for i, part := range parts {
		part, _, _ = strings.Cut(part, "-")
		v, err := strconv.Atoi(part)
		if err != nil {
			t.Fatalf("version %s: %v", version, err)
		}
		n[i] = v
	}
	return n
}
