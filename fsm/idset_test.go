package fsm

import (
	"slices"
	"testing"
)

// TestIDSet compares the set with a map over random changes: dense, sparse, and
// back.
func TestIDSet(t *testing.T) {
	c := &chance{seed: 3}
	s, want := new(idSet), map[uint64]bool{}
	for i := range 40_000 {
		id := uint64(c.n(1, 20_000))
		if c.one(20) {
			id = uint64(c.n(1, 1<<40))
		}
		if add := c.n(0, 9) < 7; add == (i/10_000%2 == 0) {
			s.add(id)
			want[id] = true
		} else {
			s.remove(id)
			delete(want, id)
		}
		if s.has(id) != want[id] || s.len() != len(want) {
			t.Fatalf("after %d changes: has %d is %v, %d ids; want %v, %d", i, id, s.has(id), s.len(), want[id], len(want))
		}
	}
	var ids []uint64
	for id := range want {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	if got := slices.Collect(s.from(0)); !slices.Equal(got, ids) {
		t.Error("it yields other ids")
	}
	middle := ids[len(ids)/2]
	if got := slices.Collect(s.from(middle)); !slices.Equal(got, ids[len(ids)/2:]) {
		t.Errorf("from %d on it yields other ids", middle)
	}
	for _, id := range ids {
		s.remove(id)
	}
	if s.len() != 0 || len(s.blocks) != 1 {
		t.Errorf("emptied, it has %d ids in %d blocks", s.len(), len(s.blocks))
	}
}
