package cli

import (
	"fmt"
	"io"
	"slices"
)

// finding is one line of `cluster health` and `doctor`.
type finding struct {
	Severity string `json:"severity"` // problem, note
	Check    string `json:"check"`
	Who      string `json:"who,omitempty"` // a master or worker
	Text     string `json:"text"`
	Do       string `json:"do,omitempty"`
}

// The severities. Only a problem makes the command end with 1.
const (
	problem = "problem"
	note    = "note"
)

// findings is all that was found, and what was looked at.
type findings struct {
	Healthy  bool      `json:"healthy"`
	Summary  string    `json:"summary"`
	Findings []finding `json:"findings"`
}

func (f *findings) add(severity, check, who, do, format string, args ...any) {
	f.Findings = append(f.Findings, finding{severity, check, who, fmt.Sprintf(format, args...), do})
}

// print prints one line for each finding, those that matter first, and ends with code
// 1 when there is a problem.
func (a *app) printFindings(f *findings) error {
	slices.SortStableFunc(f.Findings, func(a, b finding) int { return urgency(a) - urgency(b) })
	f.Healthy = len(f.Findings) == 0 || f.Findings[0].Severity != problem
	name := "healthy"
	if !f.Healthy {
		name = "unhealthy"
	}
	if f.Findings == nil {
		f.Findings = []finding{}
	}
	err := a.printer().Object(f, name, f.describe)
	if err == nil && !f.Healthy {
		return quietly(exitError)
	}
	return err
}

func urgency(f finding) int {
	if f.Severity == problem {
		return 0
	}
	return 1
}

func (f *findings) describe(w io.Writer) error {
	for _, x := range f.Findings {
		line := x.Severity + "  " + x.Check + ": "
		if x.Who != "" {
			line += x.Who + " "
		}
		line += x.Text
		if x.Do != "" {
			line += "; " + x.Do
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	if !f.Healthy {
		return nil
	}
	_, err := fmt.Fprintln(w, "healthy: "+f.Summary)
	return err
}
