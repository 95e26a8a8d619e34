package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
)

// submitFlags are the flags of `taskraft submit`.
type submitFlags struct {
	queue, kind, contentType string
	payload, payloadFile     string
	file                     string
	priority                 int32
	priorityGiven            bool
	delay                    time.Duration
	at                       time.Time
	timeout                  time.Duration
	maxAttempts              int
	backoff                  []time.Duration
	requestID                string
	concurrencyKey           string
	unique, uniqueUntil      string
	require, labels          map[string]string
	expiresIn, retain        time.Duration
	count                    int
	after                    []uint64
	afterRun                 bool
	batch                    string
	wait, follow             bool
	most                     time.Duration
	argv                     []string
	broadcast                broadcastFlags
}

func (f *submitFlags) rows() settings.Table { return concat(f.taskRows(), f.broadcast.rows()) }

func (f *submitFlags) taskRows() settings.Table {
	const year = 365 * 24 * time.Hour
	const month = 30 * 24 * time.Hour
	return settings.Table{
		{Flag: "queue", Short: "q", Arg: "QUEUE", Value: settings.Text(&f.queue, checkQueue), Doc: "the queue (default \"default\")"},
		{Flag: "kind", Arg: "KIND", Value: settings.Text(&f.kind, nil), Doc: "the handler's name at the worker"},
		{Flag: "payload", Arg: "TEXT", Whole: true, Value: settings.Text(&f.payload, nil), Doc: "what the handler gets"},
		{Flag: "payload-file", Arg: "FILE|-", Value: settings.Text(&f.payloadFile, checkPath), Doc: "read the payload from a file, or from stdin"},
		{Flag: "content-type", Arg: "TYPE", Value: settings.Text(&f.contentType, nil), Doc: "what the payload is, for the handler"},
		{Flag: "file", Short: "f", Arg: "FILE|-", Value: settings.Text(&f.file, checkPath), Doc: "submit the tasks in a file, or on stdin: JSON lines, a JSON array or YAML documents"},
		{Flag: "priority", Arg: "N", Value: settings.Int(&f.priority, -100, 100, &f.priorityGiven), Doc: "-100 to 100, higher first"},
		{Flag: "delay", Arg: "DURATION", Value: settings.Duration(&f.delay, time.Millisecond, year), Doc: "do not start before this much later", Example: "10m"},
		{Flag: "at", Arg: "TIME", Value: settings.Time(&f.at), Doc: "do not start before this time", Example: "2026-01-31T09:00:00Z"},
		{Flag: "timeout", Arg: "DURATION", Value: settings.Duration(&f.timeout, time.Millisecond, month), Doc: "limit of one attempt (default the queue's, or 5m)", Example: "5m"},
		{Flag: "max-attempts", Arg: "N", Value: settings.Int(&f.maxAttempts, 1, 100, nil), Doc: "attempts before the task is DEAD (default the queue's, or 3)"},
		{Flag: "backoff", Arg: "BASE,MAX", List: true, Value: backoffValue(&f.backoff), Doc: "pause after a failure, doubling up to MAX (default the queue's, or 1s,10m)", Example: "1s,10m"},
		{Flag: "request-id", Arg: "ID", Value: settings.Text(&f.requestID, nil), Doc: "the same id with the same content is the same task"},
		{Flag: "require", Arg: "KEY=VALUE", List: true, Value: settings.Pairs(&f.require, 16), Doc: "a label that the worker must have; may be repeated", Example: "gpu=a100"},
		{Flag: "label", Arg: "KEY=VALUE", List: true, Value: settings.Pairs(&f.labels, 16), Doc: "for searches: taskraft task list --label; may be repeated", Example: "tenant=7"},
		{Flag: "concurrency-key", Arg: "KEY", Value: settings.Text(&f.concurrencyKey, nil), Doc: "run at most the queue's --max-running-per-key tasks of this key at once"},
		{Flag: "unique", Arg: "KEY", Value: settings.Text(&f.unique, nil), Doc: "if a task with this key lives, it is the one: its id is printed"},
		{Flag: "unique-until", Arg: "start|terminal", Value: settings.Text(&f.uniqueUntil, settings.OneOf("start", "terminal")), Doc: "until when the key is kept (default terminal)"},
		{Flag: "expires-in", Arg: "DURATION", Value: settings.Duration(&f.expiresIn, time.Millisecond, year), Doc: "cancel the task if it has not started by then", Example: "1h"},
		{Flag: "retain", Arg: "DURATION", Value: settings.Duration(&f.retain, time.Second, year), Doc: "how long the record is kept after the end (default the queue's, or 24h)", Example: "24h"},
		{Flag: "after", Arg: "ID,…", List: true, Value: idsValue(&f.after), Doc: "wait until these tasks have succeeded; cancelled if one of them does not", Example: "1042,1043"},
		{Flag: "after-run", Value: settings.Switch(&f.afterRun), Doc: "with --after: run also when one of them does not succeed"},
		{Flag: "batch", Arg: "NAME", Value: settings.Text(&f.batch, nil), Doc: "submit all tasks as one batch: all or none, with a counter; --request-id is the batch's"},
		{Flag: "count", Arg: "N", Default: "1", Value: settings.Int(&f.count, 1, 10_000_000, nil), Doc: "submit this many equal tasks"},
		{Flag: "wait", Value: settings.Switch(&f.wait), Doc: "wait for the result, print it and exit with its code"},
		{Flag: "follow", Value: settings.Switch(&f.follow), Doc: "show the task's output while it runs, and exit with its code"},
		waitRow(&f.most),
	}
}

