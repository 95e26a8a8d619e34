package model

import (
	"maps"
	"slices"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// session is one worker process's registration.
type session struct {
	id           uint64
	worker, boot string
	queues       []*fsmpb.QueueWeight
	labels       map[string]string
	slots        int
	draining     bool // its process ends
	clearing     bool // drains so that a task can run alone
	shares       shares
	pollSeq      uint64
	polled       []uint64 // what the poll of that number got
}

func (m *Table) sessionOf(name string) *session {
	for _, s := range m.sessions {
		if s.worker == name {
			return s
		}
	}
	return nil
}

// holding returns the tasks that a session holds, by fence.
func (m *Table) holding(s *session) []*Task {
	return m.sorted(func(t *Task) bool { return t.held() && t.Session == s.id }, byFence)
}

// open registers a worker process, or attaches it again.
func (m *Table) open(c *fsmpb.OpenSession) Result {
	w := m.workers[c.GetWorker()]
	if w == nil {
		w = &Worker{retired: make(map[string]bool)}
	}
	if w.retired[c.GetBoot()] {
		return Result{Outcome: "BOOT_REPLACED"}
	}
	s := m.sessionOf(c.GetWorker())
	if s != nil && s.boot != c.GetBoot() {
		if !c.GetTakeover() {
			return Result{Outcome: "WORKER_ID_IN_USE"}
		}
		m.end(s.id, "taken_over")
		s = nil
	}
	m.workers[c.GetWorker()] = w
	if w.Boot != "" && w.Boot != c.GetBoot() {
		w.retired[w.Boot] = true
	}
	m.renounce(c.GetWorker(), c.GetBoot())
	w.Boot = c.GetBoot()
	if s == nil {
		m.lastSession++
		w.Seen = m.now
		s = &session{id: m.lastSession, worker: c.GetWorker(), boot: c.GetBoot()}
		m.sessions[s.id] = s
	}
	s.draining = false
	m.describe(s, c.GetQueues(), c.GetLabels(), c.GetSlots())
	m.join(s)
	return m.attach(s, c.GetHeld())
}

func (m *Table) describe(s *session, queues []*fsmpb.QueueWeight, labels map[string]string, slots uint32) {
	was := s.queues
	s.queues, s.labels, s.slots = nil, labels, int(slots)
	for _, q := range queues {
		if !s.serves(q.GetQueue()) { // the first mention counts
			s.queues = append(s.queues, &fsmpb.QueueWeight{Queue: q.GetQueue(), Weight: max(q.GetWeight(), 1)})
		}
	}
	s.shares.settle(was, s.queues)
}

// attach compares what the process has with what it holds: lost attempts are
// taken back, unknown ones aborted, what never arrived is sent again.
func (m *Table) attach(s *session, listed []uint64) Result {
	r := Result{Outcome: "ACCEPTED", Session: s.id}
	listed = slices.Compact(slices.Sorted(slices.Values(listed)))
	for _, fence := range listed {
		if !m.known(s, fence) {
			r.Aborts = append(r.Aborts, fence)
		}
	}
	for _, t := range m.holding(s) {
		switch {
		case slices.Contains(listed, t.Fence):
		case t.State == Running:
			r.Got = append(r.Got, Grant{t.ID, t.Fence})
		default: // it is not running there: what was to stop has stopped
			m.stopped(t)
		}
	}
	return r
}

// known reports whether the session may keep a listed fence, and takes back one
// that was lost with an earlier session of the same process.
func (m *Table) known(s *session, fence uint64) bool {
	for _, t := range m.tasks {
		if t.Fence != fence || t.Worker != s.worker || t.Boot != s.boot {
			continue
		}
		if t.held() {
			return t.Session == s.id && t.State == Running
		}
		if !t.Redeemable || t.Of == 0 && !m.usage().room(m.queues[t.Queue], t.Key) {
			return false
		}
		m.touch(t)
		last := t.ended[len(t.ended)-1]
		t.ended = t.ended[:len(t.ended)-1]
		if last.cause == "expired" { // it was no crash then
			t.Crashes--
			if t.Alone {
				t.Solo--
			}
		}
		t.State, t.Session, t.Redeemable = Running, s.id, false
		return true
	}
	return false
}

// update changes what is set.
func (m *Table) update(c *fsmpb.UpdateSession) Result {
	s := m.sessions[c.GetSession()]
	if s == nil {
		return Result{Outcome: "NO_SESSION"}
	}
	queues, labels, slots := s.queues, s.labels, uint32(s.slots)
	if len(c.GetQueues()) > 0 {
		queues = c.GetQueues()
	}
	if len(c.GetLabels()) > 0 {
		labels = c.GetLabels()
	}
	if c.GetSlots() > 0 {
		slots = c.GetSlots()
	}
	relabelled := !maps.Equal(labels, s.labels)
	m.describe(s, queues, labels, slots)
	if c.GetDraining() {
		s.draining, s.clearing = true, false // it will never be the one that runs a task alone
	}
	if relabelled {
		m.join(s)
	}
	r := Result{Outcome: "ACCEPTED", Session: s.id}
	if c.GetPollSeq() > 0 {
		r.Got = m.poll(s, c)
	}
	return r
}

// poll gives the same number the same tasks, as far as the session still has them,
// and a new one first those that the process should know of and does not.
func (m *Table) poll(s *session, c *fsmpb.UpdateSession) []Grant {
	seq, most := c.GetPollSeq(), int(c.GetPollMax())
	if seq < s.pollSeq {
		return nil
	}
	if seq > s.pollSeq {
		s.pollSeq, s.polled = seq, nil
	}
	if len(s.polled) == 0 {
		var got []Grant
		for _, t := range m.holding(s) {
			if c.GetPollHeld() != nil && t.State == Running && !slices.Contains(c.GetPollHeld().GetFences(), t.Fence) && len(got) < most {
				got = append(got, Grant{t.ID, t.Fence})
			}
		}
		if len(got) < max(most, 1) {
			got = append(got, m.deliver(s)...)
		}
		got = append(got, m.give(s, most-len(got))...)
		for _, g := range got {
			s.polled = append(s.polled, g.Task)
		}
		return got
	}
	var got []Grant
	for _, id := range s.polled {
		if t := m.tasks[id]; t != nil && t.State == Running && t.Session == s.id {
			got = append(got, Grant{t.ID, t.Fence})
		}
	}
	return got
}

// end ends a session: what it held returns to its old place. Only the loss of the
// process is a crash; unless another process has replaced it, it may still redeem
// its fences.
func (m *Table) end(id uint64, cause string) Result {
	s := m.sessions[id]
	if s == nil {
		return Result{Outcome: "NO_SESSION"}
	}
	for _, t := range m.holding(s) {
		if t.State == Stopping {
			m.stopped(t)
			continue
		}
		m.touch(t)
		t.over(cause, "", 0)
		if cause != "closed" && cause != "removed" {
			t.Crashes++
			if t.Alone {
				t.Solo++
			}
		}
		if t.Solo >= poisonCrashes || t.Of != 0 && t.Crashes >= soloAfter+poisonCrashes {
			m.finish(t, Dead, "poison")
			continue
		}
		t.State, t.Session, t.Redeemable = Ready, 0, true
		if cause == "taken_over" || cause == "removed" {
			t.void()
		}
	}
	delete(m.sessions, id)
	if w := m.workers[s.worker]; w != nil {
		w.Seen = m.now
	}
	return Result{Outcome: "ACCEPTED"}
}
