package fsm

import (
	"cmp"
	"strings"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// splitWorker reads "w01" or "w01/b2"; the boot id is "a" unless said.
func splitWorker(s string) (worker, boot string) {
	worker, boot, ok := strings.Cut(s, "/")
	if !ok {
		boot = "a"
	}
	return worker, boot
}

// The commands, short.

func submitCmd(specs ...*fsmpb.TaskSpec) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_Submit{Submit: &fsmpb.Submit{Tasks: specs}}}
}

func assignCmd(session uint64, n uint32) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_Assign{Assign: &fsmpb.Assign{Session: session, N: n}}}
}

func completeCmd(who string, items ...*fsmpb.Completion) *fsmpb.Command {
	worker, boot := splitWorker(who)
	return &fsmpb.Command{Kind: &fsmpb.Command_Complete{Complete: &fsmpb.Complete{Worker: worker, Boot: boot, Items: items}}}
}

func failCmd(who string, items ...*fsmpb.Failure) *fsmpb.Command {
	worker, boot := splitWorker(who)
	return &fsmpb.Command{Kind: &fsmpb.Command_Fail{Fail: &fsmpb.Fail{Worker: worker, Boot: boot, Items: items}}}
}

func releaseCmd(who string, items ...*fsmpb.Handback) *fsmpb.Command {
	worker, boot := splitWorker(who)
	return &fsmpb.Command{Kind: &fsmpb.Command_Release{Release: &fsmpb.Release{Worker: worker, Boot: boot, Items: items}}}
}

func cancelCmd(reason string, ids ...uint64) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_Cancel{Cancel: &fsmpb.Cancel{Tasks: ids, Reason: reason}}}
}

func retryCmd(ids ...uint64) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_Retry{Retry: &fsmpb.Retry{Tasks: ids}}}
}

func sweepCmd(s *fsmpb.Sweep) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_Sweep{Sweep: s}}
}

func deleteCmd(ids ...uint64) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_Delete{Delete: &fsmpb.Delete{Tasks: ids}}}
}

func openCmd(o *fsmpb.OpenSession) *fsmpb.Command {
	if len(o.Queues) == 0 {
		o.Queues = []*fsmpb.QueueWeight{{Queue: DefaultQueue, Weight: 1}}
	}
	o.Slots = cmp.Or(o.Slots, 1)
	return &fsmpb.Command{Kind: &fsmpb.Command_OpenSession{OpenSession: o}}
}

func updateCmd(u *fsmpb.UpdateSession) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_UpdateSession{UpdateSession: u}}
}

func closeCmd(session uint64) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_CloseSession{CloseSession: &fsmpb.CloseSession{Session: session}}}
}

func expireCmd(session uint64) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_ExpireSession{ExpireSession: &fsmpb.ExpireSession{Session: session}}}
}

func tickCmd() *fsmpb.Command { return spareCmd(0) }

// spareCmd is a tick that spares the timeouts due up to a time.
func spareCmd(before int64) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_Tick{Tick: &fsmpb.Tick{SpareBefore: before}}}
}

func queueCmd(q *fsmpb.SetQueue) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_SetQueue{SetQueue: q}}
}

func scheduleCmd(s *fsmpb.SetSchedule) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_SetSchedule{SetSchedule: s}}
}

func pauseScheduleCmd(name string, paused bool) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_PauseSchedule{PauseSchedule: &fsmpb.PauseSchedule{Schedule: name, Paused: paused}}}
}

func deleteScheduleCmd(name string) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_DeleteSchedule{DeleteSchedule: &fsmpb.DeleteSchedule{Schedule: name}}}
}

func triggerCmd(name string) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_TriggerSchedule{TriggerSchedule: &fsmpb.TriggerSchedule{Schedule: name}}}
}

func fireCmd(items ...*fsmpb.FireItem) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_Fire{Fire: &fsmpb.Fire{Items: items}}}
}

func memberCmd(member *fsmpb.SetMember) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_SetMember{SetMember: member}}
}

func removeMemberCmd(name, serverID string) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_RemoveMember{RemoveMember: &fsmpb.RemoveMember{Name: name, ServerId: serverID}}}
}

func drainCmd(worker string, undo bool) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_DrainWorker{DrainWorker: &fsmpb.DrainWorker{Worker: worker, Undo: undo}}}
}

func removeCmd(worker string, force bool) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_RemoveWorker{RemoveWorker: &fsmpb.RemoveWorker{Worker: worker, Force: force}}}
}

func pushCmd(p *fsmpb.SetPush) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_SetPush{SetPush: p}}
}

func finalizeCmd(level uint32) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_Finalize{Finalize: &fsmpb.Finalize{Level: level}}}
}

func openBatchCmd(b *fsmpb.BatchSpec) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_OpenBatch{OpenBatch: &fsmpb.OpenBatch{Batch: b}}}
}

func stageCmd(s *fsmpb.StageBatch) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_StageBatch{StageBatch: s}}
}

func commitCmd(batch, total, digest uint64) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_CommitBatch{CommitBatch: &fsmpb.CommitBatch{Batch: batch, Total: total, ContentDigest: digest}}}
}

func cancelBatchCmd(batch uint64, reason string) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_CancelBatch{CancelBatch: &fsmpb.CancelBatch{Batch: batch, Reason: reason}}}
}

func retryDeadCmd(c *fsmpb.RetryDead) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_RetryDead{RetryDead: c}}
}

// submitBatchCmd submits specs as one batch.
func submitBatchCmd(b *fsmpb.BatchSpec, specs ...*fsmpb.TaskSpec) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_Submit{Submit: &fsmpb.Submit{Tasks: specs, Batch: b}}}
}
