package tidy

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestSharesOfMakeTest: the limits of what make test runs add up to what it promises.
func TestSharesOfMakeTest(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	shares := map[string]int{}
	sum := 0
	for _, m := range regexp.MustCompile(`(?m)^\t\$\(TIMED\) (\S+) .*?-limit (\d+)`).FindAllStringSubmatch(string(makefile), -1) {
		n, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		shares[m[1]] = n
		sum += n
	}
	for _, target := range []string{"check", "unit", "seeds", "seeds-cluster", "e2e", "chaos"} {
		if shares[target] == 0 {
			t.Errorf("make %s has no -limit in the Makefile", target)
		}
	}
	if limit := 45 * 60; sum > limit {
		t.Errorf("the shares of make test are %d s, more than %d: %v", sum, limit, shares)
	}
}

// TestTimed: a command past its limit is ended with all that it started, and the
// message says what to do.
func TestTimed(t *testing.T) {
	type result struct {
		code int
		text string
		took time.Duration
	}
	timed := func(factor string, args ...string) result {
		t.Helper()
		cmd := exec.Command("scripts/timed.sh", args...)
		cmd.Dir, cmd.Env = root, append(os.Environ(), "TIME_FACTOR="+factor)
		began := time.Now()
		out, err := cmd.CombinedOutput() // waits for everybody who holds the pipe
		r := result{text: string(out), took: time.Since(began)}
		if ended, ok := errors.AsType[*exec.ExitError](err); ok {
			r.code = ended.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := timed("", "quick", "-limit", "60", "true"); r.code != 0 || !strings.HasPrefix(r.text, "quick: took ") {
		t.Errorf("within its limit: %+v", r)
	}
	if r := timed("", "wrong", "-limit", "60", "sh", "-c", "exit 3"); r.code != 3 || strings.Contains(r.text, "limit") {
		t.Errorf("a failure within the limit: %+v", r)
	}
	r := timed("0.01", "slow", "-limit", "50", "sh", "-c", "sleep 100 & sleep 100")
	if r.code != 124 || r.took > 50*time.Second || !strings.Contains(r.text, "slow: was ended at its limit of 0.500 s") || !strings.Contains(r.text, "TIME_FACTOR=2 make slow") {
		t.Errorf("past its limit: %+v", r)
	}
	for _, factor := range []string{"0", "fast", "-1", "0.0"} {
		if r := timed(factor, "x", "-limit", "1", "true"); r.code != 2 || !strings.Contains(r.text, "TIME_FACTOR="+factor) {
			t.Errorf("TIME_FACTOR=%s: %+v", factor, r)
		}
	}
}
