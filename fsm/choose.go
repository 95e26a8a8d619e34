package fsm

import "math"

// Which task a session gets next (S9): among its queues that are not held back,
// and in them among the tasks whose labels it has and whose keys have room.

// head is the first task of a queue for a session; a nil line means none.
type head struct {
	line *line
	item readyItem
	seat int // the queue's place in the session's list
}

// heads returns the first task of the session's queues that may run beside
// others, and the first that must run alone.
func (m *Machine) heads(s *session) (best, solo head) {
	for i, l := range s.lines {
		if l == nil {
			l = m.lines[s.rec.Queues[i].Queue]
		}
		if l == nil || l.eligible == 0 || m.room(l) == 0 {
			continue
		}
		beside, alone := l.first(&l.open.beside), l.first(&l.open.alone)
		l.matching(s, func(p *pool) {
			if it := l.first(&p.beside); l.sooner(it, beside) {
				beside = it
			}
			if it := l.first(&p.alone); l.sooner(it, alone) {
				alone = it
			}
		})
		if h := (head{l, beside, i}); beside.task != nil && m.sooner(s, h, best) {
			best = h
		}
		if h := (head{l, alone, i}); alone.task != nil && m.sooner(s, h, solo) {
			solo = h
		}
	}
	return best, solo
}

// sooner reports whether a comes before b. Queues with equal weights make one
// line: by priority, as far as it has grown, then by the time of eligibility.
// With unequal weights the queue that was served least for its weight comes first.
func (m *Machine) sooner(s *session, a, b head) bool {
	switch {
	case a.line == nil || b.line == nil:
		return a.line != nil
	case mutated("M13") && a.line != b.line:
		for _, l := range m.lines { // order-free: in no product, see mutated
			if l == a.line || l == b.line {
				return l == a.line
			}
		}
	case a.line == b.line:
		return a.line.sooner(a.item, b.item)
	case s.weighted:
		if x, y := s.rec.turn(a.seat), s.rec.turn(b.seat); x != y {
			return x < y
		}
		return a.seat < b.seat
	}
	if x, y := a.line.grown(a.item, m.now), b.line.grown(b.item, m.now); x != y {
		return x > y
	}
	if a.item.at != b.item.at {
		return a.item.at < b.item.at
	}
	return a.item.id < b.item.id
}

// stride is how far a queue of weight 1 moves on with each task.
const stride = 1 << 20

// turn is when a queue's turn is, on the session's own scale. A queue that had
// nothing for a while does not catch up.
func (rec *sessionRecord) turn(seat int) uint64 {
	if mutated("W5") {
		return rec.served[seat]
	}
	return max(rec.served[seat], rec.servedAll)
}

// charge pays for a start: a token of the queue, a turn of the session.
func (m *Machine) charge(s *session, h head) {
	if h.line.rate.every != 0 {
		m.takeToken(h.line)
	}
	if s.weighted {
		rec := m.editSession(s)
		at := rec.turn(h.seat)
		rec.servedAll = at
		rec.served[h.seat] = at + stride/uint64(min(rec.Queues[h.seat].Weight, stride))
	}
}

// clearedFor reports whether a session that serves the queue clears already.
func (m *Machine) clearedFor(l *line) bool {
	found := false
	m.clearing.Scan(func(_ uint64, s *session) bool {
		for _, q := range s.rec.Queues {
			found = found || q.Queue == l.rec.name
		}
		return !found
	})
	return found
}

// Demand returns what a queue could start now, and how much of it is unfinished.
// A queue that does not exist yet has room.
func (m *Machine) Demand(queue string) Demand {
	l := m.lines[queue]
	if l == nil {
		return Demand{Room: math.MaxInt}
	}
	return Demand{
		Ready: l.eligible, Restricted: l.gated, Room: m.room(l), Gains: l.gains,
		Unfinished: l.unfinished(),
	}
}

// Assignable returns how many tasks, at most limit, an Assign for this session
// would give it now. Costs O(queues of the session · log n), whatever the backlog.
// It may be too high while a task that may only run alone waits, and where tasks
// of one concurrency key require different labels; it is 1 when all the Assign
// would do is to clear the session for a task that runs alone. It is positive
// exactly when an Assign would change something.
func (m *Machine) Assignable(session uint64, limit int) int {
	s := m.live[session]
	if s == nil {
		return 0
	}
	room := max(min(limit, s.free()), 0)
	if room == 0 {
		return 0
	}
	best, solo := m.heads(s)
	switch {
	case solo.line == nil:
		return min(m.matched(s, room), room)
	case s.held.len() == 0 && m.sooner(s, solo, best):
		return 1
	case s.held.len() == 0:
		return min(m.matched(s, room), room)
	case s.rec.Clearing:
		return 0
	case m.sooner(s, solo, best) && !m.clearedFor(solo.line):
		return 1
	default:
		return min(m.matched(s, room), room)
	}
}

// matched counts the tasks that may run beside others in the session, until
// there are enough.
func (m *Machine) matched(s *session, enough int) int {
	n := 0
	for i, l := range s.lines {
		if l == nil {
			l = m.lines[s.rec.Queues[i].Queue]
		}
		if l == nil || l.eligible == 0 {
			continue
		}
		of := l.open.beside.n
		l.matching(s, func(p *pool) { of += p.beside.n })
		if of > 0 {
			n += min(of, m.room(l))
		}
		if n >= enough {
			break
		}
	}
	return n
}
