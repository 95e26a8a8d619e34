package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/client"
)

func (a *app) taskDeleteCommand() *cobra.Command {
	var ids []uint64
	return a.command(commandSpec{
		use: "delete ID… [flags]", short: "Delete the records of tasks that have ended",
		long:    "Delete the records of tasks that have ended, and free their request ids.",
		example: "  taskraft task delete $(taskraft task list --state dead -o name)",
		rows:    a.config.clientRows(),
		args:    idArgs(&ids, "taskraft task delete 1042"),
		run: func(ctx context.Context, _ []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				code := exitOK
				for _, id := range ids {
					callCtx, cancel := a.call(ctx)
					err := c.Delete(callCtx, id)
					cancel()
					switch {
					case err == nil:
						a.talk("task %d deleted", id)
					case len(ids) == 1 || ctx.Err() != nil:
						return err
					default:
						code = worse(code, report(a.Err, fmt.Errorf("task %d: %w", id, err)))
					}
				}
				if code != exitOK {
					return quietly(code)
				}
				return nil
			})
		},
	})
}
