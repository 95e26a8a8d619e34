package cluster

import (
	"time"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// The dispatcher decides how many tasks to ask for and for whom; which tasks,
// the state machine decides (DESIGN.md §2.2). It follows the table through
// applied, so that it knows at every index who has room and which queues have
// tasks, and it asks the table itself before it causes an entry of its own.
//
//	queue name ──► line ──► ring of seats ──► taker (a stream, or a waiting poll)
//
// A seat is in its line's ring while its taker has room: the cost of handing out
// a task does not depend on how many workers are idle.
type dispatch struct {
	lines   map[string]*line
	planned []*taker // with a plan for the next entry
	round   uint64   // of applied: tells what was touched in it
	changed []*line  // in this round
	stirred []*taker // in this round: may have room now
	wanted  []*line  // to be looked at when the next entry's assignments are made
	unsure  []*line  // not every taker could be asked
	flush   []*Stream
	exits   map[*taker]struct{} // want to hear that nothing is left
}

func (d *dispatch) init() {
	d.lines = make(map[string]*line)
	d.exits = make(map[*taker]struct{})
}

// maxAsked bounds how many takers of one queue are asked in one apply.
const maxAsked = 32

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

// lineOf returns the line of a queue, made when somebody serves it first.
func (l *reign) lineOf(m *fsm.Machine, name string) *line {
	q := l.lines[name]
	if q == nil {
		q = &line{name: name}
		l.lines[name] = q
		q.refresh(m)
	}
	return q
}

// touchLine notes that a queue changed in this round, if anybody serves it.
func (l *reign) touchLine(name string) {
	if n := len(l.changed); n > 0 && l.changed[n-1].name == name {
		return
	}
	if q := l.lines[name]; q != nil {
		l.stir(q)
	}
}

func (l *reign) stir(q *line) {
	if q.round != l.round {
		q.round = l.round
		l.changed = append(l.changed, q)
	}
}

// touchTaker notes that a taker may have more or less room after this round.
func (l *reign) touchTaker(t *taker) {
	if t.round != l.round {
		t.round = l.round
		l.stirred = append(l.stirred, t)
	}
}

func (q *line) refresh(m *fsm.Machine) {
	rec := m.Queue(q.name)
	if rec == nil {
		q.ready, q.unfinished, q.paused = 0, 0, false
		return
	}
	q.ready, q.unfinished, q.paused = rec.Counts[fsm.Ready], rec.Unfinished(), rec.Paused
}

// sit gives a taker its seats.
func (l *reign) sit(m *fsm.Machine, t *taker, queues []fsm.QueueWeight) {
	t.seats = make([]seat, len(queues))
	for i, w := range queues {
		q := l.lineOf(m, w.Queue)
		q.seats++
		t.seats[i] = seat{taker: t, line: q}
	}
	l.offer(t)
	l.touchTaker(t)
}

// rise takes a taker's seats and plans away.
func (l *reign) rise(t *taker) {
	if t.gone {
		return
	}
	t.gone = true
	l.offer(t)
	l.forgetPlan(t)
	for i := range t.seats {
		q := t.seats[i].line
		if q.seats--; q.seats == 0 && q.incoming == 0 && q.reserved == 0 && !q.unsure {
			delete(l.lines, q.name)
		}
	}
}

// forgetPlan gives up what was planned and never proposed: others may have it.
func (l *reign) forgetPlan(t *taker) {
	for _, in := range t.plan {
		in.line.reserved -= in.n
		l.doubtNow(in.line)
	}
	t.reserved -= t.planned
	t.plan, t.planned = nil, 0
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

// offer puts the taker's seats into the rings, or takes them out, by its room.
func (l *reign) offer(t *taker) {
	room := t.free() > 0
	for i := range t.seats {
		s := &t.seats[i]
		switch in := s.next != nil; {
		case room && !in:
			s.ring().push(s)
		case !room && in:
			s.ring().remove(s)
		}
	}
}

// reserve plans n tasks of a queue for a taker.
func (l *reign) reserve(t *taker, q *line, n int) {
	if t.stream != nil && t.planned == 0 {
		l.planned = append(l.planned, t)
	}
	t.reserved += n
	t.planned += n
	q.reserved += n
	if k := len(t.plan); k > 0 && t.plan[k-1].line == q {
		t.plan[k-1].n += n
	} else {
		t.plan = append(t.plan, intent{q, n})
	}
	l.offer(t)
}

// unreserve ends an assignment in flight.
func (l *reign) unreserve(g *grant) {
	g.to.reserved -= g.n
	for _, in := range g.lines {
		in.line.reserved -= in.n
		l.stir(in.line) // the tasks may have come from another queue
	}
	if !g.to.gone {
		l.offer(g.to)
		l.touchTaker(g.to)
	}
}

// expect notes what the queues get by a submit that goes into the log now.
func (l *reign) expect(specs []*fsmpb.TaskSpec) []intent {
	var got []intent
	for _, spec := range specs {
		if spec.GetRunAt() != 0 || spec.GetDelay() != 0 {
			continue
		}
		name := spec.GetQueue()
		if name == "" {
			name = fsm.DefaultQueue
		}
		if k := len(got); k > 0 && got[k-1].line.name == name {
			got[k-1].n++
		} else if q := l.lines[name]; q != nil {
			got = append(got, intent{q, 1})
		}
	}
	for _, in := range got {
		in.line.incoming += in.n
		if in.line.push.n > 0 {
			l.want(in.line)
		}
	}
	return got
}

// want has the line looked at when the entry's assignments are made.
func (l *reign) want(q *line) {
	if !q.wanted {
		q.wanted = true
		l.wanted = append(l.wanted, q)
	}
}

// addAssigns fills the entry up with assignments: what was planned before, and
// what this entry's own submits and reports make possible (same-entry assignment).
func (l *reign) addAssigns(b *building) {
	room := fsm.MaxTransitions - b.transitions
	for _, t := range l.planned {
		room -= t.planned
	}
	for _, q := range l.wanted {
		q.wanted = false
		room -= l.spread(q, min(q.demand(true), room))
	}
	clear(l.wanted)
	l.wanted = l.wanted[:0]
	left := l.planned[:0]
	for _, t := range l.planned {
		switch {
		case t.planned == 0: // gone
		case b.transitions+t.planned > fsm.MaxTransitions && b.transitions > 0:
			left = append(left, t)
		default:
			l.addAssign(b, t)
		}
	}
	clear(l.planned[len(left):])
	l.planned = left
}

func (l *reign) addAssign(b *building, t *taker) {
	cmd := &fsmpb.Command{
		Principal: l.principal,
		Kind:      &fsmpb.Command_Assign{Assign: &fsmpb.Assign{Session: t.session, N: uint32(t.planned)}},
	}
	l.byClass[classAssign] = append(l.byClass[classAssign], part{cmd: cmd, assign: grant{to: t, n: t.planned, lines: t.plan}})
	b.add(assignBytes+len(l.principal), t.planned)
	t.plan, t.planned = nil, 0
	l.e.count.assigns.Add(1)
}

// spread plans n tasks of a queue evenly over the streams that have room and
// returns how many found a place. Turns rotate.
func (l *reign) spread(q *line, n int) int {
	left := n
	for left > 0 && q.push.n > 0 {
		k := q.push.n
		share := max((left+k-1)/k, 1)
		for ; k > 0 && left > 0 && q.push.n > 0; k-- {
			t := q.push.turn().taker
			give := min(share, left, t.free())
			l.reserve(t, q, give)
			left -= give
		}
	}
	return max(n, 0) - max(left, 0)
}

// refresh brings lines and takers up to date with the table after an apply and
// sees to it that no free slot stays beside an eligible task (L6). Called with
// table.mu held.
func (l *reign) refresh(m *fsm.Machine) {
	finished := false
	for _, q := range l.changed {
		q.refresh(m)
		finished = finished || q.unfinished == 0
	}
	for _, t := range l.stirred {
		l.askTaker(m, t)
	}
	for _, q := range l.changed {
		l.ask(m, q, maxAsked)
	}
	l.askUnsure(m, maxAsked)
	if finished {
		l.noMoreTasks()
	}
	clear(l.changed)
	clear(l.stirred)
	l.changed, l.stirred = l.changed[:0], l.stirred[:0]
}

// askTaker plans for a taker that may have got room.
func (l *reign) askTaker(m *fsm.Machine, t *taker) {
	if t.gone {
		return
	}
	for i := range t.seats {
		if t.free() == 0 {
			return
		}
		if q := t.seats[i].line; q.demand(false) > 0 && !l.plan(m, t, q) {
			return
		}
	}
}

// plan asks the table how much of the queue's demand the taker would get, and
// reserves that. It reports whether there was any.
func (l *reign) plan(m *fsm.Machine, t *taker, q *line) bool {
	n := min(q.demand(false), t.free())
	n = min(n, m.Assignable(t.session, t.reserved+n)-t.reserved)
	if n <= 0 {
		return false
	}
	l.reserve(t, q, n)
	if t.poll != nil {
		t.poll.ready.ring()
	}
	return true
}

// ask looks for takers of what a queue has, at most limit; streams first, since
// their tasks travel in the entry itself.
func (l *reign) ask(m *fsm.Machine, q *line, limit int) {
	for _, r := range []*ring{&q.push, &q.pull} {
		for k := r.n; k > 0 && r.n > 0 && q.demand(false) > 0; k-- {
			if limit--; limit < 0 {
				l.doubt(q)
				return
			}
			l.plan(m, r.turn().taker, q)
		}
	}
}

// doubtNow has the keeper look at a queue at once.
func (l *reign) doubtNow(q *line) {
	l.doubt(q)
	l.due.ring()
}

// doubt has a queue looked at again: with the next apply, or by the keeper.
func (l *reign) doubt(q *line) {
	if !q.unsure {
		q.unsure = true
		l.unsure = append(l.unsure, q)
	}
}

func (l *reign) askUnsure(m *fsm.Machine, limit int) {
	if len(l.unsure) == 0 {
		return
	}
	again := l.unsure
	l.unsure = nil
	for _, q := range again {
		q.unsure = false
		q.refresh(m)
		l.ask(m, q, limit)
	}
}

// lookAgain settles what applied left open. Called by the keeper.
func (l *reign) lookAgain() {
	l.mu.Lock()
	open := len(l.unsure) > 0
	l.mu.Unlock()
	if !open {
		return
	}
	t := l.e.t
	t.mu.RLock()
	defer t.mu.RUnlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.askUnsure(t.m, 1<<20)
	if len(l.planned) > 0 {
		l.work.ring()
	}
}

// lookEvery is how often the keeper settles doubts and sweeps.
const lookEvery = 250 * time.Millisecond
