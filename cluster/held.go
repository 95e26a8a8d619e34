package cluster

import (
	"slices"
	"time"
)

// heldSet is what a stream's session holds, and what its worker can know of it.
type heldSet struct {
	fences map[uint64]struct{}
	hash   uint64 // XOR of splitmix64 of the fences

	// trail is how the set stood after each batch since the one that was the last
	// when the worker was heard before: batches arrive in order, so a worker in
	// step stands at one of them.
	trail []standing
	lost  bool // the trail became too long: the next heartbeat proves nothing

	stops      map[uint64]time.Duration // aborted, not yet reported: held or not, as the worker likes
	mismatches int
}

type standing struct {
	n    int
	hash uint64
}

const (
	maxTrail = 1024
	// stopPatience is how long an aborted execution excuses a mismatch.
	stopPatience = 30 * time.Second
)

func (h *heldSet) len() int { return len(h.fences) }

func (h *heldSet) has(fence uint64) bool {
	_, ok := h.fences[fence]
	return ok
}

// begin notes what the worker lists when it attaches.
func (h *heldSet) begin(listed map[uint64]struct{}) {
	h.fences = make(map[uint64]struct{}, len(listed))
	var hash uint64
	for f := range listed {
		hash ^= splitmix64(f)
	}
	h.trail = append(h.trail, standing{len(listed), hash})
}

func (h *heldSet) add(fence uint64) {
	if !h.has(fence) {
		h.fences[fence] = struct{}{}
		h.hash ^= splitmix64(fence)
	}
}

func (h *heldSet) remove(fence uint64) bool {
	if !h.has(fence) {
		return false
	}
	delete(h.fences, fence)
	h.hash ^= splitmix64(fence)
	return true
}

func (h *heldSet) aborted(fence uint64, now time.Duration) {
	if h.stops == nil {
		h.stops = make(map[uint64]time.Duration)
	}
	h.stops[fence] = now
}

// sent notes that the worker is told everything up to now.
func (h *heldSet) sent() {
	at := standing{len(h.fences), h.hash}
	if h.trail[len(h.trail)-1] == at {
		return
	}
	if len(h.trail) == maxTrail {
		h.trail, h.lost = h.trail[:0], true
	}
	h.trail = append(h.trail, at)
}

// heard compares what the worker says it holds. It reports whether the worker
// should attach again: the sets differed twice in a row.
func (h *heldSet) heard(n int, hash uint64, now time.Duration) bool {
	match := slices.Contains(h.trail, standing{n, hash})
	h.trail = append(h.trail[:0], h.trail[len(h.trail)-1])
	for f, at := range h.stops {
		if now-at > stopPatience {
			delete(h.stops, f)
		}
	}
	if match || h.lost || len(h.stops) > 0 {
		h.lost, h.mismatches = false, 0
		return false
	}
	h.mismatches++
	return h.mismatches >= 2
}

// splitmix64 is the mixer that workers use as well (Steele, Lea and Flood).
func splitmix64(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
