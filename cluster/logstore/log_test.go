package logstore

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/raft"
)

func TestLogRoundTrip(t *testing.T) { eachKind(t, testLogRoundTrip) }

func testLogRoundTrip(t *testing.T) {
	s := mustOpen(t, Config{Path: tempPath(t), CacheEntries: 8})
	if !s.IsMonotonic() {
		t.Error("the store must tell Raft that it has no holes")
	}
	wantLog(t, s, 0, 0, 0)
	fill(t, s, 7, 3000, 50) // the first entry may have any index
	wantLog(t, s, 7, 3000, 50)
	if err := s.StoreLog(entry(3001, 50)); err != nil {
		t.Fatal(err)
	}
	if err := s.Adopt("c1/n1/x"); err != nil {
		t.Fatal(err)
	}
	s.cfg.Owner = "c1/n1/x"
	s = reopen(t, s)
	wantLog(t, s, 7, 3001, 50)
	fill(t, s, 3002, 3010, 50)
	wantLog(t, s, 7, 3010, 50)
	if err := s.StoreLogs(nil); err != nil {
		t.Fatal(err)
	}
}

// owned opens a store that belongs to a cluster, as every store with state does.
func owned(t testing.TB, cfg Config) *Store {
	t.Helper()
	cfg.Path = tempPath(t)
	s := mustOpen(t, cfg)
	if err := s.Adopt("c1/n1/x"); err != nil {
		t.Fatal(err)
	}
	s.cfg.Owner = "c1/n1/x"
	return s
}

func TestDeleteRange(t *testing.T) { eachKind(t, testDeleteRange) }

