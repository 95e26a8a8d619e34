package cluster

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskraft/taskraft/cluster/events"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// history reads a node's events from a place up to the end of an entry.
func history(t *testing.T, n *Node, from EventsFrom, to uint64) ([]events.Event, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := n.Events(from, events.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var all []events.Event
	for s.Cursor().Index <= to {
		if err := n.MoreEvents(ctx, s); err != nil {
			return all, err
		}
		for {
			e, err := s.Event()
			if err != nil {
				t.Fatal(err)
			}
			if e == nil {
				break
			}
			if e.Index <= to {
				all = append(all, *e)
			}
		}
	}
	return all, nil
}

func wholeHistory(t *testing.T, n *Node, to uint64) []events.Event {
	t.Helper()
	all, err := history(t, n, EventsFrom{Cursor: events.Cursor{Index: 1}}, to)
	if err != nil || len(all) == 0 {
		t.Fatalf("%d events, %v", len(all), err)
	}
	return all
}

// propose orders a command on the leader and returns its index.
func (c *testCluster) propose(cmd *fsmpb.Command) (fsm.Result, uint64) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	for {
		r, pos, err := c.nodes[c.leader()].Propose(ctx, cmd)
		if err == nil {
			return r, pos.Index
		}
		if _, moved := errors.AsType[*NotLeaderError](err); !moved {
			c.t.Fatal(err)
		}
	}
}

// happen makes one of many things happen, and returns the index of the last.
func (c *testCluster) happen(round int) uint64 {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	id := c.submit(fmt.Sprintf("r%d", round))
	c.submit(fmt.Sprintf("s%d", round))
	hello := Hello{Worker: "w1", Boot: "b1", Queues: []fsm.QueueWeight{{Queue: "default", Weight: 1}}, Slots: 4, TTL: time.Hour}
	got, _, err := c.nodes[c.leader()].Poll(ctx, Poll{Hello: hello, Seq: uint64(round + 1), Max: 2, Wait: time.Second})
	if err != nil {
		c.t.Fatal(err)
	}
	for i, t := range got.Tasks {
		cmd := &fsmpb.Command{Principal: "worker:w1", Kind: &fsmpb.Command_Complete{Complete: &fsmpb.Complete{
			Worker: "w1", Boot: "b1", Items: []*fsmpb.Completion{{Task: t.ID, Fence: t.Fence, Result: []byte("done")}},
		}}}
		if i == 1 {
			cmd.Kind = &fsmpb.Command_Fail{Fail: &fsmpb.Fail{
				Worker: "w1", Boot: "b1", Items: []*fsmpb.Failure{{Task: t.ID, Fence: t.Fence, Error: "no luck", Permanent: round%2 == 0}},
			}}
		}
		c.propose(cmd)
	}
	c.propose(&fsmpb.Command{Principal: "client:test", Kind: &fsmpb.Command_SetQueue{SetQueue: &fsmpb.SetQueue{Queue: "other", Paused: new(round%2 == 0)}}})
	_, index := c.propose(&fsmpb.Command{Principal: "client:test", Kind: &fsmpb.Command_Cancel{Cancel: &fsmpb.Cancel{Tasks: []uint64{id}}}})
	return index
}

// TestEventsAreTheSameEverywhere (B8): every master tells the same; who loses one goes
// on with another; a restart, with or without a snapshot, changes nothing.
func TestEventsAreTheSameEverywhere(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.startAll()
	var last uint64
	for i := range 5 {
		last = c.happen(i)
	}
	watched := c.leader()
	before := wholeHistory(t, c.nodes[watched], last)
	from := before[len(before)-1].Cursor()
	c.crash(watched)
	for i := range 5 {
		last = c.happen(5 + i)
	}
	other := c.leader()
	rest, err := history(t, c.nodes[other], EventsFrom{Cursor: from}, last)
	if err != nil {
		t.Fatal(err)
	}
	want := wholeHistory(t, c.nodes[c.follower()], last)
	if diff := cmp.Diff(want, append(before, rest...)); diff != "" {
		t.Errorf("what was told by two masters (-want +got):\n%s", diff)
	}
	if err := c.nodes[other].member.Load().snapshots.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.start(watched)
	c.stop(other)
	c.start(other)
	for i, n := range c.nodes {
		if diff := cmp.Diff(want, wholeHistory(t, n, last)); diff != "" {
			t.Errorf("n%d tells something else (-want +got):\n%s", i+1, diff)
		}
	}
	counted(t, c.nodes[c.leader()], c.nodes[other], last)
}

