package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/worker"
	"github.com/taskraft/taskraft/worker/command"
)

// workerConfig is the settings of `taskraft worker run`.
type workerConfig struct {
	id           string
	queues       []worker.Queue
	slots        int
	labels       map[string]string
	allow        []string
	exitWhenDone bool
	drainTimeout time.Duration
	ttl          time.Duration
	journal      string
	push         pushConfig
	limits       command.Limits
}

const workerIDForm = `[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}`

// inWorker is a setting whose variable says that it is the worker's.
func inWorker(path string, r settings.Row) *settings.Row {
	r.Env = "TASKRAFT_WORKER_" + strings.ToUpper(strings.ReplaceAll(r.Flag, "-", "_"))
	return setting("worker."+path, r)
}

func (w *workerConfig) rows() settings.Table { return concat(w.runRows(), w.push.rows()) }

func (w *workerConfig) runRows() settings.Table {
	return settings.Table{
		inWorker("id", settings.Row{
			Flag: "id", Arg: "ID", Value: settings.Text(&w.id, settings.Match("a worker's id", workerIDForm)),
			Doc: "this worker's id (default from host, pid and a random number)", Example: "w1",
		}),
		inWorker("queues", settings.Row{
			Flag: "queue", Arg: "QUEUE[=WEIGHT]", List: true, Default: "default", Value: queueWeights{&w.queues},
			Doc: "take tasks from this queue; may be repeated", Example: "mail=3",
		}),
		inWorker("slots", settings.Row{
			Flag: "slots", Arg: "N", Default: "8", Value: settings.Int(&w.slots, 1, 4096, nil), Doc: "how many tasks run at once",
		}),
		inWorker("labels", settings.Row{
			Flag: "label", Arg: "KEY=VALUE", List: true, Value: settings.Pairs(&w.labels, 16), Doc: "a label of this worker; may be repeated", Example: "zone=a",
		}),
		inWorker("allow_commands", settings.Row{
			Flag: "allow-command", Arg: "PROGRAM", List: true, Value: settings.List(&w.allow, checkProgram),
			Doc: "a program that tasks may run; may be repeated; '*' allows all", Example: "/usr/bin/gzip",
		}),
		inWorker("limit_memory", settings.Row{
			Flag: "limit-memory", Arg: "SIZE", Value: settings.Size(&w.limits.Memory, 1<<20, 1<<50), Doc: "address space of a program (Linux)", Example: "2GiB",
		}),
		inWorker("limit_cpu", settings.Row{
			Flag: "limit-cpu", Arg: "DURATION", Value: settings.Duration(&w.limits.CPU, time.Second, 30*24*time.Hour), Doc: "processor time of a program, in whole seconds (Linux)", Example: "10m",
		}),
		inWorker("limit_file_size", settings.Row{
			Flag: "limit-file-size", Arg: "SIZE", Value: settings.Size(&w.limits.FileSize, 1, 1<<50), Doc: "size of a file that a program writes (Linux)", Example: "1GiB",
		}),
		inWorker("limit_files", settings.Row{
			Flag: "limit-files", Arg: "N", Value: settings.Int(&w.limits.Files, 8, 1<<20, nil), Doc: "files that a program has open (Linux)", Example: "256",
		}),
		inWorker("exit_when_done", settings.Row{
			Flag: "exit-when-done", Value: settings.Switch(&w.exitWhenDone), Doc: "end when the queues have nothing unfinished, after at least one task",
		}),
		inWorker("drain_timeout", settings.Row{
			Flag: "drain-timeout", Arg: "DURATION", Default: "30s", Value: settings.Duration(&w.drainTimeout, time.Millisecond, 24*time.Hour),
			Doc: "how long running tasks may take to end after SIGTERM",
		}),
		inWorker("ttl", settings.Row{
			Flag: "ttl", Arg: "DURATION", Value: settings.Duration(&w.ttl, time.Second, 24*time.Hour),
			Doc: "how long the masters wait for this worker when it is silent (default theirs, 10s)", Example: "10s",
		}),
		inWorker("journal", settings.Row{
			Flag: "journal", Arg: "FILE", Value: settings.Text(&w.journal, checkPath), Doc: "append a JSON line to this file for every outcome that a master confirmed",
		}),
	}
}

func checkProgram(s string) error {
	if s == "" || strings.ContainsRune(s, 0) {
		return &settings.Invalid{Problem: "not a program", Want: "a path, a name, or *"}
	}
	return nil
}

// queueWeights takes NAME or NAME=WEIGHT texts.
type queueWeights struct{ p *[]worker.Queue }

