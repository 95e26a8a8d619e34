package command

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/taskraft/taskraft/internal/tracing"
	"github.com/taskraft/taskraft/worker"
)

// Kind is the task kind that this package is for.
const Kind = "command"

// Config says what may run and how it ends.
type Config struct {
	// Allow lists programs by name (looked up in PATH once, at the start) or by
	// absolute path; "*" allows every program. At least one is required.
	Allow []string
	// Grace is the time from SIGTERM to SIGKILL; 0: 5 s.
	Grace time.Duration
	// MaxResult bounds the result in bytes; 0: 64 KiB. Standard output and standard
	// error each get a little less than half of it, for their ends.
	MaxResult int
	// PassEnv names further variables of the worker that programs get.
	PassEnv []string
	Limits  Limits       // of each program
	Logger  *slog.Logger // nil: slog.Default()
}

const (
	defaultGrace     = 5 * time.Second
	defaultMaxResult = 64 << 10
	minMaxResult     = 8 << 10
	resultOverhead   = 4 << 10 // everything but the output
)

// passEnv are the worker's variables that every program gets.
var passEnv = []string{"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR"}

type runner struct {
	allow  allowed
	grace  time.Duration
	stuck  time.Duration // after SIGKILL
	output int           // bytes of each stream, as JSON
	env    []string
	limits Limits
	log    *slog.Logger
	signal func(pgid int, sig syscall.Signal)
	marked func(mark string) // kills what carries the mark
}

// New checks the configuration and returns the handler. Its error names every
// program that cannot be run.
func New(cfg Config) (worker.Handler, error) {
	r, err := newRunner(cfg)
	if err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 {
		r.log.Warn("programs will run as root: give the worker a user of its own")
	}
	return r.handle, nil
}

