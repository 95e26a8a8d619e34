package fsm

import (
	"fmt"
	"slices"
	"testing"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// filter draws what a search may ask for.
func (c *chance) filter() *fsmpb.TaskFilter {
	f := new(fsmpb.TaskFilter)
	for range c.n(0, 2) {
		f.States = append(f.States, uint32(c.n(1, int64(Cancelled))))
	}
	switch c.n(0, 9) {
	case 0:
		f.Queue = c.queue()
	case 1:
		f.Kind = c.pick("succeeded", "dead", "completed", "none")
	case 2:
		f.Labels = labelsIn(c.pick("a", "b"), c.pick("1", "2"))
	case 3:
		f.Labels = slices.Concat(labelsIn("a", "1"), labelsIn("b", "2"))
	case 4:
		f.Batch = uint64(c.n(1, 4))
	case 5:
		f.Worker, _ = c.worker()
	case 6:
		f.First = c.id()
	case 7:
		f.Last = c.id()
	case 8:
		f.Since = c.m.now - c.n(0, 60)*Second
	case 9:
		f.Until = c.m.now - c.n(-1, 60)*Second
	}
	if c.one(4) {
		f.Queue = c.queue()
	}
	return f
}

func labelsIn(key, value string) []*fsmpb.Label { return []*fsmpb.Label{{Key: key, Value: value}} }

// meets is a filter by the book.
func meets(m *Machine, f *fsmpb.TaskFilter, t *Task) bool {
	var keeper string
	if n := len(t.Ended); n > 0 {
		keeper = t.Ended[n-1].Worker
	}
	if t.held() || t.Redeemable {
		keeper = t.Worker
	}
	b := m.Batch(f.Batch)
	for _, want := range f.Labels {
		if t.Extra == nil || !slices.Contains(t.Extra.Labels, Label{want.Key, want.Value}) {
			return false
		}
	}
	return (len(f.States) == 0 || slices.Contains(f.States, uint32(t.State))) &&
		(f.Queue == "" || f.Queue == t.Queue) && (f.Kind == "" || f.Kind == t.Kind) && (f.Worker == "" || f.Worker == keeper) &&
		(f.Group == 0 || t.State == Dead && f.Group == deadKey(t)) && (f.Batch == 0 || b != nil && t.Extra != nil && t.Extra.Batch == f.Batch) &&
		(f.Since == 0 || t.SubmittedAt >= f.Since) && (f.Until == 0 || t.SubmittedAt < f.Until) &&
		t.ID >= f.First && (f.Last == 0 || t.ID <= f.Last)
}

// searches compares searches with a scan of all tasks: they are the same at every
// index.
func searches(tb reporter, m *Machine) {
	tb.Helper()
	c := &chance{seed: m.index, m: m}
	filters := []*fsmpb.TaskFilter{{}, c.filter(), c.filter()}
	if key, _, ok := m.dead.Min(); ok {
		filters = append(filters, &fsmpb.TaskFilter{Group: key})
	}
	for _, f := range filters {
		var want, got []uint64
		for t := range m.TasksBefore(0) {
			if meets(m, f, t) {
				want = append(want, t.ID)
			}
		}
		for t := range m.Find(f, 0) {
			got = append(got, t.ID)
		}
		if !slices.Equal(got, want) || m.Count(f) != len(want) {
			tb.Fatalf("search %v finds %v and counts %d, want %v", f, got, m.Count(f), want)
		}
		if len(want) > 1 {
			for t := range m.Find(f, want[0]) {
				if t.ID != want[1] {
					tb.Fatalf("search %v from %d on finds %d, want %d", f, want[0], t.ID, want[1])
				}
				break
			}
		}
	}
}

// TestIDRuns writes sets as runs and back, and refuses what is none.
func TestIDRuns(t *testing.T) {
	c := &chance{seed: 5}
	s := new(idSet)
	for range 5000 {
		s.add(uint64(c.n(1, 20_000)))
	}
	for _, set := range []*idSet{new(idSet), s, s.clone()} {
		back, ok := idsOfRuns(set.runs(), 20_000)
		if !ok || !slices.Equal(slices.Collect(back.from(0)), slices.Collect(set.from(0))) {
			t.Errorf("%d ids come back as %d, %v", set.len(), back.len(), ok)
		}
	}
	for _, bad := range [][]uint64{{1}, {0, 1}, {1, 0}, {1, 1, 0, 1}, {1, 21}, {21, 1}, {1, 20, 1, 1}, {1 << 63, 1, 1 << 63, 1}, {1, 1 << 63}} {
		if _, ok := idsOfRuns(bad, 20); ok {
			t.Errorf("%v is taken for runs of ids up to 20", bad)
		}
	}
}

// BenchmarkSearch is a page of 100 tasks, however many there are. Of each thousand
// one is of another kind and label, and one in ten thousand is DEAD.
func BenchmarkSearch(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		w := newTable(b)
		w.do(openCmd(&fsmpb.OpenSession{Worker: "w", Boot: "a", Slots: MaxSlots, Queues: []*fsmpb.QueueWeight{{Queue: "bench"}, {Queue: "rare"}}}))
		for at := 0; at < n; at += benchBatch {
			specs := benchSpecs(benchBatch)
			for i := range specs {
				if (at+i)%1000 == 0 {
					specs[i].Kind, specs[i].Labels = "odd", labelsIn("tenant", "7")
				}
			}
			w.do(submitCmd(specs...))
		}
		for _, f := range []struct {
			name string
			f    *fsmpb.TaskFilter
		}{
			{"all", &fsmpb.TaskFilter{}},
			{"state", &fsmpb.TaskFilter{States: []uint32{uint32(Ready)}}},
			{"label", &fsmpb.TaskFilter{Labels: labelsIn("tenant", "7")}},
			{"kind+queue+state", &fsmpb.TaskFilter{States: []uint32{uint32(Ready)}, Queue: "bench", Kind: "odd"}},
			{"time", &fsmpb.TaskFilter{Until: w.now + 1, Since: 1}},
			{"nothing", &fsmpb.TaskFilter{States: []uint32{uint32(Dead)}, Queue: "bench"}},
		} {
			b.Run(fmt.Sprintf("%s/tasks=%d", f.name, n), func(b *testing.B) {
				for b.Loop() {
					got := 0
					for range w.m.Find(f.f, uint64(n/2)) {
						if got++; got == 100 {
							break
						}
					}
				}
			})
		}
	}
}
