package tidy

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	caseRow  = regexp.MustCompile(`(?m)^\| (\d+) \| [^|]+ \| ([^|]+) \| [^|]+ \|$`)
	caseTest = regexp.MustCompile("`([a-z0-9/]+)` ((?:Test[A-Za-z0-9]+(?:, )?)+)")
)

// TestCasesAreTested keeps docs/cases.md true: each case names tests, and each of
// them exists in its package.
func TestCasesAreTested(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "cases.md"))
	if err != nil {
		t.Fatal(err)
	}
	last := 0
	for _, row := range caseRow.FindAllStringSubmatch(string(text), -1) {
		n, _ := strconv.Atoi(row[1]) // the pattern says that it is a number
		if n <= last {
			t.Errorf("case %d after case %d", n, last)
		}
		last = n
		tests := caseTest.FindAllStringSubmatch(row[2], -1)
		if len(tests) == 0 {
			t.Errorf("case %d names no test", n)
		}
		for _, in := range tests {
			source := testsOf(t, in[1])
			for name := range strings.SplitSeq(strings.TrimSuffix(in[2], ", "), ", ") {
				if !strings.Contains(source, "\nfunc "+name+"(t *testing.T)") {
					t.Errorf("case %d: %s has no test %s", n, in[1], name)
				}
			}
		}
	}
	if last != 25 {
		t.Errorf("the last case is %d, want 25: the pattern is wrong, or cases are missing", last)
	}
}

// testsOf returns all test files of a package, one after the other.
func testsOf(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(text)
	}
	return b.String()
}
