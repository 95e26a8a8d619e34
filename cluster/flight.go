package cluster

import (
	"slices"
	"time"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// flight is an entry from its building to its result.
type flight struct {
	now    int64 // its stamp: names it within the term
	bytes  int
	parts  []part // one per command
	fut    future
	landed bool // applied or failed: everybody has been answered
}

// part says whom a command's result is for; one of the fields is set.
type part struct {
	cmd    *fsmpb.Command
	order  *proposal
	report report
	assign grant
	expire *session
	tick   bool
	beats  *session // is noted as one that sends heartbeats
	lines  []intent // of a submit: tasks that queues will get
}

// match finds the entry that was applied among those in flight.
func (l *reign) match(a *fsm.Applied) *flight {
	if a.NotLeader || a.Term != l.term {
		return nil
	}
	for _, f := range l.air {
		if f.now == a.Stamp {
			return f
		}
	}
	return nil
}

// answer hands the results of an applied entry to whom they belong.
func (l *reign) answer(m *fsm.Machine, f *flight, a *fsm.Applied) {
	pos := Position{Term: a.Term, Index: a.Index}
	for i := range f.parts {
		x, res := &f.parts[i], &a.Results[i]
		switch {
		case x.order != nil:
			l.deliver(m, x, res, pos)
		case x.report.stream != nil:
			l.reported(x, res)
		case x.assign.to != nil:
			l.e.count.assigned.Add(uint64(len(res.Tasks)))
		}
	}
}

// deliver answers a caller, after what has to happen in the same apply.
func (l *reign) deliver(m *fsm.Machine, x *part, res *fsm.Result, pos Position) {
	p := x.order
	if p.tie.attach != nil && m != nil {
		l.register(m, p.tie.attach, res)
	}
	if p.tie.poll != nil {
		l.polled(p.tie.poll)
	}
	p.finish(answer{res: *res, pos: pos})
}

// retryPause keeps the leader's own commands from spinning while entries fail
// and nobody has said yet that leadership moved.
const retryPause = 50 * time.Millisecond

// fail tells everybody in an entry that it was not applied, or may have been.
func (l *reign) fail(f *flight, err error) {
	l.tickFrom = l.e.mono() + retryPause
	for i := range f.parts {
		x := &f.parts[i]
		switch {
		case x.order != nil:
			x.order.finish(answer{err: err})
		case x.report.stream != nil:
			l.broken(x.report.stream)
		case x.beats != nil:
			x.beats.beats = false // its next heartbeat tries again
		}
	}
	l.doubtPlanned(f)
}

// doubtPlanned has the queues looked at again that an entry's assignments were
// planned from, and the takers that it was to deliver to: no apply did so.
func (l *reign) doubtPlanned(f *flight) {
	for i := range f.parts {
		for _, in := range f.parts[i].assign.lines {
			l.doubt(in.line)
		}
		if g := &f.parts[i].assign; g.deliver {
			l.stirred = append(l.stirred, g.to)
		}
	}
}

// land takes an entry out of flight and returns what was reserved for it.
func (l *reign) land(f *flight) {
	f.landed = true
	l.air = slices.DeleteFunc(l.air, func(x *flight) bool { return x == f })
	l.airBytes -= f.bytes
	for i := range f.parts {
		x := &f.parts[i]
		for _, in := range x.lines {
			in.line.incoming -= in.n
		}
		switch {
		case x.report.stream != nil:
			l.freed(&x.report)
		case x.assign.to != nil:
			l.unreserve(&x.assign)
		case x.expire != nil:
			x.expire.expiring = false
		case x.tick:
			l.ticking = false
			l.due.ring()
		}
	}
}

// release keeps the memory of a flight that both sides are done with.
func (l *reign) release(f *flight) {
	clear(f.parts)
	f.parts, f.fut, f.landed = f.parts[:0], nil, false
	if len(l.unused) < 2*maxInFlight {
		l.unused = append(l.unused, f)
	}
}
