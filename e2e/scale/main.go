package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// steps in the order in which they run.
var steps = []struct {
	name string
	run  func(*bench, context.Context) error
}{
	{"backlog", (*bench).backlog},
	{"large", (*bench).large},
	{"workers", (*bench).crowd},
	{"reconnect", (*bench).reconnect},
	{"queues", (*bench).queues},
	{"payload", (*bench).payloads},
	{"masters", (*bench).masters},
	{"idle", (*bench).idle},
	{"http", (*bench).http},
}

// options say what to measure.
type options struct {
	binary, data, out string
	only              []string
	short             bool
	queued            int // the largest backlog
	workers           int
	kills             int
	measure           time.Duration
}

func parse(args []string) (options, error) {
	var o options
	var only string
	var names []string
	for _, s := range steps {
		names = append(names, s.name)
	}
	flags := flag.NewFlagSet("scale", flag.ContinueOnError)
	flags.StringVar(&o.binary, "taskraft", "bin/taskraft", "the taskraft binary")
	flags.StringVar(&o.data, "data", ".data/scale", "directory for the masters' data, on a disk")
	flags.StringVar(&o.out, "out", "", "directory for scale.json and scale.svg; steps that do not run keep their figures there")
	flags.StringVar(&only, "only", "", "which steps, by comma: "+strings.Join(names, ","))
	flags.BoolVar(&o.short, "short", false, "everything small: about two minutes in all")
	flags.IntVar(&o.queued, "queued", 1_000_000, "the largest backlog, in tasks of 256 bytes")
	flags.IntVar(&o.workers, "workers", 10_000, "workers in the steps workers and reconnect")
	flags.IntVar(&o.kills, "kills", 3, "kills of the leader with the largest backlog")
	flags.DurationVar(&o.measure, "measure", 10*time.Second, "how long a load is measured")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.queued < 1 || o.workers < 1 || o.kills < 0 || o.measure <= 0 {
		return o, errors.New("queued, workers and measure must be above 0")
	}
	if only == "" {
		o.only = names
	}
	for name := range strings.SplitSeq(only, ",") {
		if name == "" {
			continue
		}
		if !slices.Contains(names, name) {
			return o, fmt.Errorf("there is no step %q: want %s", name, strings.Join(names, ","))
		}
		o.only = append(o.only, name)
	}
	if o.short {
		o.queued, o.workers = min(o.queued, 100_000), min(o.workers, 1000)
		o.kills, o.measure = min(o.kills, 1), min(o.measure, 2*time.Second)
	}
	return o, nil
}

func main() {
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	b := &bench{options: o, began: time.Now()}
	var failed error
	for _, s := range steps {
		if failed != nil || !slices.Contains(o.only, s.name) {
			continue
		}
		b.step = s.name
		if err := s.run(b, ctx); err != nil {
			failed = fmt.Errorf("%s: %w", s.name, err)
		}
	}
	f, err := b.report()
	if err != nil {
		return errors.Join(failed, err)
	}
	if err := errors.Join(failed, f.table(os.Stdout)); err != nil || o.out == "" {
		return err
	}
	return f.write(o.out)
}
