package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

// plenty is a disk with room.
func plenty(string) (Space, error) {
	return Space{Free: 100 * gib, Total: 200 * gib, FreeInodes: 1000, TotalInodes: 2000}, nil
}

func forming(name string) Options { return Options{Create: true, Name: name, space: plenty} }

func mustOpen(t *testing.T, path string, o Options) *Dir {
	t.Helper()
	d, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// wantError fails unless err is an *Error of that kind whose text has all parts.
func wantError(t *testing.T, err error, kind Kind, parts ...string) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("error = %v, want an *Error", err)
	}
	if e.Kind != kind {
		t.Errorf("kind = %d, want %d (%v)", e.Kind, kind, err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error = %q, want %q in it", err, part)
		}
	}
}

// formed returns a closed directory of n1 in cluster c1, with a log file.
func formed(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data")
	d := mustOpen(t, path, forming("n1"))
	if err := d.Adopt("c1", peersWith(d.Identity())); err != nil {
		t.Fatal(err)
	}
	write(t, d.LogPath(), "log")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func peersWith(s State) []Peer {
	return []Peer{
		{Name: s.Name, Incarnation: s.Incarnation, Raft: "127.0.0.1:7401"},
		{Name: "other", Incarnation: "00112233aabbccdd", Raft: "127.0.0.1:7411"},
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFirstStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	d := mustOpen(t, path, forming("n1"))
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("mode = %o, want 700", info.Mode().Perm())
	}
	first := d.Identity()
	if first.Name != "n1" || len(first.Incarnation) != 16 || first.Formed() || first.Owner() != "" {
		t.Errorf("identity = %+v", first)
	}
	if d.FileSystem() == "" || d.Path() != path || d.SnapshotPath() != path {
		t.Errorf("file system %q, path %q, snapshots %q", d.FileSystem(), d.Path(), d.SnapshotPath())
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}

	// The incarnation is kept from the first start on, formed or not.
	again := mustOpen(t, path, Options{Name: "n1", space: plenty})
	if got := again.Identity(); got.Incarnation != first.Incarnation {
		t.Errorf("incarnation = %q, want %q", got.Incarnation, first.Incarnation)
	}
}

func TestSymlinkToDirectory(t *testing.T) {
	path := formed(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, link, Options{Name: "n1", space: plenty})
}

// TestBadInput are the rows of the bad-input table about the directory and its identity.
func TestBadInput(t *testing.T) {
	fresh := func(t *testing.T) string { return t.TempDir() }
	in := func(name string) func(t *testing.T) string {
		return func(t *testing.T) string { return filepath.Join(t.TempDir(), name) }
	}
	rows := []struct {
		name  string // row id/case
		path  func(t *testing.T) string
		spoil func(t *testing.T, path string)
		open  Options
		kind  Kind
		parts []string
	}{
		{
			"B01/missing", in("data"), nil,
			Options{Name: "n1", space: plenty},
			Disk,
			[]string{"no data at", "--peers", "--join"},
		},
		{
			"B01/empty", private(fresh), nil,
			Options{Name: "n1", space: plenty},
			Disk,
			[]string{"no data at", "--peers", "--join"},
		},
		{
			"B02/file", in("data"), func(t *testing.T, path string) { write(t, path, "x") }, forming("n1"),
			Disk,
			[]string{"is a file", "--data-dir"},
		},
		{
			"B02/under a file", in("file/data"), func(t *testing.T, path string) { write(t, filepath.Dir(path), "x") }, forming("n1"),
			Disk,
			[]string{"not a directory", "--data-dir"},
		},
		{
			"B02/symlink loop", in("data"), func(t *testing.T, path string) {
				if err := os.Symlink(path, path); err != nil {
					t.Fatal(err)
				}
			}, forming("n1"),
			Disk,
			[]string{"too many levels of symbolic links", "--data-dir"},
		},
		{"B02/read-only", fresh, mountReadOnly, forming("n1"), Disk, []string{"read-only", "remount"}},
		{
			"B03/not owner", fresh, func(t *testing.T, path string) {
				if os.Geteuid() != 0 {
					t.Skip("only root can give a directory away")
				}
				if err := errors.Join(os.Chmod(path, 0o700), os.Chown(path, 4711, 4711)); err != nil {
					t.Fatal(err)
				}
			}, forming("n1"),
			Disk,
			[]string{"mode 0700", "uid 4711", "uid 0"},
		},
		{"B03/group can write", fresh, chmod(0o770), forming("n1"), Disk, []string{"mode 0770", "chmod 700"}},
		{"B03/others can write", fresh, chmod(0o707), forming("n1"), Disk, []string{"mode 0707", "chmod 700"}},
		{"B05/raft.db deleted", formed, remove("raft.db"), forming("n1"), Disk, []string{"data lost", "c1", "--rejoin"}},
		{"B06/identity deleted", formed, remove("identity.json"), forming("n1"), Disk, []string{"identity.json", "missing beside an existing raft.db", "backup"}},
		{
			"B06/only snapshots left", formed, func(t *testing.T, path string) {
				remove("identity.json")(t, path)
				remove("raft.db")(t, path)
				if err := os.MkdirAll(filepath.Join(path, "snapshots", "2-1-1"), 0o700); err != nil {
					t.Fatal(err)
				}
			}, forming("n1"),
			Disk,
			[]string{"missing beside an existing snapshots"},
		},
		{"B11/another node", formed, nil, forming("n2"), Identity, []string{`"n1"`, `"n2"`, "c1"}},
		{
			"B14/disk full at start", formed, nil,
			Options{Name: "n1", space: func(string) (Space, error) { return Space{Free: 255 * mib, Total: gib}, nil }},
			Disk,
			[]string{"255 MiB free", "≥ 256 MiB free"},
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			path := row.path(t)
			if row.spoil != nil {
				row.spoil(t, path)
			}
			d, err := Open(path, row.open)
			if err == nil {
				d.Close()
			}
			wantError(t, err, row.kind, row.parts...)
		})
	}
}

