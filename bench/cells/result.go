package cells

import (
	"math"
	"time"
)

// Result is what one run found. Rates are per second; what is per 1,000 is per
// thousand lifecycles. A lifecycle is a task that was accepted, delivered and
// whose completion is confirmed.
type Result struct {
	Cell   string `json:"cell"`
	System string `json:"system"`
	Way    string `json:"way"`
	Round  int    `json:"round"`

	Skipped string `json:"skipped,omitempty"` // why the system could not run here
	Failed  string `json:"failed,omitempty"`  // what went wrong

	Seconds    float64 `json:"seconds,omitempty"`
	Lifecycles float64 `json:"lifecycles_per_second,omitempty"`
	SubmitP50  float64 `json:"submit_p50_ms,omitempty"`
	SubmitP99  float64 `json:"submit_p99_ms,omitempty"`
	StartP50   float64 `json:"start_p50_ms,omitempty"` // begin of the submit to begin of the handler
	StartP99   float64 `json:"start_p99_ms,omitempty"`

	ServerCPU float64 `json:"server_cpu_seconds_per_1000,omitempty"`
	ClientCPU float64 `json:"client_cpu_seconds_per_1000,omitempty"`
	Written   float64 `json:"server_written_kib_per_1000,omitempty"`

	Gaps []float64 `json:"kill_gaps_ms,omitempty"`

	FillRate float64 `json:"fill_per_second,omitempty"` // tasks acknowledged while nobody took any
	RSS      float64 `json:"largest_server_rss_mib,omitempty"`

	Acknowledged uint64 `json:"acknowledged"`
	Completed    uint64 `json:"completed"`
	Unfinished   uint64 `json:"unfinished"` // acknowledged, and not completed when the drain gave up
	Repeated     uint64 `json:"repeated"`   // completed more than once
	SubmitErrors uint64 `json:"submit_errors"`
	LastError    string `json:"last_error,omitempty"`
}

func round(v float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(v*p) / p
}

// millis is d in milliseconds to the microsecond.
func millis(d time.Duration) float64 { return round(d.Seconds()*1e3, 3) }
