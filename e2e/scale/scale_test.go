package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskraft/taskraft/internal/proc"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		args string
		want string // of the error, "" for none
	}{
		{"", ""},
		{"-short", ""},
		{"-only idle,large", ""},
		{"-only idle,lage", `there is no step "lage"`},
		{"-queued 0", "above 0"},
		{"-measure 0s", "above 0"},
		{"extra", "unexpected argument"},
	} {
		_, err := parse(strings.Fields(tt.args))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%q: %v, want %q", tt.args, err, tt.want)
		}
	}
	o, err := parse([]string{"-short"})
	if err != nil || len(o.only) != len(steps) || o.queued != 100_000 || o.workers != 1000 {
		t.Errorf("-short: %+v, %v", o, err)
	}
}

func TestBacklogs(t *testing.T) {
	for queued, want := range map[int][]int{
		1000:      {0},
		100_000:   {0, 10_000, 100_000},
		5_000_000: {0, 10_000, 100_000, 1_000_000, 5_000_000},
	} {
		b := &bench{options: options{queued: queued}}
		if diff := cmp.Diff(want, b.backlogs()); diff != "" {
			t.Errorf("up to %d (-want +got):\n%s", queued, diff)
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.0123: "0.0123", 0.5: "0.500", 1.5: "1.50", 12.34: "12.3", 123.4: "123", 1234: "1,234", 1234567: "1,234,567",
	} {
		if got := number(v); got != want {
			t.Errorf("%v is written %q, want %q", v, got, want)
		}
	}
}

func TestBounds(t *testing.T) {
	if b := atMost(8); b.holds(8.1) || !b.holds(8) || b.String() != "≤ 8.00" {
		t.Errorf("at most 8: %v", b)
	}
	if b := atLeast(8); b.holds(7.9) || !b.holds(8) || b.String() != "≥ 8.00" {
		t.Errorf("at least 8: %v", b)
	}
}

// TestFileKeepsOtherSteps writes two runs and looks at what is left of the first.
func TestFileKeepsOtherSteps(t *testing.T) {
	dir := t.TempDir()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	first := &file{Figures: []figure{
		{Step: "backlog", What: costAt(0), Value: 20, Unit: "µs", Time: at},
		{Step: "backlog", What: costAt(1_000_000), Value: 22, Unit: "µs", Time: at},
		{Step: "idle", What: "CPU", Value: 9, Time: at},
	}}
	second := &file{Figures: []figure{{Step: "idle", What: "CPU", Value: 1, Target: "≤ 1.00", Met: new(true), Time: at}}}
	for _, f := range []*file{first, second} {
		if err := f.write(dir); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "scale.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got file
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	want := []figure{first.Figures[0], first.Figures[1], second.Figures[0]}
	if diff := cmp.Diff(want, got.Figures); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}
	svg, err := os.ReadFile(filepath.Join(dir, "scale.svg"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(svg), "<circle"); n != 2 {
		t.Errorf("the chart has %d points, want 2", n)
	}
	for d := xml.NewDecoder(strings.NewReader(string(svg))); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the chart is no XML: %v", err)
		}
	}
}

func TestSnapshotsAreSeen(t *testing.T) {
	dir := t.TempDir()
	c, err := proc.NewCluster("taskraft", dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	w := &snapwatch{}
	since := map[string]time.Time{}
	w.submitted(time.Millisecond)
	w.look(c, since)
	if err := os.MkdirAll(filepath.Join(dir, "n1", "snapshots", "1-2-3.tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.look(c, since)
	w.submitted(time.Millisecond)
	w.submitted(time.Millisecond)
	if calm, busy := w.calm.Count(), w.busy.Count(); calm != 1 || busy != 2 || w.share() != 0.5 {
		t.Errorf("%d submits without and %d with a snapshot under way in %v of the time; want 1, 2 and 0.5", calm, busy, w.share())
	}
}
