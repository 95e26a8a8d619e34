package cli

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
	"github.com/taskraft/taskraft/internal/load"
)

// benchView is `bench -o json`.
type benchView struct {
	LifecyclesPerSecond  float64 `json:"lifecycles_per_second"`
	SubmitPerSecond      float64 `json:"submit_per_second"`
	SubmitP50            float64 `json:"submit_p50_ms"`
	SubmitP99            float64 `json:"submit_p99_ms"`
	StartP50             float64 `json:"start_p50_ms"` // begin of the submit call to start of the handler
	StartP99             float64 `json:"start_p99_ms"`
	Lost                 int     `json:"lost"`
	DuplicateCompletions uint64  `json:"duplicate_completions"`

	Acknowledged uint64  `json:"acknowledged"`
	Completed    uint64  `json:"completed"` // in the measurement
	Uncertain    uint64  `json:"uncertain"`
	Refused      uint64  `json:"refused_reports"`
	Errors       uint64  `json:"submit_errors"`
	Seconds      float64 `json:"seconds"`

	Producers int   `json:"producers"`
	Batch     int   `json:"batch"`
	Workers   int   `json:"workers"`
	Slots     int   `json:"slots"`
	Payload   int64 `json:"payload"`

	Masters       int      `json:"masters_started,omitempty"`
	FileSystem    string   `json:"file_system,omitempty"`
	FsyncP50      float64  `json:"fsync_p50_ms,omitempty"`
	MasterCPU     *float64 `json:"masters_cpu_seconds,omitempty"`
	BenchCPU      float64  `json:"bench_cpu_seconds"`
	ObservedDeath *bool    `json:"observed_death,omitempty"`

	LeaderKills int       `json:"leader_kills,omitempty"`
	GapP50      float64   `json:"gap_p50_ms,omitempty"`
	GapMax      float64   `json:"gap_max_ms,omitempty"`
	Gaps        []float64 `json:"gaps_ms,omitempty"`
}

// millis is d in milliseconds to the microsecond.
func millis(d time.Duration) float64 { return math.Round(float64(d)/1e3) / 1e3 }

func perSecond(n uint64, d time.Duration) float64 {
	return math.Round(float64(n)/d.Seconds()*10) / 10
}

func (b *benchRun) view(r *load.Report) *benchView {
	f := b.flags
	v := &benchView{
		LifecyclesPerSecond: perSecond(r.Completed, r.Elapsed), SubmitPerSecond: perSecond(r.Submitted, r.Elapsed),
		SubmitP50: millis(r.Submits.Quantile(0.5)), SubmitP99: millis(r.Submits.Quantile(0.99)),
		StartP50: millis(r.Starts.Quantile(0.5)), StartP99: millis(r.Starts.Quantile(0.99)),
		Lost: r.Lost, DuplicateCompletions: r.Duplicates,
		Acknowledged: r.Acknowledged, Completed: r.Completed, Uncertain: r.Uncertain, Refused: r.Refusals, Errors: r.Errors,
		Seconds:   math.Round(r.Elapsed.Seconds()*1e3) / 1e3,
		Producers: f.producers, Batch: f.batch, Workers: f.workers, Slots: f.slots, Payload: f.payload,
		BenchCPU: seconds(b.cpu.own),
	}
	if b.cluster != nil {
		v.Masters, v.FileSystem, v.FsyncP50 = len(b.cluster.Masters()), b.fs, millis(b.fsync)
		v.ObservedDeath = &f.observedDeath
		if f.killLeader == 0 { // a killed process takes its account with it
			cpu := seconds(b.cpu.masters)
			v.MasterCPU = &cpu
		}
	}
	p50, longest := b.gapStats()
	v.LeaderKills, v.GapP50, v.GapMax = len(b.gaps), millis(p50), millis(longest)
	for _, g := range b.gaps {
		v.Gaps = append(v.Gaps, millis(g))
	}
	return v
}

func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*100) / 100 }

// finish prints the report and judges it.
func (b *benchRun) finish(r *load.Report) error {
	v := b.view(r)
	if err := b.app.printer().Object(v, fmt.Sprint(v.LifecyclesPerSecond), v.describe); err != nil {
		return err
	}
	return b.verdict(r)
}

// verdict makes a run fail that lost a task or doubled one.
func (b *benchRun) verdict(r *load.Report) error {
	if r.LastError != nil {
		b.app.talk("%d submit calls failed, the last one: %s", r.Errors, r.LastError)
	}
	if r.Lost > 0 || r.Duplicates > 0 {
		return fail(exitError, "", "lost %d acknowledged tasks (%v …), %d completions recorded twice", r.Lost, r.LostIDs, r.Duplicates)
	}
	return nil
}

func (v *benchView) describe(w io.Writer) error {
	ms := func(p50, p99 float64) string { return fmt.Sprintf("p50 %.2f ms, p99 %.2f ms", p50, p99) }
	storage, cpu, gaps := "", fmt.Sprintf("this process %.1f s", v.BenchCPU), ""
	if v.Masters > 0 {
		storage = fmt.Sprintf("%d started, %s, fsync p50 %.2f ms", v.Masters, v.FileSystem, v.FsyncP50)
	}
	if v.MasterCPU != nil {
		cpu += fmt.Sprintf(", masters %.1f s", *v.MasterCPU)
	}
	if v.LeaderKills > 0 {
		all := make([]string, len(v.Gaps))
		for i, g := range v.Gaps {
			all[i] = fmt.Sprintf("%.0f", g)
		}
		gaps = fmt.Sprintf("p50 %.1f ms, max %.1f ms (%s)", v.GapP50, v.GapMax, strings.Join(all, " "))
	}
	return show.Fields(w,
		"load", fmt.Sprintf("%d producers × %d per call, %d workers, %d slots, payload %d B", v.Producers, v.Batch, v.Workers, v.Slots, v.Payload),
		"masters", storage,
		"lifecycles", fmt.Sprintf("%.0f /s (%d confirmed in %.1f s)", v.LifecyclesPerSecond, v.Completed, v.Seconds),
		"submits", fmt.Sprintf("%.0f /s, %s", v.SubmitPerSecond, ms(v.SubmitP50, v.SubmitP99)),
		"submit → start", ms(v.StartP50, v.StartP99),
		"cpu", cpu,
		"kill -9 gaps", gaps,
		"lost", fmt.Sprintf("%d of %d acknowledged", v.Lost, v.Acknowledged),
		"duplicates", fmt.Sprint(v.DuplicateCompletions),
	)
}
