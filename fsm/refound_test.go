package fsm

import (
	"bytes"
	"testing"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// TestRefoundVoidsWhatWasGivenOut restores a table with every kind of attempt into a
// new life: no fence of the old one is worth anything (S6), no number comes again, and
// every task that ran waits in its place.
func TestRefoundVoidsWhatWasGivenOut(t *testing.T) {
	m, err := Restore(bytes.NewReader(snapshotBytes(t, fullTable(t).m)))
	if err != nil {
		t.Fatal(err)
	}
	var open []*Task
	m.tasks.Scan(func(_ uint64, task *Task) bool {
		if task.Fence != 0 && (task.State == Running || task.Redeemable) { // a broadcast itself has no fence
			open = append(open, task)
		}
		return true
	})
	if len(open) < 2 {
		t.Fatalf("only %d attempts to void", len(open))
	}
	fence, task := m.lastFence, m.lastTask
	const epochs = 10
	m.Refound(Founding{Index: 5000, Term: 9, Now: fenceOrigin + epochs*fenceEpoch})

	if m.lastFence != epochs<<fenceEpochBits || m.lastTask != foundingStep || m.lastTask <= task || m.lastFence <= fence {
		t.Errorf("fence %d became %d, task id %d became %d", fence, m.lastFence, task, m.lastTask)
	}
	if index, term, _ := m.Position(); index != 5000 || term != 9 {
		t.Errorf("position %d of term %d", index, term)
	}
	if _, sessions, _ := m.Counts(); sessions != 0 || m.members.Len() != 0 {
		t.Errorf("%d sessions and %d members of the old cluster are left", sessions, m.members.Len())
	}
	index := uint64(5000)
	apply := func(c *fsmpb.Command) *Applied {
		index++
		return m.Apply(index, 9, &Entry{Header: Header{Level: 1, Term: 9, Now: m.now}, Commands: []*fsmpb.Command{c}})
	}
	for _, old := range open {
		now, _ := m.tasks.Get(old.ID)
		if now.State == Running || now.State == Stopping || now.Redeemable {
			t.Errorf("task %d is %v, redeemable %v", old.ID, now.State, now.Redeemable)
		}
		a := apply(completeCmd(old.Worker+"/"+old.Boot, &fsmpb.Completion{Task: old.ID, Fence: old.Fence, Digest: 1}))
		if o := a.Results[0].Outcomes[0]; o == Accepted || o == Duplicate {
			t.Errorf("fence %d of task %d was answered with outcome %d", old.Fence, old.ID, o)
		}
		if after, _ := m.tasks.Get(old.ID); after.State == Succeeded {
			t.Errorf("task %d was completed with a fence of the old cluster", old.ID)
		}
	}
	m2, err := Restore(bytes.NewReader(snapshotBytes(t, m)))
	if err != nil || !bytes.Equal(snapshotBytes(t, m2), snapshotBytes(t, m)) {
		t.Errorf("the new table is not what its snapshot restores (C3): %v", err)
	}
	m.Refound(Founding{Index: 9000, Term: 9}) // a clock of 1970 does not take the epoch back
	if m.lastFence != (epochs+1)<<fenceEpochBits {
		t.Errorf("the next epoch is %d", m.lastFence>>fenceEpochBits)
	}
	if m.Untouched() || !New().Untouched() {
		t.Error("Untouched tells a used table from a new one wrongly")
	}
}
