package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cluster/backup"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
	"github.com/taskraft/taskraft/fsm"
)

func (a *app) snapshotCommand() *cobra.Command {
	return a.group("snapshot", "Back a cluster up, check a backup, restore it",
		a.snapshotSaveCommand(), a.snapshotInspectCommand("inspect", "Say what a backup holds", false),
		a.snapshotInspectCommand("verify", "Check a whole backup: its checksum, every block, every record", true),
		a.snapshotRestoreCommand())
}

// oneFile checks that a command got one file.
func oneFile(_ *cobra.Command, args []string) []settings.Problem {
	if len(args) == 0 {
		return missing("FILE", "monday.backup")
	}
	if len(args) > 1 {
		return []settings.Problem{{Where: "argument FILE", Problem: "too many", Got: fmt.Sprintf("%q", args), Want: "one file", Do: "run it for each"}}
	}
	return nil
}

func (a *app) snapshotSaveCommand() *cobra.Command {
	var from string
	return a.command(commandSpec{
		use: "save FILE [flags]", short: "Back up a running cluster",
		long: `Write the whole table, as it is at one entry of the log, to a new file. Work goes
on meanwhile. The leader writes it, or with --from another master once it holds
everything that the leader holds now.`,
		example: "  taskraft snapshot save monday.backup",
		rows: concat(a.dataRows(), settings.Table{
			{Flag: "from", Arg: "HOST:PORT", Value: settings.Text(&from, settings.Dial), Doc: "gRPC address of the master that writes it"},
		}),
		args: oneFile,
		run: func(ctx context.Context, args []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				minIndex := uint64(0)
				if from != "" {
					asked, cancel := a.call(ctx)
					defer cancel()
					leader, err := c.Leader(asked)
					if err != nil {
						return err
					}
					s, err := c.Status(asked, leader.Addr)
					if err != nil {
						return err
					}
					minIndex = s.GetAppliedIndex()
				}
				v, err := a.save(ctx, c, from, minIndex, args[0])
				if err != nil {
					return err
				}
				return a.printer().Object(v, v.File, v.describe)
			})
		},
	})
}

// save has a master write its table to a file.
func (a *app) save(ctx context.Context, c *client.Client, from string, minIndex uint64, name string) (*backupView, error) {
	return newBackup(name, func(f *os.File) error { return c.SaveSnapshot(ctx, from, minIndex, f) })
}

// newBackup has a backup written to a temporary name, checks it, and gives it its name.
func newBackup(name string, write func(*os.File) error) (*backupView, error) {
	if _, err := os.Lstat(name); err == nil {
		return nil, fail(exitConflict, "another name", "%s exists", name)
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return nil, fail(exitData, "another directory", "%w", err)
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}()
	if err := write(f); err != nil {
		return nil, err
	}
	archive, err := backup.Open(f)
	if err != nil {
		return nil, backupFailure(name, err)
	}
	if err := errors.Join(f.Sync(), os.Link(f.Name(), name)); err != nil {
		return nil, fail(exitData, "another directory", "%w", err)
	}
	return &backupView{File: name, Size: archive.Size, Info: archive.Info}, nil
}

// backupView is what the commands of `snapshot` print.
type backupView struct {
	File string `json:"file"`
	Size int64  `json:"size"`
	backup.Info
	Counts *backupCounts `json:"counts,omitempty"`
}

type backupCounts struct {
	Tasks    int `json:"tasks"`
	Queues   int `json:"queues"`
	Sessions int `json:"sessions"`
}

func (v *backupView) describe(w io.Writer) error {
	counts := ""
	if v.Counts != nil {
		counts = fmt.Sprintf("%s in %s, %s: all blocks and records read", plural(v.Counts.Tasks, "task"), plural(v.Counts.Queues, "queue"), plural(v.Counts.Sessions, "session"))
	}
	return show.Fields(w,
		"file", fmt.Sprintf("%s, %d bytes, checksum right", v.File, v.Size),
		"cluster", v.ClusterID,
		"entry", fmt.Sprintf("%d of term %d, written by %s %s", v.Index, v.Term, v.Master, v.Version),
		"taken", v.TakenAt.Local().Format(time.RFC3339),
		"table", counts,
	)
}

func (a *app) snapshotInspectCommand(name, short string, whole bool) *cobra.Command {
	return a.command(commandSpec{
		use: name + " FILE [flags]", short: short, example: "  taskraft snapshot " + name + " monday.backup",
		rows: a.config.outputRows(), args: oneFile,
		run: func(_ context.Context, args []string) error {
			f, archive, err := openBackup(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			v := &backupView{File: args[0], Size: archive.Size, Info: archive.Info}
			if whole {
				var m *fsm.Machine
				if m, err = archive.Table(); err != nil {
					return backupFailure(args[0], err)
				}
				v.Counts = new(backupCounts)
				v.Counts.Tasks, v.Counts.Sessions, v.Counts.Queues = m.Counts()
			}
			return a.printer().Object(v, v.File, v.describe)
		},
	})
}

func openBackup(name string) (*os.File, *backup.Archive, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, fail(exitData, "the name of a file that taskraft snapshot save wrote", "%w", err)
	}
	archive, err := backup.Open(f)
	if err != nil {
		_ = f.Close()
		return nil, nil, backupFailure(name, err)
	}
	return f, archive, nil
}

func backupFailure(name string, err error) error {
	if errors.Is(err, backup.ErrNewer) {
		return fail(exitIdentity, "the program that wrote it", "%s: %w", name, err)
	}
	return fail(exitData, "another backup; taskraft snapshot verify FILE", "%s: %w", name, err)
}

func (a *app) snapshotRestoreCommand() *cobra.Command {
	return a.command(commandSpec{
		use: "restore FILE [flags]", short: "Make a backup the table of a new cluster",
		long: `Make a backup the table of a cluster that was formed for it: nothing may ever have
been submitted to or set in it. It keeps its own cluster id. What the old cluster did
after the backup is unknown, so nothing that it gave out counts here: every attempt is
void and its task waits again, fences and ids go on far above.`,
		example: "  taskraft snapshot restore monday.backup --masters n1:7400",
		rows:    a.dataRows(), args: oneFile,
		run: func(ctx context.Context, args []string) error {
			f, _, err := openBackup(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				resp, err := c.RestoreSnapshot(ctx, f)
				if err != nil {
					return err
				}
				return a.printer().Object(resp, resp.GetClusterId(), func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "cluster %s has the table of cluster %s at entry %d: %s\n",
						resp.GetClusterId(), resp.GetFromClusterId(), resp.GetIndex(), plural(int(resp.GetTasks()), "task"))
					return err
				})
			})
		},
	})
}
