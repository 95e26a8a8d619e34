package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// askTimeout bounds what one master may take to tell of itself.
const askTimeout = 2 * time.Second

func (a *app) clusterCommand() *cobra.Command {
	return a.group("cluster", "Look at the masters, change them, move leadership",
		a.clusterStatusCommand(), a.clusterMembersCommand(), a.clusterAddCommand(), a.clusterRemoveCommand(),
		a.clusterHealthCommand(), a.clusterTransferCommand(), a.clusterFinalizeCommand(), a.clusterDigestCommand(), a.clusterRecoverCommand())
}

func (a *app) clusterStatusCommand() *cobra.Command {
	return a.command(commandSpec{
		use: "status [flags]", short: "Ask every master how it is",
		long: "Ask every master how it is: those of --masters and those that they name. Exits with 7 when nobody leads.",
		rows: a.dataRows(),
		run: func(ctx context.Context, _ []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				view := a.clusterView(ctx, c)
				if err := a.printCluster(view); err != nil {
					return err
				}
				if view.Leader == "" {
					return fail(exitNoLeader, "the masters' logs; a majority of them must run and reach each other", "no master leads")
				}
				return nil
			})
		},
	})
}

func (a *app) clusterMembersCommand() *cobra.Command {
	return a.command(commandSpec{
		use: "members [flags]", short: "List the masters as the leader sees them", rows: a.dataRows(),
		run: func(ctx context.Context, _ []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				ctx, cancel := a.call(ctx)
				defer cancel()
				members, err := c.Members(ctx)
				if err != nil {
					return err
				}
				type M = *taskraftv1.Member
				list := show.NewList(a.printer(), "members", M.GetName, []show.Column[M]{
					{Head: "NAME", Cell: M.GetName},
					{Head: "LEADER", Cell: func(m M) string { return yes(m.GetLeader()) }},
					{Head: "VOTER", Cell: func(m M) string { return yes(m.GetVoter()) }},
					{Head: "REACHABLE", Cell: func(m M) string { return yes(m.GetReachable()) }},
					{Head: "APPLIED", Right: true, Cell: func(m M) string { return nonZero(m.GetAppliedIndex()) }},
					{Head: "CLOCK", Right: true, Cell: func(m M) string { return show.Duration(m.GetClockOffset().AsDuration()) }},
					{Head: "GRPC", Cell: M.GetGrpc},
					{Head: "RAFT", Cell: M.GetRaft},
					{Head: "VERSION", Cell: M.GetVersion},
					{Head: "LEVEL", Right: true, Wide: true, Cell: func(m M) string { return nonZero(uint64(m.GetFeatureLevel())) }},
					{Head: "SERVER ID", Wide: true, Cell: M.GetServerId},
				})
				for _, m := range members {
					if err := list.Add(m); err != nil {
						return err
					}
				}
				return list.Close()
			})
		},
	})
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (a *app) clusterTransferCommand() *cobra.Command {
	return a.command(commandSpec{
		use: "transfer [NAME] [flags]", short: "Move leadership to a master, or to the best follower",
		example: "  taskraft cluster transfer n2", rows: a.dataRows(),
		args: func(_ *cobra.Command, args []string) []settings.Problem {
			if len(args) > 1 {
				return []settings.Problem{{Where: "argument NAME", Problem: "too many", Got: fmt.Sprintf("%q", args), Want: "one master", Do: "see taskraft cluster members"}}
			}
			return nil
		},
		run: func(ctx context.Context, args []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				ctx, cancel := a.call(ctx)
				defer cancel()
				to := ""
				if len(args) > 0 {
					to = args[0]
					if err := isMember(ctx, c, to); err != nil {
						return err
					}
				}
				l, err := c.Transfer(ctx, to)
				if err != nil {
					return err
				}
				return a.printer().Object(l, l.GetName(), func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "%s leads in term %d at %s\n", l.GetName(), l.GetTerm(), l.GetGrpc())
					return err
				})
			})
		},
	})
}

// isMember tells a mistyped name from a transfer that fails.
func isMember(ctx context.Context, c *client.Client, name string) error {
	members, err := c.Members(ctx)
	if err != nil || slices.ContainsFunc(members, func(m *taskraftv1.Member) bool { return m.GetName() == name }) {
		return err
	}
	return fail(exitNotFound, "taskraft cluster members", "no master is named %q", name)
}
