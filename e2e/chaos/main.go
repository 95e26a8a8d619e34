package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/taskraft/taskraft/internal/checker"
	"github.com/taskraft/taskraft/internal/proc"
)

// healLimit is how long, after the last fault, healing may take, and then all tasks to
// come to their end, and then all masters to come to one index.
const healLimit = 3 * time.Minute

// options are what the command line says.
type options struct {
	binary, data string
	length       time.Duration
	pause        time.Duration
	seed         uint64
	only         []string
	clusters     int
	together     int
	long         bool
}

func main() {
	var o options
	flag.StringVar(&o.binary, "taskraft", "bin/taskraft-chaos", "the binary, built with the tag chaos")
	flag.StringVar(&o.data, "data", ".data/chaos", "directory for the run's data, on a disk")
	flag.DurationVar(&o.length, "for", 2*time.Minute, "inject faults for this long")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "of the order of faults")
	flag.IntVar(&o.clusters, "clusters", 2, "so many, each for that long: in network namespaces and behind proxies, by turns")
	flag.IntVar(&o.together, "together", 1, "so many clusters at once")
	flag.DurationVar(&o.pause, "pause", 40*time.Millisecond, "of each of four clients between two calls, at most: longer where the machine is slow")
	flag.BoolVar(&o.long, "long", false, "also kinds of faults that take half a minute each")
	flag.Func("only", "these kinds of faults alone, separated by commas", func(text string) error {
		o.only = strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
		return nil
	})
	plain := flag.Bool("plain", false, "make no namespaces: what runs without privileges")
	flag.Parse()
	reason := errors.New("the flag -plain forbids it")
	if !*plain {
		var status int
		var ran bool
		if status, ran, reason = enter(); ran {
			os.Exit(status)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if !play(ctx, o, reason) {
		os.Exit(1)
	}
}

// play has every cluster suffer and says how each was judged.
func play(ctx context.Context, o options, outside error) bool {
	dir, storage, err := proc.Scratch(o.data)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		return false
	}
	fmt.Printf("chaos: seed %d, data in %s on %s\n", o.seed, dir, storage)
	runs := make([]*run, o.clusters)
	var playing sync.WaitGroup
	places := make(chan struct{}, max(1, o.together))
	for i := range runs {
		runs[i] = &run{number: i + 1, dir: filepath.Join(dir, fmt.Sprintf("c%d", i+1))}
		places <- struct{}{}
		playing.Go(func() {
			runs[i].play(ctx, o, outside)
			<-places
		})
	}
	playing.Wait()
	faults, good := 0, true
	for _, r := range runs {
		if r.report != nil {
			fmt.Printf("chaos: c%d (%s), history in %s\n", r.number, r.about, r.dir)
			r.report.Print(os.Stdout)
			faults += r.report.Counts["fault"]
		}
		if r.err != nil {
			fmt.Fprintf(os.Stderr, "chaos: c%d: %v\n", r.number, r.err)
		}
		good = good && r.err == nil && len(r.report.Findings) == 0
	}
	verdict := "no violation"
	if !good {
		verdict = "FAILED"
	}
	fmt.Printf("chaos: seed %d, %d faults with verified effect, %s; history in %s\n", o.seed, faults, verdict, dir)
	return good
}

// run is what one cluster suffers.
type run struct {
	number int
	dir    string
	about  string
	report *checker.Report
	err    error
}

// play plays the run, records it and has it judged.
func (r *run) play(ctx context.Context, o options, outside error) {
	r.report, r.err = r.suffer(ctx, o, outside)
	if r.report != nil {
		r.err = errors.Join(r.err, r.report.Save(filepath.Join(r.dir, "report.json")))
	}
}

func (r *run) suffer(ctx context.Context, o options, outside error) (_ *checker.Report, err error) {
	if err := os.Mkdir(r.dir, 0o700); err != nil {
		return nil, err
	}
	s, err := newStage(o.binary, r.dir, r.number, outside)
	if err != nil {
		return nil, err
	}
	r.about = s.net.name()
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	crowd := newCrowd(s, o.pause)
	crowd.start(ctx, 4)
	n, hands := newNemesis(s, crowd, o.seed+uint64(r.number), o.only, o.long)
	failed := strike(ctx, hands, o.length)
	crowd.stop()
	for _, last := range []func(context.Context) error{s.heal, crowd.drain, s.compare} {
		failed = errors.Join(failed, within(ctx, healLimit, last))
	}
	if err := errors.Join(failed, n.save(), crowd.save(), s.saveRuns()); err != nil {
		return nil, err
	}
	h, err := checker.Load(r.dir)
	if err != nil {
		return nil, err
	}
	return checker.Check(h, floor(o.length, o.only)), nil
}

// within does something that must not take longer.
func within(ctx context.Context, d time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, d, fmt.Errorf("not within %v", d))
	defer cancel()
	return do(ctx)
}

// strike has all hands at work until the time is over or one fails.
func strike(ctx context.Context, hands []*hand, length time.Duration) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var working sync.WaitGroup
	errs := make([]error, len(hands))
	for i, h := range hands {
		working.Go(func() {
			if errs[i] = h.run(ctx, length); errs[i] != nil {
				stop(errs[i])
			}
		})
	}
	working.Wait()
	return errors.Join(errs...)
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
