package logstore

import (
	"bytes"
	"testing"

	"github.com/taskraft/taskraft/cluster/datadir"
)

func TestStable(t *testing.T) {
	s := owned(t, Config{})
	// Raft's contract for a missing key: zero values, no error.
	if v, err := s.Get([]byte("k")); err != nil || v != nil {
		t.Errorf("missing value = %q, %v", v, err)
	}
	if n, err := s.GetUint64(keyCurrentTerm); err != nil || n != 0 {
		t.Errorf("missing number = %d, %v", n, err)
	}
	wantVote(t, s, 0, "")
	if c, err := s.Get(keyVoteCand); err != nil || c != nil {
		t.Errorf("missing candidate = %q, %v, want nil: Raft compares with nil", c, err)
	}
	if err := s.Set([]byte("k"), []byte("value")); err != nil {
		t.Fatal(err)
	}
	if err := s.SetUint64(keyCurrentTerm, 1<<63+7); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if v, err := s.Get([]byte("k")); err != nil || string(v) != "value" {
			t.Errorf("value = %q, %v", v, err)
		}
		if n, err := s.GetUint64(keyCurrentTerm); err != nil || n != 1<<63+7 {
			t.Errorf("number = %d, %v", n, err)
		}
		s = reopen(t, s)
	}
}

// TestVote: the term alone is neither durable nor visible.
func TestVote(t *testing.T) {
	s := owned(t, Config{})
	vote(t, s, 5, "n1/aa")
	wantVote(t, s, 5, "n1/aa")
	writes := s.Stats().Writes
	if err := s.SetUint64(keyVoteTerm, 6); err != nil {
		t.Fatal(err)
	}
	wantVote(t, s, 5, "n1/aa")
	if got := s.Stats().Writes - writes; got != 0 {
		t.Errorf("%d writes for the term alone", got)
	}
	if err := s.Set(keyVoteCand, []byte("n2/bb")); err != nil {
		t.Fatal(err)
	}
	if got := s.Stats().Writes - writes; got != 1 {
		t.Errorf("%d writes for a vote, want 1", got)
	}
	wantVote(t, s, 6, "n2/bb")
	s = reopen(t, s)
	wantVote(t, s, 6, "n2/bb")

	f := newFatal(t)
	s.cfg.OnFatal, s.guard.onFatal = f.report, f.report
	f.blocks(func() error { return s.Set(keyVoteCand, []byte("n3/cc")) }, s)
	wantError(t, f.wait(), datadir.Disk, "a candidate without a term")
}

func vote(t testing.TB, s *Store, term uint64, candidate string) {
	t.Helper()
	if err := s.SetUint64(keyVoteTerm, term); err != nil {
		t.Fatal(err)
	}
	if err := s.Set(keyVoteCand, []byte(candidate)); err != nil {
		t.Fatal(err)
	}
}

// TestStableDamage: every flipped bit of a stable value is seen, and so is a value
// under another's key.
func TestStableDamage(t *testing.T) {
	sealed := sealValue(keyVote, []byte("\x00\x00\x00\x00\x00\x00\x00\x05n1/aa"))
	for i := range sealed {
		for bit := range 8 {
			bad := bytes.Clone(sealed)
			bad[i] ^= 1 << bit
			if _, err := openStable(keyVote, bad); err == nil {
				t.Errorf("bit %d of byte %d: not seen", bit, i)
			}
		}
	}
	for _, tt := range []struct{ key, sealed []byte }{
		{keyCurrentTerm, sealed},
		{keyVote, sealed[:3]},
		{keyVote, sealValue(keyVote, []byte("1234567"))},
		{keyCurrentTerm, sealValue(keyCurrentTerm, nil)},
	} {
		if v, err := openStable(tt.key, tt.sealed); err == nil {
			t.Errorf("%s: %q accepted", tt.key, v)
		}
	}
}

// TestStableDamageWhileRunning: a value that rots under a running node stops it.
func TestStableDamageWhileRunning(t *testing.T) {
	f := newFatal(t)
	s := owned(t, Config{OnFatal: f.report})
	vote(t, s, 5, "candidate-with-a-name")
	flip(t, s.cfg.Path, "candidate-with-a-name")
	f.blocks(func() error { _, err := s.GetUint64(keyVoteTerm); return err }, s)
	wantError(t, f.wait(), datadir.Disk, "read LastVote", "checksum mismatch")
}
