package cli

import (
	"context"
	"errors"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/top"
)

func (a *app) topCommand() *cobra.Command {
	return a.command(commandSpec{
		use: "top [flags]", short: "Watch the cluster, full screen",
		long: `Watch the cluster on a terminal: masters, queues, workers, running tasks, rates, once
a second. A change of the leader is followed and told. ? shows the keys, q quits.

It needs a terminal of 80 × 24 or more, and works over ssh. NO_COLOR is respected.`,
		rows: a.config.mastersRows(),
		run: func(ctx context.Context, _ []string) error {
			if !isTerminal(a.Out) || !isTerminal(a.In) || a.env("TERM") == "dumb" {
				return fail(exitUsage, "taskraft cluster status and taskraft queue list, for pipes and logs", "top draws on a terminal, and this is none")
			}
			return a.withClient(ctx, a.runTop)
		},
	})
}

func (a *app) runTop(ctx context.Context, c *client.Client) error {
	model := top.New(ctx, top.Read(c, a.config.masters))
	_, err := tea.NewProgram(model, tea.WithContext(ctx), tea.WithInput(a.In), tea.WithOutput(a.Out), tea.WithEnvironment(a.Env), tea.WithoutSignalHandler()).Run()
	if ctx.Err() != nil || errors.Is(err, tea.ErrInterrupted) {
		return quietly(exitInterrupted)
	}
	return err
}
