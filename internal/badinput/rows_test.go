package badinput

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

var rowID = regexp.MustCompile(`\b[A-H][0-9]{2}\b`)

// TestRows prints every row as tested or waiting, and fails where the list and
// the tests' sources disagree.
func TestRows(t *testing.T) {
	named := namedRows(t)
	seen := make(map[string]bool)
	last := ""
	tested, waiting := 0, 0
	for _, r := range Rows {
		if seen[r.ID] || r.ID < last || !rowID.MatchString(r.ID) {
			t.Errorf("%s is listed twice or out of order", r.ID)
		}
		seen[r.ID], last = true, r.ID
		if len(r.Tests) == 0 && r.Waits == "" {
			t.Errorf("%s: %s: neither tested nor waiting for anything", r.ID, r.Input)
		}
		for _, dir := range r.Tests {
			if !slices.Contains(named[r.ID], dir) {
				t.Errorf("%s: no test in %s names it", r.ID, dir)
			}
		}
		switch dirs := strings.Join(named[r.ID], ", "); {
		case dirs != "" && r.Waits != "":
			tested++
			t.Logf("%s tested in %s; the rest waits for %s", r.ID, dirs, r.Waits)
		case dirs != "":
			tested++
			t.Logf("%s tested in %s", r.ID, dirs)
		default:
			waiting++
			t.Logf("%s waiting for %s", r.ID, r.Waits)
		}
	}
	for id, dirs := range named {
		if !seen[id] {
			t.Errorf("tests in %v name %s, which is no row", dirs, id)
		}
	}
	t.Logf("%d rows: %d tested, %d waiting", len(Rows), tested, waiting)
}

// namedRows finds the rows that test files and test scripts name, with the
// folders of their packages.
func namedRows(t *testing.T) map[string][]string {
	t.Helper()
	named := make(map[string][]string)
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // another test's scratch file
			return nil
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "badinput"):
			return fs.SkipDir
		case !strings.HasSuffix(name, "_test.go") && path.Ext(name) != ".txtar":
			return nil
		}
		dir, _, _ := strings.Cut(path.Dir(name), "/testdata/")
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return err
		}
		for _, id := range rowID.FindAllString(string(data), -1) {
			if !slices.Contains(named[id], dir) {
				named[id] = append(named[id], dir)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return named
}