func testDeleteRange(t *testing.T) {
	for _, tt := range []struct {
		name           string
		lo, hi         uint64
		first, last    uint64
		transactions   int // more than deleteEntries are deleted piecewise
		size           int
		entries, again uint64
	}{
		{"nothing", 9000, 9999, 1, 3000, 0, 20, 3000, 3001},
		{"prefix", 1, 2500, 2501, 3000, 3, 20, 3000, 3001},
		{"prefix that begins before the log", 0, 10, 11, 3000, 1, 20, 3000, 3001},
		{"suffix", 500, 3000, 1, 499, 3, 20, 3000, 500},
		{"suffix that ends after the log", 2999, 5000, 1, 2998, 1, 20, 3000, 2999},
		{"whole", 1, 3000, 0, 0, 3, 20, 3000, 777},
		{"large entries", 1, 31, 32, 34, 3, 1 << 20, 34, 35},
		{"large entries from the back", 4, 34, 1, 3, 3, 1 << 20, 34, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := owned(t, Config{})
			fill(t, s, 1, tt.entries, tt.size)
			before := s.Stats().Writes
			if err := s.DeleteRange(tt.lo, tt.hi); err != nil {
				t.Fatal(err)
			}
			if n := int(s.Stats().Writes - before); n < tt.transactions && s.wal == nil || tt.transactions == 0 && n > 0 {
				t.Errorf("%d transactions, want ≥ %d", n, tt.transactions)
			}
			wantLog(t, s, tt.first, tt.last, tt.size)
			s = reopen(t, s) // the file has no hole and no leftover
			wantLog(t, s, tt.first, tt.last, tt.size)
			if err := s.StoreLog(entry(tt.again, tt.size)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestReplaceSuffix overwrites entries as a follower does for a new leader.
func TestReplaceSuffix(t *testing.T) { eachKind(t, testReplaceSuffix) }

func testReplaceSuffix(t *testing.T) {
	s := owned(t, Config{})
	fill(t, s, 1, 100, 20)
	if err := s.DeleteRange(51, 100); err != nil {
		t.Fatal(err)
	}
	if err := s.StoreLog(&raft.Log{Index: 51, Term: 9, Data: []byte("new")}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var l raft.Log
		if err := s.GetLog(51, &l); err != nil || l.Term != 9 || string(l.Data) != "new" {
			t.Errorf("entry = %+v, %v", l, err)
		}
		s = reopen(t, s)
	}
}

// TestHoles: whatever would leave a hole in the log stops the store.
func TestHoles(t *testing.T) { eachKind(t, testHoles) }

func testHoles(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(s *Store) error
		want string
	}{
		{"append too far", func(s *Store) error { return s.StoreLog(entry(102, 1)) }, "entry 102 would leave a hole, the log continues at 101"},
		{"append again", func(s *Store) error { return s.StoreLog(entry(100, 1)) }, "entry 100 would leave a hole"},
		{"gap in a batch", func(s *Store) error { return s.StoreLogs([]*raft.Log{entry(101, 1), entry(103, 1)}) }, "entry 103 would leave a hole"},
		{"delete from the middle", func(s *Store) error { return s.DeleteRange(5, 99) }, "delete entries 5 to 99 would leave a hole"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFatal(t)
			s := owned(t, Config{OnFatal: f.report})
			fill(t, s, 1, 100, 20)
			f.blocks(func() error { return tt.do(s) }, s)
			if err := f.wait(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("fatal = %v, want %q", err, tt.want)
			}
		})
	}
}

// TestConcurrentUse reads, appends and deletes at once, as Raft does when it
// compacts behind a snapshot while followers are fed.
func TestConcurrentUse(t *testing.T) { eachKind(t, testConcurrentUse) }

func testConcurrentUse(t *testing.T) {
	const last = 4000
	s := owned(t, Config{CacheEntries: 64})
	var wg sync.WaitGroup
	fill(t, s, 1, 500, 40)
	wg.Go(func() { fill(t, s, 501, last, 40) })
	wg.Go(func() {
		for to := uint64(100); to <= 400; to += 100 {
			if err := s.DeleteRange(1, to); err != nil {
				t.Error(err)
			}
		}
	})
	for range 2 {
		wg.Go(func() {
			var l raft.Log
			for range 5000 {
				hi, _ := s.LastIndex()
				i := 1 + rand.Uint64N(hi)
				switch err := s.GetLog(i, &l); {
				case err == raft.ErrLogNotFound && i <= 400:
				case err != nil:
					t.Errorf("entry %d: %v", i, err)
				default:
					if err := same(&l, entry(i, 40)); err != nil {
						t.Error(err)
					}
				}
				_ = s.BytesSince(i)
				_ = s.TailEntries(1000)
				_ = s.Stats()
			}
		})
	}
	wg.Wait()
	wantLog(t, s, 401, last, 40)
}

func TestSizes(t *testing.T) { eachKind(t, testSizes) }

func testSizes(t *testing.T) {
	s := owned(t, Config{})
	if s.BytesSince(0) != 0 || s.TailEntries(1<<20) != 0 {
		t.Error("an empty log has bytes")
	}
	const size = 904 + sealSize + entryOverhead // of one entry
	fill(t, s, 11, 110, 904)
	for range 2 {
		for _, tt := range []struct {
			index uint64
			want  int64
		}{{0, 100}, {10, 100}, {11, 99}, {109, 1}, {110, 0}, {500, 0}} {
			if got := s.BytesSince(tt.index); got != tt.want*size {
				t.Errorf("bytes since %d = %d, want %d", tt.index, got, tt.want*size)
			}
		}
		for _, tt := range []struct {
			n    int64
			want uint64
		}{{0, 0}, {size - 1, 0}, {size, 1}, {size*7 + 5, 7}, {size * 100, 100}, {1 << 40, 100}} {
			if got := s.TailEntries(tt.n); got != tt.want {
				t.Errorf("tail of %d bytes = %d entries, want %d", tt.n, got, tt.want)
			}
		}
		if st := s.Stats(); st.First != 11 || st.Last != 110 || st.Bytes != 100*size || st.FileBytes == 0 {
			t.Errorf("stats = %+v", st)
		}
		s = reopen(t, s)
	}
}

func TestLatency(t *testing.T) {
	s := owned(t, Config{})
	fill(t, s, 1, 100, 10)
	if st := s.Stats(); st.Writes < 2 || st.FsyncP50 <= 0 || st.FsyncP99 < st.FsyncP50 || st.Hung {
		t.Errorf("stats = %+v", st)
	}
	var l latency
	for i := range 3 * latencyWindow {
		l.add(1)
		if i >= 2*latencyWindow { // only the window counts
			l.add(1000)
		}
	}
	if p50, p99, total := l.percentiles(); p50 > 1000 || p99 != 1000 || total != 4*latencyWindow {
		t.Errorf("percentiles = %v, %v of %d", p50, p99, total)
	}
}
