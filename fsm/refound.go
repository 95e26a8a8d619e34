package fsm

import (
	"slices"

	"github.com/tidwall/btree"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Founding is where a copied table begins its life in another cluster.
type Founding struct {
	Index, Term uint64
	Now         int64 // wall clock, Unix nanoseconds
}

const (
	fenceEpochBits = 40
	fenceEpoch     = 5 * Minute
	// fenceOrigin is 2025-01-01 00:00 UTC, from which epochs of fences count.
	fenceOrigin = 1735689600 * Second
	// foundingStep: the ids of a refounded table go on at its next multiple.
	foundingStep = 1_000_000_000
)

// Refound makes a restored table the first one of a new cluster. What the old cluster
// did after the copy was taken is unknown, so nothing that it gave out may mean anything
// here: fences go on in a higher epoch, ids at a round number far above, every attempt
// is void, its task back in its old place, and sessions and members are gone. It needs
// no log entry: it is done before any master has this table.
func (m *Machine) Refound(f Founding) {
	m.index, m.term = f.Index, f.Term
	m.lastFence = max(m.lastFence>>fenceEpochBits+1, uint64(max(f.Now-fenceOrigin, 0)/fenceEpoch)) << fenceEpochBits
	for _, last := range []*uint64{&m.lastTask, &m.lastSession, &m.lastBatch, &m.lastSweep} {
		*last = (*last/foundingStep + 1) * foundingStep
	}
	m.budget = MaxTransitions
	m.members = new(btree.Map[string, *fsmpb.SetMember])
	for _, s := range m.sessionsByID() {
		m.endSession(s, CauseClosed)
		m.returnHeld(s, s.held.len())
	}
	for _, t := range m.redeemable() {
		m.renounce(m.lines[t.Queue], t)
	}
	if m.releasing.Len() > 0 {
		m.tellChildren()
	}
	m.events = nil
}

func (m *Machine) sessionsByID() []*session {
	var out []*session
	m.sessions.Scan(func(id uint64, _ *sessionRecord) bool {
		out = append(out, m.live[id])
		return true
	})
	return out
}

// redeemable returns the tasks whose lost attempt could still be completed.
func (m *Machine) redeemable() []*Task {
	var out []*Task
	m.tasks.Scan(func(_ uint64, t *Task) bool {
		if t.Redeemable {
			out = append(out, t)
		}
		return true
	})
	return slices.Clip(out)
}

// Untouched reports whether nobody has ever kept anything in this table: only then may
// another one take its place.
func (m *Machine) Untouched() bool {
	return m.lastTask == 0 && m.lastFence == 0 && m.lastBatch == 0 && m.queues.Len() == 0 && m.schedules.Len() == 0
}

// LastFence returns the last fence that was given out.
func (m *Machine) LastFence() uint64 { return m.lastFence }
