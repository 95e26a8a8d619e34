package cluster

import "github.com/taskraft/taskraft/fsm"

// line is a queue that somebody here serves.
type line struct {
	name       string
	ready      int64 // in the table, after the last apply
	unfinished int64
	paused     bool
	incoming   int // will get ready by submits in flight
	reserved   int // will be taken by assignments planned or in flight
	push, pull ring
	seats      int // in a ring or not
	round      uint64
	unsure     bool
	wanted     bool
}

// demand is how many tasks nobody is meant for yet, ahead: those of submits in
// flight included.
func (q *line) demand(ahead bool) int {
	if q.paused {
		return 0
	}
	n := int(q.ready) - q.reserved
	if ahead {
		n += q.incoming
	}
	return max(n, 0)
}

// taker is who can be given tasks.
type taker struct {
	session  uint64
	stream   *Stream // or
	poll     *pollWait
	slots    int
	held     int // per table after the last apply
	freeing  int // reports in flight
	reserved int // planned or in flight
	plan     []intent
	planned  int // the plan's sum
	seats    []seat
	seen     bool // its session was given a task, ever
	blocked  bool // drains, runs a task alone, or its poll is under way
	gone     bool
	round    uint64
}

func (t *taker) free() int {
	if t.blocked || t.gone {
		return 0
	}
	return max(min(t.slots, t.slots-t.held+t.freeing)-t.reserved, 0)
}

// intent is a number of tasks expected from, or for, a queue.
type intent struct {
	line *line
	n    int
}

// grant is an assignment in flight.
type grant struct {
	to    *taker
	n     int
	lines []intent
}

// seat is a taker's place at one of its queues.
type seat struct {
	taker      *taker
	line       *line
	next, prev *seat // in the ring; nil outside
}

// ring holds the seats of takers with room; the one served longest ago is first.
type ring struct {
	root seat
	n    int
}

func (r *ring) push(s *seat) {
	if r.root.next == nil {
		r.root.next, r.root.prev = &r.root, &r.root
	}
	last := r.root.prev
	s.prev, s.next = last, &r.root
	last.next, r.root.prev = s, s
	r.n++
}

func (r *ring) remove(s *seat) {
	s.prev.next, s.next.prev = s.next, s.prev
	s.next, s.prev = nil, nil
	r.n--
}

// turn returns the first seat and puts it last.
func (r *ring) turn() *seat {
	s := r.root.next
	r.remove(s)
	r.push(s)
	return s
}

func (s *seat) ring() *ring {
	if s.taker.poll != nil {
		return &s.line.pull
	}
	return &s.line.push
}

func (q *line) refresh(m *fsm.Machine) {
	rec := m.Queue(q.name)
	if rec == nil {
		q.ready, q.unfinished, q.paused = 0, 0, false
		return
	}
	q.ready, q.unfinished, q.paused = rec.Counts[fsm.Ready], rec.Unfinished(), rec.Paused
}

// nothingLeft reports whether the taker's queues have nothing unfinished, after
// it has had a task.
func (t *taker) nothingLeft() bool {
	if !t.seen {
		return false
	}
	for i := range t.seats {
		if t.seats[i].line.unfinished > 0 {
			return false
		}
	}
	return true
}
