package fsm

const (
	// slabLeast and slabMost bound how many items a slab keeps for the next use.
	slabLeast = 64
	slabMost  = 4096
)

// slab hands out zeroed items from memory that it uses again.
type slab[T any] struct{ items []T }

// take returns n items, valid until reset.
func (s *slab[T]) take(n int) []T {
	from := len(s.items)
	if n > cap(s.items)-from {
		// What was handed out stays with those who have it.
		s.items, from = make([]T, 0, max(n, min(2*cap(s.items), slabMost), slabLeast)), 0
	}
	s.items = s.items[:from+n]
	return s.items[from : from+n : from+n]
}

// reset takes back all items, so that they hold on to nothing.
func (s *slab[T]) reset() {
	if cap(s.items) > slabMost {
		s.items = nil
		return
	}
	clear(s.items)
	s.items = s.items[:0]
}
