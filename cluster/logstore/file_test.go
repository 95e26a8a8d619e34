package logstore

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/taskraft/taskraft/cluster/datadir"
)

// TestInterruptedCreation is B07: what a crash left of a first start is removed
// and the start is done again.
func TestInterruptedCreation(t *testing.T) {
	for name, left := range map[string]string{"empty": "", "half": string(make([]byte, 6000)), "garbage": "garbage"} {
		t.Run("B07/"+name, func(t *testing.T) {
			path := tempPath(t)
			if err := os.WriteFile(path+creating, []byte(left), 0o600); err != nil {
				t.Fatal(err)
			}
			s := mustOpen(t, Config{Path: path, Kind: Bolt})
			fill(t, s, 1, 3, 10)
			wantFiles(t, path)
		})
	}
}

// wantFiles fails unless the file is alone in its directory.
func wantFiles(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != filepath.Base(path) {
			t.Errorf("left behind: %s", e.Name())
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o, want 600", info.Mode().Perm())
	}
}

// TestInterruptedCreationOfAnother: leftovers beside a sound file go, the file stays.
func TestLeftoversBesideAFile(t *testing.T) {
	s := owned(t, Config{Kind: Bolt})
	fill(t, s, 1, 100, 10)
	for _, suffix := range []string{creating, compacting} {
		if err := os.WriteFile(s.cfg.Path+suffix, []byte("left"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = reopen(t, s)
	wantLog(t, s, 1, 100, 10)
	wantFiles(t, s.cfg.Path)
}

func TestCreateFails(t *testing.T) {
	_, err := Open(Config{Path: filepath.Join(t.TempDir(), "missing", "raft.db")})
	wantError(t, err, datadir.Disk, "create log store")
}

func TestSecondOpener(t *testing.T) {
	s := owned(t, Config{})
	_, err := Open(s.cfg)
	wantError(t, err, datadir.Disk, "in use by another process")
	fill(t, s, 1, 10, 10)
}

func TestCompaction(t *testing.T) {
	s := owned(t, Config{Kind: Bolt})
	fill(t, s, 1, 2000, 4000)
	vote(t, s, 4, "n1/aa")
	s.cfg.compactAbove = 1 << 20
	s = reopen(t, s)
	before := s.Stats()
	if err := s.DeleteRange(1, 1500); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	after := s.Stats()
	if after.FileBytes > before.FileBytes/2 {
		t.Errorf("file has %d bytes, had %d", after.FileBytes, before.FileBytes)
	}
	wantFiles(t, s.cfg.Path)
	wantLog(t, s, 1501, 2000, 4000)
	wantVote(t, s, 4, "n1/aa")
	fill(t, s, 2001, 2100, 4000)
	s = reopen(t, s)
	wantLog(t, s, 1501, 2100, 4000)
	if got := s.Stats().FileBytes; got < after.FileBytes {
		t.Errorf("compacted again from %d to %d bytes", after.FileBytes, got)
	}
}

// TestNoCompaction: small files, and files mostly in use, stay as they are.
func TestNoCompaction(t *testing.T) {
	for name, tt := range map[string]struct {
		above  int64
		delete uint64
	}{"small": {0, 900}, "in use": {1 << 20, 100}} {
		t.Run(name, func(t *testing.T) {
			s := owned(t, Config{Kind: Bolt, compactAbove: tt.above})
			fill(t, s, 1, 5000, 4000)
			if err := s.DeleteRange(1, tt.delete); err != nil {
				t.Fatal(err)
			}
			before := s.Stats().FileBytes
			s = reopen(t, s)
			if after := s.Stats().FileBytes; after != before {
				t.Errorf("file had %d bytes, has %d", before, after)
			}
		})
	}
}