// counted compares what the events of one master say with what the table of another
// counts, at the same index: time goes on, and tasks become ready with it.
func counted(t *testing.T, n, other *Node, last uint64) {
	t.Helper()
	var want [fsm.Cancelled + 1]int64
	at, err := n.Read(t.Context(), ReadOptions{Level: Stale, MinIndex: last}, func(m *fsm.Machine) {
		for s, k := range m.Queue("default").Counts {
			want[s] += k
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	all := wholeHistory(t, other, at.Index)
	states := make(map[uint64]fsm.State)
	types := make(map[events.Type]int)
	for _, e := range all {
		types[e.Type]++
		if e.Task != 0 {
			states[e.Task] = e.State
		}
		if e.Principal == "" || e.Now == 0 || e.Term == 0 {
			t.Errorf("nobody did it, or never: %+v", e)
		}
	}
	var got [fsm.Cancelled + 1]int64
	for _, s := range states {
		got[s]++
	}
	if got != want {
		t.Errorf("by the events there are %v tasks, by the table %v", got, want)
	}
	for _, x := range []events.Type{
		events.Created, events.Assigned, events.Completed, events.Failed, events.Dead, events.SessionOpened,
		events.QueuePaused, events.QueueResumed, events.MemberSet,
	} {
		if types[x] == 0 {
			t.Errorf("no event is of type %s: %v", x, types)
		}
	}
}

// TestSlowWatcherHoldsNothingUp is case 14: a reader that does not read keeps neither
// the log nor the ring from being compacted, and hears of it.
func TestSlowWatcherHoldsNothingUp(t *testing.T) {
	c := newTestCluster(t, 1, func(_ int, cfg *Config) {
		cfg.SnapshotBytes, cfg.TailBytes = 1<<16, 0
		cfg.hooks.events = func(e *events.Config) { e.MemoryEvents, e.DiskBytes, e.SegmentBytes = 500, 128<<10, 32<<10 }
	})
	n := c.start(0)
	c.leader()
	slow, err := n.Events(EventsFrom{Cursor: events.Cursor{Index: 1}}, events.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	oldest := func() uint64 { o, _ := n.EventRange(); return o }
	specs := make([]*fsmpb.TaskSpec, 500)
	for i := range specs {
		specs[i] = &fsmpb.TaskSpec{Queue: "default", Kind: fmt.Sprintf("a-kind-of-its-own-%d", i), Payload: make([]byte, 100)}
	}
	first := uint64(0)
	for first <= 1 || oldest() <= 1 {
		if _, _, err := n.Propose(t.Context(), &fsmpb.Command{Principal: "client:t", Kind: &fsmpb.Command_Submit{Submit: &fsmpb.Submit{Tasks: specs}}}); err != nil {
			t.Fatal(err)
		}
		if first, err = n.store.FirstIndex(); err != nil {
			t.Fatal(err)
		}
	}
	gone, ok := errors.AsType[*events.CompactedError](n.MoreEvents(t.Context(), slow))
	if !ok || gone.Oldest < 2 {
		t.Fatalf("the slow reader hears %v", gone)
	}
	_, last := n.EventRange()
	if _, err := history(t, n, EventsFrom{Oldest: true}, last); err != nil {
		t.Errorf("from the oldest entry on: %v", err)
	}
	if st := n.EventStats(); st.SegmentsFailed > 0 || st.Compacted == 0 {
		t.Errorf("the ring is %+v", st)
	}
}

// TestEventsBehindAnInstalledSnapshot: a master that was away too long does not know
// what happened meanwhile, and says so.
func TestEventsBehindAnInstalledSnapshot(t *testing.T) {
	c := newTestCluster(t, 3, func(_ int, cfg *Config) { cfg.SnapshotBytes, cfg.TailBytes = 1<<20, 0 })
	c.startAll()
	last := c.happen(0)
	away := c.follower()
	c.crash(away)
	big := make([]byte, 16<<10)
	for i := range 200 {
		cmd := oneTask(fmt.Sprintf("big%d", i))
		cmd.GetSubmit().Tasks[0].Payload = big
		_, last = c.propose(cmd)
	}
	lead := c.leader()
	if err := c.nodes[lead].member.Load().snapshots.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.start(away)
	eventually(t, "the snapshot is installed", func() bool { _, at := c.nodes[away].EventRange(); return at >= last })
	_, err := history(t, c.nodes[away], EventsFrom{Cursor: events.Cursor{Index: 1}}, last)
	gone, ok := errors.AsType[*events.CompactedError](err)
	if !ok || gone.Oldest < 2 {
		t.Fatalf("it tells %v", err)
	}
	last = c.happen(1)
	want, err := history(t, c.nodes[lead], EventsFrom{Cursor: events.Cursor{Index: gone.Oldest}}, last)
	if err != nil {
		t.Fatal(err)
	}
	got, err := history(t, c.nodes[away], EventsFrom{Cursor: events.Cursor{Index: gone.Oldest}}, last)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("from entry %d on: %v (-want +got):\n%s", gone.Oldest, err, diff)
	}
	wholeHistory(t, c.nodes[lead], last)
}