func private(path func(*testing.T) string) func(*testing.T) string {
	return func(t *testing.T) string {
		p := path(t)
		chmod(0o700)(t, p)
		return p
	}
}

func chmod(mode os.FileMode) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
}

func remove(name string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		if err := os.Remove(filepath.Join(path, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSpaceLow(t *testing.T) {
	inodes := func(s Space, free uint64) Space {
		s.FreeInodes, s.TotalInodes = free, 1000
		return s
	}
	for _, tt := range []struct {
		name string
		s    Space
		want bool
	}{
		{"plenty", Space{Free: 10 * gib, Total: 100 * gib}, false},
		{"B14/under 512 MiB", Space{Free: 512*mib - 1, Total: gib}, true},
		{"exactly 512 MiB", Space{Free: 512 * mib, Total: gib}, false},
		{"B14/under 5 %", Space{Free: 4 * gib, Total: 100 * gib}, true},
		{"B15/inodes", inodes(Space{Free: 10 * gib, Total: 100 * gib}, 3), true},
		{"inodes left", inodes(Space{Free: 10 * gib, Total: 100 * gib}, 300), false},
	} {
		if got := tt.s.Low(); got != tt.want {
			t.Errorf("%s: low = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestSpaceOfRealDisk(t *testing.T) {
	s, err := Measure(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if s.Free == 0 || s.Total < s.Free {
		t.Errorf("space = %+v", s)
	}
}

func TestProbe(t *testing.T) {
	dir := t.TempDir()
	fs, p50, err := Probe(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s, fsync p50 %v", fs, p50)
	if fs == "" || p50 <= 0 {
		t.Errorf("probe = %q, %v", fs, p50)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind %v, %v", left, err)
	}
	_, _, err = Probe(filepath.Join(dir, "missing"))
	wantError(t, err, Disk, "no such file")
}

func TestFileSystems(t *testing.T) {
	if fs, err := fsType("/dev/shm"); err != nil || fs != "tmpfs" {
		t.Skipf("no tmpfs to name: %q, %v", fs, err)
	}
	if !Volatile("tmpfs") || Volatile("ext4") || !Network("nfs") || Network("tmpfs") {
		t.Error("file systems are in the wrong class")
	}
}

// TestCondemned: data that must not be used is refused with the reason, for good.
func TestCondemned(t *testing.T) {
	path := formed(t)
	d := mustOpen(t, path, Options{})
	if err := errors.Join(d.Condemn("it differs: use another"), d.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err := Open(path, Options{})
		wantError(t, err, Disk, "not to be used: it differs: use another")
	}
}

// TestSpool: a spool is gone when it is closed, and one that a killed process left when
// the directory is opened again.
func TestSpool(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a[b?", "n1") // no pattern, whatever it looks like
	open := func() *Dir {
		d, err := Open(path, Options{Create: true, Name: "n1"})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	there := func() int {
		list, err := os.ReadDir(path)
		if err != nil {
			t.Fatal(err)
		}
		return len(slices.DeleteFunc(list, func(e os.DirEntry) bool { return !strings.HasPrefix(e.Name(), SpoolName) }))
	}
	d := open()
	closed, err := d.Spool()
	if err != nil {
		t.Fatal(err)
	}
	left, err := d.Spool()
	if err != nil {
		t.Fatal(err)
	}
	defer left.File.Close()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	if n := there(); n != 1 {
		t.Errorf("%d spools are there, want the open one alone", n)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open()
	defer d.Close()
	if n := there(); n != 0 {
		t.Errorf("%d spools are left", n)
	}
}
