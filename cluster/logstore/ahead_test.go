package logstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/hashicorp/raft"
)

// sealed are the entries from lo to hi as a leader has them.
func sealed(lo, hi uint64, size int) []*raft.Log {
	var logs []*raft.Log
	for ; lo <= hi; lo++ {
		l := entry(lo, size)
		seal(l, make([]byte, sealSize))
		logs = append(logs, l)
	}
	return logs
}

// wantAhead stores entries ahead, which must succeed.
func wantAhead(t *testing.T, s *Store, prev uint64, logs []*raft.Log) {
	t.Helper()
	if err := s.StoreAhead(EncodeAhead(nil, prev, logs)); err != nil {
		t.Fatal(err)
	}
}

// What Raft brings after it was stored ahead is in the log without another write.
func TestAheadIsUsed(t *testing.T) {
	s := owned(t, Config{})
	fill(t, s, 1, 9, 50)
	wantAhead(t, s, 1, sealed(10, 11, 50))
	wantAhead(t, s, 1, sealed(12, 12, 50))
	wantLog(t, s, 1, 9, 50) // Raft does not see it yet
	before := s.Stats().Writes
	if err := s.StoreLogs(sealed(10, 10, 50)); err != nil {
		t.Fatal(err)
	}
	if err := s.StoreLogs(sealed(11, 12, 50)); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Writes != before || st.Ahead != 3 || st.Used != 3 {
		t.Errorf("%d writes, %d of %d ahead used, want none and 3 of 3", st.Writes-before, st.Used, st.Ahead)
	}
	wantLog(t, s, 1, 12, 50)
	wantAhead(t, s, 1, sealed(13, 13, 50))
	if err := s.StoreLogs(sealed(13, 15, 50)); err != nil { // more than was ahead
		t.Fatal(err)
	}
	wantLog(t, s, 1, 15, 50)
	wantLog(t, reopen(t, s), 1, 15, 50)
}

// After a crash, what was stored ahead is the end of the log.
func TestAheadSurvives(t *testing.T) {
	s := owned(t, Config{})
	fill(t, s, 1, 9, 50)
	wantAhead(t, s, 1, sealed(10, 12, 50))
	wantLog(t, reopen(t, s), 1, 12, 50)
}

// Another leader's entries take the place of what was stored ahead.
func TestAheadIsReplaced(t *testing.T) {
	s := owned(t, Config{})
	fill(t, s, 1, 9, 50)
	wantAhead(t, s, 1, sealed(10, 12, 50))
	other := &raft.Log{Index: 10, Term: 2, Type: raft.LogNoop}
	if err := s.StoreLogs([]*raft.Log{other}); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	var got raft.Log
	if err := s.GetLog(10, &got); err != nil || got.Term != 2 || got.Type != raft.LogNoop {
		t.Errorf("entry 10 is %+v, %v, want the other leader's", got, err)
	}
	if last, _ := s.LastIndex(); last != 10 {
		t.Errorf("the log ends at %d, want 10", last)
	}
}

func TestAheadIsRefused(t *testing.T) {
	damaged := sealed(10, 10, 50)
	damaged[0].Data[3] ^= 1
	var many []*raft.Log
	for i := range uint64(maxAhead + 1) {
		many = append(many, sealed(10+i, 10+i, 8)...)
	}
	for _, tt := range []struct {
		name string
		term uint64 // the store's current one
		b    []byte
		next bool // ErrNotNext
	}{
		{"hole", 1, EncodeAhead(nil, 1, sealed(11, 11, 50)), true},
		{"there already", 1, EncodeAhead(nil, 1, sealed(9, 9, 50)), true},
		{"behind another entry", 1, EncodeAhead(nil, 7, sealed(10, 10, 50)), true},
		{"term left", 2, EncodeAhead(nil, 1, sealed(10, 10, 50)), true},
		{"too many", 1, EncodeAhead(nil, 1, many), true},
		{"too large", 1, EncodeAhead(nil, 1, sealed(10, 10, maxAheadBytes)), true},
		{"damaged", 1, EncodeAhead(nil, 1, damaged), false},
		{"nothing", 1, make([]byte, 8+8+4), false},
		{"garbage", 1, []byte("garbage"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := owned(t, Config{})
			fill(t, s, 1, 9, 50)
			if err := s.SetUint64(keyCurrentTerm, tt.term); err != nil {
				t.Fatal(err)
			}
			err := s.StoreAhead(tt.b)
			if err == nil || errors.Is(err, ErrNotNext) != tt.next {
				t.Errorf("error = %v, ErrNotNext: %v wanted", err, tt.next)
			}
			wantLog(t, reopen(t, s), 1, 9, 50)
		})
	}
	t.Run("empty log", func(t *testing.T) {
		if err := owned(t, Config{}).StoreAhead(EncodeAhead(nil, 1, sealed(1, 1, 50))); !errors.Is(err, ErrNotNext) {
			t.Errorf("error = %v, want ErrNotNext: only Raft knows where an empty log begins", err)
		}
	})
	t.Run("bolt", func(t *testing.T) {
		s := owned(t, Config{Kind: Bolt})
		fill(t, s, 1, 9, 50)
		if err := s.StoreAhead(EncodeAhead(nil, 1, sealed(10, 10, 50))); !errors.Is(err, ErrNotNext) {
			t.Errorf("error = %v, want ErrNotNext", err)
		}
	})
}

// Whatever is stored, stored ahead, deleted and reopened, in whatever order: the log
// is what Raft stored, and what was ahead only after a reopening.
func TestAheadAtRandom(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			s := owned(t, Config{CacheEntries: 4, SegmentBytes: 64 << 10})
			fill(t, s, 1, 5, 40)
			first, last, aheadTo := uint64(1), uint64(5), uint64(5)
			for range 120 {
				switch n := 1 + r.Uint64N(4); r.IntN(8) {
				case 0, 1, 2:
					err := s.StoreAhead(EncodeAhead(nil, entry(aheadTo, 0).Term, sealed(aheadTo+1, aheadTo+n, 40)))
					switch {
					case err == nil:
						aheadTo += n
					case !errors.Is(err, ErrNotNext) || last > 0 && aheadTo-last+n <= maxAhead:
						t.Fatal(err)
					}
				case 3, 4, 5:
					if err := s.StoreLogs(sealed(last+1, last+n, 40)); err != nil {
						t.Fatal(err)
					}
					last += n
					aheadTo = max(last, aheadTo)
				case 6:
					if last == first {
						continue
					}
					from := max(first+1, last-min(n, last))
					if err := s.DeleteRange(from, last); err != nil {
						t.Fatal(err)
					}
					last, aheadTo = from-1, from-1
					if to := first + n; to < last { // and some of the front, with entries ahead or not
						if err := s.DeleteRange(first, to); err != nil {
							t.Fatal(err)
						}
						first = to + 1
					}
				case 7:
					s = reopen(t, s)
					last = aheadTo
				}
				wantLog(t, s, first, last, 40)
			}
			if s.Stats().Ahead == 0 && seed == 0 {
				t.Error("nothing was ahead")
			}
		})
	}
}
