package fsm

import (
	"cmp"
	"iter"
	"slices"
)

// fences lists attempts in the order of their fences. New fences are the
// largest, so adding is an append; removing leaves a gap that later compaction
// closes: both cost O(log n) amortised and no allocation.
type fences struct {
	items []fenceOf
	live  int
}

// fenceOf is one attempt; task 0 is a gap.
type fenceOf struct{ fence, task uint64 }

func (f *fences) len() int { return f.live }

func (f *fences) find(fence uint64) (int, bool) {
	return slices.BinarySearchFunc(f.items, fence, func(a fenceOf, fence uint64) int {
		return cmp.Compare(a.fence, fence)
	})
}

// get returns the task of a fence.
func (f *fences) get(fence uint64) (task uint64, ok bool) {
	i, ok := f.find(fence)
	if !ok || f.items[i].task == 0 {
		return 0, false
	}
	return f.items[i].task, true
}

func (f *fences) add(fence, task uint64) {
	f.live++
	if n := len(f.items); n == 0 || f.items[n-1].fence < fence {
		f.items = append(f.items, fenceOf{fence, task})
		return
	}
	i, ok := f.find(fence)
	if ok {
		f.items[i].task = task
		return
	}
	f.items = slices.Insert(f.items, i, fenceOf{fence, task})
}

func (f *fences) remove(fence uint64) {
	i, _ := f.find(fence)
	f.items[i].task = 0
	f.live--
	if len(f.items) >= 32 && len(f.items) > 2*f.live {
		f.items = slices.DeleteFunc(f.items, func(a fenceOf) bool { return a.task == 0 })
	}
}

// all yields fence and task in the order of fences. The list must not change
// while it runs.
func (f *fences) all() iter.Seq2[uint64, uint64] {
	return func(yield func(fence, task uint64) bool) {
		for _, a := range f.items {
			if a.task != 0 && !yield(a.fence, a.task) {
				return
			}
		}
	}
}

// tasks returns the tasks in the order of fences, as a copy.
func (f *fences) tasks() []uint64 {
	ids := make([]uint64, 0, f.live)
	for _, id := range f.all() {
		ids = append(ids, id)
	}
	return ids
}