func (a *app) submitCommand() *cobra.Command {
	f := new(submitFlags)
	return a.command(commandSpec{
		use: "submit [flags] [-- PROGRAM ARG…]", short: "Submit tasks and print their ids",
		long: `Submit a task, or many, and print their ids. A printed id is on the disks of a
majority of the masters. With -- PROGRAM ARG… the task runs a program, without a
shell, on a worker that allows it.

-f takes one task per line of JSON with the API's keys (queue, kind, payload in
base64 or as a JSON object, priority, delay, run_at, timeout, max_attempts, backoff,
expires_in, request_id, retain, require, labels, concurrency_key, unique_key,
unique_until, traceparent, after, after_policy, on_success, on_dead, broadcast; argv
for a program), a JSON array of such tasks, or YAML documents. Tasks are sent in
groups as they are read; with --batch they are read to the end, up to 100,000, and
accepted all or none, and after_items may name parents by their place in the file,
from 0.

With --follow the task's output is shown as it comes, across changes of the leader;
Ctrl-C leaves the task running and says how to follow it again.

--broadcast gives the task to every worker that has the labels now, in a slot
reserved for this. With --wait what each says is printed as it comes.

Exit codes with --wait and --follow: 0 SUCCEEDED, 3 DEAD, 4 CANCELLED.`,
		example: `  taskraft submit --wait -- sha256sum /etc/hostname
  taskraft submit --broadcast role=web --wait -- uptime
  taskraft submit -q mail --kind send --payload '{"to":"a@example.org"}'
  seq 1000 | jq -c '{queue:"numbers",kind:"square",payload:{n:.}}' | taskraft submit -f -`,
		rows: concat(f.rows(), a.dataRows()),
		args: f.checkArgs, check: func() []settings.Problem { return append(f.check(), a.checkFollow(f)...) },
		run: func(ctx context.Context, _ []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				if f.batch != "" {
					return a.submitBatch(ctx, c, f)
				}
				if f.file != "" {
					return a.submitFile(ctx, c, f)
				}
				return a.submitSame(ctx, c, f)
			})
		},
	})
}

// checkArgs takes the program to run from behind --.
func (f *submitFlags) checkArgs(cmd *cobra.Command, args []string) []settings.Problem {
	dash := cmd.ArgsLenAtDash()
	if loose := args[:max(dash, 0)]; dash < 0 && len(args) > 0 || len(loose) > 0 {
		return []settings.Problem{{
			Where: "arguments", Problem: "not a flag", Got: fmt.Sprintf("%q", args), Want: "-- PROGRAM ARG…",
			Do: "put -- before the program, as in taskraft submit -- echo hello",
		}}
	}
	if dash < 0 {
		return nil
	}
	return f.takeProgram(args)
}

// takeProgram takes the program to run, which stood behind --.
func (f *submitFlags) takeProgram(args []string) []settings.Problem {
	f.argv = args
	if len(args) == 0 {
		return missing("PROGRAM", "taskraft submit -- echo hello")
	}
	var out []settings.Problem
	exclude := func(flag, why string) {
		out = append(out, settings.Problem{Where: "--" + flag, Problem: why, Want: "one of them", Do: "choose one"})
	}
	for flag, given := range map[string]bool{"payload": f.payload != "", "payload-file": f.payloadFile != "", "file": f.file != ""} {
		if given {
			exclude(flag, "given together with -- PROGRAM")
		}
	}
	if f.kind != "" && f.kind != programKind {
		out = append(out, settings.Problem{Where: "--kind", Problem: "-- PROGRAM makes a task of kind " + programKind, Got: quoted(f.kind), Want: programKind, Do: "leave it out"})
	}
	return out
}

