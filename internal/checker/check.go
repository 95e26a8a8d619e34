package checker

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// Finding is something that does not hold.
type Finding struct {
	ID   string // of the invariant, or "vacuity"
	Text string
}

// Report is what a check found, and what it had to look at.
type Report struct {
	Findings []Finding
	Counts   map[string]int
	Gaps     Gaps
}

// maxFindings of one invariant are kept: the first say it.
const maxFindings = 10

func (r *Report) add(id, format string, args ...any) {
	n := 0
	for _, f := range r.Findings {
		if f.ID == id {
			n++
		}
	}
	if n < maxFindings {
		r.Findings = append(r.Findings, Finding{id, fmt.Sprintf(format, args...)})
	}
}

// Floor says below which counts a run proves nothing; see Report.Counts.
type Floor map[string]int

// Check judges a history. Counts below floor are findings. One without taps is judged by
// what clients and workers were told; a floor of "entry" says that there must be taps.
func Check(h *History, floor Floor) *Report {
	r := &Report{Counts: make(map[string]int)}
	r.told(h)
	if len(h.Taps) > 0 {
		log := r.merge(h)
		r.scan(log)
		r.replay(log)
		r.acks(h, log)
		r.expiries(h, log)
	}
	r.fresh(h)
	r.fixed(h)
	r.order(h)
	r.leases(h)
	r.gaps(h)
	r.end(h)
	r.vacuity(h, floor)
	return r
}

// vacuity asks whether there was anything to look at.
func (r *Report) vacuity(h *History, floor Floor) {
	for _, op := range h.Ops {
		r.Counts[op.Kind+" "+op.Outcome]++
	}
	for _, f := range h.Faults {
		switch {
		case f.Skipped != "":
			r.Counts["fault skipped"]++
		case f.Effect == "":
			r.add("vacuity", "fault %s of %s had no effect", f.Kind, f.Target)
		default:
			r.Counts["fault"]++
			r.Counts["fault "+f.Kind]++
		}
	}
	r.Counts["execution"] = len(h.Runs)
	for _, name := range slices.Sorted(maps.Keys(floor)) {
		if r.Counts[name] < floor[name] {
			r.add("vacuity", "%d × %s, at least %d are needed to prove anything", r.Counts[name], name, floor[name])
		}
	}
}

// Print writes what was looked at and what does not hold.
func (r *Report) Print(w io.Writer) {
	parts := make([]string, 0, len(r.Counts))
	for _, name := range slices.Sorted(maps.Keys(r.Counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, r.Counts[name]))
	}
	fmt.Fprintf(w, "checker: %s\n", strings.Join(parts, ", "))
	r.Gaps.Print(w)
	for _, f := range r.Findings {
		fmt.Fprintf(w, "checker: VIOLATION %s: %s\n", f.ID, f.Text)
	}
	if len(r.Findings) == 0 {
		fmt.Fprintln(w, "checker: everything holds")
	}
}

// Save writes the report as JSON.
func (r *Report) Save(path string) error {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return fmt.Errorf("save report: %w", err)
	}
	return os.WriteFile(path, append(text, '\n'), 0o600)
}
