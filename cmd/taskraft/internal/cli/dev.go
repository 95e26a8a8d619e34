package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/worker"
)

// devFlags are the flags of `taskraft dev`.
type devFlags struct {
	masters string
	workers int
	slots   int
	queues  []worker.Queue
	keep    string
	level   string
}

func (a *app) devCommand() *cobra.Command {
	f := new(devFlags)
	return a.command(commandSpec{
		use: "dev [flags]", short: "Run masters and workers on this machine, in one terminal",
		long: `Run masters and workers as separate processes on this machine until Ctrl-C. The
workers run any program that a task names, as you. Kill one of the processes and
watch: the others go on, and it is started again.`,
		example: "  taskraft dev --masters 3 --workers 2",
		rows: settings.Table{
			{Flag: "masters", Arg: "1|3|5", Default: "3", Value: settings.Text(&f.masters, settings.OneOf("1", "3", "5")), Doc: "how many masters"},
			{Flag: "workers", Arg: "N", Default: "2", Value: settings.Int(&f.workers, 0, 100, nil), Doc: "how many workers"},
			{Flag: "slots", Arg: "N", Default: "8", Value: settings.Int(&f.slots, 1, 4096, nil), Doc: "how many tasks each worker runs at once"},
			{Flag: "queue", Arg: "QUEUE[=WEIGHT]", List: true, Default: "default", Value: queueWeights{&f.queues}, Doc: "queues that the workers take tasks from", Example: "mail=3"},
			{Flag: "log-level", Arg: "debug|info|warn|error", Default: "error", Value: settings.Text(&f.level, settings.OneOf("debug", "info", "warn", "error")), Doc: "what the processes' own log shows here"},
			{Flag: "keep", Arg: "DIR", Value: settings.Text(&f.keep, checkPath), Doc: "keep the data in this directory, and go on from there next time", Example: "taskraft-dev"},
		},
		run: func(ctx context.Context, _ []string) error { return a.runDev(ctx, f) },
	})
}

const (
	firstPort = 7400
	portStep  = 100 // from one possible cluster to the next
	nodeStep  = 10  // from one master to the next
	portTries = 50
)

// devState is what a kept directory remembers: masters keep their addresses.
type devState struct {
	Masters   int `json:"masters"`
	FirstPort int `json:"first_port"`
}

func (a *app) runDev(ctx context.Context, f *devFlags) (err error) {
	masters, err := strconv.Atoi(f.masters)
	if err != nil {
		return err
	}
	dir := f.keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "taskraft-dev-"); err != nil {
			return fail(exitData, "TMPDIR, or --keep DIR", "make a data directory: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	} else if err = os.MkdirAll(dir, 0o700); err != nil {
		return fail(exitData, "another --keep directory", "%w", err)
	}
	state, err := devPorts(dir, f.keep != "", masters)
	if err != nil {
		return err
	}
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find my own program: %w", err)
	}
	d := newDev(a, binary, dir, state, f)
	ctx, stop := interruptible(ctx)
	defer stop()
	return d.run(ctx)
}

// devPorts finds ports for the masters, the remembered ones if there are any.
func devPorts(dir string, keep bool, masters int) (devState, error) {
	name := filepath.Join(dir, "dev.json")
	var s devState
	data, err := os.ReadFile(name)
	switch {
	case err == nil:
		if err := json.Unmarshal(data, &s); err != nil {
			return s, fail(exitData, "another --keep directory", "%s: %w", name, err)
		}
		if s.Masters != masters {
			return s, fail(exitConflict, fmt.Sprintf("--masters %d, or another --keep directory", s.Masters), "%s holds a cluster of %d masters", dir, s.Masters)
		}
		if busy := busyPort(s.FirstPort, masters); busy != "" {
			return s, fail(exitBind, "stopping what listens there, or another --keep directory", "address in use %s: the masters in %s have that address for good", busy, dir)
		}
		return s, nil
	case !errors.Is(err, fs.ErrNotExist):
		return s, fail(exitData, "another --keep directory", "%w", err)
	}
	s = devState{Masters: masters, FirstPort: firstPort}
	for busyPort(s.FirstPort, masters) != "" {
		if s.FirstPort += portStep; s.FirstPort > firstPort+portTries*portStep {
			return s, fail(exitBind, "stopping other clusters", "no free ports from %d in steps of %d", firstPort, portStep)
		}
	}
	if !keep {
		return s, nil
	}
	data, err = json.Marshal(s)
	if err == nil {
		err = os.WriteFile(name, data, 0o600)
	}
	return s, err
}

// busyPort returns the first address of a cluster that is in use, "" if none is.
func busyPort(first, masters int) string {
	for i := range masters {
		for _, port := range []int{first + i*nodeStep, first + i*nodeStep + 1, first + i*nodeStep + 2} {
			addr := loopbackAddr(port)
			l, err := net.Listen("tcp", addr)
			if err != nil {
				return addr
			}
			l.Close()
		}
	}
	return ""
}

func loopbackAddr(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// newDev lays out the processes; nothing is started yet.
func newDev(a *app, binary, dir string, state devState, f *devFlags) *dev {
	d := &dev{app: a, binary: binary, ended: make(chan *child), out: &prefixes{w: a.Err}}
	var peers []string
	for i := range state.Masters {
		name := fmt.Sprintf("n%d", i+1)
		first := state.FirstPort + i*nodeStep
		grpc, raft, http := loopbackAddr(first), loopbackAddr(first+1), loopbackAddr(first+2)
		peers = append(peers, name+"="+raft)
		d.addrs = append(d.addrs, grpc)
		d.masters = append(d.masters, &child{name: name, grpc: grpc, raft: raft, http: http})
	}
	for _, m := range d.masters {
		m.args = []string{
			"master", "--name", m.name, "--data-dir", filepath.Join(dir, m.name), "--peers", strings.Join(peers, ","),
			"--grpc-addr", m.grpc, "--raft-addr", m.raft, "--http-addr", m.http, "--log-level", f.level,
		}
	}
	for i := range f.workers {
		name := fmt.Sprintf("w%d", i+1)
		d.workers = append(d.workers, &child{name: name, args: []string{
			"worker", "run", "--id", name, "--masters", strings.Join(d.addrs, ","), "--slots", strconv.Itoa(f.slots),
			"--allow-command", "*", "--drain-timeout", devStop.String(), "--log-level", f.level,
			"--queue", queueWeights{&f.queues}.String(),
		}})
	}
	d.queues, d.slots, d.dir, d.kept = queueWeights{&f.queues}.String(), f.slots, dir, f.keep != ""
	return d
}

// devStop is how long a process of `taskraft dev` may take to end.
const devStop = 5 * time.Second
