package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
	"github.com/taskraft/taskraft/internal/checker"
	"github.com/taskraft/taskraft/internal/load"
)

const (
	drillMasters = "3"
	drillWarmup  = 2 * time.Second
	drillWorkers = 4
	// drillFollow bounds the memory that the history takes here.
	drillFollow = 1 << 18
)

// drillFlags are the flags of `taskraft drill kill-leader`.
type drillFlags struct {
	n                int
	kill             string
	producers, slots int
	bench            benchFlags // of the cluster that is started
}

func (a *app) drillCommand() *cobra.Command {
	return a.group("drill", "Break a cluster on purpose, and see that nothing is lost", a.drillKillLeaderCommand())
}

func (a *app) drillKillLeaderCommand() *cobra.Command {
	f := new(drillFlags)
	masters := a.config.mastersRows()
	masters[0].Default, masters[0].Doc = "", "gRPC addresses of a running cluster to drill; without them three masters are started for it"
	started := settings.Table{}
	for _, r := range f.bench.rows() {
		if r.Flag == "data-dir" || r.Flag == "observed-death" || r.Flag == "raft-timing" || r.Flag == "log-store" {
			started = append(started, r)
		}
	}
	return a.command(commandSpec{
		use: "kill-leader [flags]", short: "Kill the leader again and again under load; measure the gaps, count what is lost",
		long: `Put a load on a cluster and kill its leader with kill -9, N times. Each time the
longest gap between two confirmed completions is measured. In the end every
acknowledged task is compared with the confirmed completions, and the history of up to
262,144 of them (of more, every other is left out) is judged step by step: one task
for each submit, no older answer after a newer one, fences that only rise, one execution
that counts, and the same end as the masters now show. Exits with 1 when a task is lost,
was completed twice, or anything of that does not hold.

Without --masters it starts three masters of its own, as processes with real fsync.
With --masters it drills a running cluster: --kill-command kills its leader, whose
supervisor has to start it again.`,
		example: `  taskraft drill kill-leader --n 50
  taskraft drill kill-leader --n 5 --masters n1:7400,n2:7400,n3:7400 \
    --kill-command 'ssh "$TASKRAFT_LEADER" systemctl kill -s KILL taskraft'`,
		rows: concat(settings.Table{
			{Flag: "n", Arg: "N", Default: "10", Value: settings.Int(&f.n, 1, 1000, nil), Doc: "how often to kill the leader"},
			{Flag: "producers", Arg: "N", Default: "64", Value: settings.Int(&f.producers, 1, 10_000, nil), Doc: "goroutines that submit, each one call at a time"},
			{Flag: "slots", Arg: "N", Default: "64", Value: settings.Int(&f.slots, drillWorkers, 1_000_000, nil), Doc: fmt.Sprintf("tasks that run at once, on %d workers together", drillWorkers)},
			{Flag: "kill-command", Arg: "COMMAND", Whole: true, Value: settings.Text(&f.kill, nil), Doc: "with --masters: a line for sh that kills $TASKRAFT_LEADER (a name) at $TASKRAFT_LEADER_GRPC"},
		}, masters, started, a.config.outputRows()),
		check: func() []settings.Problem { return f.check(len(a.config.masters) > 0) },
		run:   func(ctx context.Context, _ []string) error { return a.runDrill(ctx, f) },
	})
}

func (f *drillFlags) check(running bool) []settings.Problem {
	switch {
	case running && f.kill == "":
		return []settings.Problem{{Where: "--kill-command", Problem: "missing: a leader elsewhere can only be killed by a command", Want: "a line for sh", Do: "see the example, or leave --masters out"}}
	case !running && f.kill != "":
		return []settings.Problem{{Where: "--kill-command", Problem: "only for a running cluster", Do: "say --masters, too"}}
	}
	return nil
}

