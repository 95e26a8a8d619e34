package cluster

import (
	"log/slog"
	"time"

	"github.com/taskraft/taskraft/cluster/mutant"
	"github.com/taskraft/taskraft/fsm"
)

// sessions is what the leader knows of the table's sessions: who was heard when.
// Heartbeats never go through the log, but that a pulling process sends any does,
// once: the next leader must wait for them, too.
type sessions struct {
	level     uint16
	principal string // of the leader's own commands
	byID      map[uint64]*session
	byWorker  map[string]*session
	owing     []*Stream // whose heartbeats the keeper answers

	// The sessions' time stands still while nobody looks at it: it runs at most
	// one look beyond the last one. So a process that was frozen expires nobody
	// for what it could not hear, and a sweeper that wakes late adds its lateness
	// to every deadline.
	alive   time.Duration // at
	aliveAt time.Duration // this monotonic time
}

// session is a worker process as the leader hears it.
type session struct {
	id       uint64
	worker   string
	boot     string
	ttl      time.Duration
	heard    time.Duration // alive time of the last sign of life
	until    time.Duration // pull: alive until then whatever is heard; 0: not looked up
	stream   *Stream       // nil: none attached here
	poll     *pollWait     // nil: none outstanding
	asked    uint64        // the highest seq of its polls
	left     bool          // its stream was closed
	pull     bool
	beats    bool   // pull: it sends heartbeats, so they count
	expiring bool   // an ExpireSession is on its way
	push     string // the address at which it was found
	dead     bool   // nobody listens there any more
}

func (d *sessions) init() {
	d.byID = make(map[uint64]*session)
	d.byWorker = make(map[string]*session)
}

// heartbeatEvery is what a worker is asked for.
func heartbeatEvery(ttl time.Duration) time.Duration { return min(ttl/4, 2*time.Second) }

// beginSessions gives every session in the table one full TTL.
func (l *reign) beginSessions(m *fsm.Machine) {
	l.sessions.init()
	l.level = m.FeatureLevel()
	l.principal = "master:" + l.e.cfg.Name
	l.aliveAt = l.e.mono()
	for rec := range m.Sessions() {
		if rec.Ending == fsm.CauseNone {
			l.opened(rec)
			if mutant.On("M8") {
				l.byID[rec.ID].heard -= time.Duration(rec.TTL)
			}
		}
	}
}

// opened notes a session, or what an attach changed in it.
func (l *reign) opened(rec *fsm.Session) *session {
	s := l.byID[rec.ID]
	if s == nil {
		s = &session{id: rec.ID, worker: rec.Worker, boot: rec.Boot}
		l.byID[rec.ID] = s
		l.byWorker[rec.Worker] = s
	}
	s.ttl, s.pull, s.push, s.dead = time.Duration(rec.TTL), rec.Pull, rec.Push, false
	s.beats = s.beats || rec.Beats
	s.heard, s.until, s.left = l.now(), 0, false
	return s
}

// sessionClosed ends what belongs to a session that the table has no more.
func (l *reign) sessionClosed(id uint64, cause fsm.Cause) {
	s := l.byID[id]
	if s == nil {
		return
	}
	delete(l.byID, id)
	if l.byWorker[s.worker] == s {
		delete(l.byWorker, s.worker)
	}
	refused := &RefusedError{Outcome: fsm.NoSession}
	if cause == fsm.CauseTakenOver || cause == fsm.CauseRemoved {
		refused.Outcome = fsm.BootReplaced
	}
	if s.stream != nil {
		l.drop(s.stream, refused)
	}
	if s.poll != nil {
		l.endPoll(s.poll, refused)
	}
}

// now is the sessions' time.
func (l *reign) now() time.Duration {
	if mutant.On("M7") {
		return time.Duration(l.e.cfg.wall().UnixNano())
	}
	return l.alive + min(l.e.mono()-l.aliveAt, 2*lookEvery)
}

// heardOf notes a sign of life.
func (l *reign) heardOf(s *session) { s.heard, s.until = l.now(), 0 }

// silent reports whether two heartbeats in a row are missing.
func (l *reign) silent(s *session) bool {
	if s.poll != nil {
		return false
	}
	every := heartbeatEvery(s.ttl)
	return l.now()-s.heard > 2*every+every/4
}

// overdue reports whether the session has outlived its last sign of life.
func (l *reign) overdue(s *session) bool {
	if l.byID[s.id] != s || s.poll != nil {
		return false
	}
	if s.dead {
		return true
	}
	now := l.now()
	if s.pull && !s.beats {
		return s.until != 0 && now > s.until && now > s.heard+s.ttl
	}
	return now > s.heard+s.ttl
}

// mayTakeOver decides whether a new process of a worker may replace the old one
// at once: only when the old one has no live stream. A refusal costs no entry.
func (l *reign) mayTakeOver(worker, boot string) (bool, error) {
	t := l.e.t
	t.mu.RLock()
	replaced := t.m.Replaced(worker, boot)
	t.mu.RUnlock()
	if replaced {
		return false, &RefusedError{Outcome: fsm.BootReplaced}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.byWorker[worker]
	if s == nil || s.boot == boot {
		return false, nil
	}
	if s.left || l.silent(s) {
		return true, nil
	}
	return false, &RefusedError{Outcome: fsm.WorkerIDInUse}
}

// sweep proposes the end of sessions that are overdue and ends streams that do
// not work.
func (l *reign) sweep() {
	l.mu.Lock()
	mono := l.e.mono()
	l.alive, l.aliveAt = l.now(), mono
	owing := l.owing
	l.owing = nil
	var pulls []*session
	for _, s := range l.byID {
		if s.stream != nil {
			l.checkStream(s.stream)
		}
		switch {
		case s.expiring:
		case l.overdue(s):
			l.expire(s)
		case s.pull && !s.beats && s.poll == nil && l.alive > s.heard+s.ttl && l.alive > s.until:
			pulls = append(pulls, s)
		}
	}
	for _, s := range owing {
		s.owes = false
	}
	l.mu.Unlock()
	for _, s := range owing { // without the lock: they ask for it at once
		s.wake.ring()
	}
	if len(pulls) > 0 {
		l.sweepPulls(pulls)
	}
}

func (l *reign) expire(s *session) {
	s.expiring = true
	l.expired = append(l.expired, s)
	l.e.count.expired.Add(1)
	l.e.log.Debug("session missed its heartbeats", slog.String("worker", s.worker), slog.Uint64("session", s.id))
	l.work.ring()
}

// sweepPulls finds out how long sessions live that pull and send no heartbeats:
// as long as their longest attempt's timeout.
func (l *reign) sweepPulls(pulls []*session) {
	t := l.e.t
	t.mu.RLock()
	defer t.mu.RUnlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	clock := l.e.clock.now()
	for _, s := range pulls {
		last := s.heard + s.ttl
		for held := range t.m.Held(s.id) {
			last = max(last, l.alive+time.Duration(held.Deadline-clock))
		}
		s.until = last + fsm.PullSessionSlop
		if !s.expiring && l.overdue(s) {
			l.expire(s)
		}
	}
}
