package logstore

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/datadir"
)

// TestSpanAndCacheModel runs random appends and deletions against a map.
func TestSpanAndCacheModel(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var sp span
		c := newCache(1+rng.IntN(20), 2000)
		model := map[uint64]int64{}
		lo, hi := uint64(1), uint64(0)
		for range 400 {
			switch rng.IntN(10) {
			case 0:
				to := lo + rng.Uint64N(10)
				sp.dropThrough(to)
				c.dropThrough(to)
				for ; lo <= min(to, hi); lo++ {
					delete(model, lo)
				}
			case 1:
				from := max(1, hi-min(hi, rng.Uint64N(10)))
				sp.dropFrom(from)
				c.dropFrom(from)
				for ; hi >= max(from, lo) && len(model) > 0; hi-- {
					delete(model, hi)
				}
			default:
				if len(model) == 0 {
					lo = hi + 1
				}
				hi++
				l := &raft.Log{Index: hi, Data: make([]byte, rng.IntN(300))}
				if rng.IntN(20) == 0 {
					l.Data = make([]byte, 3000) // larger than the cache
				}
				sp.add(hi, entrySize(l))
				c.add([]*raft.Log{l})
				model[hi] = entrySize(l)
			}
			checkSpan(t, &sp, model, lo, hi)
			checkCache(t, c, model, hi)
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	}
}

func checkSpan(t *testing.T, sp *span, model map[uint64]int64, lo, hi uint64) {
	t.Helper()
	if len(model) == 0 {
		if !sp.empty() || sp.last() != 0 || sp.since(0) != 0 {
			t.Errorf("span %+v, want empty", sp)
		}
		return
	}
	if sp.first != lo || sp.last() != hi {
		t.Errorf("span %d to %d, want %d to %d", sp.first, sp.last(), lo, hi)
	}
	var bytes int64
	for i := hi; i >= lo; i-- {
		if got := sp.since(i); got != bytes {
			t.Errorf("since(%d) = %d, want %d", i, got, bytes)
		}
		if got := sp.tail(bytes); got != i+1 {
			t.Errorf("tail(%d) = %d, want %d", bytes, got, i+1)
		}
		bytes += model[i]
	}
	if sp.since(0) != bytes || sp.tail(bytes) != lo {
		t.Errorf("since(0) = %d, want %d; tail = %d, want %d", sp.since(0), bytes, sp.tail(bytes), lo)
	}
}

// checkCache wants what is cached to be in the log, contiguous, within the bounds.
func checkCache(t *testing.T, c *cache, model map[uint64]int64, hi uint64) {
	t.Helper()
	var l raft.Log
	var bytes int64
	count := 0
	for i := range hi + 2 {
		if !c.get(i, &l) {
			continue
		}
		if _, ok := model[i]; !ok || l.Index != i {
			t.Errorf("entry %d is cached as %d, in the log: %v", i, l.Index, ok)
		}
		bytes += model[i]
		count++
	}
	if count != c.count || int(bytes) != c.bytes || count > len(c.slots) || c.bytes > c.maxBytes {
		t.Errorf("cache counts %d entries %d bytes, holds %d and %d", c.count, c.bytes, count, bytes)
	}
	if count > 0 && !c.get(hi, &l) {
		t.Errorf("entry %d, the newest, is not cached", hi)
	}
	var kept int
	for _, s := range c.slots {
		if s.Index != 0 {
			kept++
		}
	}
	if kept != count {
		t.Errorf("%d slots keep their data, want %d", kept, count)
	}
}

func TestSeal(t *testing.T) {
	l := &raft.Log{Index: 5, Term: 2, Type: raft.LogCommand, Data: []byte("data"), Extensions: []byte("theirs")}
	seal(l, make([]byte, sealSize))
	if rest, _, ok := splitSeal(l.Extensions); !ok || string(rest) != "theirs" {
		t.Fatalf("extensions = %q", l.Extensions)
	}
	if err := checkSeal(l); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*raft.Log){
		"index":             func(l *raft.Log) { l.Index++ },
		"term":              func(l *raft.Log) { l.Term++ },
		"type":              func(l *raft.Log) { l.Type = raft.LogNoop },
		"data":              func(l *raft.Log) { l.Data = []byte("dat`") },
		"their extensions":  func(l *raft.Log) { l.Extensions[0] ^= 1 },
		"moved to the data": func(l *raft.Log) { l.Data, l.Extensions = []byte("theirsdata"), l.Extensions[6:] },
		"mark":              func(l *raft.Log) { l.Extensions[7] ^= 1 },
		"crc":               func(l *raft.Log) { l.Extensions[13] ^= 1 },
		"no seal":           func(l *raft.Log) { l.Extensions = nil },
	} {
		bad := *l
		bad.Extensions = append([]byte(nil), l.Extensions...)
		spoil(&bad)
		if err := checkSeal(&bad); err == nil {
			t.Errorf("%s: not seen", name)
		}
	}
}

// TestSealTravels: followers check what the leader computed, and keep it.
func TestSealTravels(t *testing.T) {
	leader, follower := owned(t, Config{}), owned(t, Config{})
	fill(t, leader, 1, 10, 30)
	for i := uint64(1); i <= 10; i++ {
		var sent, kept raft.Log
		if err := leader.GetLog(i, &sent); err != nil {
			t.Fatal(err)
		}
		if err := follower.StoreLog(&sent); err != nil {
			t.Fatal(err)
		}
		if err := follower.GetLog(i, &kept); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sent.Extensions, kept.Extensions); diff != "" {
			t.Error(diff)
		}
	}

	f := newFatal(t)
	follower = owned(t, Config{OnFatal: f.report})
	var sent raft.Log
	if err := leader.GetLog(1, &sent); err != nil {
		t.Fatal(err)
	}
	sent.Data = append([]byte{^sent.Data[0]}, sent.Data[1:]...) // damaged on the way
	f.blocks(func() error { return follower.StoreLog(&sent) }, follower)
	wantError(t, f.wait(), datadir.Disk, "entry 1 checksum mismatch")
}
