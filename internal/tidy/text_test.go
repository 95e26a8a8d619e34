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

// document finds names of Markdown files, and links to files.
var (
	document = regexp.MustCompile(`[A-Za-z0-9][A-Za-z0-9_./-]*\.md\b`)
	link     = regexp.MustCompile(`\]\(([^)#:]+)\)`)
)

// TestDocumentsExist looks for every document that a source file names, and
// every file that a document links to.
func TestDocumentsExist(t *testing.T) {
	code := false // within a block of code, where brackets are no links
	eachText(t, func(name string, n int, line string) {
		code = n > 1 && code != strings.HasPrefix(line, "```")
		switch {
		case strings.HasSuffix(name, ".go") && !strings.HasPrefix(name, "internal/tidy/"):
			for _, doc := range document.FindAllString(line, -1) {
				if !exists(doc) && !exists("docs/"+doc) && !exists(filepath.Join(filepath.Dir(name), doc)) {
					t.Errorf("%s:%d names %s, which is not here: explain in place", name, n, doc)
				}
			}
		case strings.HasSuffix(name, ".md") && !code:
			for _, m := range link.FindAllStringSubmatch(line, -1) {
				if !exists(filepath.Join(filepath.Dir(name), m[1])) {
					t.Errorf("%s:%d links to %s, which is not here", name, n, m[1])
				}
			}
		}
	})
}

func exists(name string) bool {
	_, err := os.Stat(filepath.Join(root, name))
	return err == nil
}

func TestLines(t *testing.T) {
	eachText(t, func(name string, n int, line string) {
		for _, rule := range lineRules {
			if found := rule.pattern.FindString(line); found != "" {
				t.Errorf("%s:%d: %q: %s", name, n, found, rule.why)
			}
		}
	})
}

// eachText visits every line of the module's text files.
func eachText(t *testing.T, visit func(name string, n int, line string)) {
	t.Helper()
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
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		return eachLine(path, func(n int, line string) { visit(filepath.ToSlash(name), n, line) })
	})
	if err != nil {
		t.Fatal(err)
	}
}

func eachLine(path string, visit func(n int, line string)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		visit(n, lines.Text())
	}
	return lines.Err()
}
