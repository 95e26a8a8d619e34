package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/taskraft/taskraft/bench/cells"
	"github.com/taskraft/taskraft/bench/peer"
)

// options say what to measure.
type options struct {
	rounds, kills, backlog int
	measure, warmup        time.Duration
	systems                []peer.Spec
	cells                  []cells.Cell
	data, out, taskraft    string
	mainWays               bool
}

// parse reads the flags.
func parse(args []string) (options, error) {
	var o options
	var systems, names string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&o.rounds, "rounds", 3, "how often everything is measured")
	flags.DurationVar(&o.measure, "measure", 10*time.Second, "how long a run is measured")
	flags.DurationVar(&o.warmup, "warmup", 10*time.Second, "how long it runs before that: until heaps and page cache have their size")
	flags.StringVar(&systems, "systems", "", "which systems, by comma (default all): "+strings.Join(systemNames(), ","))
	flags.StringVar(&names, "cells", "", "which loads, by comma (default all but backlog): "+strings.Join(cellNames(), ","))
	flags.IntVar(&o.kills, "kills", 3, "kills of the leader in a run of the cell kill")
	flags.IntVar(&o.backlog, "backlog", 1_000_000, "queued tasks in the cell backlog")
	flags.BoolVar(&o.mainWays, "main-ways", false, "use each system only in its first way")
	flags.StringVar(&o.data, "data", ".data/bench-peers", "directory for the systems' data, on a disk")
	flags.StringVar(&o.out, "out", "docs/bench", "directory for peers.json and peers.svg; empty: only the table")
	flags.StringVar(&o.taskraft, "taskraft", "bin/taskraft", "the taskraft binary")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.rounds < 1 || o.kills < 1 || o.backlog < 1 || o.measure <= 0 || o.warmup <= 0 {
		return o, fmt.Errorf("rounds, kills, backlog, measure and warmup must be above 0")
	}
	for _, name := range []string{"GOGC", "GOMEMLIMIT", "GOMAXPROCS"} {
		if os.Getenv(name) != "" {
			return o, fmt.Errorf("unset %s: all programs are measured as they are shipped", name)
		}
	}
	var err error
	if o.systems, err = choose(systems, peer.All(), func(s peer.Spec) (string, bool) { return s.Name, true }); err != nil {
		return o, err
	}
	o.cells, err = choose(names, cells.All(), func(c cells.Cell) (string, bool) { return c.Name, !c.Optional })
	return o, err
}

// choose returns those of all that list names, or all that are taken by default
// if it is empty.
func choose[T any](list string, all []T, name func(T) (string, bool)) ([]T, error) {
	var chosen []T
	wanted := strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
	for _, v := range all {
		n, byDefault := name(v)
		i := slices.Index(wanted, n)
		if i >= 0 {
			wanted = slices.Delete(wanted, i, i+1)
		}
		if i >= 0 || list == "" && byDefault {
			chosen = append(chosen, v)
		}
	}
	if len(wanted) > 0 {
		return nil, fmt.Errorf("there is no %q", wanted[0])
	}
	return chosen, nil
}

func systemNames() []string {
	var names []string
	for _, s := range peer.All() {
		names = append(names, s.Name)
	}
	return names
}

func cellNames() []string {
	var names []string
	for _, c := range cells.All() {
		names = append(names, c.Name)
	}
	return names
}
