package tidy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// quote is a block of code in a page that says which file it stands in.
var quote = regexp.MustCompile("(?s)<!-- from: ([^ ]+) -->\n```go\n(.*?)```")

// TestPagesQuoteTheirSources keeps code in pages true: what claims to stand in a
// file, one that tests compile and run, must stand there, whatever its indentation.
func TestPagesQuoteTheirSources(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(pages, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range quote.FindAllStringSubmatch(string(text), -1) {
			found++
			source, err := os.ReadFile(filepath.Join(root, m[1]))
			if err != nil {
				t.Errorf("%s quotes %s: %v", page, m[1], err)
				continue
			}
			if !strings.Contains(unindented(string(source)), unindented(m[2])) {
				t.Errorf("%s: this is not in %s:\n%s", page, m[1], m[2])
			}
		}
	}
	if found == 0 {
		t.Error("no page quotes anything: the pattern is wrong")
	}
}

func unindented(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return "\n" + strings.Join(lines, "\n") + "\n"
}