func (a *app) runDrill(ctx context.Context, f *drillFlags) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	f.bench.start, f.bench.killLeader = drillMasters, f.n
	b := &benchRun{app: a, flags: &f.bench, masters: a.config.masters}
	defer b.close()
	if len(b.masters) > 0 {
		if err := b.reach(ctx); err != nil {
			return err
		}
		b.victim = func(ctx context.Context) (*victim, error) { return a.remoteVictim(ctx, b.masters, f.kill) }
	} else if err := b.start(ctx); err != nil {
		return err
	}
	report, err := load.Run(ctx, load.Config{
		Masters: b.masters, Producers: f.producers, Batch: 1, Workers: drillWorkers, Slots: f.slots,
		Payload: 256, Warmup: drillWarmup, Follow: drillFollow, Logger: slog.New(slog.DiscardHandler),
		During: func(ctx context.Context, gaps *load.Gaps) error { return b.during(ctx, gaps) },
	})
	if err != nil {
		if ctx.Err() != nil {
			return quietly(exitInterrupted)
		}
		return b.explain(err)
	}
	v := b.drillView(report)
	v.judge(b.faults, report.History)
	if err := a.printer().Object(v, strconv.FormatFloat(v.GapP50, 'f', -1, 64), v.describe); err != nil {
		return err
	}
	err = b.verdict(report)
	if err == nil {
		err = v.verdict()
	}
	if err != nil {
		b.keep()
	}
	return err
}

// verdict is an error when something does not hold.
func (v *drillView) verdict() error {
	n := len(v.Violations)
	if n == 0 {
		return nil
	}
	return fail(exitError, "keeping this output and the masters' data directories, and reporting it",
		"%s, the first: %s: this must never happen", plural(n, "violation"), v.Violations[0])
}

// drillView is `drill kill-leader -o json`.
type drillView struct {
	Kills                int       `json:"kills"`
	GapP50               float64   `json:"gap_p50_ms"`
	GapP99               float64   `json:"gap_p99_ms"`
	GapMax               float64   `json:"gap_max_ms"`
	Lost                 int       `json:"lost"`
	DuplicateCompletions uint64    `json:"duplicate_completions"`
	Acknowledged         uint64    `json:"acknowledged"`
	Uncertain            uint64    `json:"uncertain"`
	SubmitErrors         uint64    `json:"submit_errors"`
	LifecyclesPerSecond  float64   `json:"lifecycles_per_second"`
	Seconds              float64   `json:"seconds"`
	FileSystem           string    `json:"file_system,omitempty"`
	Gaps                 []float64 `json:"gaps_ms"`
	Checked              int       `json:"checked"`    // acknowledged tasks whose history was judged
	Violations           []string  `json:"violations"` // of an invariant of docs/invariants.md
}

// judge has the checker look at the history.
func (v *drillView) judge(faults []checker.Fault, h *checker.History) {
	h.Faults = faults
	r := checker.Check(h, checker.Floor{"acknowledged": 1, "confirmed": 1, "answer with an index": 1, "fault": v.Kills})
	v.Checked, v.Violations = r.Counts["acknowledged"], []string{}
	for _, f := range r.Findings {
		v.Violations = append(v.Violations, f.ID+": "+f.Text)
	}
}

func (b *benchRun) drillView(r *load.Report) *drillView {
	v := &drillView{
		Kills: len(b.gaps), Lost: r.Lost, DuplicateCompletions: r.Duplicates, Acknowledged: r.Acknowledged,
		Uncertain: r.Uncertain, SubmitErrors: r.Errors, LifecyclesPerSecond: perSecond(r.Completed, r.Elapsed),
		Seconds: seconds(r.Elapsed), FileSystem: b.fs,
	}
	for _, g := range b.gaps {
		v.Gaps = append(v.Gaps, millis(g))
	}
	v.GapP50, v.GapP99, v.GapMax = millis(rank(b.gaps, 50)), millis(rank(b.gaps, 99)), millis(rank(b.gaps, 100))
	return v
}

// rank returns the nearest-rank percentile: the least duration that at least p of a
// hundred do not exceed.
func rank(all []time.Duration, p int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[max((len(sorted)*p+99)/100, 1)-1]
}

func (v *drillView) describe(w io.Writer) error {
	all := make([]string, len(v.Gaps))
	for i, g := range v.Gaps {
		all[i] = strconv.FormatFloat(g, 'f', 0, 64)
	}
	return show.Fields(w,
		"leader killed", fmt.Sprintf("%d times with kill -9, in %.0f s", v.Kills, v.Seconds),
		"gap in completions", fmt.Sprintf("p50 %.1f ms, p99 %.1f ms, max %.1f ms", v.GapP50, v.GapP99, v.GapMax),
		"gaps, ms", strings.Join(all, " "),
		"load", fmt.Sprintf("%.0f lifecycles/s", v.LifecyclesPerSecond),
		"lost", fmt.Sprintf("%d of %d acknowledged", v.Lost, v.Acknowledged),
		"duplicates", fmt.Sprint(v.DuplicateCompletions),
		"judged", fmt.Sprintf("%d histories: %s", v.Checked, cmp.Or(strings.Join(v.Violations, "; "), "everything holds")),
	)
}
