package client

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// TaskFilter chooses tasks: what is unset matches all. Its String is what List,
// ListPage and CancelAll take.
type TaskFilter struct {
	States []string // any of these, like READY
	Queue  string
	Kind   string
	Labels map[string]string // all of these
	Batch  uint64
	Worker string // that holds the task, or held it last
	Error  string // id of a DeadGroup

	Since, Until time.Time // submitted then or later, and earlier
}

// String writes the filter as terms joined by blanks.
func (f TaskFilter) String() string {
	var terms []string
	add := func(name, value string) {
		if value != "" {
			terms = append(terms, name+word(value))
		}
	}
	add("state=", strings.Join(f.States, ","))
	add("queue=", f.Queue)
	add("kind=", f.Kind)
	for _, key := range slices.Sorted(maps.Keys(f.Labels)) {
		terms = append(terms, "label."+word(key)+"="+word(f.Labels[key]))
	}
	if f.Batch != 0 {
		add("batch=", strconv.FormatUint(f.Batch, 10))
	}
	add("worker=", f.Worker)
	add("error=", f.Error)
	if !f.Since.IsZero() {
		add("time>=", f.Since.UTC().Format(time.RFC3339Nano))
	}
	if !f.Until.IsZero() {
		add("time<", f.Until.UTC().Format(time.RFC3339Nano))
	}
	return strings.Join(terms, " ")
}

// word is a value as a term has it: in quotes unless it is plain.
func word(s string) string {
	for _, r := range s {
		if r <= ' ' || r == '"' || r == '=' || r >= 0x7f {
			return strconv.Quote(s)
		}
	}
	return s
}
