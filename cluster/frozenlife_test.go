package cluster

import (
	"time"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// The two halves of a frozen master's life; a snapshot is taken in between. Its times
// are long, so that nothing falls due while it lives.

func (b *busyLife) first() {
	eventually(b.t, "the master has recorded itself", func() bool { return len(b.n.records()) == 1 })
	b.do(&fsmpb.Command{Kind: &fsmpb.Command_Finalize{Finalize: &fsmpb.Finalize{Level: 1}}})
	b.do(&fsmpb.Command{Kind: &fsmpb.Command_SetMember{SetMember: &fsmpb.SetMember{Name: "n9", ServerId: "n9/1", Level: 1}}})
	b.do(&fsmpb.Command{Kind: &fsmpb.Command_RemoveMember{RemoveMember: &fsmpb.RemoveMember{Name: "n9", ServerId: "n9/1"}}})
	b.do(&fsmpb.Command{Kind: &fsmpb.Command_SetPush{SetPush: &fsmpb.SetPush{Addr: "127.0.0.1:7500", Fixed: true}}})
	b.do(&fsmpb.Command{Kind: &fsmpb.Command_SetQueue{SetQueue: &fsmpb.SetQueue{Queue: "mail", Paused: new(false), Settings: &fsmpb.QueueSettings{
		MaxRunning: new(uint32(8)), MaxRunningPerKey: new(uint32(2)), BackoffBase: new(int64(time.Hour)), Rate: &fsmpb.RateLimit{Tokens: 50, Period: int64(time.Second), Burst: 50},
	}}}})
	session := b.open("w1")
	b.submit(
		&fsmpb.TaskSpec{Queue: "mail", Kind: "send", Payload: []byte("hello"), ContentType: "text/plain", Priority: new(int32(5)), RequestId: "order-17", ContentDigest: 17},
		&fsmpb.TaskSpec{Queue: "mail", Kind: "send", ConcurrencyKey: "tenant-7", UniqueKey: "report", Labels: []*fsmpb.Label{{Key: "tenant", Value: "7"}}},
		&fsmpb.TaskSpec{Queue: "mail", Kind: "send", OnSuccess: []*fsmpb.TaskSpec{{Queue: "news", Delay: int64(time.Hour)}}},
		&fsmpb.TaskSpec{Queue: "mail", Kind: "send", Require: []*fsmpb.Label{{Key: "role", Value: "web"}}},
		&fsmpb.TaskSpec{Queue: "mail", Kind: "send", AfterItems: []uint32{0}, ExpiresIn: int64(24 * time.Hour)},
		&fsmpb.TaskSpec{Queue: "later", Delay: int64(time.Hour), Traceparent: []byte{1, 2, 3}},
		&fsmpb.TaskSpec{Queue: "mail", Broadcast: &fsmpb.BroadcastSpec{Selector: []*fsmpb.Label{{Key: "role", Value: "web"}}, Patience: int64(time.Hour)}},
	)
	held := b.do(&fsmpb.Command{Kind: &fsmpb.Command_Assign{Assign: &fsmpb.Assign{Session: session, N: 4}}}).Tasks
	if len(held) < 4 {
		b.t.Fatalf("%d tasks assigned, want 4", len(held))
	}
	b.complete("w1", held[0])
	b.fail("w1", held[1], false)
	b.do(&fsmpb.Command{Kind: &fsmpb.Command_Release{Release: &fsmpb.Release{Worker: "w1", Boot: "b1", Items: []*fsmpb.Handback{{Task: held[2].ID, Fence: held[2].Fence}}}}})
	for _, name := range []string{"nightly", "gone"} {
		b.do(&fsmpb.Command{Kind: &fsmpb.Command_SetSchedule{SetSchedule: &fsmpb.SetSchedule{
			Schedule: name, Cron: "30 2 29 2 *", TimeZone: "Europe/Berlin", Task: &fsmpb.TaskSpec{Queue: "cron"}, Misfire: uint32(fsm.MisfireAll), MaxMisfires: 3,
		}}})
	}
	eventually(b.t, "the schedules have their next time", func() bool {
		due := 0
		_, err := b.n.Read(b.t.Context(), ReadOptions{Level: Stale}, func(m *fsm.Machine) {
			for s := range m.SchedulesAfter("") {
				if s.NextFire != 0 {
					due++
				}
			}
		})
		return err == nil && due == 2
	})
	b.do(&fsmpb.Command{Kind: &fsmpb.Command_TriggerSchedule{TriggerSchedule: &fsmpb.TriggerSchedule{Schedule: "nightly"}}})
	b.do(&fsmpb.Command{Kind: &fsmpb.Command_PauseSchedule{PauseSchedule: &fsmpb.PauseSchedule{Schedule: "nightly", Paused: true}}})
	b.do(&fsmpb.Command{Kind: &fsmpb.Command_DeleteSchedule{DeleteSchedule: &fsmpb.DeleteSchedule{Schedule: "gone"}}})
	b.batches()
}

func (b *busyLife) second() {
	session := b.open("w2")
	ids := b.submit(&fsmpb.TaskSpec{Queue: "night"}, &fsmpb.TaskSpec{Queue: "night"}, &fsmpb.TaskSpec{Queue: "night"}, &fsmpb.TaskSpec{Queue: "night"})
	b.do(&fsmpb.Command{Kind: &fsmpb.Command_UpdateSession{UpdateSession: &fsmpb.UpdateSession{Session: session, Slots: 6, Queues: []*fsmpb.QueueWeight{{Queue: "night", Weight: 3}}}}})
	held := b.do(&fsmpb.Command{Kind: &fsmpb.Command_Assign{Assign: &fsmpb.Assign{Session: session, N: 4}}}).Tasks
	if len(held) != 4 {
		b.t.Fatalf("%d tasks assigned, want 4", len(held))
	}
	b.fail("w2", held[0], true)
	b.fail("w2", held[1], true)
	b.complete("w2", held[2])
	b.do(&fsmpb.Command{Kind: &fsmpb.Command_Retry{Retry: &fsmpb.Retry{Tasks: []uint64{ids[0]}}}})
	b.do(&fsmpb.Command{Kind: &fsmpb.Command_RetryDead{RetryDead: &fsmpb.RetryDead{Queue: "night"}}})
	b.do(&fsmpb.Command{Kind: &fsmpb.Command_Cancel{Cancel: &fsmpb.Cancel{Tasks: []uint64{ids[3]}, Reason: "by hand"}}})
	b.do(&fsmpb.Command{Kind: &fsmpb.Command_Delete{Delete: &fsmpb.Delete{Tasks: []uint64{ids[2]}}}})
	b.submit(&fsmpb.TaskSpec{Queue: "swept"}, &fsmpb.TaskSpec{Queue: "swept"})
	b.do(&fsmpb.Command{Kind: &fsmpb.Command_Sweep{Sweep: &fsmpb.Sweep{Reason: "unwanted", What: &fsmpb.TaskFilter{Queue: "swept"}}}})
	b.do(&fsmpb.Command{Kind: &fsmpb.Command_DrainWorker{DrainWorker: &fsmpb.DrainWorker{Worker: "w2"}}})
	b.do(&fsmpb.Command{Kind: &fsmpb.Command_RemoveWorker{RemoveWorker: &fsmpb.RemoveWorker{Worker: "w2", Force: true}}})
	b.do(&fsmpb.Command{Kind: &fsmpb.Command_CloseSession{CloseSession: &fsmpb.CloseSession{Session: b.open("w3")}}})
	b.do(&fsmpb.Command{Kind: &fsmpb.Command_ExpireSession{ExpireSession: &fsmpb.ExpireSession{Session: b.open("w4")}}})
	b.do(&fsmpb.Command{Kind: &fsmpb.Command_Tick{Tick: &fsmpb.Tick{}}})
	b.submit(&fsmpb.TaskSpec{Queue: "mail", Payload: []byte("the last one")})
}

// batches makes one batch at once, one in chunks, and one that is given up.
func (b *busyLife) batches() {
	later := &fsmpb.TaskSpec{Queue: "part", Delay: int64(time.Hour)}
	b.do(&fsmpb.Command{Kind: &fsmpb.Command_Submit{Submit: &fsmpb.Submit{
		Tasks: []*fsmpb.TaskSpec{later, later}, Batch: &fsmpb.BatchSpec{Name: "nightly", RequestId: "b-1", ContentDigest: 9, FollowUp: []*fsmpb.TaskSpec{{Queue: "part"}}},
	}}})
	open := func(id string) uint64 {
		return b.do(&fsmpb.Command{Kind: &fsmpb.Command_OpenBatch{OpenBatch: &fsmpb.OpenBatch{Batch: &fsmpb.BatchSpec{Name: "staged", RequestId: id}}}}).Batch
	}
	staged := open("b-2")
	b.do(&fsmpb.Command{Kind: &fsmpb.Command_StageBatch{StageBatch: &fsmpb.StageBatch{Batch: staged, Digest: 77, Tasks: []*fsmpb.TaskSpec{later, later, later}}}})
	b.do(&fsmpb.Command{Kind: &fsmpb.Command_CommitBatch{CommitBatch: &fsmpb.CommitBatch{Batch: staged, Total: 3, ContentDigest: 78}}})
	b.do(&fsmpb.Command{Kind: &fsmpb.Command_CancelBatch{CancelBatch: &fsmpb.CancelBatch{Batch: open("b-3"), Reason: "by hand"}}})
}

// open opens a session that outlives the test.
func (b *busyLife) open(worker string) uint64 {
	b.t.Helper()
	return b.do(&fsmpb.Command{Kind: &fsmpb.Command_OpenSession{OpenSession: &fsmpb.OpenSession{
		Worker: worker, Boot: "b1", Slots: 8, Ttl: int64(time.Hour), Host: "h1", Pid: 4711, Version: "v1", Labels: map[string]string{"role": "web"},
		Queues: []*fsmpb.QueueWeight{{Queue: "mail", Weight: 2}, {Queue: "night", Weight: 1}},
	}}}).Session.ID
}

func (b *busyLife) submit(specs ...*fsmpb.TaskSpec) []uint64 {
	b.t.Helper()
	return b.do(&fsmpb.Command{
		Call: &fsmpb.Call{Client: []byte("0123456789abcdef"), Seq: b.seq(), AckedBelow: 1},
		Kind: &fsmpb.Command_Submit{Submit: &fsmpb.Submit{Tasks: specs}},
	}).IDs
}

// seq numbers the calls of the one client.
func (b *busyLife) seq() uint64 { b.calls++; return b.calls }

func (b *busyLife) complete(worker string, t *fsm.Task) {
	b.t.Helper()
	b.do(&fsmpb.Command{Kind: &fsmpb.Command_Complete{Complete: &fsmpb.Complete{Worker: worker, Boot: "b1", Items: []*fsmpb.Completion{
		{Task: t.ID, Fence: t.Fence, Digest: 1, Result: []byte("ok"), ContentType: "text/plain", FollowUp: []*fsmpb.TaskSpec{{Queue: "follow", Delay: int64(time.Hour)}}},
	}}}})
}

func (b *busyLife) fail(worker string, t *fsm.Task, permanent bool) {
	b.t.Helper()
	b.do(&fsmpb.Command{Kind: &fsmpb.Command_Fail{Fail: &fsmpb.Fail{Worker: worker, Boot: "b1", Items: []*fsmpb.Failure{
		{Task: t.ID, Fence: t.Fence, Digest: 2, Error: "no such host", Permanent: permanent, Result: []byte("log")},
	}}}})
}