func newRunner(cfg Config) (*runner, error) {
	if cfg.Grace == 0 {
		cfg.Grace = defaultGrace
	}
	if cfg.MaxResult == 0 {
		cfg.MaxResult = defaultMaxResult
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	allow, err := resolveAll(cfg.Allow)
	if cfg.Grace < 0 {
		err = errors.Join(err, fmt.Errorf("grace: got %s, want 0 or more", cfg.Grace))
	}
	if cfg.MaxResult < minMaxResult || cfg.MaxResult > 1<<20 {
		err = errors.Join(err, fmt.Errorf("max result: got %d bytes, want %d to %d", cfg.MaxResult, minMaxResult, 1<<20))
	}
	if err = errors.Join(err, cfg.Limits.check()); err != nil {
		return nil, err
	}
	r := &runner{
		allow: allow, limits: cfg.Limits, grace: cfg.Grace, stuck: 5 * time.Second,
		output: (cfg.MaxResult - resultOverhead) / 2, log: cfg.Logger, signal: signalGroup, marked: killMarked,
	}
	for _, name := range slices.Concat(passEnv, cfg.PassEnv) {
		if value, ok := os.LookupEnv(name); ok {
			r.env = append(r.env, name+"="+value)
		}
	}
	return r, nil
}

// handle runs one task's program.
func (r *runner) handle(ctx context.Context, t *worker.Task) (worker.Result, error) {
	p, err := parse(t.Payload)
	if err != nil {
		return worker.Result{}, worker.Permanent(err)
	}
	path, err := r.allow.path(p.Argv[0])
	if err != nil {
		return worker.Result{}, worker.Permanent(err)
	}
	stdout, stderr := newCapped(r.output), newCapped(r.output)
	mark := "TASKRAFT_RUN=" + rand.Text() // of this run and no other on the host
	cmd := &exec.Cmd{
		Path: path, Args: p.Argv, Dir: p.Dir, Env: append(r.environ(ctx, p, t), mark),
		Stdout:      io.MultiWriter(stdout, worker.Output(ctx, worker.Stdout)),
		Stderr:      io.MultiWriter(stderr, worker.Output(ctx, worker.Stderr)),
		SysProcAttr: processAttributes(), WaitDelay: pipeDelay,
	}
	if r.limits != (Limits{}) {
		limitAttributes(cmd.SysProcAttr)
	}
	if p.Stdin != "" {
		cmd.Stdin = strings.NewReader(p.Stdin)
	}
	began := time.Now()
	err = r.supervise(ctx, cmd, t, mark)
	switch {
	case cmd.Process == nil && r.limits != (Limits{}) && errors.Is(err, syscall.EPERM):
		return worker.Result{}, fmt.Errorf("start %s: %w (a host that forbids ptrace cannot keep limits)", p.Argv[0], err)
	case cmd.Process == nil:
		return worker.Result{}, startError(p, err)
	case err != nil:
		return worker.Result{}, fmt.Errorf("start %s: %w", p.Argv[0], err)
	}
	res := outcome(cmd.ProcessState)
	res.DurationMS = time.Since(began).Milliseconds()
	res.Stdout, res.StdoutTruncated = stdout.text()
	res.Stderr, res.StderrTruncated = stderr.text()
	return res.encode(), exitError(ctx, p, res, cmd.ProcessState)
}

// environ is the child's environment: later values win.
func (r *runner) environ(ctx context.Context, p *payload, t *worker.Task) []string {
	env := slices.Clone(r.env)
	if parent, state := tracing.Format(trace.SpanContextFromContext(ctx)); parent != "" {
		env = append(env, "TRACEPARENT="+parent, "TRACESTATE="+state)
	}
	for name, value := range p.Env {
		env = append(env, name+"="+value)
	}
	if t.Schedule != "" {
		env = append(env, "TASKRAFT_SCHEDULE="+t.Schedule)
	}
	if !t.FireTime.IsZero() {
		env = append(env, "TASKRAFT_FIRE_TIME="+t.FireTime.Format(time.RFC3339))
	}
	return append(env,
		"TASKRAFT_TASK="+strconv.FormatUint(t.ID, 10),
		"TASKRAFT_FENCE="+strconv.FormatUint(t.Fence, 10),
		"TASKRAFT_ATTEMPT="+strconv.Itoa(t.Attempt),
		"TASKRAFT_WORKER="+t.Worker,
	)
}

// startError tells what will never work from what may work later or elsewhere.
func startError(p *payload, err error) error {
	err = fmt.Errorf("start %s: %w", p.Argv[0], err)
	for _, never := range []error{syscall.ENOENT, syscall.EACCES, syscall.EPERM, syscall.ENOEXEC, syscall.ENOTDIR, syscall.E2BIG, syscall.EINVAL, syscall.ELOOP, syscall.ENAMETOOLONG} {
		if errors.Is(err, never) {
			return worker.Permanent(err)
		}
	}
	return err
}

// exitError is what the program's end means for the task.
func exitError(ctx context.Context, p *payload, res result, state *os.ProcessState) error {
	name := p.Argv[0]
	if ctx.Err() != nil {
		// Even an exit with 0: many programs end so when they are told to stop.
		return fmt.Errorf("%s was stopped: %w (%s)", name, context.Cause(ctx), state)
	}
	if res.ExitCode == 0 && res.Signal == "" {
		return nil
	}
	err := fmt.Errorf("%s: %s", name, state)
	if line := lastLine(res.Stderr); line != "" {
		err = fmt.Errorf("%w: %s", err, line)
	}
	if res.ExitCode == 126 || res.ExitCode == 127 {
		return worker.Permanent(err)
	}
	return err
}

// lastLine returns the last line of s that is not blank, if it is of use in an error.
func lastLine(s string) string {
	const most = 200
	s = strings.TrimSpace(s)
	s = s[strings.LastIndexByte(s, '\n')+1:]
	return strings.ToValidUTF8(s[:min(len(s), most)], "")
}
