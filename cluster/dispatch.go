package cluster

import (
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// The dispatcher decides how many tasks to ask for and for whom; which tasks,
// the state machine decides. It follows the table through
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

// lineOf returns the line of a queue, made when somebody serves it first.
func (l *reign) lineOf(m *fsm.Machine, name string) *line {
	q := l.lines[name]
	if q == nil {
		q = &line{name: name}
		l.lines[name] = q
	}
	if q.seats == 0 {
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
	t.plan, t.planned, t.deliver = nil, 0, false
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
	l.plannedTaker(t)
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
	if g.deliver {
		g.to.delivering = false
	}
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
		if spec.GetRunAt() != 0 || spec.GetDelay() != 0 || spec.GetBroadcast() != nil ||
			len(spec.GetRequire())+len(spec.GetAfter())+len(spec.GetAfterItems()) > 0 {
			continue // not at once, or not for whose turn it is
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
		case t.planned == 0 && !t.deliver: // gone
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
	l.byClass[classAssign] = append(l.byClass[classAssign], part{cmd: cmd, assign: grant{to: t, n: t.planned, deliver: t.deliver, lines: t.plan}})
	b.add(assignBytes+len(l.principal), t.planned+1)
	t.plan, t.planned = nil, 0
	t.deliver, t.delivering = false, t.delivering || t.deliver
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