func (v queueWeights) Set(texts []string) error {
	var queues []worker.Queue
	seen := make(map[string]bool)
	for _, s := range texts {
		name, weight, weighted := strings.Cut(s, "=")
		q := worker.Queue{Name: name, Weight: 1}
		if err := checkQueue(name); err != nil {
			return fmt.Errorf("%q: %w", s, err)
		}
		if weighted {
			if err := settings.Int(&q.Weight, 1, 1000, nil).Set([]string{weight}); err != nil {
				return fmt.Errorf("%q: weight: %w", s, err)
			}
		}
		if seen[name] {
			return fmt.Errorf("%q: %w", s, &settings.Invalid{Problem: "listed twice", Want: "each queue once"})
		}
		seen[name] = true
		queues = append(queues, q)
	}
	*v.p = queues
	return nil
}

func (v queueWeights) String() string {
	var out []string
	for _, q := range *v.p {
		s := q.Name
		if q.Weight > 1 {
			s += "=" + strconv.Itoa(q.Weight)
		}
		out = append(out, s)
	}
	return strings.Join(out, ",")
}

func (a *app) workerCommand() *cobra.Command {
	return a.group("worker", "Run workers, look at them, drain and remove them",
		a.workerRunCommand(), a.workerAddCommand(), a.workerListCommand(), a.workerGetCommand(), a.workerDrainCommand(), a.workerRemoveCommand())
}

func (a *app) workerRunCommand() *cobra.Command {
	w := &a.config.worker
	return a.command(commandSpec{
		use: "run --allow-command PROGRAM… [flags]", short: "Run a worker that executes programs",
		long: `Run a worker that executes tasks of kind "command": programs without a shell, each
in its own process group, only those that --allow-command names. SIGTERM or SIGINT
drains: running tasks may end within --drain-timeout, the rest is handed back; a
second signal ends the worker at once.

With --push the worker does not call the masters: it serves at that address, which
it registers with them, and the leader calls it.`,
		example: "  taskraft worker run --allow-command gzip,sha256sum --queue mail=3 --queue default --slots 16",
		rows:    concat(w.rows(), a.config.mastersRows(), a.config.logRows()),
		check: func() []settings.Problem {
			out := w.push.check(w.exitWhenDone)
			if len(w.allow) > 0 {
				return out
			}
			return append(out, settings.Problem{
				Where: w.rows().Find("allow-command").Where(), Problem: "missing: no task could run here", Want: "PROGRAM",
				Do: "name the programs, as in --allow-command gzip, or '*' for all",
			})
		},
		run: func(ctx context.Context, _ []string) error { return a.runWorker(ctx) },
	})
}

func (a *app) runWorker(ctx context.Context) error {
	w := &a.config.worker
	log := a.logger()
	handler, err := command.New(command.Config{Allow: w.allow, Limits: w.limits, Logger: log})
	if err != nil {
		return fail(exitUsage, "taskraft worker run --help", "--allow-command, --limit-…: %w", err)
	}
	cfg := worker.DefaultConfig()
	cfg.Masters, cfg.ID, cfg.Queues, cfg.Slots, cfg.Labels = a.config.masters, w.id, w.queues, w.slots, w.labels
	cfg.Handlers = map[string]worker.Handler{programKind: handler}
	cfg.TTL, cfg.DrainTimeout, cfg.ExitWhenDone = w.ttl, w.drainTimeout, w.exitWhenDone
	cfg.Version, cfg.Logger = a.version, log
	if cfg.ID == "" {
		cfg.ID = defaultWorkerID()
	}
	traces, err := a.tracing(ctx, "worker", cfg.ID, log)
	if err != nil {
		return err
	}
	defer traces.Close()
	cfg.TracerProvider = traces.Tracer()
	if w.journal != "" {
		j, err := openJournal(w.journal)
		if err != nil {
			return err
		}
		defer j.close()
		cfg.OnOutcome = j.add
	}
	if w.push.addr != "" {
		l, err := listen(ctx, "push", w.push.addr)
		if err != nil {
			return err
		}
		cfg.Push = &worker.Push{Listener: l, Advertise: w.push.advertised(l)}
	}
	ctx, stop := drainable(ctx)
	defer stop()
	return worker.Run(ctx, cfg)
}

// defaultWorkerID is unique to this process on this host.
func defaultWorkerID() string {
	host, err := os.Hostname()
	if err != nil {
		host = "worker"
	}
	host = strings.Map(func(r rune) rune {
		if strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.", r) {
			return r
		}
		return '-'
	}, host)
	var b [3]byte
	rand.Read(b[:])
	return fmt.Sprintf("%.80s-%d-%s", strings.TrimLeft(host, "-."), os.Getpid(), hex.EncodeToString(b[:]))
}
