package fsm

import (
	"iter"
	"math"
	"math/bits"
	"slices"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// search is a filter as sets: what it finds is in each set of all and, when there
// are some, in one of any, with ids from low to high. A block of 4,096 ids costs a
// look-up and 64 words for each set, so a page of a million tasks costs little more
// than the tasks that it shows.
type search struct {
	all, any  []*idSet
	low, high uint64
}

// searchFor turns a filter into sets; what is unset matches all.
func (m *Machine) searchFor(f *fsmpb.TaskFilter) search {
	c := &m.catalog
	s := search{low: max(f.GetFirst(), 1), high: m.lastTask}
	need := func(set *idSet) {
		if set == nil {
			set = &c.nothing
		}
		s.all = append(s.all, set)
	}
	if f.GetLast() != 0 {
		s.high = min(s.high, f.GetLast())
	}
	for _, state := range f.GetStates() {
		if state < uint32(len(c.states)) {
			s.any = append(s.any, &c.states[state])
		}
	}
	if len(f.GetStates()) == 0 {
		for i := range c.states {
			s.any = append(s.any, &c.states[i])
		}
	}
	if f.GetQueue() != "" {
		if l := m.lines[f.GetQueue()]; l != nil {
			need(&l.ids)
		} else {
			need(nil)
		}
	}
	if f.GetKind() != "" {
		need(c.kinds[f.GetKind()])
	}
	for _, label := range f.GetLabels() {
		need(c.labels[Label{label.GetKey(), label.GetValue()}])
	}
	if f.GetWorker() != "" {
		need(c.workers[f.GetWorker()])
	}
	if f.GetGroup() != 0 {
		if g, ok := m.dead.Get(f.GetGroup()); ok {
			need(&g.ids)
		} else {
			need(nil)
		}
	}
	m.bound(&s, f)
	return s
}

// bound narrows the ids by batch and by time of submission: both are ranges, since
// ids are given in the order of submission.
func (m *Machine) bound(s *search, f *fsmpb.TaskFilter) {
	if f.GetBatch() != 0 {
		b := m.lots[f.GetBatch()]
		if b == nil || b.rec.committedAt == 0 {
			s.all = append(s.all, &m.catalog.nothing)
			return
		}
		s.low, s.high = max(s.low, b.rec.first), min(s.high, b.rec.first+b.rec.total-1)
	}
	if f.GetSince() != 0 {
		s.low = max(s.low, m.submittedFrom(f.GetSince()))
	}
	if f.GetUntil() != 0 {
		s.high = min(s.high, m.submittedFrom(f.GetUntil())-1)
	}
}

// submittedFrom returns the least id such that no task from it on was submitted
// before that time.
func (m *Machine) submittedFrom(at int64) uint64 {
	low, high := uint64(1), m.lastTask+1
	for low < high {
		mid := low + (high-low)/2
		if t, ok := m.nextSubmit(mid); ok && t < at {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// nextSubmit returns when the first task there is with at least this id was submitted.
func (m *Machine) nextSubmit(id uint64) (at int64, ok bool) {
	next := uint64(math.MaxUint64)
	m.tasks.Ascend(id, func(k uint64, t *Task) bool {
		next, at, ok = k, t.SubmittedAt, true
		return false
	})
	m.busy.Scan(func(_ uint64, b *lot) bool {
		r := b.rec
		if first := max(id, r.first+r.unpacked); first < r.first+r.total && first < next {
			next, at, ok = first, r.committedAt, true
		}
		return true
	})
	return at, ok
}

// bases returns the numbers of the blocks that may have something, in order.
func (s *search) bases() []uint64 {
	var out []uint64
	take := func(set *idSet) {
		for i := range set.blocks {
			if base := set.blocks[i].base; base >= s.low>>blockBits && base <= s.high>>blockBits {
				out = append(out, base)
			}
		}
	}
	if len(s.all) > 0 {
		take(slices.MinFunc(s.all, func(a, b *idSet) int { return len(a.blocks) - len(b.blocks) }))
		return out
	}
	for _, set := range s.any {
		take(set)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// mask returns what of a block is found.
func (s *search) mask(base uint64) blockMask {
	var found, one blockMask
	for _, set := range s.any {
		if set.block(base, &one) {
			for w := range found {
				found[w] |= one[w]
			}
		}
	}
	for _, set := range s.all {
		if !set.block(base, &one) {
			return blockMask{}
		}
		for w := range found {
			found[w] &= one[w]
		}
	}
	if start := base << blockBits; start < s.low || start+blockIDs-1 > s.high {
		for w, word := range found {
			for ; word != 0; word &= word - 1 {
				in := 64*w + bits.TrailingZeros64(word)
				if id := start + uint64(in); id < s.low || id > s.high {
					found[w] &^= 1 << (in % 64)
				}
			}
		}
	}
	return found
}

// down yields the ids, greatest first.
func (s *search) down(yield func(uint64) bool) {
	for _, base := range slices.Backward(s.bases()) {
		mask := s.mask(base)
		for w, word := range slices.Backward(mask[:]) {
			for word != 0 {
				in := bits.Len64(word) - 1
				word &^= 1 << in
				if !yield(base<<blockBits | uint64(64*w+in)) {
					return
				}
			}
		}
	}
}

// set returns all ids.
func (s *search) set() *idSet {
	out := new(idSet)
	for _, base := range s.bases() {
		mask := s.mask(base)
		out.append(base, &mask)
	}
	return out
}

// count returns how many there are.
func (s *search) count() (n int) {
	for _, base := range s.bases() {
		for _, word := range s.mask(base) {
			n += bits.OnesCount64(word)
		}
	}
	return n
}

// Find yields the tasks that match with id < before (0: from the newest), newest
// first. It costs about as much as what it yields, however many tasks there are.
func (m *Machine) Find(f *fsmpb.TaskFilter, before uint64) iter.Seq[*Task] {
	return func(yield func(*Task) bool) {
		s := m.searchFor(f)
		if before > 0 {
			s.high = min(s.high, before-1)
		}
		s.down(func(id uint64) bool {
			t, _ := m.Task(id)
			return yield(t)
		})
	}
}

// Count returns how many tasks match.
func (m *Machine) Count(f *fsmpb.TaskFilter) int {
	s := m.searchFor(f)
	return s.count()
}
