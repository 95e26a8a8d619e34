package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// voterEvery is how often it is asked whether a new member has its vote.
const voterEvery = 100 * time.Millisecond

func (a *app) clusterAddCommand() *cobra.Command {
	var replace, noWait bool
	return a.command(commandSpec{
		use: "add NAME=HOST:PORT [flags]", short: "Take in a master that waits to join, and see that it becomes a voter",
		long: `Take in the master that waits at a Raft address (started with --join), and wait
until it has caught up and votes. A master with --join asks for that itself: this
command shows when it is done, and may be repeated.`,
		example: "  taskraft cluster add n4=10.0.0.4:7401",
		rows: concat(a.dataRows(), settings.Table{
			{Flag: "replace", Value: settings.Switch(&replace), Doc: "it takes the place of the member of its name, whose data is lost"},
			{Flag: "no-wait", Value: settings.Switch(&noWait), Doc: "do not wait until it votes"},
		}),
		args: func(_ *cobra.Command, args []string) []settings.Problem {
			if len(args) == 0 {
				return missing("NAME=HOST:PORT", "n4=10.0.0.4:7401")
			}
			if err := checkPeer(args[0]); err != nil || len(args) > 1 {
				return []settings.Problem{{Where: "argument NAME=HOST:PORT", Problem: "not one master", Got: fmt.Sprintf("%q", args), Want: "its name and Raft address", Do: "for example n4=10.0.0.4:7401"}}
			}
			return nil
		},
		run: func(ctx context.Context, args []string) error {
			name, addr, _ := strings.Cut(args[0], "=")
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				ctx, cancel := a.call(ctx)
				defer cancel()
				req := &taskraftv1.AddMemberRequest{Name: name, Raft: addr, Replace: replace}
				resp, err := c.AddMember(ctx, req)
				for !noWait && startsStill(err) && pause(ctx, voterEvery) == nil {
					resp, err = c.AddMember(ctx, req)
				}
				if err != nil {
					return err
				}
				voter := false
				for !noWait && !voter {
					if voter, err = votes(ctx, c, resp.GetServerId()); err != nil {
						return err
					}
				}
				return a.printer().Object(resp, name, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "%s is a member of cluster %s, voter: %s\n", resp.GetServerId(), resp.GetClusterId(), yes(voter))
					return err
				})
			})
		},
	})
}

// startsStill tells whether the new master may only need a moment, or its turn.
func startsStill(err error) bool {
	e, ok := errors.AsType[*client.Error](err)
	return ok && (e.Reason == reason.MemberUnreachable || e.Reason == reason.ChangeUnderWay)
}

// votes tells whether a member has its vote, after a pause if it has not.
func votes(ctx context.Context, c *client.Client, serverID string) (bool, error) {
	members, err := c.Members(ctx)
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(members, func(m *taskraftv1.Member) bool { return m.GetServerId() == serverID && m.GetVoter() }) {
		return true, nil
	}
	timer := time.NewTimer(voterEvery)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false, nil
	case <-ctx.Done():
		return false, fail(exitDeadline, "taskraft cluster members, and the new master's log", "%s is a member but has no vote yet: %w", serverID, context.Cause(ctx))
	}
}

func (a *app) clusterRemoveCommand() *cobra.Command {
	return a.command(commandSpec{
		use: "remove NAME [flags]", short: "Remove a master from the cluster",
		long: `Remove a master from the cluster. Refused when of the voters left too few would
answer. A leader hands leadership over first. The removed master ends with code 13; its
data directory is of no more use.`,
		example: "  taskraft cluster remove n4", rows: a.dataRows(),
		args: func(_ *cobra.Command, args []string) []settings.Problem {
			if len(args) == 0 {
				return missing("NAME", "n4, as taskraft cluster members shows it")
			}
			if len(args) > 1 {
				return []settings.Problem{{Where: "argument NAME", Problem: "too many: one change at a time", Got: fmt.Sprintf("%q", args), Want: "one master", Do: "see taskraft cluster members"}}
			}
			return nil
		},
		run: func(ctx context.Context, args []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				ctx, cancel := a.call(ctx)
				defer cancel()
				if err := c.RemoveMember(ctx, args[0]); err != nil {
					return err
				}
				removed := map[string]string{"removed": args[0]}
				return a.printer().Object(removed, args[0], func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "%s is no member any more\n", args[0])
					return err
				})
			})
		},
	})
}
