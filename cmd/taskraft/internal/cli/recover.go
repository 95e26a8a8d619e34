package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
)

func (a *app) clusterRecoverCommand() *cobra.Command {
	var dir, confirm string
	return a.command(commandSpec{
		use: "recover --data-dir DIR FILE [flags]", short: "Make a backup of what one master has left, when a majority is lost for ever",
		long: `Read the table out of the data directory of a master that does not run, write it
to a new backup, and retire the directory. Only for when a majority of the masters
is gone for ever: with a majority the cluster heals by itself, and "snapshot save"
backs it up.

What the lost masters had acknowledged without this one is lost. So choose, of the
directories that are left, the one with the highest term, and of these the one with
the highest entry: without --confirm this command only says what a directory holds.

The backup becomes a new cluster by "snapshot restore" into masters with new data
directories: every attempt is void there, its task is done again. Never start the
old masters again, should any turn up: they would hand out the same tasks.`,
		example: "  taskraft cluster recover --data-dir /var/lib/taskraft rest.backup\n" +
			"  taskraft cluster recover --data-dir /var/lib/taskraft --confirm 06a978840a047d59 rest.backup",
		rows: concat(a.config.outputRows(), settings.Table{
			{Flag: "data-dir", Arg: "DIR", Value: settings.Text(&dir, nil), Doc: "data directory of a stopped master"},
			{Flag: "confirm", Arg: "CLUSTER", Value: settings.Text(&confirm, nil), Doc: "id of the cluster that is lost: do it"},
		}),
		args: func(cmd *cobra.Command, args []string) []settings.Problem {
			problems := oneFile(cmd, args)
			if dir == "" {
				problems = append(problems, missing("--data-dir", "--data-dir /var/lib/taskraft")...)
			}
			return problems
		},
		run: func(ctx context.Context, args []string) error { return a.salvage(ctx, dir, confirm, args[0]) },
	})
}

// salvage does it, or says what could be done.
func (a *app) salvage(ctx context.Context, dir, confirm, file string) (err error) {
	s, err := cluster.OpenSalvage(ctx, dir, a.version, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	v := &salvageView{Dir: dir, backupView: backupView{Info: s.Info, Counts: new(backupCounts)}}
	v.Counts.Tasks, v.Counts.Sessions, v.Counts.Queues = s.Counts()
	switch {
	case confirm == "":
		v.Next = fmt.Sprintf("taskraft cluster recover --data-dir %s --confirm %s %s", dir, s.Info.ClusterID, file)
		return a.printer().Object(v, s.Info.ClusterID, v.describe)
	case confirm != s.Info.ClusterID:
		return fail(exitConflict, "--confirm "+s.Info.ClusterID, "%s holds cluster %s, not %s", dir, s.Info.ClusterID, confirm)
	}
	written, err := newBackup(file, func(f *os.File) error { return s.Write(ctx, f) })
	if err != nil {
		return err
	}
	if err := s.Retire(file); err != nil {
		return err
	}
	v.File, v.Size = written.File, written.Size
	v.Next = "taskraft snapshot restore " + file
	return a.printer().Object(v, file, v.describe)
}

// salvageView is what `cluster recover` prints.
type salvageView struct {
	Dir string `json:"dir"`
	backupView
	Next string `json:"next"`
}

func (v *salvageView) describe(w io.Writer) error {
	file, next := "none written yet", "if no other directory has a later entry, and a majority is lost for ever: "+v.Next
	if v.File != "" {
		file = fmt.Sprintf("%s, %d bytes; %s is retired", v.File, v.Size, v.Dir)
		next = "form a new cluster with empty data directories, then: " + v.Next
	}
	return show.Fields(w,
		"data of", fmt.Sprintf("%s, cluster %s", v.Master, v.ClusterID),
		"entry", fmt.Sprintf("%d of term %d", v.Index, v.Term),
		"table", fmt.Sprintf("%s in %s", plural(v.Counts.Tasks, "task"), plural(v.Counts.Queues, "queue")),
		"read", v.TakenAt.Local().Format(time.RFC3339),
		"backup", file,
		"next", next,
	)
}
