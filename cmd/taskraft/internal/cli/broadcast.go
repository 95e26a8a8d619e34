package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// broadcastFlags are the flags of `taskraft submit` about broadcasts.
type broadcastFlags struct {
	selector selectorValue
	require  requireValue
	deadline time.Duration
	late     bool
}

func (f *broadcastFlags) rows() settings.Table {
	return settings.Table{
		{Flag: "broadcast", Arg: "LABEL=VALUE,…|all", List: true, Value: &f.selector, Doc: "one for every worker with these labels, or for all workers, instead of one task", Example: "role=web"},
		{Flag: "acks", Arg: "all|any|N", Default: "all", Value: &f.require, Doc: "broadcast: how many acknowledgements make it SUCCEEDED"},
		{Flag: "deadline", Arg: "DURATION", Value: settings.Duration(&f.deadline, time.Millisecond, 30*24*time.Hour), Doc: "broadcast: when the rest is given up (default two timeouts, at least 10m)", Example: "1m"},
		{Flag: "late-joiners", Value: settings.Switch(&f.late), Doc: "broadcast: also for workers that join before the deadline"},
	}
}

// check refuses flags that need --broadcast.
func (f *broadcastFlags) check() []settings.Problem {
	if f.selector.given {
		return nil
	}
	var out []settings.Problem
	for _, x := range []struct {
		flag  string
		given bool
	}{{"acks", f.require.n > 0}, {"deadline", f.deadline > 0}, {"late-joiners", f.late}} {
		if x.given {
			out = append(out, settings.Problem{Where: "--" + x.flag, Problem: "given without --broadcast", Want: "--broadcast too", Do: "add --broadcast role=web, or all"})
		}
	}
	return out
}

func (f *broadcastFlags) broadcast() *client.Broadcast {
	if !f.selector.given {
		return nil
	}
	return &client.Broadcast{Selector: f.selector.labels, Require: f.require.n, Deadline: f.deadline, LateJoiners: f.late}
}

// selectorValue takes LABEL=VALUE texts, or "all".
type selectorValue struct {
	labels map[string]string
	given  bool
}

func (v *selectorValue) Set(texts []string) error {
	v.given = true
	if len(texts) == 1 && texts[0] == "all" {
		return nil
	}
	return settings.Pairs(&v.labels, 16).Set(texts)
}

func (v *selectorValue) String() string {
	if v.given && len(v.labels) == 0 {
		return "all"
	}
	return labelText(v.labels)
}

// requireValue takes all, any or a number.
type requireValue struct{ n int }

func (v *requireValue) Set(texts []string) error {
	switch texts[0] {
	case "all":
		v.n = 0
	case "any":
		v.n = 1
	default:
		n, err := strconv.Atoi(texts[0])
		if err != nil || n < 1 || n > 1_000_000 {
			return &settings.Invalid{Problem: "not a number of workers", Want: "all, any, or 1 to 1000000"}
		}
		v.n = n
	}
	return nil
}

func (v *requireValue) String() string {
	switch v.n {
	case 0:
		return "all"
	case 1:
		return "any"
	}
	return strconv.Itoa(v.n)
}

func (a *app) broadcastCommand() *cobra.Command {
	var ids []uint64
	return a.group("broadcast", "Look at broadcasts",
		a.command(commandSpec{
			use: "get ID [flags]", short: "Show a broadcast with what each of its workers says",
			example: "  taskraft broadcast get 1042\n  taskraft broadcast get 1042 -o json | jq -r '.targets[] | select(.state != \"TARGET_ACKED\") | .worker_id'",
			rows:    a.dataRows(),
			args: func(cmd *cobra.Command, args []string) []settings.Problem {
				if len(args) > 1 {
					return []settings.Problem{{Where: "argument ID", Problem: "too many", Got: quoted(args[1]), Want: "one id", Do: "leave it out"}}
				}
				return idArgs(&ids, "taskraft broadcast get 1042")(cmd, args)
			},
			run: func(ctx context.Context, _ []string) error {
				return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
					ctx, cancel := a.call(ctx)
					defer cancel()
					t, targets, err := c.Targets(ctx, ids[0])
					if err != nil {
						return err
					}
					return a.printBroadcast(t, targets)
				})
			},
		}))
}

// printBroadcast prints a broadcast and its targets.
func (a *app) printBroadcast(t *taskraftv1.Task, targets []*taskraftv1.Target) error {
	all := &taskraftv1.GetBroadcastResponse{Task: t, Targets: targets}
	return a.printer().Object(all, taskName(t), func(w io.Writer) error {
		spec, b := t.GetSpec().GetBroadcast(), t.GetBroadcast()
		to := "all workers"
		if len(spec.GetSelector()) > 0 {
			to = "workers with " + show.Clean(labelText(spec.GetSelector()))
		}
		late := ""
		if spec.GetLateJoiners() {
			late = "until the deadline"
		}
		if err := show.Fields(w,
			"broadcast", taskName(t),
			"state", t.GetState().String(),
			"reason", show.Clean(t.GetReason()),
			"error", show.Clean(t.GetError()),
			"to", to,
			"required", (&requireValue{int(spec.GetRequire())}).String(),
			"late joiners", late,
			"submitted", stamp(t.GetSubmitTime()),
			"deadline", stamp(b.GetDeadline()),
			"ended", stamp(t.GetFinishTime()),
			"workers", fmt.Sprintf("%d acknowledged, %d failed, %d open, of %d", b.GetAcked(), b.GetFailed(), b.GetOpen(), b.GetTargets()),
		); err != nil {
			return err
		}
		return a.listTargets(t, targets)
	})
}

