package model

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// round is how far the turn of a queue of weight 1 moves on with each start; with a
// greater weight it moves so much less, in whole numbers, so that all masters round
// alike.
const round = 1 << 20

// shares is how far a session has served its queues, if their weights are not equal
// (nil: they are). Whose turn is the earliest comes first. One that had nothing for a
// while does not catch up: its turn is not before the turn of who was served last.
type shares struct {
	turn map[string]uint64
	last uint64
	lead map[[2]string]*lead
}

// lead is how far a queue has come before another one since both have had something
// at each start: in starts, each counted with the other one's weight. This is what the
// promise is about, whatever the turns say.
type lead struct{ now, low, high int64 }

// settle begins anew when the queues have changed; of one that stays it is kept how far
// it was served.
func (h *shares) settle(was, queues []*fsmpb.QueueWeight) {
	if slices.EqualFunc(was, queues, func(a, b *fsmpb.QueueWeight) bool { return proto.Equal(a, b) }) {
		return
	}
	h.lead = make(map[[2]string]*lead)
	if !slices.ContainsFunc(queues, func(q *fsmpb.QueueWeight) bool { return q.GetWeight() != queues[0].GetWeight() }) {
		h.turn, h.last = nil, 0
		return
	}
	old := h.turn
	h.turn = make(map[string]uint64)
	for _, q := range queues {
		h.turn[q.GetQueue()] = old[q.GetQueue()]
	}
}

// sooner says whether it is the turn of queue a before that of b: when both are due at
// once, who stands first in the session's list.
func (h *shares) sooner(queues []*fsmpb.QueueWeight, a, b string) bool {
	x, y := max(h.turn[a], h.last), max(h.turn[b], h.last)
	if x != y {
		return x < y
	}
	return slices.IndexFunc(queues, func(q *fsmpb.QueueWeight) bool { return q.GetQueue() == a || q.GetQueue() == b }) ==
		slices.IndexFunc(queues, func(q *fsmpb.QueueWeight) bool { return q.GetQueue() == a })
}

// share notes that a task is about to start, and holds what has started to the weights:
// as long as two queues both have something, neither gets ahead of its share by more
// than one start of each (S9).
func (m *Table) share(s *session, t *Task) {
	h := &s.shares
	if h.turn == nil {
		return
	}
	ready := make(map[string]bool)
	for _, q := range s.queues {
		ready[q.GetQueue()] = q.GetQueue() == t.Queue ||
			m.first(s, func(o *Task) bool { return o.Queue == q.GetQueue() && o.Crashes < soloAfter }) != nil
	}
	for _, q := range s.queues {
		if q.GetQueue() == t.Queue {
			h.last = max(h.turn[t.Queue], h.last)
			h.turn[t.Queue] = h.last + round/uint64(min(q.GetWeight(), round))
		}
		for _, o := range s.queues {
			h.hold(q, o, t.Queue, ready)
		}
	}
}

// hold keeps the lead of queue a before b.
func (h *shares) hold(a, b *fsmpb.QueueWeight, started string, ready map[string]bool) {
	pair, x, y := [2]string{a.GetQueue(), b.GetQueue()}, int64(a.GetWeight()), int64(b.GetWeight())
	if pair[0] >= pair[1] {
		return
	}
	if !ready[pair[0]] || !ready[pair[1]] || h.lead[pair] == nil {
		h.lead[pair] = new(lead)
	}
	if !ready[pair[0]] || !ready[pair[1]] {
		return
	}
	l := h.lead[pair]
	switch started {
	case pair[0]:
		l.now += y
	case pair[1]:
		l.now -= x
	}
	l.low, l.high = min(l.low, l.now), max(l.high, l.now)
	if l.high-l.low > x+y {
		breach("S9", "a session with weights %d for %s and %d for %s starts task after task of %s", x, pair[0], y, pair[1], started)
	}
}
