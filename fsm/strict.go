package fsm

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// checkCommands refuses fields and kinds that this binary does not know: a
// command half understood would make this master's table differ from the
// others'. protobuf keeps what it did not know aside; every message that can
// occur in an entry is asked for it.
func checkCommands(body *fsmpb.Commands) error {
	if unknown(body) {
		return fmt.Errorf("entry body: unknown field: %w", ErrNewer)
	}
	for i, c := range body.Commands {
		if err := checkCommand(i, c); err != nil {
			return err
		}
	}
	return nil
}

// checkCommand does so for the i-th command.
func checkCommand(i int, c *fsmpb.Command) error {
	if unknown(c) || c.Call != nil && unknown(c.Call) || unknownInKind(c) {
		return fmt.Errorf("command %d: unknown kind or field: %w", i, ErrNewer)
	}
	if c.Kind == nil {
		return fmt.Errorf("command %d: no kind: %w", i, ErrCorrupt)
	}
	return nil
}

// unknownInKind reports whether the command's own message, or one inside it,
// holds an unknown field.
func unknownInKind(c *fsmpb.Command) bool {
	switch k := c.Kind.(type) {
	case *fsmpb.Command_Submit:
		return unknown(k.Submit) || anyUnknownSpec(k.Submit.Tasks) || k.Submit.Batch != nil && unknownInBatch(k.Submit.Batch)
	case *fsmpb.Command_Assign:
		return unknown(k.Assign)
	case *fsmpb.Command_Complete:
		return unknown(k.Complete) || slices.ContainsFunc(k.Complete.Items, func(c *fsmpb.Completion) bool {
			return unknown(c) || anyUnknownSpec(c.FollowUp)
		})
	case *fsmpb.Command_Fail:
		return unknown(k.Fail) || anyUnknown(k.Fail.Items)
	case *fsmpb.Command_Release:
		return unknown(k.Release) || anyUnknown(k.Release.Items)
	case *fsmpb.Command_OpenSession:
		return unknown(k.OpenSession) || anyUnknown(k.OpenSession.Queues)
	case *fsmpb.Command_UpdateSession:
		u := k.UpdateSession
		return unknown(u) || anyUnknown(u.Queues) || u.PollHeld != nil && unknown(u.PollHeld)
	case *fsmpb.Command_SetQueue:
		return unknown(k.SetQueue) || unknownInSettings(k.SetQueue.Settings) || slices.ContainsFunc(k.SetQueue.Unset, unknownSetting)
	case *fsmpb.Command_Cancel:
		return unknown(k.Cancel)
	case *fsmpb.Command_Retry:
		return unknown(k.Retry)
	case *fsmpb.Command_Delete:
		return unknown(k.Delete)
	case *fsmpb.Command_Sweep:
		return unknown(k.Sweep) || k.Sweep.What != nil && (unknown(k.Sweep.What) || anyUnknown(k.Sweep.What.Labels))
	case *fsmpb.Command_CloseSession:
		return unknown(k.CloseSession)
	case *fsmpb.Command_ExpireSession:
		return unknown(k.ExpireSession)
	case *fsmpb.Command_Tick:
		return unknown(k.Tick)
	case *fsmpb.Command_SetSchedule:
		return unknown(k.SetSchedule) || k.SetSchedule.Task != nil && anyUnknownSpec([]*fsmpb.TaskSpec{k.SetSchedule.Task}) ||
			k.SetSchedule.Misfire > uint32(lastMisfire) || k.SetSchedule.Overlap > uint32(lastOverlap)
	case *fsmpb.Command_PauseSchedule:
		return unknown(k.PauseSchedule)
	case *fsmpb.Command_DeleteSchedule:
		return unknown(k.DeleteSchedule)
	case *fsmpb.Command_TriggerSchedule:
		return unknown(k.TriggerSchedule)
	case *fsmpb.Command_Fire:
		return unknown(k.Fire) || anyUnknown(k.Fire.Items)
	case *fsmpb.Command_SetMember:
		return unknown(k.SetMember)
	case *fsmpb.Command_RemoveMember:
		return unknown(k.RemoveMember)
	case *fsmpb.Command_Finalize:
		return unknown(k.Finalize)
	case *fsmpb.Command_OpenBatch:
		return unknown(k.OpenBatch) || k.OpenBatch.Batch != nil && unknownInBatch(k.OpenBatch.Batch)
	case *fsmpb.Command_StageBatch:
		return unknown(k.StageBatch) || anyUnknownSpec(k.StageBatch.Tasks)
	case *fsmpb.Command_CommitBatch:
		return unknown(k.CommitBatch)
	case *fsmpb.Command_CancelBatch:
		return unknown(k.CancelBatch)
	case *fsmpb.Command_RetryDead:
		return unknown(k.RetryDead)
	case *fsmpb.Command_DrainWorker:
		return unknown(k.DrainWorker)
	case *fsmpb.Command_RemoveWorker:
		return unknown(k.RemoveWorker)
	case *fsmpb.Command_SetPush:
		return unknown(k.SetPush)
	}
	return unknownInNext(c)
}

func unknownInBroadcast(s *fsmpb.BroadcastSpec) bool { return unknown(s) || anyUnknown(s.Selector) }

func unknownInSettings(s *fsmpb.QueueSettings) bool {
	return s != nil && (unknown(s) || s.Rate != nil && unknown(s.Rate))
}

// unknownSetting reports whether a queue's settings have no field of that number.
func unknownSetting(n uint32) bool {
	fields := (*fsmpb.QueueSettings)(nil).ProtoReflect().Descriptor().Fields()
	return fields.ByNumber(protoreflect.FieldNumber(n)) == nil
}

// anyUnknownSpec looks into the specs inside specs, too.
func anyUnknownSpec(specs []*fsmpb.TaskSpec) bool {
	return slices.ContainsFunc(specs, func(s *fsmpb.TaskSpec) bool {
		return unknown(s) || anyUnknown(s.Require) || anyUnknown(s.Labels) || s.Broadcast != nil && unknownInBroadcast(s.Broadcast) || anyUnknownSpec(s.OnSuccess) || anyUnknownSpec(s.OnDead)
	})
}

func unknownInBatch(b *fsmpb.BatchSpec) bool {
	return unknown(b) || anyUnknownSpec(b.FollowUp) || anyUnknownSpec(b.OnSuccess)
}

type message interface{ ProtoReflect() protoreflect.Message }

func unknown[M message](m M) bool { return len(m.ProtoReflect().GetUnknown()) != 0 }

func anyUnknown[M message](ms []M) bool {
	return slices.ContainsFunc(ms, unknown)
}
