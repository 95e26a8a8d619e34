package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/internal/follow"
	"github.com/taskraft/taskraft/rpc/reason"
)

// withClient connects to the masters, runs f until it ends or the user
// interrupts it, and disconnects.
func (a *app) withClient(ctx context.Context, f func(context.Context, *client.Client) error) error {
	traces, err := a.clientTracing(ctx)
	if err != nil {
		return err
	}
	defer traces.Close()
	c, err := client.New(client.Config{Masters: a.config.masters, TracerProvider: traces.Tracer()})
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, stop := interruptible(ctx)
	defer stop()
	err = f(a.callerTrace(ctx), c)
	_, said := errors.AsType[*failure](err)
	if _, quiet := errors.AsType[quietly](err); err != nil && !said && !quiet && errors.Is(context.Cause(ctx), errInterrupted) {
		return &failure{code: exitInterrupted, err: errInterrupted}
	}
	return err
}

// call bounds one call by --call-timeout.
func (a *app) call(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, a.config.callTimeout)
}

// clientFailure classifies what the SDK returns; nil if err is not from it.
func clientFailure(err error) *failure {
	if e, ok := errors.AsType[*client.Error](err); ok {
		return answerFailure(e, err)
	}
	if known, ok := reasonExits[follow.Reason(err)]; ok { // from a worker
		return &failure{known.code, plain(err), known.try}
	}
	switch {
	case errors.Is(err, client.ErrNoLeader):
		return &failure{exitNoLeader, err, "taskraft cluster status"}
	case errors.Is(err, client.ErrUncertain):
		return &failure{exitDeadline, err, "taskraft task list, to see whether it took effect; --request-id makes a repeat safe"}
	}
	return nil
}

// plain takes gRPC's own words out of an error.
func plain(err error) error {
	text := err.Error()
	if at := strings.Index(text, "rpc error: "); at >= 0 {
		if _, desc, ok := strings.Cut(text[at:], " desc = "); ok {
			text = text[:at] + desc
		}
	}
	return errors.New(text)
}

// reasonExits are the exit codes and next commands of the masters' reasons.
var reasonExits = map[string]struct {
	code int
	try  string
}{
	reason.InvalidField:      {exitUsage, "the same with --help"},
	reason.NotLeader:         {exitNoLeader, "taskraft cluster status"},
	reason.NoLeader:          {exitNoLeader, "taskraft cluster status"},
	reason.Stopping:          {exitNoLeader, "taskraft cluster status"},
	reason.OutcomeUnknown:    {exitDeadline, "taskraft task list, to see whether it took effect"},
	reason.Overloaded:        {exitError, "the same a little later"},
	reason.DiskLow:           {exitError, "taskraft cluster status, and free disk space on the masters"},
	reason.MemoryLow:         {exitError, "taskraft queue list, to see what waits; purge it, or give the masters more memory"},
	reason.RequestIDConflict: {exitConflict, "another --request-id, or the same content as the first time"},
	reason.RequestIDsFull:    {exitError, "the same without --request-id"},
	reason.QueuesFull:        {exitError, "taskraft queue list"},
	reason.CallForgotten:     {exitConflict, "taskraft task list, to see whether it took effect"},
	reason.TooManyCalls:      {exitError, "the same with fewer calls at a time"},
	reason.TaskNotFound:      {exitNotFound, "taskraft task list"},
	reason.Forgotten:         {exitNotFound, "taskraft task list; a longer --retain keeps records longer"},
	reason.NotTerminal:       {exitConflict, "taskraft task get, to see its state"},
	reason.ParentNotFound:    {exitNotFound, "taskraft task list"},
	reason.BatchNotFound:     {exitNotFound, "taskraft batch list"},
	reason.BatchTooLarge:     {exitUsage, "several batches"},
	reason.BatchesFull:       {exitError, "taskraft batch list"},
	reason.StagingFull:       {exitError, "the same a little later"},
	reason.RetriesFull:       {exitError, "the same a little later"},
	reason.NotBroadcast:      {exitConflict, "taskraft task get"},
	reason.QueueNotFound:     {exitNotFound, "taskraft queue list"},
	reason.ScheduleNotFound:  {exitNotFound, "taskraft schedule list"},
	reason.ScheduleExists:    {exitConflict, "taskraft schedule get, to see what it says; --replace gives it the new rule"},
	reason.SchedulesFull:     {exitError, "taskraft schedule list, and delete some"},
	reason.ScheduleBusy:      {exitConflict, "taskraft schedule get, to see its last task"},
	reason.MemberNotFound:    {exitNotFound, "taskraft cluster members"},
	reason.MemberExists:      {exitConflict, "taskraft cluster members; --replace when the member's data is lost"},
	reason.MemberUnreachable: {exitConflict, "the master's log, and its --advertise-raft: the leader must reach it"},
	reason.MemberRefused:     {exitConflict, "an empty data directory for the new master"},
	reason.ChangeUnderWay:    {exitConflict, "the same when taskraft cluster members shows every master as a voter"},
	reason.QuorumAtRisk:      {exitConflict, "taskraft cluster health; bring masters back or add one first"},
	reason.LevelRefused:      {exitConflict, "taskraft cluster finalize, which shows what each master knows"},
	reason.NotEmpty:          {exitConflict, "a cluster that was formed for the restore"},
	reason.BadBackup:         {exitData, "taskraft snapshot verify FILE"},
	reason.Compacted:         {exitConflict, "taskraft events --since oldest"},
	reason.NoSuccessor:       {exitConflict, "taskraft cluster health"},
	reason.WorkerIDInUse:     {exitConflict, "another --id, or stop the worker that has it"},
	reason.BootReplaced:      {exitConflict, "another --id: a newer process has this one, or it was removed"},
	reason.WorkerNotFound:    {exitNotFound, "taskraft worker list --gone"},
	reason.PushesFull:        {exitError, "taskraft worker remove, for those that are gone"},
	reason.WorkerBusy:        {exitConflict, "taskraft worker drain --wait, or the same with --force"},
}

func answerFailure(e *client.Error, err error) *failure {
	if known, ok := reasonExits[e.Reason]; ok {
		return &failure{known.code, err, known.try}
	}
	switch e.Code {
	case codes.InvalidArgument:
		return &failure{exitUsage, err, "the same with --help"}
	case codes.NotFound:
		return &failure{exitNotFound, err, ""}
	case codes.AlreadyExists, codes.FailedPrecondition, codes.Aborted:
		return &failure{exitConflict, err, ""}
	case codes.Unavailable:
		return &failure{exitNoLeader, err, "taskraft cluster status"}
	case codes.DeadlineExceeded:
		return &failure{exitDeadline, err, "the same with a longer --call-timeout"}
	}
	return &failure{exitError, err, ""}
}

// parseIDs parses task ids as the table prints them.
func parseIDs(args []string) ([]uint64, []settings.Problem) {
	var ids []uint64
	var bad []settings.Problem
	for _, s := range args {
		id, err := strconv.ParseUint(strings.TrimPrefix(s, "#"), 10, 64)
		if err != nil || id == 0 {
			bad = append(bad, settings.Problem{
				Where: "argument ID", Problem: "not a task id", Got: quoted(s), Want: "a number like 1042", Do: "see taskraft task list",
			})
			continue
		}
		ids = append(ids, id)
	}
	return ids, bad
}

// missing is the problem of a command that needs arguments and got none.
func missing(what, example string) []settings.Problem {
	return []settings.Problem{{Where: "argument " + what, Problem: "missing", Want: what, Do: "for example " + example}}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