func (f *submitFlags) check() []settings.Problem {
	var out []settings.Problem
	both := func(flag, other string) {
		out = append(out, settings.Problem{Where: "--" + flag, Problem: "given together with --" + other, Want: "one of them", Do: "choose one"})
	}
	if f.payload != "" && f.payloadFile != "" {
		both("payload", "payload-file")
	}
	if f.file != "" && (f.payload != "" || f.payloadFile != "") {
		both("file", "payload")
	}
	if f.delay != 0 && !f.at.IsZero() {
		both("delay", "at")
	}
	if f.uniqueUntil != "" && f.unique == "" {
		out = append(out, settings.Problem{Where: "--unique-until", Problem: "given without --unique", Want: "both", Do: "add --unique KEY"})
	}
	if f.unique != "" && f.count > 1 {
		both("unique", "count")
	}
	if f.unique != "" && f.file != "" {
		out = append(out, settings.Problem{Where: "--unique", Problem: "given together with --file", Want: "unique_key in each task", Do: "move it into the file"})
	}
	if f.requestID != "" && f.count > 1 && f.batch == "" {
		both("request-id", "count")
	}
	if f.file != "" && f.count > 1 {
		both("file", "count")
	}
	if f.follow && f.wait {
		both("follow", "wait")
	}
	if f.follow && f.count > 1 {
		both("follow", "count")
	}
	if f.follow && f.file != "" {
		both("follow", "file")
	}
	if f.afterRun && len(f.after) == 0 && f.file == "" {
		out = append(out, settings.Problem{Where: "--after-run", Problem: "given without --after", Do: "say --after which tasks, too"})
	}
	if f.file != "" && f.requestID != "" && f.batch == "" {
		out = append(out, settings.Problem{Where: "--request-id", Problem: "given together with --file", Want: "request_id in each task", Do: "move it into the file"})
	}
	return append(out, f.broadcast.check()...)
}

// checkFollow refuses a form that the output of a task does not have.
func (a *app) checkFollow(f *submitFlags) []settings.Problem {
	if !f.follow || a.printer().People() {
		return nil
	}
	return []settings.Problem{{
		Where: "--follow", Problem: "given together with -o " + a.config.output, Want: "one of them",
		Do: "use --wait for a result in that form",
	}}
}

// task is what the flags describe.
func (a *app) task(f *submitFlags) (client.Task, error) {
	t := client.Task{
		Queue: f.queue, Kind: f.kind, Payload: []byte(f.payload), ContentType: f.contentType,
		Delay: f.delay, RunAt: f.at, Timeout: f.timeout, MaxAttempts: f.maxAttempts,
		RequestID: f.requestID, ExpiresIn: f.expiresIn, Retain: f.retain,
		Require: f.require, Labels: f.labels, ConcurrencyKey: f.concurrencyKey, UniqueKey: f.unique, UniqueUntilStart: f.uniqueUntil == "start",
		Broadcast: f.broadcast.broadcast(),
		After:     f.after, AfterRun: f.afterRun,
	}
	if f.batch != "" {
		t.RequestID = ""
	}
	if f.priorityGiven {
		t.Priority = &f.priority
	}
	if len(f.backoff) > 0 {
		t.BackoffBase = f.backoff[0]
	}
	if len(f.backoff) > 1 {
		t.BackoffMax = f.backoff[1]
	}
	if len(f.argv) > 0 {
		if err := setProgram(&t, f.argv); err != nil {
			return t, err
		}
	}
	if f.payloadFile != "" {
		in, err := a.open(f.payloadFile)
		if err != nil {
			return t, err
		}
		defer in.Close()
		if t.Payload, err = io.ReadAll(io.LimitReader(in, maxPayload+1)); err != nil {
			return t, fmt.Errorf("read payload: %w", err)
		}
		if len(t.Payload) > maxPayload {
			return t, usage("payload is larger than "+settings.FormatSize(maxPayload), "put the data elsewhere and its address into the payload")
		}
	}
	return t, nil
}

// maxPayload is the hard limit of every cluster.
const maxPayload = 1 << 20

// open opens a file, or stdin for "-".
func (a *app) open(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(a.In), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fail(exitUsage, "", "%w", err)
	}
	return f, nil
}

// submitSame submits --count equal tasks.
func (a *app) submitSame(ctx context.Context, c *client.Client, f *submitFlags) error {
	t, err := a.task(f)
	if err != nil {
		return err
	}
	s := a.newSubmitter(c, f)
	if f.count == 1 {
		if err := s.one(ctx, t); err != nil {
			return err
		}
		return s.finish(ctx, f)
	}
	for range f.count {
		if err := s.add(ctx, t); err != nil {
			return s.cutShort(err)
		}
	}
	return s.finish(ctx, f)
}

// submitFile submits what a file describes; flags say what its tasks leave open.
func (a *app) submitFile(ctx context.Context, c *client.Client, f *submitFlags) error {
	in, err := a.open(f.file)
	if err != nil {
		return err
	}
	defer in.Close()
	base, err := a.task(f)
	if err != nil {
		return err
	}
	s := a.newSubmitter(c, f)
	n := 0
	for t, err := range readTasks(in, base) {
		n++
		if err == nil && len(t.AfterItems) > 0 {
			err = errors.New("after_items: tasks of a file name each other only with --batch")
		}
		if err == nil {
			err = s.add(ctx, t)
		} else {
			err = fail(exitUsage, "taskraft submit --help, for the keys", "%s: task %s: %w", inputName(f.file), strconv.Itoa(n), err)
		}
		if err != nil {
			return s.cutShort(errors.Join(err, s.flushKnown(ctx, err)))
		}
	}
	return s.finish(ctx, f)
}

func inputName(file string) string {
	if file == "-" {
		return "stdin"
	}
	return file
}
