package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

func (a *app) taskLogsCommand() *cobra.Command {
	var ids []uint64
	var follow bool
	rows := settings.Table{{Flag: "follow", Short: "f", Value: settings.Switch(&follow), Doc: "go on until the task has ended, and exit with its code"}}
	return a.command(commandSpec{
		use: "logs ID [flags]", short: "Show what a task writes, while it runs and afterwards",
		long: `Show a task's output: the end of what its handler or program has written so far,
from the leader's memory, or the output in its result. With -f go on until the task
has ended, across changes of the leader; Ctrl-C leaves the task running.`,
		example: "  taskraft task logs 1042\n  taskraft task logs -f 1042",
		rows:    concat(rows, a.config.clientRows()),
		args:    oneTask(&ids, "taskraft task logs -f 1042"),
		run: func(ctx context.Context, _ []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				if follow {
					return a.followTask(ctx, c, ids[0])
				}
				return a.showLogs(ctx, c, ids[0])
			})
		},
	})
}

// showLogs prints what there is of a task's output.
func (a *app) showLogs(ctx context.Context, c *client.Client, id uint64) error {
	ctx, cancel := a.call(ctx)
	defer cancel()
	f := follower{app: a}
	for u, err := range c.Follow(ctx, id, client.WithoutWaiting()) {
		if err != nil {
			return err
		}
		if err := f.show(u); err != nil {
			return err
		}
	}
	return f.result()
}

// followTask shows what a task writes until it has ended, and ends with its code.
func (a *app) followTask(ctx context.Context, c *client.Client, id uint64) error {
	f := follower{app: a, line: a.statusLine()}
	defer f.line.clear()
	for u, err := range c.Follow(ctx, id) {
		if err == nil {
			err = f.show(u)
		}
		if err != nil {
			return followFailure(ctx, err, id)
		}
	}
	f.line.clear()
	return errors.Join(f.result(), stateFailure(f.task))
}

// followFailure is waitFailure for who was shown the output.
func followFailure(ctx context.Context, err error, id uint64) error {
	err = waitFailure(ctx, err, id)
	if f, ok := errors.AsType[*failure](err); ok && ctx.Err() != nil {
		f.try = fmt.Sprintf("taskraft task logs -f %d", id)
	}
	return err
}

// follower shows one task's updates.
type follower struct {
	app     *app
	line    *statusLine
	task    *taskraftv1.Task
	attempt int
	shown   bool // some output
}

func (f *follower) show(u client.Update) error {
	if u.Task != nil {
		f.task = u.Task
	}
	for _, o := range u.Output {
		f.line.clear()
		f.shown = true
		if f.attempt != 0 && o.Attempt != f.attempt {
			f.app.talk("taskraft: attempt %d", o.Attempt)
		}
		f.attempt = o.Attempt
		if o.Dropped > 0 {
			f.app.talk("taskraft: %d bytes before this are lost", o.Dropped)
		}
		to := f.app.Out
		if o.Stderr {
			to = f.app.Err
		}
		if _, err := to.Write(o.Data); err != nil {
			return err
		}
	}
	if u.Progress != nil {
		f.line.set(describeProgress(u.Progress))
	}
	return nil
}

// result prints the result, unless it is output that was shown.
func (f *follower) result() error {
	if f.shown && f.task.GetSpec().GetKind() == programKind {
		return nil
	}
	return f.app.printResult(f.task)
}

// describeProgress is one line of what an attempt said of itself.
func describeProgress(p *taskraftv1.Progress) string {
	if p == nil {
		return ""
	}
	text := fmt.Sprintf("%.0f%%", 100*p.GetFraction())
	if p.GetTotal() > 0 {
		text += fmt.Sprintf(" (%d of %d)", p.GetDone(), p.GetTotal())
	}
	if p.GetMessage() != "" {
		text += " " + show.Clean(p.GetMessage())
	}
	return text
}

// statusLine is a line on stderr that is overwritten on a terminal; elsewhere it
// is written at most every few seconds. Nil shows nothing.
type statusLine struct {
	w        io.Writer
	terminal bool
	stands   bool
	told     time.Time
}

// statusLine returns a line for progress; nil when nobody would read it.
func (a *app) statusLine() *statusLine {
	if !a.printer().People() {
		return nil
	}
	return &statusLine{w: a.Err, terminal: a.animated()}
}

// animated reports whether a line on stderr may be overwritten.
func (a *app) animated() bool {
	return isTerminal(a.Err) && a.env("TERM") != "dumb"
}

func (l *statusLine) set(text string) {
	switch {
	case l == nil:
	case l.terminal:
		fmt.Fprintf(l.w, "\r\x1b[K%s", text)
		l.stands = true
	case time.Since(l.told) > progressEvery:
		l.told = time.Now()
		fmt.Fprintln(l.w, text)
	}
}

func (l *statusLine) clear() {
	if l != nil && l.stands {
		fmt.Fprint(l.w, "\r\x1b[K")
		l.stands = false
	}
}

// waitShown is one round of waiting for a task on a terminal: its progress is
// shown meanwhile.
func (a *app) waitShown(ctx context.Context, c *client.Client, id uint64) (*taskraftv1.Task, error) {
	line := a.statusLine()
	defer line.clear()
	for u, err := range c.Follow(ctx, id, client.WithoutOutput()) {
		if err != nil {
			return nil, err
		}
		if u.Progress != nil {
			line.set(fmt.Sprintf("task %d: %s", id, describeProgress(u.Progress)))
		}
	}
	return c.Wait(ctx, id) // it has ended: the whole record
}
