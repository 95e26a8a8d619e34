package fsm

import (
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// TestMain checks in the end that nobody has written to what all tasks share.
func TestMain(m *testing.M) {
	status := m.Run()
	if noAttempt != (Attempt{}) {
		println("somebody changed noAttempt: use Task.amendAttempt")
		status = 1
	}
	os.Exit(status)
}

// TestTaskSize bounds the record that a million queued tasks are a million of: the
// next size class of the allocator would cost each master 32 MiB there.
func TestTaskSize(t *testing.T) {
	if size := reflect.TypeFor[Task]().Size(); size > 256 {
		t.Errorf("a task takes %d bytes, want at most 256: put what most tasks lack behind a pointer", size)
	}
}

// TestBacklogMemory bounds what a queued task costs in all, indexes included.
func TestBacklogMemory(t *testing.T) {
	const tasks = 100_000
	w := newTable(t)
	before := liveHeap()
	for n := 0; n < tasks; n += benchBatch {
		w.do(submitCmd(benchSpecs(benchBatch)...))
		w.log = nil
	}
	per := float64(liveHeap()-before) / tasks
	runtime.KeepAlive(w)
	t.Logf("%.0f bytes of heap for a queued task with 256 bytes of payload", per)
	// 256 payload, 256 record, about 100 in the tables' half-full leaves.
	if per > 640 {
		t.Errorf("%.0f bytes for a queued task, want at most 640: a million must fit into a GiB beside what the collector needs", per)
	}
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC() // the first may have found a collection under way
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// TestAllocations bounds the allocations of the commands that carry a load, per
// task. Each figure is what the records themselves need; the fraction is for the
// tables' leaves and for what an entry needs once.
func TestAllocations(t *testing.T) {
	const rounds, each = 20, 100
	w := benchTable(t, 0)
	entry := func(c *fsmpb.Command) *Entry {
		return &Entry{Header: Header{Level: 1, Term: 1, Now: w.now}, Commands: []*fsmpb.Command{c}}
	}
	for _, tt := range []struct {
		verb string
		most float64
		why  string
		next func(round int) *fsmpb.Command
	}{
		{"submit", 1.25, "the task", func(int) *fsmpb.Command { return submitCmd(benchSpecs(each)...) }},
		{"assign", 2.25, "the task, its attempt", func(int) *fsmpb.Command { return assignCmd(1, each) }},
		{"complete", 2.25, "the task, its ended fences", func(round int) *fsmpb.Command {
			items := make([]*fsmpb.Completion, each)
			for i := range items {
				id := uint64(round*each + i + 1) // ids and fences both count from 1
				items[i] = &fsmpb.Completion{Task: id, Fence: id, Digest: 1}
			}
			return completeCmd("w", items...)
		}},
	} {
		var entries []*Entry
		for round := range rounds + 1 { // AllocsPerRun runs once more, to warm up
			entries = append(entries, entry(tt.next(round)))
		}
		perEntry := testing.AllocsPerRun(rounds, func() {
			w.step(entries[0])
			entries = entries[1:]
		})
		t.Logf("%s: %.2f allocations per task", tt.verb, perEntry/each)
		if per := perEntry / each; per > tt.most {
			t.Errorf("%s allocates %.2f times per task, want at most %.2f: %s", tt.verb, per, tt.most, tt.why)
		}
	}
	if n := w.m.lines["bench"].counts[Succeeded]; n != (rounds+1)*each {
		t.Errorf("%d tasks are done, want %d: the commands did not do what was measured", n, (rounds+1)*each)
	}
}

func TestTasksShareOptions(t *testing.T) {
	w := newTable(t)
	var specs []*fsmpb.TaskSpec
	for i := range 12 {
		specs = append(specs, &fsmpb.TaskSpec{Queue: "q", Kind: strings.Repeat("k", i%3+1)})
	}
	w.apply(submitCmd(specs...))
	seen := map[*Options]int{}
	w.m.tasks.Scan(func(_ uint64, t *Task) bool {
		seen[t.Options]++
		return true
	})
	if len(seen) != 3 {
		t.Errorf("12 tasks of 3 kinds have %d different options in memory, want 3", len(seen))
	}
}
