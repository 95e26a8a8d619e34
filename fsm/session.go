package fsm

import (
	"maps"
	"slices"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Session is a worker process's registration. A copy; do not change what it points to.
type Session struct {
	ID       uint64
	Worker   string
	Boot     string
	Queues   []QueueWeight
	Labels   map[string]string
	Slots    int
	TTL      int64
	Draining bool // its process ends
	Drained  bool // an operator keeps tasks from its worker; not in the session's record
	Pull     bool
	Beats    bool // pull: its process sends heartbeats
	Clearing bool // drains so that a task can run alone
	Host     string
	PID      uint32
	Version  string
	Push     string // the address at which the leader found it; empty: it called
	OpenedAt int64

	Held           int // Running + Stopping
	AssignedTotal  uint64
	CompletedTotal uint64
	FailedTotal    uint64
	PollSeq        uint64
	PollTasks      []uint64
	Ending         Cause // not CauseNone: its tasks are being returned
}

// QueueWeight is a queue that a session serves and its share (≥ 1).
type QueueWeight struct {
	Queue  string
	Weight uint32
}

// sessionRecord is what the table keeps of a session: Session without Held,
// which is counted, and Drained, which its worker's record says. It may be changed
// in place by the epoch that made it; its slices and maps are replaced, not changed.
type sessionRecord struct {
	Session
	epoch uint64

	// With unequal weights: how far each queue has been served, and all have.
	// Owned by the epoch, unlike the other slices.
	served    []uint64
	servedAll uint64
}

// session is a session at work: its record and the attempts that it holds.
type session struct {
	rec     *sessionRecord
	held    fences
	solo    int     // held attempts that must run alone: 0 or 1
	targets int     // held attempts at what was broadcast: 0 or 1
	lines   []*line // of rec.Queues; nil until the queue exists
	drained bool    // its worker is

	weighted bool     // the queues' weights are not all equal
	pairs    []string // the labels, as Label.append writes them; sorted
}

// free returns how many more tasks the session has room for. One more slot is
// reserved for what is broadcast.
func (s *session) free() int {
	if s.rec.Draining || s.drained || s.rec.Ending != CauseNone || s.solo > 0 {
		return 0
	}
	return max(s.rec.Slots-(s.held.len()-s.targets), 0)
}

func (s *session) view() *Session {
	c := s.rec.Session
	c.Held, c.Drained = s.held.len(), s.drained
	return &c
}

// resolve remembers the lines of queues that exist by now.
func (m *Machine) resolve(s *session) {
	for i, l := range s.lines {
		if l == nil {
			s.lines[i] = m.lines[s.rec.Queues[i].Queue]
		}
	}
}

// editSession returns the session's record to change: a copy, if a snapshot shares it.
func (m *Machine) editSession(s *session) *sessionRecord {
	if s.rec.epoch != m.epoch {
		c := *s.rec
		c.epoch = m.epoch
		c.served = slices.Clone(c.served)
		s.rec = &c
		m.sessions.Set(c.ID, s.rec)
	}
	return s.rec
}

// openSession registers a worker process. The same process keeps its session;
// another boot id takes over only when the leader says that the old one is gone.
func (m *Machine) openSession(c *fsmpb.OpenSession) Result {
	w := m.known[c.GetWorker()]
	if m.Replaced(c.GetWorker(), c.GetBoot()) {
		return Result{Outcome: BootReplaced}
	}
	if w != nil && w.session != nil {
		same, open := w.rec.boot == c.GetBoot(), w.session.rec.Ending == CauseNone
		switch {
		case open && same:
			return m.attach(w.session, c)
		case open && !c.GetTakeover():
			return Result{Outcome: WorkerIDInUse}
		default:
			m.endSession(w.session, CauseTakenOver)
			m.returnHeld(w.session, MaxSlots)
		}
	}
	w = m.enrol(w, c.GetWorker(), c.GetBoot())
	m.lastSession++
	s := &session{drained: w.rec.drained && !mutated("W1"), rec: &sessionRecord{epoch: m.epoch, Session: Session{
		ID: m.lastSession, Worker: w.rec.name, Boot: w.rec.boot, OpenedAt: m.now,
	}}}
	m.sessions.Set(s.rec.ID, s.rec)
	m.live[s.rec.ID] = s
	m.setWorker(w, func(w *worker, rec *workerRecord) { w.session, rec.seenAt = s, m.now })
	m.emit(Event{Kind: SessionOpened, Session: s.rec.ID, Name: s.rec.Worker})
	return m.attach(s, c)
}

// attach brings the session to what its process says of itself and compares the
// attempts that it has with those the table knows.
func (m *Machine) attach(s *session, c *fsmpb.OpenSession) Result {
	rec := m.editSession(s)
	rec.Labels, rec.Draining, rec.Pull = c.GetLabels(), false, c.GetPull()
	rec.Slots, rec.TTL = clampSlots(c.GetSlots()), c.GetTtl()
	if rec.TTL <= 0 {
		rec.TTL = SessionTTL
	}
	rec.Host, rec.PID, rec.Version, rec.Push = c.GetHost(), c.GetPid(), c.GetVersion(), c.GetPush()
	if rec.Push != "" {
		m.foundAt(s)
	}
	s.label()
	m.serve(s, c.GetQueues())
	if m.late.Len() > 0 {
		m.joinLate(s)
	}
	r := Result{Outcome: Accepted}
	m.reconcile(s, c.GetHeld(), &r)
	r.Session = s.view()
	return r
}

// reconcile compares the fences that a process lists with those the session
// holds. Listed and lost with an earlier session of this process: taken back,
// unless others have taken its place within a limit; its result still counts then.
// Listed and void: an abort. Held and not listed: the assignment never arrived
// and is to be sent again, or the attempt that should stop is not there.
func (m *Machine) reconcile(s *session, listed []uint64, r *Result) {
	listed = slices.Compact(slices.Sorted(slices.Values(listed)))
	for _, fence := range listed {
		if id, ok := s.held.get(fence); ok {
			if t, _ := m.tasks.Get(id); t.State == Stopping {
				r.Aborts = append(r.Aborts, fence)
			}
			continue
		}
		if id, ok := m.lostBy(s.rec.Worker, fence); ok {
			t, _ := m.tasks.Get(id)
			if l := m.lines[t.Queue]; l.admits(t) {
				m.takeBack(s, l, t)
				continue
			}
		}
		r.Aborts = append(r.Aborts, fence)
	}
	for _, id := range s.held.tasks() {
		t, _ := m.tasks.Get(id)
		if _, ok := slices.BinarySearch(listed, t.Fence); ok {
			continue
		}
		if t.State == Stopping {
			m.stopped(m.lines[t.Queue], t)
			continue
		}
		r.Tasks = append(r.Tasks, t)
	}
}

// lostBy returns the task that a worker may take back under that fence.
func (m *Machine) lostBy(worker string, fence uint64) (task uint64, ok bool) {
	f := m.lost[worker]
	if f == nil {
		return 0, false
	}
	return f.get(fence)
}

// updateSession changes what is set: queues, labels and slots when not empty,
// draining (until a new attach) and beats only to true, and carries out a poll.
func (m *Machine) updateSession(c *fsmpb.UpdateSession) Result {
	s := m.live[c.GetSession()]
	if s == nil || s.rec.Ending != CauseNone {
		return Result{Outcome: NoSession}
	}
	if len(c.GetQueues()) > 0 {
		m.serve(s, c.GetQueues())
	}
	if c.GetDraining() && !s.rec.Draining {
		m.editSession(s).Draining = true
		m.setClearing(s, false)
	}
	if len(c.GetLabels()) > 0 && !maps.Equal(c.GetLabels(), s.rec.Labels) {
		m.editSession(s).Labels = c.GetLabels()
		s.label()
		m.joinLate(s)
	}
	if c.GetSlots() > 0 {
		m.editSession(s).Slots = clampSlots(c.GetSlots())
	}
	if c.GetBeats() && !s.rec.Beats {
		m.editSession(s).Beats = true
	}
	r := Result{Outcome: Accepted}
	if c.GetPollSeq() > 0 {
		r.Tasks = m.poll(s, c)
	}
	r.Session = s.view()
	return r
}

// label brings the session's pairs to its labels.
func (s *session) label() {
	s.pairs = nil
	for _, key := range slices.Sorted(maps.Keys(s.rec.Labels)) {
		s.pairs = append(s.pairs, string(Label{key, s.rec.Labels[key]}.append(nil)))
	}
}

// has reports whether the session has all these labels.
func (s *session) has(labels []Label) bool {
	return !slices.ContainsFunc(labels, func(label Label) bool {
		value, ok := s.rec.Labels[label.Key]
		return !ok || value != label.Value
	})
}

func clampSlots(n uint32) int { return int(min(n, MaxSlots)) }

func queueName(name string) string {
	if name == "" {
		return DefaultQueue
	}
	return name
}
