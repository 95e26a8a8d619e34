package fsm

import (
	"slices"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// poll answers a unary request for tasks. The seq that got some gets the same
// again, as far as the session still holds them; an older one gets nothing. A new
// one gets first what the session was given in an answer that did not arrive.
func (m *Machine) poll(s *session, c *fsmpb.UpdateSession) []*Task {
	seq, n := c.GetPollSeq(), int(min(c.GetPollMax(), MaxSlots))
	if seq < s.rec.PollSeq {
		return nil
	}
	if seq == s.rec.PollSeq && len(s.rec.PollTasks) > 0 {
		var again []*Task
		for _, id := range s.rec.PollTasks {
			if t, ok := m.tasks.Get(id); ok && t.State == Running && t.Session == s.rec.ID {
				again = append(again, t)
			}
		}
		return again
	}
	var got []*Task
	if held := c.GetPollHeld(); held != nil && s.held.len() > 0 {
		got = m.unheard(s, held.GetFences(), n)
	}
	if len(got) == 0 || len(got) < n {
		got = append(got, m.deliver(s)...)
	}
	got = append(got, m.give(s, n-len(got))...)
	rec := m.editSession(s)
	rec.PollSeq, rec.PollTasks = seq, make([]uint64, len(got))
	for i, t := range got {
		rec.PollTasks[i] = t.ID
	}
	return got
}

// unheard returns at most n of the attempts that the session runs and its process
// does not list, by fence: those of an answer that got lost, or of a request that
// arrived after the process had given it up. They are given again, as an attach
// does, and not returned to their queue: their fences stand, so that a request on
// its way that says otherwise harms nothing, and no attempt is burnt (§2.3). What
// should stop is left to its StopGrace: a late request may have reopened the session,
// and its list is older than what the process does.
func (m *Machine) unheard(s *session, listed []uint64, n int) (again []*Task) {
	listed = slices.Sorted(slices.Values(listed))
	for fence, id := range s.held.all() {
		if len(again) == n {
			break
		}
		if _, ok := slices.BinarySearch(listed, fence); ok {
			continue
		}
		if t, _ := m.tasks.Get(id); t.State == Running {
			again = append(again, t)
		}
	}
	return again
}