// listTargets prints one line per worker.
func (a *app) listTargets(t *taskraftv1.Task, targets []*taskraftv1.Target) error {
	list := a.newTargetList(t)
	for _, target := range targets {
		if err := list.Add(target); err != nil {
			return err
		}
	}
	return list.Close()
}

func (a *app) newTargetList(t *taskraftv1.Task) *show.List[*taskraftv1.Target] {
	type T = *taskraftv1.Target
	return show.NewList(a.printer(), "targets", T.GetWorkerId, []show.Column[T]{
		{Head: "WORKER", Cell: T.GetWorkerId, Full: true},
		{Head: "STATE", Cell: targetState, Tint: targetTint},
		{Head: "TASK", Right: true, Cell: func(x T) string { return nonZero(x.GetTask()) }},
		{Head: "ATTEMPT", Right: true, Cell: func(x T) string { return fmt.Sprintf("%d/%d", x.GetAttempts(), t.GetSpec().GetMaxAttempts()) }},
		{Head: "FENCE", Right: true, Wide: true, Cell: func(x T) string { return nonZero(x.GetFence()) }},
		{Head: "TOOK", Right: true, Cell: func(x T) string {
			if x.GetFinishTime() == nil {
				return ""
			}
			return show.Duration(x.GetFinishTime().AsTime().Sub(t.GetSubmitTime().AsTime()))
		}},
		{Head: "SAYS", Cell: targetSays},
	})
}

// targetState is the state's word, as in "acked".
func targetState(x *taskraftv1.Target) string {
	return strings.ToLower(strings.TrimPrefix(x.GetState().String(), "TARGET_"))
}

func targetTint(x *taskraftv1.Target) int {
	switch x.GetState() {
	case taskraftv1.TargetState_TARGET_ACKED:
		return show.Green
	case taskraftv1.TargetState_TARGET_FAILED, taskraftv1.TargetState_TARGET_GONE:
		return show.Red
	case taskraftv1.TargetState_TARGET_DELIVERED:
		return show.Yellow
	}
	return show.Faint
}

// targetSays is what the worker answered: its error, or what its program printed.
func targetSays(x *taskraftv1.Target) string {
	if x.GetError() != "" {
		return x.GetError()
	}
	var r programResult
	if json.Unmarshal(x.GetResult(), &r) == nil && x.GetResultContentType() == jsonType {
		return strings.TrimSpace(r.Stdout)
	}
	if len(x.GetResult()) == 0 {
		return x.GetReason()
	}
	return strings.TrimSpace(describeBytes(x.GetResult(), x.GetResultContentType()))
}

// follow intervals: short while much happens, longer when it gets quiet.
const (
	soonestLook = 50 * time.Millisecond
	latestLook  = time.Second
)

// waitBroadcast shows what each worker says as it comes, until the broadcast has
// ended: a table that is kept up to date on a terminal, lines elsewhere.
func (a *app) waitBroadcast(ctx context.Context, c *client.Client, id uint64) error {
	board := &board{app: a, live: isTerminal(a.Out) && a.printer().People(), told: make(map[string]taskraftv1.TargetState)}
	pause := soonestLook
	for {
		callCtx, cancel := a.call(ctx)
		t, targets, err := c.Targets(callCtx, id)
		late := callCtx.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err != nil && !late:
			return waitFailure(ctx, err, id)
		case err != nil && errors.Is(err, client.ErrNoLeader):
			a.talk("no leader for %s; still waiting for broadcast %d", a.config.callTimeout, id)
		case err == nil:
			changed, err := board.show(t, targets)
			if err != nil {
				return err
			}
			if t.GetFinishTime() != nil {
				return board.end(t, targets)
			}
			if pause = min(2*pause, latestLook); changed {
				pause = soonestLook
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return waitFailure(ctx, context.Cause(ctx), id)
		}
	}
}

// board is what waitBroadcast shows.
type board struct {
	app  *app
	live bool
	told map[string]taskraftv1.TargetState // by worker
	rows int                               // of the table on the terminal
}

// show tells what is new and reports whether anything is.
func (b *board) show(t *taskraftv1.Task, targets []*taskraftv1.Target) (bool, error) {
	changed := false
	for _, x := range targets {
		if b.told[x.GetWorkerId()] == x.GetState() {
			continue
		}
		b.told[x.GetWorkerId()] = x.GetState()
		changed = true
		if !b.live && b.app.printer().People() && x.GetFinishTime() != nil {
			if _, err := fmt.Fprintf(b.app.Out, "%s  %s  %s\n", x.GetWorkerId(), targetState(x), show.Clean(targetSays(x))); err != nil {
				return true, err
			}
		}
	}
	if changed && b.live {
		return true, b.draw(t, targets)
	}
	return changed, nil
}

// draw replaces the table on the terminal.
func (b *board) draw(t *taskraftv1.Task, targets []*taskraftv1.Target) error {
	if b.rows > 0 {
		fmt.Fprintf(b.app.Out, "\x1b[%dA\x1b[J", b.rows)
	}
	b.rows = len(targets) + 1
	return b.app.listTargets(t, targets)
}

// end prints the outcome. Workers that had no part in it yet are told, too.
func (b *board) end(t *taskraftv1.Task, targets []*taskraftv1.Target) error {
	if !b.app.printer().People() {
		return errors.Join(b.app.printBroadcast(t, targets), stateFailure(t))
	}
	for _, x := range targets {
		if !b.live && x.GetFinishTime() == nil {
			fmt.Fprintf(b.app.Out, "%s  %s\n", x.GetWorkerId(), targetState(x))
		}
	}
	n := t.GetBroadcast()
	if t.GetState() == taskraftv1.TaskState_SUCCEEDED {
		b.app.talk("%d of %s acknowledged", n.GetAcked(), plural(int(n.GetTargets()), "worker"))
	}
	return stateFailure(t)
}
