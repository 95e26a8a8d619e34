package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const maxLevel = 1<<16 - 1

func (a *app) clusterFinalizeCommand() *cobra.Command {
	var level uint32
	var given bool
	return a.command(commandSpec{
		use: "finalize [flags]", short: "End an upgrade: raise the feature level that the masters may write",
		long: `Without --level, show the table's feature level, what each master's version knows,
and which level they all know. With --level, raise the table's to it.

Until then masters of the old and the new version work together, and each can go
back. A raised level never goes down: a master of an older version ends with code 13
and does not start again before it is upgraded. Refused unless every master answers
and knows the level.`,
		example: "  taskraft cluster finalize\n  taskraft cluster finalize --level 2",
		rows: concat(a.dataRows(), settings.Table{
			{Flag: "level", Arg: "N", Value: settings.Int(&level, 1, maxLevel, &given), Doc: "raise the table's feature level to N, for good"},
		}),
		run: func(ctx context.Context, _ []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				ctx, cancel := a.call(ctx)
				defer cancel()
				if given {
					return a.finalize(ctx, c, level)
				}
				return a.printLevels(ctx, c)
			})
		},
	})
}

// levelsView is what `cluster finalize` prints.
type levelsView struct {
	Level    uint32        `json:"feature_level"` // of the table
	Possible uint32        `json:"possible"`      // what all members know
	Masters  []masterLevel `json:"masters"`
	Next     string        `json:"next,omitempty"`
}

type masterLevel struct {
	Name      string `json:"name"`
	Version   string `json:"version,omitempty"`
	Level     uint32 `json:"newest_feature_level"`
	Reachable bool   `json:"reachable"`
}

func (a *app) finalize(ctx context.Context, c *client.Client, level uint32) error {
	now, err := c.Finalize(ctx, level, false)
	if err != nil {
		return err
	}
	v := &levelsView{Level: now, Possible: now}
	return a.printer().Object(v, strconv.FormatUint(uint64(now), 10), func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "the table is at feature level %d\n", now)
		return err
	})
}

func (a *app) printLevels(ctx context.Context, c *client.Client) error {
	members, err := c.Members(ctx)
	if err != nil {
		return err
	}
	leader, err := c.Leader(ctx)
	if err != nil {
		return err
	}
	status, err := c.Status(ctx, leader.Addr)
	if err != nil {
		return err
	}
	v := levelsOf(status.GetFeatureLevel(), members)
	return a.printer().Object(v, strconv.FormatUint(uint64(v.Level), 10), v.describe)
}

// levelsOf finds what all members know, and what is to be done next.
func levelsOf(table uint32, members []*taskraftv1.Member) *levelsView {
	v := &levelsView{Level: table}
	var least, most uint32
	var silent, old []string
	for i, m := range members {
		l := m.GetFeatureLevel()
		if i == 0 {
			least = l
		}
		least, most = min(least, l), max(most, l)
		v.Masters = append(v.Masters, masterLevel{m.GetName(), m.GetVersion(), l, m.GetReachable()})
	}
	for _, m := range v.Masters {
		switch {
		case !m.Reachable:
			silent = append(silent, m.Name)
		case m.Level < most:
			old = append(old, m.Name)
		}
	}
	v.Possible = max(least, table)
	switch {
	case len(old) > 0:
		v.Next = "upgrade " + strings.Join(old, ", ")
	case len(silent) > 0:
		v.Next = "start " + strings.Join(silent, ", ") + ", or remove it from the cluster"
	case v.Possible > table:
		v.Next = fmt.Sprintf("taskraft cluster finalize --level %d, after which no older version can take part", v.Possible)
	}
	return v
}

func (v *levelsView) describe(w io.Writer) error {
	pairs := []string{"table", fmt.Sprintf("feature level %d", v.Level)}
	for _, m := range v.Masters {
		text := fmt.Sprintf("version %s, knows level %d", m.Version, m.Level)
		if !m.Reachable {
			text = "does not answer"
		}
		pairs = append(pairs, m.Name, text)
	}
	next := v.Next
	if next == "" {
		next = "nothing: all is finalized"
	}
	return show.Fields(w, append(pairs, "next", next)...)
}
