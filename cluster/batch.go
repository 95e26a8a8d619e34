package cluster

import (
	"slices"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Shares of an entry. Worker reports go first, because they make room, but never
// take all of it from those who wait in the queue; assignments always get some.
const (
	reportTransitions = fsm.MaxTransitions / 3
	orderTransitions  = 2 * fsm.MaxTransitions / 3 // reports included
	reportBytes       = 3 * maxEntryBytes / 4
	assignBytes       = 16 // an Assign in an entry, at most
)

// batcher is what the proposer gathers from and what it has in flight.
type batcher struct {
	backlog []*proposal // taken out of the inbox; from head on, oldest first
	head    int
	dirty   []*Stream  // with reports to propose, oldest first
	expired []*session // to be expired
	beating []*session // to be noted as sending heartbeats
	wasBig  bool       // the last entry began with a large proposal

	flights  chan *flight // to settle, in log order
	air      []*flight    // not landed yet, in log order
	airBytes int
	ticking  bool // a Tick is in flight
	unused   []*flight
	byClass  [classes][]part // scratch
}

func (b *batcher) init() { b.flights = make(chan *flight, 16*maxInFlight) }

// building is one entry while it is filled.
type building struct {
	bytes, transitions int
}

func (b *building) add(bytes, transitions int) {
	b.bytes += bytes
	b.transitions += transitions
}

// build makes the next entry of whatever waits, or returns nil when there is
// nothing, or no room in flight. Order inside an entry: session changes, reports,
// tick, submits, assignments.
func (l *reign) build() (*flight, *fsm.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.open.Load() || len(l.air) >= maxInFlight {
		return nil, nil
	}
	l.backlog = l.inbox.take(l.backlog)
	if len(l.air) >= eagerInFlight && !l.waits(worthwhile) {
		return nil, nil
	}
	if p := l.oldest(); p != nil && l.airBytes+p.size > maxInFlightBytes {
		return nil, nil
	}
	var b building
	l.addExpired(&b)
	l.addBeating(&b)
	if p := l.oldest(); p != nil && p.big() && !(l.wasBig && len(l.dirty) > 0) {
		l.addOrder(&b) // reports take what is left
		l.wasBig = true
	} else {
		l.wasBig = false
	}
	l.addReports(&b)
	for p := l.oldest(); p != nil && l.fits(&b, p); p = l.oldest() {
		l.addOrder(&b)
	}
	now := l.e.clock.now()
	if l.nextDue != 0 && l.nextDue <= now && !l.ticking && l.tickWait() <= 0 {
		l.addTick(&b)
	}
	l.addAssigns(&b)
	if b.bytes == 0 {
		return nil, nil
	}
	return l.launch(&b)
}

// waits reports whether at least so many bytes of proposals wait.
func (l *reign) waits(bytes int) bool {
	for _, p := range l.backlog[l.head:] {
		if bytes -= p.size; bytes <= 0 {
			return true
		}
	}
	return false
}

// launch puts the gathered parts in their order and the entry among those in flight.
func (l *reign) launch(b *building) (*flight, *fsm.Entry) {
	f := &flight{}
	if n := len(l.unused); n > 0 {
		f, l.unused = l.unused[n-1], l.unused[:n-1]
	}
	for c := range l.byClass {
		f.parts = append(f.parts, l.byClass[c]...)
		clear(l.byClass[c])
		l.byClass[c] = l.byClass[c][:0]
	}
	f.bytes, f.now = b.bytes, l.e.clock.stamp()
	entry := &fsm.Entry{
		Header:   fsm.Header{Level: l.level, Term: l.term, Now: f.now},
		Commands: make([]*fsmpb.Command, len(f.parts)),
	}
	for i := range f.parts {
		entry.Commands[i] = f.parts[i].cmd
	}
	l.air = append(l.air, f)
	l.airBytes += f.bytes
	l.e.count.entries.Add(1)
	l.e.count.commands.Add(uint64(len(f.parts)))
	return f, entry
}

// oldest returns the proposal whose turn it is, or nil. Those that nobody waits
// for any more are dropped.
func (l *reign) oldest() *proposal {
	for l.head < len(l.backlog) {
		if p := l.backlog[l.head]; p.state.Load() == queued {
			return p
		}
		l.pop()
	}
	return nil
}

func (l *reign) pop() {
	l.backlog[l.head] = nil
	l.head++
	if l.head == len(l.backlog) {
		l.backlog, l.head = l.backlog[:0], 0
	}
	l.inbox.waiting.Add(-1)
}

// big proposals go first into an entry, every other time, because they would
// hardly ever find enough room behind the reports.
func (p *proposal) big() bool {
	return p.size > maxEntryBytes-reportBytes || p.weight > orderTransitions-reportTransitions
}

func (l *reign) fits(b *building, p *proposal) bool {
	return b.bytes+p.size <= maxEntryBytes && b.transitions+p.weight <= orderTransitions
}

// addOrder moves the oldest proposal into the entry, unless it was withdrawn at
// this moment.
func (l *reign) addOrder(b *building) {
	p := l.backlog[l.head]
	l.pop()
	if !p.state.CompareAndSwap(queued, taken) {
		return
	}
	x := part{cmd: p.cmd, order: p}
	if s := p.cmd.GetSubmit(); s != nil {
		x.lines = l.expect(s.GetTasks())
	}
	l.byClass[p.class] = append(l.byClass[p.class], x)
	b.add(p.size, p.weight)
}

// addReports gives each stream with reports its turn, within what the entry has
// left for them.
func (l *reign) addReports(b *building) {
	bytes, transitions := maxEntryBytes, orderTransitions
	if l.oldest() != nil {
		bytes, transitions = max(reportBytes, b.bytes), max(reportTransitions, b.transitions)
	}
	n := 0
	for n < len(l.dirty) {
		s := l.dirty[n]
		if !l.takeReports(b, s, bytes, transitions) {
			break // the rest of its reports goes into another entry
		}
		s.dirty = false
		n++
	}
	if n > 0 {
		l.dirty = slices.Delete(l.dirty, 0, n)
	} else if len(l.dirty) > 1 { // a stream with much to say lets the others speak
		s := l.dirty[0]
		l.dirty = append(slices.Delete(l.dirty, 0, 1), s)
	}
}

func (l *reign) addTick(b *building) {
	l.ticking = true
	cmd := &fsmpb.Command{Principal: l.principal, Kind: &fsmpb.Command_Tick{Tick: &fsmpb.Tick{SpareBefore: l.spares}}}
	l.byClass[classTick] = append(l.byClass[classTick], part{cmd: cmd, tick: true})
	b.add(len(l.principal)+24, 1)
	l.e.count.ticks.Add(1)
}

// addExpired ends the sessions whose heartbeats stopped, if they still do.
func (l *reign) addExpired(b *building) {
	for _, s := range l.expired {
		if !l.overdue(s) {
			s.expiring = false
			continue
		}
		cmd := &fsmpb.Command{
			Principal: l.principal,
			Kind:      &fsmpb.Command_ExpireSession{ExpireSession: &fsmpb.ExpireSession{Session: s.id}},
		}
		l.byClass[classSession] = append(l.byClass[classSession], part{cmd: cmd, expire: s})
		b.add(len(l.principal)+24, 1)
	}
	l.expired = l.expired[:0]
}

// addBeating notes the pulling sessions that have sent their first heartbeat.
func (l *reign) addBeating(b *building) {
	for _, s := range l.beating {
		if l.byID[s.id] != s {
			continue
		}
		cmd := updateCommand(s.worker, &fsmpb.UpdateSession{Session: s.id, Beats: true})
		l.byClass[classSession] = append(l.byClass[classSession], part{cmd: cmd, beats: s})
		b.add(len(cmd.GetPrincipal())+24, 1)
	}
	l.beating = l.beating[:0]
}

// hasWork reports whether build would find something.
func (l *reign) hasWork() bool {
	return l.inbox.waiting.Load() > 0 || len(l.dirty) > 0 || len(l.expired) > 0 || len(l.beating) > 0 || len(l.planned) > 0 ||
		(l.nextDue != 0 && !l.ticking && l.nextDue <= l.e.clock.now() && l.tickWait() <= 0)
}

// failQueued answers what waits in front of the proposer: it is not applied.
func (l *reign) failQueued(err error) {
	l.inbox.close()
	l.backlog = l.inbox.take(l.backlog)
	for p := l.oldest(); p != nil; p = l.oldest() {
		l.pop()
		if p.state.CompareAndSwap(queued, taken) {
			p.finish(answer{err: err})
		}
	}
	l.dirty, l.expired, l.beating = nil, nil, nil
}
