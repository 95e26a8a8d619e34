package sim

import (
	"slices"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// sessionTTL and beatEvery are the product's.
const (
	sessionTTL = 10 * second
	beatEvery  = 2 * second
)

// leader is the one that orders commands: the part of package cluster that the
// state machine has to get along with, as unreliable as it may be.
type leader struct {
	up      bool
	term    uint64
	opened  int64            // when it began to serve
	beats   map[uint64]int64 // last heartbeat by session
	base    int64            // the table's time when it began to serve
	inbox   []proposal
	due     bool        // a flush is set
	fired   *fsmpb.Fire // what schedules were last due for, by this leader or one before
	firedAt int64
}

type proposal struct {
	command *fsmpb.Command
	reply   func(fsm.Result) // nil: nobody waits
}

// rank is a command's place within an entry.
func rank(c *fsmpb.Command) int {
	switch c.GetKind().(type) {
	case *fsmpb.Command_OpenSession, *fsmpb.Command_UpdateSession, *fsmpb.Command_CloseSession, *fsmpb.Command_ExpireSession:
		return 0
	case *fsmpb.Command_Complete, *fsmpb.Command_Fail, *fsmpb.Command_Release, *fsmpb.Command_Cancel:
		return 1
	case *fsmpb.Command_Tick:
		return 2
	case *fsmpb.Command_Assign:
		return 4
	}
	return 3
}

// elect makes a new leader of a new term.
func (w *world) elect() {
	l := &w.lead
	l.term++
	l.up, l.opened, l.inbox = true, w.now, nil
	l.beats = make(map[uint64]int64)
	for s := range w.table.Sessions() { // each session has a full TTL from now on
		l.beats[s.ID] = w.now
	}
	_, _, tableNow := w.table.Position()
	l.base = max(tableNow, w.now)
	if w.cfg.clockJumps && !w.calm && w.chance(0.5) {
		l.base += w.rng.Int64N(10 * second)
		if w.chance(0.2) {
			l.base += w.rng.Int64N(30 * hour)
			w.cover["clock jumped"]++
		}
	}
	w.tracef("term %d at +%.3fs", l.term, seconds(w.now-epoch))
	term := l.term
	w.after(millisecond, func() { w.watch(term) })
	if l.fired != nil && w.tableTime()-l.firedAt < fsm.MisfireAfter { // older ones it would count anew
		w.cover["fired by a new leader again"]++
		w.proposeFire(l.fired)
	}
}

// watch looks, several times a second, at what is due and who is silent.
func (w *world) watch(term uint64) {
	l := &w.lead
	if !l.up || l.term != term {
		return
	}
	for s := range w.table.Sessions() {
		last, known := l.beats[s.ID]
		if !known {
			l.beats[s.ID] = w.now
			continue
		}
		if w.now-last > s.TTL {
			w.cover["session silent"]++
			w.propose(&fsmpb.Command{Kind: &fsmpb.Command_ExpireSession{ExpireSession: &fsmpb.ExpireSession{Session: s.ID}}}, nil)
		}
	}
	w.fire()
	w.flushSoon()
	w.after(100*millisecond+w.rng.Int64N(200*millisecond), func() { w.watch(term) })
}

// propose hands a command to the leader; nobody hears it when there is none.
func (w *world) propose(c *fsmpb.Command, reply func(fsm.Result)) {
	if !w.lead.up {
		return
	}
	w.lead.inbox = append(w.lead.inbox, proposal{c, reply})
	w.flushSoon()
}

func (w *world) flushSoon() {
	if w.lead.due {
		return
	}
	w.lead.due = true
	term := w.lead.term
	w.after(w.rng.Int64N(3*millisecond), func() {
		w.lead.due = false
		if w.lead.up && w.lead.term == term {
			w.flush(true)
		}
	})
}

// flush makes one entry of what was proposed, of what is due and of what free
// sessions could do, and applies it. answered says whether anybody learns of it.
func (w *world) flush(answered bool) {
	batch := w.lead.inbox
	if n := len(batch); n > 1 && w.chance(0.2) {
		batch = batch[:1+w.rng.IntN(n-1)]
	}
	w.lead.inbox = slices.Clone(w.lead.inbox[len(batch):])
	now := w.tableTime()
	spare := w.spare(now)
	if due := w.table.NextDueSparing(spare); due != 0 && due <= now || w.chance(0.01) {
		batch = append(batch, proposal{&fsmpb.Command{Kind: &fsmpb.Command_Tick{Tick: &fsmpb.Tick{SpareBefore: spare}}}, nil})
	}
	batch = append(batch, w.assignments()...)
	if len(batch) == 0 {
		return
	}
	slices.SortStableFunc(batch, func(a, b proposal) int { return rank(a.command) - rank(b.command) })
	header := fsm.Header{Level: 1, Term: w.lead.term, Now: now}
	w.commit(header, batch, answered)
	if len(w.lead.inbox) > 0 {
		w.flushSoon()
	}
}

// tableTime is the leader's time: where the table was when it began to serve, and
// what has passed since (never a wall clock).
func (w *world) tableTime() int64 { return w.lead.base + w.now - w.lead.opened }

// spare returns up to when timeouts wait that fell due while nobody led.
func (w *world) spare(now int64) int64 {
	if now < w.lead.base+sessionTTL && w.lead.term > 1 {
		return w.lead.base
	}
	return 0
}

// assignments is what the dispatcher adds: at times not what it should.
func (w *world) assignments() (add []proposal) {
	for s := range w.table.Sessions() {
		if s.Pull || !w.calm && w.chance(w.cfg.lazyAssign) {
			continue
		}
		n := w.table.Assignable(s.ID, s.Slots)
		if w.chance(0.2) {
			n = w.rng.IntN(s.Slots + 2)
		}
		if n == 0 && !w.table.Deliverable(s.ID) {
			continue
		}
		session := s.ID
		c := &fsmpb.Command{Kind: &fsmpb.Command_Assign{Assign: &fsmpb.Assign{Session: session, N: uint32(n)}}}
		add = append(add, proposal{c, func(r fsm.Result) { w.deliver(session, r.Tasks) }})
	}
	return add
}

// deliver sends assignments to the worker process that holds the session.
func (w *world) deliver(session uint64, tasks []*fsm.Task) {
	s := w.table.Session(session)
	if s == nil {
		return
	}
	if one := w.byName[s.Worker]; one != nil && len(tasks) > 0 {
		boot := s.Boot
		w.send(func() { one.receive(boot, tasks) })
	}
}

// crash ends the leader. What it was about to write is written, or not, or too
// late: with its term, in somebody else's.
func (w *world) crash() {
	l := &w.lead
	if !l.up {
		return
	}
	w.cover["leader died"]++
	switch w.rng.IntN(3) {
	case 0:
		w.flush(false)
	case 1:
		if len(l.inbox) == 0 {
			w.propose(&fsmpb.Command{Kind: &fsmpb.Command_Tick{Tick: &fsmpb.Tick{}}}, nil)
		}
		header := fsm.Header{Level: 1, Term: l.term, Now: w.tableTime()}
		l.term++
		w.commit(header, l.inbox, false)
	}
	l.up, l.inbox = false, nil
	gap := w.rng.Int64N(2 * second)
	if w.chance(0.1) {
		gap = w.rng.Int64N(40 * second)
	}
	if w.cfg.schedules && w.chance(0.2) { // times become misfires
		gap = fsm.MisfireAfter + w.rng.Int64N(14*second)
	}
	w.after(gap, w.elect)
}

func seconds(d int64) float64 { return float64(d) / float64(second) }
