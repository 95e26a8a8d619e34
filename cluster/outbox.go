package cluster

import (
	"slices"
	"time"

	"github.com/taskraft/taskraft/fsm"
)

// outbox gathers what a worker is to be told. What a worker holds is bounded by
// its slots and what it may report unanswered by maxUnanswered; a worker that
// does not read is ended by checkStream long before more comes together.
type outbox struct {
	assignments []*fsm.Task
	outcomes    []TaskOutcome
	aborts      []Abort
	heartbeat   uint64
	again       bool
	noMore      bool
	moved       *Leader
}

func (o *outbox) empty() bool {
	return len(o.assignments) == 0 && len(o.outcomes) == 0 && len(o.aborts) == 0 &&
		o.heartbeat == 0 && !o.again && !o.noMore && o.moved == nil
}

func (o *outbox) len() int { return len(o.assignments) + len(o.outcomes) + len(o.aborts) }

// fill makes b show the outbox.
func (o *outbox) fill(b *Batch) {
	*b = Batch{
		Assignments: o.assignments, Outcomes: o.outcomes, Aborts: o.aborts,
		HeartbeatSeq: o.heartbeat, AttachAgain: o.again, NoMoreTasks: o.noMore, Moved: o.moved,
	}
}

// reset empties the outbox and keeps its memory.
func (o *outbox) reset() {
	clear(o.assignments)
	*o = outbox{assignments: o.assignments[:0], outcomes: o.outcomes[:0], aborts: o.aborts[:0]}
}

// flushLater wakes the stream's sender once the entry has been looked at whole.
func (l *reign) flushLater(s *Stream) {
	if !s.flush {
		s.flush = true
		l.flush = append(l.flush, s)
	}
}

func (l *reign) flushStreams() {
	for _, s := range l.flush {
		s.flush = false
		if s.oldest == 0 && !s.out.empty() {
			s.oldest = max(l.now(), 1)
		}
		s.wake.ring()
	}
	clear(l.flush)
	l.flush = l.flush[:0]
}

// checkStream ends a stream whose worker does not read, or whose entries failed
// although leadership did not move.
func (l *reign) checkStream(s *Stream) {
	now := l.now()
	switch {
	case s.out.len() > 4*s.slots+maxUnanswered,
		s.oldest != 0 && now-s.oldest > s.session.ttl:
		l.e.count.slow.Add(1)
		l.drop(s, ErrSlowConsumer)
	case s.failed != 0 && now-s.failed > brokenPatience:
		l.drop(s, ErrUncertain)
	}
}

// brokenPatience is how long a stream whose entry failed waits for the word that
// leadership moved; without it the worker attaches again and learns what held.
const brokenPatience = time.Second

func (l *reign) broken(s *Stream) {
	if s.failed == 0 {
		s.failed = max(l.now(), 1)
	}
}

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
