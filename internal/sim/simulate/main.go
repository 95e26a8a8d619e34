// Command simulate plays seeds of the simulator for a time, or one seed with a
// trace of what happened.
//
//	go run ./internal/sim/simulate -for 1m
//	go run ./internal/sim/simulate -seed 17 -trace
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/taskraft/taskraft/internal/sim"
)

func main() {
	length := flag.Duration("for", time.Minute, "play seeds for this long")
	least := flag.Uint64("seeds", 0, "play at least this many seeds, however long that takes")
	first := flag.Uint64("first", uint64(time.Now().UnixNano()), "the first seed; the others follow it")
	seed := flag.Uint64("seed", 0, "play this seed alone")
	trace := flag.Bool("trace", false, "with -seed: print every entry")
	cover := flag.Bool("cover", false, "print how often everything was reached")
	once := flag.Bool("first-failure", false, "stop at the first seed that fails, not at the fifth")
	jobs := flag.Int("jobs", runtime.GOMAXPROCS(0), "seeds that are played at once")
	flag.Parse()
	var one bool
	flag.Visit(func(f *flag.Flag) { one = one || f.Name == "seed" })
	if one {
		os.Exit(playOne(*seed, *trace))
	}
	plan := sim.Plan{First: *first, For: *length, Least: *least, Jobs: *jobs, Failures: 5}
	if *once {
		plan.Failures = 1
	}
	sum := sim.PlayMany(plan)
	sum.Print(os.Stdout, *cover)
	if sum.Failed() {
		os.Exit(1)
	}
}

func playOne(seed uint64, trace bool) int {
	var w io.Writer
	if trace {
		w = os.Stdout
	}
	r := sim.Run(seed, w)
	fmt.Printf("seed %d: %d entries, %.0f simulated seconds\n", seed, r.Entries, time.Duration(r.Simulated).Seconds())
	if r.Err != nil {
		fmt.Println("FAILED:", r.Err)
		return 1
	}
	return 0
}
