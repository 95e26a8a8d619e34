package logstore

import (
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

func TestSmoke(t *testing.T) {
	cfg := Config{Path: filepath.Join(t.TempDir(), "raft.db")}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for i := uint64(1); i <= 5000; i++ {
		if i%100 == 1 {
			var l []*raft.Log
			for j := range uint64(100) {
				l = append(l, &raft.Log{Index: i + j, Term: 3, Data: make([]byte, 300)})
			}
			if err := s.StoreLogs(l); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Log(s.Stats())
	if err := s.Adopt("x"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.Owner = "x"
	s, err = Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(s.Stats())
	if err := s.DeleteRange(1, 3000); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteRange(4500, 5000); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s, err = Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(s.Stats())
	s.Close()
}
