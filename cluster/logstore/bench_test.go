package logstore

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

// BenchmarkStoreLogs compares the store with plain raft-boltdb on the same disk:
// entries of 256 bytes, one StoreLogs per iteration.
func BenchmarkStoreLogs(b *testing.B) {
	for _, n := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("store/%d", n), func(b *testing.B) {
			s, err := Open(Config{Path: filepath.Join(b.TempDir(), "raft.db")})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { s.Close() })
			storeLogs(b, s, n)
		})
		b.Run(fmt.Sprintf("boltdb/%d", n), func(b *testing.B) {
			db, err := openBolt(filepath.Join(b.TempDir(), "raft.db"))
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { db.Close() })
			storeLogs(b, db, n)
		})
	}
}

func storeLogs(b *testing.B, s raft.LogStore, n int) {
	data := make([]byte, 256)
	logs := make([]*raft.Log, n)
	next := uint64(1)
	b.ReportAllocs()
	for b.Loop() {
		for i := range logs {
			logs[i] = &raft.Log{Index: next, Term: 1, Data: data}
			next++
		}
		if err := s.StoreLogs(logs); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkGetLog reads from the cache and from the file.
func BenchmarkGetLog(b *testing.B) {
	s, err := Open(Config{Path: filepath.Join(b.TempDir(), "raft.db")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	fill(b, s, 1, 10_000, 256)
	for _, bm := range []struct {
		name  string
		index uint64
	}{{"cache", 10_000}, {"file", 5000}} {
		b.Run(bm.name, func(b *testing.B) {
			var l raft.Log
			b.ReportAllocs()
			for b.Loop() {
				if err := s.GetLog(bm.index, &l); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkInspect checks a log of 100,000 small entries, as every start does.
func BenchmarkInspect(b *testing.B) {
	path := filepath.Join(b.TempDir(), "raft.db")
	s, err := Open(Config{Path: path})
	if err != nil {
		b.Fatal(err)
	}
	fill(b, s, 1, 100_000, 256)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := inspect(path); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*100_000/b.Elapsed().Seconds(), "entries/s")
}
