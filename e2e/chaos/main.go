package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/taskraft/taskraft/internal/checker"
	"github.com/taskraft/taskraft/internal/proc"
)

// healLimit is how long everything may take to come to its end after the last fault.
const healLimit = 3 * time.Minute

func main() {
	binary := flag.String("taskraft", "bin/taskraft-chaos", "the binary, built with the tag chaos")
	data := flag.String("data", ".data/chaos", "directory for the run's data, on a disk")
	length := flag.Duration("for", 2*time.Minute, "inject faults for this long")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the order of faults")
	only := flag.String("only", "", "these kinds of faults alone, separated by commas")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	report, dir, err := run(ctx, *binary, *data, *length, *seed, strings.FieldsFunc(*only, func(r rune) bool { return r == ',' }))
	if report != nil {
		report.Print(os.Stdout)
	}
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "chaos:", err)
	case len(report.Findings) == 0:
		fmt.Printf("chaos: seed %d, %d faults with verified effect, no violation; history in %s\n", *seed, report.Counts["fault"], dir)
		return
	}
	fmt.Printf("chaos: seed %d FAILED; history and logs in %s\n", *seed, dir)
	os.Exit(1)
}

// run plays the run, records it and has it judged.
func run(ctx context.Context, binary, data string, length time.Duration, seed uint64, only []string) (r *checker.Report, dir string, err error) {
	dir, storage, err := proc.Scratch(data)
	if err != nil {
		return nil, dir, err
	}
	fmt.Printf("chaos: data in %s on %s\n", dir, storage)
	s, err := newStage(binary, dir)
	if err != nil {
		return nil, dir, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.start(ctx); err != nil {
		return nil, dir, err
	}
	crowd := newCrowd(s)
	crowd.start(ctx, 4)
	n := newNemesis(s, seed, only)
	failed := n.run(ctx, length)
	crowd.stop()
	healed, cancel := context.WithTimeoutCause(ctx, healLimit, fmt.Errorf("not within %v", healLimit))
	defer cancel()
	failed = errors.Join(failed, s.heal(healed), crowd.drain(healed), s.compare(healed))
	if err := errors.Join(failed, n.save(), crowd.save(), s.saveRuns()); err != nil {
		return nil, dir, err
	}
	h, err := checker.Load(dir)
	if err != nil {
		return nil, dir, err
	}
	return checker.Check(h, floor(length, only)), dir, nil
}

// floor is what a run of that length must have seen to prove anything.
func floor(length time.Duration, only []string) checker.Floor {
	minutes := max(1, int(length/time.Minute))
	f := checker.Floor{
		"acknowledged": 300 * minutes, "get ok": 100 * minutes, "cancel ok": 10 * minutes, "entry replayed": 500 * minutes,
		"fault": 5 * minutes, "execution": 200 * minutes, "cause failed": 10, "task with calls": 200 * minutes,
	}
	if len(only) == 0 && length >= 2*time.Minute {
		f["cause expired"], f["cause taken_over"] = 1, 1
	}
	return f
}
