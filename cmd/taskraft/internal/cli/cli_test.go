package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// result is what one run of the program left.
type result struct {
	code        int
	out, errOut string
}

// runIn runs the real command tree with a clean environment.
func runIn(t *testing.T, env []string, stdin string, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	std := IO{In: strings.NewReader(stdin), Out: &out, Err: &errOut, Env: env}
	code := Run(t.Context(), args, std, "v0-test")
	return result{code, out.String(), errOut.String()}
}

func run(t *testing.T, args ...string) result {
	t.Helper()
	return runIn(t, nil, "", args...)
}

// wantCode fails unless the run ended with the code and said all of want on stderr.
func (r result) wantCode(t *testing.T, code int, want ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d; stderr:\n%s", r.code, code, r.errOut)
	}
	for _, w := range want {
		if !strings.Contains(r.errOut, w) {
			t.Errorf("stderr does not say %q:\n%s", w, r.errOut)
		}
	}
	for _, bad := range []string{"panic", "goroutine ", ".go:"} {
		if strings.Contains(r.errOut, bad) {
			t.Errorf("stderr shows %q:\n%s", bad, r.errOut)
		}
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNoTwoSettingsShareAName(t *testing.T) {
	flags, envs, paths := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, r := range new(config).allRows() {
		for name, seen := range map[string]map[string]bool{r.Flag: flags, r.Env: envs, r.Path: paths} {
			if name != "" && seen[name] {
				t.Errorf("%s is used twice", name)
			}
			seen[name] = true
		}
		if r.Doc == "" || r.Flag == "" {
			t.Errorf("%+v has no flag or no text", r)
		}
	}
}

func TestHelpShowsEveryVariable(t *testing.T) {
	shown := run(t, "master", "--help").out + run(t, "worker", "run", "--help").out + run(t, "task", "list", "--help").out
	for _, r := range new(config).allRows() {
		if r.Env != "" && !strings.Contains(shown, "["+r.Env+"]") {
			t.Errorf("no --help shows %s", r.Env)
		}
	}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	for _, args := range [][]string{
		{"master"},
		{"worker", "run"},
		{"submit"},
		{"task", "list"},
		{"task", "get"},
		{"task", "wait"},
		{"task", "cancel"},
		{"task", "retry"},
		{"queue", "list"},
		{"queue", "get"},
		{"queue", "set"},
		{"queue", "pause"},
		{"queue", "resume"},
		{"cluster", "status"},
		{"cluster", "members"},
		{"cluster", "transfer"},
		{"cluster", "digest"},
		{"dev"},
		{"bench"},
		{"config", "show"},
		{"config", "validate"},
		{"version"},
		{"completion", "bash"},
	} {
		r := run(t, append(args, "--help")...)
		r.wantCode(t, exitOK)
		if !strings.Contains(r.out, "Usage:") || r.errOut != "" {
			t.Errorf("%v --help prints\n%s%s", args, r.out, r.errOut)
		}
	}
}
