package tidy

import (
	"bufio"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// texts are the kinds of files whose lines are looked at.
var texts = []string{".go", ".md", ".mod", ".proto", ".sh", ".txt", "Makefile", "run"}

// lineRules are spelled with breaks so that this file passes its own test.
var lineRules = []struct {
	pattern *regexp.Regexp
	why     string
}{
	{regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`), "finish it, or describe it in the issue tracker: a note in the source is never read again"},
	{regexp.MustCompile(`(^|[ "'=(])/(wo` + `rk|ro` + `ot|ho` + `me)/`), "a path of somebody's machine"},
	{regexp.MustCompile(`GO` + `PROXY|GO` + `NOSUMDB|GO` + `PRIVATE`), "where modules come from is a matter of the machine, not of the project"},
	{regexp.MustCompile(`^(<<<<<<<|>>>>>>>) `), "an unresolved merge"},
	{regexp.MustCompile(`[ \t]+$`), "white space at the end of a line"},
}

func TestLines(t *testing.T) {
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{".git", ".tools", ".data", "bin", "taskraft-dev", "testdata"}, d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || !slices.ContainsFunc(texts, func(end string) bool { return strings.HasSuffix(path, end) }) {
			return nil
		}
		return checkLines(t, path)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkLines(t *testing.T, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	name, err := filepath.Rel(root, path)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		for _, rule := range lineRules {
			if found := rule.pattern.FindString(lines.Text()); found != "" {
				t.Errorf("%s:%d: %q: %s", name, n, found, rule.why)
			}
		}
	}
	return lines.Err()
}
