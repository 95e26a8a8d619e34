package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/taskraft/taskraft/internal/proc"
)

// limit is how long the whole demo may take before it counts as failed.
const limit = 2 * time.Minute

var errInterrupted = errors.New("interrupted")

func main() {
	binary := flag.String("taskraft", "bin/taskraft", "the taskraft binary")
	data := flag.String("data", ".data/demo", "directory for the run's data, on a disk")
	tree := flag.String("tree", ".", "directory whose files are the input")
	flag.Parse()
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-signals
		cancel(errInterrupted)
	}()
	ctx, stop := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done after %v", limit))
	verdict, err := run(ctx, *binary, *data, *tree)
	stop()
	switch {
	case errors.Is(err, errInterrupted):
		fmt.Fprintln(os.Stderr, "demo: interrupted")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		fmt.Println(verdict)
		os.Exit(1)
	}
	fmt.Println(verdict)
}

// run plays the demo, judges it and cleans up.
func run(ctx context.Context, binary, data, tree string) (v verdict, err error) {
	dir, storage, err := proc.Scratch(data)
	if err != nil {
		return v, err
	}
	screen := newScreen(os.Stdout)
	screen.say("data in %s on %s", relative(dir), storage)
	cluster, err := proc.NewCluster(binary, dir, 3)
	if err != nil {
		return v, err
	}
	s := &show{cluster: cluster, tree: tree, screen: screen, tally: proc.NewTally()}
	err = s.play(ctx)
	if err == nil {
		screen.say("all %d tasks are completed; comparing each result with the one computed here", tasks)
		v, err = s.judge(ctx)
	}
	if err == nil && !v.good() {
		err = errors.New("this is not what was promised")
	}
	err = errors.Join(err, s.close())
	if err != nil && !errors.Is(err, errInterrupted) {
		fmt.Fprint(os.Stderr, cluster.Logs())
		screen.say("data, logs and journals are kept in %s", relative(dir))
		return v, err
	}
	err = errors.Join(err, os.RemoveAll(dir))
	screen.say("every process is stopped, the data is removed")
	return v, err
}

// relative shortens a path for people.
func relative(path string) string {
	wd, err := os.Getwd()
	if err != nil {
		return path
	}
	short, err := filepath.Rel(wd, path)
	if err != nil {
		return path
	}
	return short
}
