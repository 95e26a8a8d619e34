package cli

import (
	"context"
	"math"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
)

func (a *app) debugCommand() *cobra.Command {
	return a.group("debug", "Look into the masters' tables", a.debugHashCommand())
}

func (a *app) clusterDigestCommand() *cobra.Command {
	return a.command(commandSpec{
		use: "digest [flags]", short: "Compare the masters' tables by the SHA-256 of their snapshots",
		long: `Ask every master for the SHA-256 of its table and the log index it was taken at.
Equal indexes must have equal digests; exits with 1 when they do not. While work goes
on each master answers for another index: debug hash compares them at the same one.`,
		rows: a.dataRows(),
		run: func(ctx context.Context, _ []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				return a.compare(ctx, c, a.clusterView(ctx, c).Masters, "SHA256", func(ctx context.Context, m *masterView) (tableView, error) {
					got, err := c.Digest(ctx, m.Address)
					return tableView{Index: got.GetIndex(), SHA256: got.GetSha256()}, err
				})
			})
		},
	})
}

func (a *app) debugHashCommand() *cobra.Command {
	var at uint64
	return a.command(commandSpec{
		use: "hash [flags]", short: "Compare the masters' tables by their hashes after one log entry, under load",
		long: `Ask every master for the hash of its table after the same entry of the log. They must
be equal among masters of one version; exits with 1 when they are not, with 7 when no
master answers. A master knows the hashes of its last 32,768 entries. Masters compare
them by themselves, once a second: this is to see it.`,
		example: "  taskraft debug hash\n  taskraft debug hash --at 1200345",
		rows: concat(settings.Table{
			{Flag: "at", Arg: "INDEX", Value: settings.Int(&at, 1, math.MaxInt64, nil), Doc: "log index (default: the last entry that all have applied)"},
		}, a.dataRows()),
		run: func(ctx context.Context, _ []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				masters := a.clusterView(ctx, c).Masters
				first, last := applied(masters)
				switch {
				case at == 0:
					at = first
				case last != 0 && at > last:
					return fail(exitNotFound, "taskraft debug hash", "--at: entry %d is not applied yet: the last one is %d", at, last)
				}
				return a.compare(ctx, c, masters, "HASH", func(ctx context.Context, m *masterView) (tableView, error) {
					got, err := c.StateHash(ctx, m.Address, at)
					return tableView{Index: got.GetIndex(), Hash: got.GetHash(), version: m.status.GetVersion()}, err
				})
			})
		},
	})
}

// applied returns the last entry that all masters have applied that can be asked, and
// the last one that any has; 0 when none can.
func applied(masters []*masterView) (byAll, byAny uint64) {
	for _, m := range masters {
		i := m.status.GetAppliedIndex()
		if i != 0 && (byAll == 0 || i < byAll) {
			byAll = i
		}
		byAny = max(byAny, i)
	}
	return byAll, byAny
}

// tableView is one master's answer to `cluster digest` and `debug hash`.
type tableView struct {
	Address string `json:"address"`
	Name    string `json:"name,omitempty"`
	Index   uint64 `json:"index,omitempty,string"`
	SHA256  string `json:"sha256,omitempty"`
	Hash    string `json:"hash,omitempty"`
	Error   string `json:"error,omitempty"`

	version string // of the master, if another may count otherwise
}

func (v tableView) sum() string { return v.SHA256 + v.Hash }

// compare prints what each master answers about its table, and fails when two differ
// that must not, or none answers.
func (a *app) compare(ctx context.Context, c *client.Client, masters []*masterView, head string,
	ask func(ctx context.Context, m *masterView) (tableView, error),
) error {
	list := show.NewList(a.printer(), "tables", tableView.sum, []show.Column[tableView]{
		{Head: "NAME", Cell: func(v tableView) string { return v.Name }},
		{Head: "INDEX", Right: true, Cell: func(v tableView) string { return nonZero(v.Index) }},
		{Head: head, Full: true, Cell: func(v tableView) string { return v.sum() + v.Error }},
		{Head: "ADDRESS", Cell: func(v tableView) string { return v.Address }},
	})
	var all []tableView
	for _, m := range masters {
		v := tableView{Error: m.Error}
		if m.Reachable {
			callCtx, cancel := a.call(ctx)
			var err error
			if v, err = ask(callCtx, m); err != nil {
				v = tableView{Error: err.Error()}
			}
			cancel()
		}
		v.Address, v.Name = m.Address, m.status.GetName()
		all = append(all, v)
		if err := list.Add(v); err != nil {
			return err
		}
	}
	if err := list.Close(); err != nil {
		return err
	}
	switch answered, differ := judgeTables(all); {
	case !answered:
		return fail(exitNoLeader, "taskraft cluster status", "no master answered")
	case differ:
		return fail(exitError, "keeping the data directories and reporting it", "the masters' tables differ at the same index: this must never happen")
	}
	return nil
}

// judgeTables reports whether any master answered, and whether two differ that speak of
// the same index and count alike.
func judgeTables(all []tableView) (answered, differ bool) {
	type what struct {
		index   uint64
		version string
	}
	said := make(map[what]string)
	for _, v := range all {
		if v.Error != "" {
			continue
		}
		at := what{v.Index, v.version}
		if sum, known := said[at]; known && sum != v.sum() {
			differ = true
		}
		said[at] = v.sum()
	}
	return len(said) > 0, differ
}
