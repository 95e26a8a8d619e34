package logstore

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/datadir"
)

// segmented returns the configuration of a closed store whose entries are in a
// WAL; entry 2,000 holds marker.
func segmented(t *testing.T) Config {
	t.Helper()
	s := owned(t, Config{Kind: WAL})
	fill(t, s, 1, 1999, 100)
	if err := s.StoreLog(&raft.Log{Index: 2000, Term: 2, Data: []byte(marker)}); err != nil {
		t.Fatal(err)
	}
	fill(t, s, 2001, 3000, 100)
	vote(t, s, 5, "n1/aa")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return s.cfg
}

func firstSegment(cfg Config) string {
	return filepath.Join(filepath.Dir(cfg.Path), "wal", "0000000000000001.wal")
}

// TestBadSegments are the rows of the bad-input table about a log in segment files.
func TestBadSegments(t *testing.T) {
	for _, row := range []struct {
		name  string
		spoil func(*testing.T, Config)
		kind  datadir.Kind
		parts []string
	}{
		{"B05/deleted", func(t *testing.T, cfg Config) { os.RemoveAll(filepath.Dir(firstSegment(cfg))) }, datadir.Disk, []string{"data lost", "c1/n1/x", "--rejoin"}},
		{"B07/no segment", func(t *testing.T, cfg Config) { os.Remove(firstSegment(cfg)) }, datadir.Disk, []string{"no log segment", "--rejoin"}},
		{"B07/0 bytes", func(t *testing.T, cfg Config) { os.Truncate(firstSegment(cfg), 0) }, datadir.Disk, []string{"truncated", "--rejoin"}},
		{"B07/half", func(t *testing.T, cfg Config) { os.Truncate(firstSegment(cfg), 100_000) }, datadir.Disk, []string{"100000 bytes instead of", "--rejoin"}},
		{"B07/text", func(t *testing.T, cfg Config) { os.WriteFile(firstSegment(cfg), make([]byte, 200), 0o600) }, datadir.Disk, []string{"not a log segment", "--rejoin"}},
		{"B07/another file", func(t *testing.T, cfg Config) {
			os.WriteFile(filepath.Join(filepath.Dir(firstSegment(cfg)), "notes.txt"), nil, 0o600)
		}, datadir.Disk, []string{"notes.txt is no file of the log"}},
		{"B08/entry", func(t *testing.T, cfg Config) { flip(t, firstSegment(cfg), marker) }, datadir.Disk, []string{"does not check", "--rejoin"}},
		{"B11/another log", func(t *testing.T, cfg Config) {
			other := segmented(t)
			if err := errors.Join(os.RemoveAll(filepath.Dir(firstSegment(cfg))), os.Rename(filepath.Dir(firstSegment(other)), filepath.Dir(firstSegment(cfg)))); err != nil {
				t.Fatal(err)
			}
		}, datadir.Identity, []string{"not from one directory"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg := segmented(t)
			row.spoil(t, cfg)
			s, err := Open(cfg)
			if err == nil {
				s.Close()
			}
			wantError(t, err, row.kind, row.parts...)
		})
	}
}

// TestKindStays: a directory keeps what it was made with, and says so when asked
// for the other.
func TestKindStays(t *testing.T) {
	for _, kind := range []Kind{WAL, Bolt} {
		t.Run(string(kind), func(t *testing.T) {
			other := map[Kind]Kind{WAL: Bolt, Bolt: WAL}[kind]
			s := owned(t, Config{Kind: kind})
			fill(t, s, 1, 10, 50)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			cfg := s.cfg
			cfg.Kind = other
			_, err := Open(cfg)
			wantError(t, err, datadir.Disk, "kept by", string(kind), "--log-store")
			cfg.Kind = ""
			s, err = Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if (s.wal != nil) != (kind == WAL) {
				t.Errorf("a log made with %s is now kept otherwise", kind)
			}
			wantLog(t, s, 1, 10, 50)
		})
	}
}

// TestDamagedSegmentWhileRunning: an entry that rots under a running node is
// neither served nor reported to Raft as an error.
func TestDamagedSegmentWhileRunning(t *testing.T) {
	f := newFatal(t)
	cfg := segmented(t)
	cfg.OnFatal = f.report
	s := mustOpen(t, cfg)
	flip(t, firstSegment(cfg), marker)
	var l raft.Log
	if err := s.GetLog(1999, &l); err != nil {
		t.Fatal(err)
	}
	f.blocks(func() error { return s.GetLog(2000, &l) }, s)
	wantError(t, f.wait(), datadir.Disk, "read entry 2000", "checksum mismatch")
}
