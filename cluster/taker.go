package cluster

import "github.com/taskraft/taskraft/fsm"

// line is a queue that somebody here serves.
type line struct {
	name       string
	demanded   fsm.Demand // by the table, after the last apply
	search     bool       // somebody may match what requires labels: not all takers were asked
	incoming   int        // will get ready by submits in flight
	reserved   int        // will be taken by assignments planned or in flight
	push, pull ring
	seats      int // in a ring or not
	round      uint64
	unsure     bool
	wanted     bool
}

// demand is how many tasks nobody is meant for yet, ahead: those of submits in
// flight included.
func (q *line) demand(ahead bool) int {
	n := q.demanded.Ready
	if ahead {
		n += q.incoming
	}
	return max(min(n, q.demanded.Room)-q.reserved, 0)
}

// calls reports whether takers are to be asked one after the other: there is a
// demand, and it is not only for labels that none of them has.
func (q *line) calls() bool {
	return q.demand(false) > 0 && (q.search || q.demanded.Ready-q.demanded.Restricted > q.reserved)
}

// taker is who can be given tasks.
type taker struct {
	session    uint64
	stream     *Stream // or
	poll       *pollWait
	slots      int
	held       int // per table after the last apply
	freeing    int // reports in flight
	reserved   int // planned or in flight
	plan       []intent
	planned    int // the plan's sum
	seats      []seat
	seen       bool // its session was given a task, ever
	blocked    bool // drains, runs a task alone, or its poll is under way
	deliver    bool // its plan is to deliver a target, too
	delivering bool // an Assign that does so is in flight
	gone       bool
	round      uint64
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
	to      *taker
	n       int
	deliver bool
	lines   []intent
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
	d := m.Demand(q.name)
	if d.Restricted > 0 && (d.Gains != q.demanded.Gains || d.Room > q.demanded.Room) {
		q.search = true
	}
	q.demanded = d
}

// nothingLeft reports whether the taker's queues have nothing unfinished, after
// it has had a task.
func (t *taker) nothingLeft() bool {
	if !t.seen {
		return false
	}
	for i := range t.seats {
		if t.seats[i].line.demanded.Unfinished > 0 {
			return false
		}
	}
	return true
}
