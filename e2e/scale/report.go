package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// file is scale.json.
type file struct {
	Machine machine  `json:"machine"`
	Version string   `json:"version"` // of the binary of the last run
	Command string   `json:"command"`
	Figures []figure `json:"figures"`
}

type machine struct {
	CPU     string `json:"cpu"`
	CPUs    int    `json:"cpus"`
	Memory  string `json:"memory"`
	Kernel  string `json:"kernel"`
	Storage string `json:"storage"`
}

// figure is one measured value.
type figure struct {
	Step   string    `json:"step"`
	What   string    `json:"what"`
	Value  float64   `json:"value"`
	Unit   string    `json:"unit,omitempty"`
	Target string    `json:"target,omitempty"`
	Met    *bool     `json:"met,omitempty"`
	Short  bool      `json:"short,omitempty"` // of a short run
	Time   time.Time `json:"time"`
}

// bound is a target; zero is none.
type bound struct {
	limit float64
	least bool // not less, instead of not more
}

func atMost(v float64) bound  { return bound{limit: v} }
func atLeast(v float64) bound { return bound{v, true} }

func (t bound) holds(v float64) bool { return t.least && v >= t.limit || !t.least && v <= t.limit }

func (t bound) String() string {
	if t.least {
		return "≥ " + number(t.limit)
	}
	return "≤ " + number(t.limit)
}

// number writes three digits that count.
func number(v float64) string {
	if v == 0 {
		return "0"
	}
	digits := max(0, 2-int(math.Floor(math.Log10(math.Abs(v)))))
	text := strconv.FormatFloat(v, 'f', digits, 64)
	whole, fraction, found := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if !found {
		return whole
	}
	return whole + "." + fraction
}

// report gathers what this run found out.
func (b *bench) report() (*file, error) {
	version, err := exec.Command(b.binary, "version").Output()
	if err != nil {
		return nil, fmt.Errorf("ask for the version: %w", err)
	}
	first, _, _ := strings.Cut(string(version), "\n")
	return &file{
		Machine: machine{
			CPU: lineOf("/proc/cpuinfo", "model name"), CPUs: runtime.NumCPU(), Memory: lineOf("/proc/meminfo", "MemTotal"),
			Kernel: firstLine("/proc/sys/kernel/osrelease"), Storage: b.storage,
		},
		Version: first, Command: strings.Join(append([]string{"bin/scale"}, os.Args[1:]...), " "), Figures: b.figures,
	}, nil
}

// lineOf returns what follows the colon in the line that begins with key.
func lineOf(path, key string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func firstLine(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return line
}

// table prints the figures.
func (f *file) table(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "STEP\tFIGURE\tVALUE\tUNIT\tTARGET\t")
	for _, x := range f.Figures {
		verdict := ""
		if x.Met != nil && !*x.Met {
			verdict = "missed"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", x.Step, x.What, number(x.Value), x.Unit, x.Target, verdict)
	}
	return tw.Flush()
}

// write writes scale.json and, if the backlog was measured, scale.svg; steps that did not run keep the figures
// that are there.
func (f *file) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	path := filepath.Join(dir, "scale.json")
	var before file
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(data, &before); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
	}
	all := *f
	all.Figures = merge(before.Figures, f.Figures)
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return err
	}
	points := all.points()
	if len(points) == 0 {
		return nil
	}
	return os.WriteFile(filepath.Join(dir, "scale.svg"), []byte(all.chart(points)), 0o644)
}

// merge puts the steps of now in the place of those of before, in their order.
func merge(before, now []figure) []figure {
	var all []figure
	for _, s := range steps {
		of := func(from []figure) []figure {
			return slices.DeleteFunc(slices.Clone(from), func(f figure) bool { return f.Step != s.name })
		}
		if fresh := of(now); len(fresh) > 0 {
			all = append(all, fresh...)
		} else {
			all = append(all, of(before)...)
		}
	}
	return all
}
