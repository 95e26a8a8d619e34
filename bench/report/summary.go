package report

import (
	"math"
	"slices"

	"github.com/taskraft/taskraft/bench/cells"
	"github.com/taskraft/taskraft/bench/peer"
)

// Line is the medians over all rounds of one cell on one system, used in one
// way.
type Line struct {
	Cell   string `json:"cell"`
	System string `json:"system"`
	Title  string `json:"title"`
	Way    string `json:"way"`
	Best   bool   `json:"best"` // of the system's ways in this cell
	Runs   int    `json:"runs"`

	Lifecycles float64    `json:"lifecycles_per_second,omitempty"`
	Range      [2]float64 `json:"lifecycles_per_second_range,omitzero"` // lowest and highest run
	SubmitP50  float64    `json:"submit_p50_ms,omitempty"`
	SubmitP99  float64    `json:"submit_p99_ms,omitempty"`
	StartP50   float64    `json:"start_p50_ms,omitempty"`
	ServerCPU  float64    `json:"server_cpu_seconds_per_1000,omitempty"`
	ClientCPU  float64    `json:"client_cpu_seconds_per_1000,omitempty"`
	Written    float64    `json:"server_written_kib_per_1000,omitempty"`
	GapP50     float64    `json:"kill_gap_p50_ms,omitempty"` // over all kills of all rounds
	GapMax     float64    `json:"kill_gap_max_ms,omitempty"`
	Kills      int        `json:"kills,omitempty"`
	FillRate   float64    `json:"fill_per_second,omitempty"`
	RSS        float64    `json:"largest_server_rss_mib,omitempty"`
	Unfinished uint64     `json:"unfinished"` // in all runs together
	Repeated   uint64     `json:"repeated"`

	// Factor is how many times better Taskraft is by the cell's measure: its rate
	// through the peer's, or the peer's time through its. 0: not comparable.
	Factor float64 `json:"taskraft_better_by,omitempty"`
	Note   string  `json:"note,omitempty"` // skipped or failed, and why
}

// Summarize returns the lines of all results, in the order of the cells and then
// of the systems.
func Summarize(results []cells.Result) []Line {
	var lines []Line
	for _, c := range cells.All() {
		for _, s := range peer.All() {
			first := len(lines)
			for _, way := range c.Ways(s) {
				runs := slices.DeleteFunc(slices.Clone(results), func(r cells.Result) bool {
					return r.Cell != c.Name || r.System != s.Name || r.Way != way
				})
				if len(runs) > 0 {
					lines = append(lines, line(s, runs))
				}
			}
			markBest(c, lines[first:])
		}
		compare(c, lines)
	}
	return lines
}

func line(s peer.Spec, runs []cells.Result) Line {
	l := Line{Cell: runs[0].Cell, System: s.Name, Title: s.Title, Way: runs[0].Way}
	var good []cells.Result
	for _, r := range runs {
		switch {
		case r.Skipped != "":
			l.Note = "skipped: " + r.Skipped
		case r.Failed != "":
			l.Note = "failed: " + r.Failed
		default:
			good = append(good, r)
		}
		l.Unfinished += r.Unfinished
		l.Repeated += r.Repeated
	}
	l.Runs = len(good)
	if l.Runs == 0 {
		return l
	}
	rates := pick(good, func(r cells.Result) float64 { return r.Lifecycles })
	l.Lifecycles, l.Range = median(rates), [2]float64{slices.Min(rates), slices.Max(rates)}
	l.SubmitP50 = median(pick(good, func(r cells.Result) float64 { return r.SubmitP50 }))
	l.SubmitP99 = median(pick(good, func(r cells.Result) float64 { return r.SubmitP99 }))
	l.StartP50 = median(pick(good, func(r cells.Result) float64 { return r.StartP50 }))
	l.ServerCPU = median(pick(good, func(r cells.Result) float64 { return r.ServerCPU }))
	l.ClientCPU = median(pick(good, func(r cells.Result) float64 { return r.ClientCPU }))
	l.Written = median(pick(good, func(r cells.Result) float64 { return r.Written }))
	l.FillRate = median(pick(good, func(r cells.Result) float64 { return r.FillRate }))
	l.RSS = median(pick(good, func(r cells.Result) float64 { return r.RSS }))
	var gaps []float64
	for _, r := range good {
		gaps = append(gaps, r.Gaps...)
	}
	if l.Kills = len(gaps); l.Kills > 0 {
		l.GapP50, l.GapMax = median(gaps), slices.Max(gaps)
	}
	return l
}

// measure returns what decides in this cell, and whether more of it is better.
func measure(c cells.Cell, l Line) (v float64, more bool) {
	switch c.Kind {
	case cells.Latency:
		return l.SubmitP50, false
	case cells.Failover:
		return l.GapP50, false
	default:
		return l.Lifecycles, true
	}
}

// markBest marks the best of one system's ways.
func markBest(c cells.Cell, lines []Line) {
	best := -1
	for i := range lines {
		v, more := measure(c, lines[i])
		if v == 0 {
			continue
		}
		if best < 0 {
			best = i
			continue
		}
		if b, _ := measure(c, lines[best]); (v > b) == more {
			best = i
		}
	}
	if best >= 0 {
		lines[best].Best = true
	}
}

// compare fills in the factors of one cell's lines.
func compare(c cells.Cell, lines []Line) {
	i := slices.IndexFunc(lines, func(l Line) bool { return l.Cell == c.Name && l.System == peer.Taskraft && l.Best })
	if i < 0 {
		return
	}
	ours, more := measure(c, lines[i])
	for i := range lines {
		theirs, _ := measure(c, lines[i])
		switch {
		case lines[i].Cell != c.Name || lines[i].System == peer.Taskraft || theirs == 0:
		case more:
			lines[i].Factor = hundredths(ours / theirs)
		default:
			lines[i].Factor = hundredths(theirs / ours)
		}
	}
}

func hundredths(v float64) float64 { return math.Round(v*100) / 100 }

func pick(runs []cells.Result, value func(cells.Result) float64) []float64 {
	values := make([]float64, 0, len(runs))
	for _, r := range runs {
		values = append(values, value(r))
	}
	return values
}

// median returns the middle of values, of two middles their mean.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}
