package logstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/datadir"
)

func tempPath(t testing.TB) string { return filepath.Join(t.TempDir(), "raft.db") }

// eachKind runs a test with each of what can keep the entries.
func eachKind(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	for _, kind := range []Kind{WAL, Bolt} {
		t.Run(string(kind), test)
	}
}

// mustOpen opens a store that must not fail.
func mustOpen(t testing.TB, cfg Config) *Store {
	t.Helper()
	if strings.Contains(t.Name()+"/", "/bolt/") {
		cfg.Kind = Bolt
	}
	if cfg.OnFatal == nil {
		cfg.OnFatal = func(err error) { t.Errorf("fatal: %v", err) }
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func reopen(t testing.TB, s *Store) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return mustOpen(t, s.cfg)
}

// entry makes the entry of an index: its content follows from the index.
func entry(index uint64, size int) *raft.Log {
	data := bytes.Repeat(binary.BigEndian.AppendUint64(nil, index), size/8+1)[:size]
	return &raft.Log{
		Index: index, Term: 1 + index/1000, Type: raft.LogCommand, Data: data,
		AppendedAt: time.Unix(int64(index), 0).UTC(),
	}
}

// fill stores the entries from lo to hi.
func fill(t testing.TB, s raft.LogStore, lo, hi uint64, size int) {
	t.Helper()
	for lo <= hi {
		var logs []*raft.Log
		for ; lo <= hi && len(logs) < 512; lo++ {
			logs = append(logs, entry(lo, size))
		}
		if err := s.StoreLogs(logs); err != nil {
			t.Fatal(err)
		}
	}
}

// wantLog fails unless the store holds exactly the entries from lo to hi, as fill
// made them.
func wantLog(t testing.TB, s *Store, lo, hi uint64, size int) {
	t.Helper()
	first, _ := s.FirstIndex()
	last, _ := s.LastIndex()
	if first != lo || last != hi {
		t.Fatalf("log is %d to %d, want %d to %d", first, last, lo, hi)
	}
	var got raft.Log
	for _, outside := range []uint64{0, lo - 1, hi + 1} {
		if err := s.GetLog(outside, &got); !errors.Is(err, raft.ErrLogNotFound) {
			t.Errorf("entry %d: error = %v, want not found", outside, err)
		}
	}
	for i := lo; i <= hi && i > 0; i++ {
		if err := s.GetLog(i, &got); err != nil {
			t.Fatal(err)
		}
		if err := same(&got, entry(i, size)); err != nil {
			t.Fatal(err)
		}
	}
}

// same compares two entries without their extensions.
func same(got, want *raft.Log) error {
	if got.Index != want.Index || got.Term != want.Term || got.Type != want.Type ||
		string(got.Data) != string(want.Data) || !got.AppendedAt.Equal(want.AppendedAt) {
		return fmt.Errorf("entry %+v, want %+v", got, want)
	}
	return nil
}

// wantError fails unless err is a *datadir.Error of that kind whose text has all parts.
func wantError(t testing.TB, err error, kind datadir.Kind, parts ...string) {
	t.Helper()
	e, ok := errors.AsType[*datadir.Error](err)
	if !ok {
		t.Fatalf("error = %v, want a *datadir.Error", err)
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

func wantVote(t testing.TB, s *Store, term uint64, candidate string) {
	t.Helper()
	gotTerm, err := s.GetUint64(keyVoteTerm)
	if err != nil {
		t.Fatal(err)
	}
	cand, err := s.Get(keyVoteCand)
	if err != nil {
		t.Fatal(err)
	}
	if gotTerm != term || string(cand) != candidate {
		t.Errorf("vote = %d %q, want %d %q", gotTerm, cand, term, candidate)
	}
}
