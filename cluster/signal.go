package cluster

import "sync"

// Leader says where the leader is, as far as this node knows.
type Leader struct {
	Name, GRPC, HTTP string // empty when unknown
	Term             uint64
	Self             bool // this node leads and its gate is open
}

// signal is a value of which a change can be waited for.
type signal[T comparable] struct {
	mu      sync.Mutex
	value   T
	changed chan struct{}
}

func newSignal[T comparable](v T) *signal[T] {
	return &signal[T]{value: v, changed: make(chan struct{})}
}

// get returns the value and a channel that is closed at the next change.
func (s *signal[T]) get() (T, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.value, s.changed
}

// set reports whether v was a change.
func (s *signal[T]) set(v T) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.value == v {
		return false
	}
	s.value = v
	close(s.changed)
	s.changed = make(chan struct{})
	return true
}

// bell wakes one goroutine; ringing it twice before it looks wakes it once.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}
