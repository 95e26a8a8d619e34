package model

import (
	"encoding/binary"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// entry encodes commands as a leader of a term does at a time.
func entry(t *testing.T, term uint64, now int64, commands ...*fsmpb.Command) []byte {
	t.Helper()
	b := []byte{1, 0, 1}
	b = binary.BigEndian.AppendUint64(b, term)
	b = binary.BigEndian.AppendUint64(b, uint64(now))
	body, err := proto.Marshal(&fsmpb.Commands{Commands: commands})
	if err != nil {
		t.Fatal(err)
	}
	return append(b, body...)
}

func submit(queue string) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_Submit{Submit: &fsmpb.Submit{Tasks: []*fsmpb.TaskSpec{{Queue: queue}}}}}
}

// TestLife takes one task from submit to end by hand; the simulator does the rest.
func TestLife(t *testing.T) {
	m := New()
	apply := func(index uint64, commands ...*fsmpb.Command) []Result {
		t.Helper()
		done, err := m.Apply(index, 1, entry(t, 1, second, commands...))
		if err != nil {
			t.Fatal(err)
		}
		return done.Results
	}
	r := apply(1, submit("a"),
		&fsmpb.Command{Kind: &fsmpb.Command_OpenSession{OpenSession: &fsmpb.OpenSession{
			Worker: "w", Boot: "b", Slots: 1, Queues: []*fsmpb.QueueWeight{{Queue: "a", Weight: 1}},
		}}},
		&fsmpb.Command{Kind: &fsmpb.Command_Assign{Assign: &fsmpb.Assign{Session: 1, N: 5}}})
	if got := r[2].Got; len(got) != 1 || got[0] != (Grant{Task: 1, Fence: 1}) {
		t.Fatalf("the session got %v, want task 1 under fence 1", got)
	}
	complete := &fsmpb.Command{Kind: &fsmpb.Command_Complete{Complete: &fsmpb.Complete{
		Worker: "w", Boot: "b", Items: []*fsmpb.Completion{{Task: 1, Fence: 1, Digest: 7}},
	}}}
	for i, want := range []string{"ACCEPTED", "DUPLICATE"} {
		if got := apply(uint64(2+i), complete)[0].Outcomes[0]; got != want {
			t.Errorf("completion %d: %s, want %s", i+1, got, want)
		}
	}
	if task, known := m.Task(1); !known || task.State != Succeeded {
		t.Errorf("task 1 is %s, want %s", task.State, Succeeded)
	}
}

// TestRefusals: the model judges neither what it has no words for nor a log that
// is none.
func TestRefusals(t *testing.T) {
	m := New()
	if done, err := m.Apply(5, 2, entry(t, 1, second, submit("a"))); err != nil || !done.NotLeader || len(m.Tasks()) != 0 {
		t.Errorf("an entry of a deposed leader: %+v, %v, %d tasks; want nothing done", done, err, len(m.Tasks()))
	}
	if _, err := m.Apply(5, 2, entry(t, 2, second)); err == nil {
		t.Error("one index twice was accepted (C2)")
	}
	if _, err := m.Apply(6, 2, []byte("no entry")); err == nil {
		t.Error("bytes that are no entry were accepted")
	}
	unknown := &fsmpb.Command{Kind: &fsmpb.Command_SetPush{SetPush: &fsmpb.SetPush{}}}
	if _, err := m.Apply(7, 2, entry(t, 2, second, unknown)); !errors.Is(err, ErrUnmodelled) {
		t.Errorf("a command without words: %v, want %v", err, ErrUnmodelled)
	}
}

// TestBroadcast takes one broadcast to its end by hand: a worker with no free slot is
// told, too, and one acknowledgement is enough.
func TestBroadcast(t *testing.T) {
	m := New()
	open := func(worker string) *fsmpb.Command {
		return &fsmpb.Command{Kind: &fsmpb.Command_OpenSession{OpenSession: &fsmpb.OpenSession{
			Worker: worker, Boot: "b", Slots: 1, Queues: []*fsmpb.QueueWeight{{Queue: "a", Weight: 1}}, Labels: map[string]string{"role": worker[:1]},
		}}}
	}
	assign := &fsmpb.Command{Kind: &fsmpb.Command_Assign{Assign: &fsmpb.Assign{Session: 1, N: 1}}}
	told := submit("a")
	told.GetSubmit().Tasks[0].Broadcast = &fsmpb.BroadcastSpec{Selector: []*fsmpb.Label{{Key: "role", Value: "w"}}, Require: 1}
	complete := &fsmpb.Command{Kind: &fsmpb.Command_Complete{Complete: &fsmpb.Complete{
		Worker: "w1", Boot: "b", Items: []*fsmpb.Completion{{Task: 3, Fence: 2}},
	}}}
	for i, commands := range [][]*fsmpb.Command{{open("w1"), open("w2"), open("x"), submit("a"), assign, told}, {assign}, {complete}} {
		if _, err := m.Apply(uint64(1+i), 1, entry(t, 1, second, commands...)); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[uint64]string{1: Running, 2: Succeeded, 3: Succeeded, 4: Ready} {
		if task, _ := m.Task(id); task.State != want {
			t.Errorf("task %d is %s, want %s", id, task.State, want)
		}
	}
	if task, _ := m.Task(2); len(m.Tasks()) != 4 || task.Targets != 2 || task.Acked != 1 || task.Until != second+10*minute {
		t.Errorf("the broadcast is %+v", task)
	}
}
