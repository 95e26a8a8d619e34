package cli

import (
	"slices"
	"strings"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
)

// filterFlags choose tasks.
type filterFlags struct {
	filter client.TaskFilter
	terms  string
}

// rows are the flags; states are those that make sense.
func (f *filterFlags) rows(states []string) settings.Table {
	state := func(s string) error { return settings.OneOf(states...)(strings.ToUpper(s)) }
	rows := settings.Table{
		{Flag: "state", Arg: "STATE,…", List: true, Value: settings.List(&f.filter.States, state), Doc: "tasks in these states: " + strings.Join(states, ", ")},
		{Flag: "queue", Short: "q", Arg: "QUEUE", Value: settings.Text(&f.filter.Queue, checkQueue), Doc: "tasks of this queue"},
		{Flag: "kind", Arg: "KIND", Value: settings.Text(&f.filter.Kind, nil), Doc: "tasks of this kind"},
		{Flag: "label", Arg: "KEY=VALUE", List: true, Value: settings.Pairs(&f.filter.Labels, 16), Doc: "tasks with this label; may be repeated", Example: "tenant=7"},
		{Flag: "batch", Arg: "ID", Value: settings.Int(&f.filter.Batch, 1, 1<<62, nil), Doc: "tasks of this batch"},
		{Flag: "worker", Arg: "WORKER", Value: settings.Text(&f.filter.Worker, nil), Doc: "tasks that this worker holds, or held last"},
		{Flag: "since", Arg: "TIME", Value: momentValue{&f.filter.Since}, Doc: "submitted at that time or later; 1h means an hour ago", Example: "2026-01-31T09:00:00Z"},
		{Flag: "until", Arg: "TIME", Value: momentValue{&f.filter.Until}, Doc: "submitted before that time; 1h means an hour ago"},
		{Flag: "filter", Arg: "TERMS", Value: settings.Text(&f.terms, nil), Doc: "more terms, for example 'id>=1000 label.tenant=7'"},
	}
	if slices.Contains(states, "DEAD") {
		rows = append(rows, &settings.Row{
			Flag: "error", Arg: "GROUP", Value: settings.Text(&f.filter.Error, groupID), Doc: "dead tasks of this group, as taskraft dead groups shows them", Example: "9a3f01c2d4e5b687",
		})
	}
	return rows
}

// groupID checks the id of a group of dead tasks.
var groupID = settings.Match("a group's id", "[0-9a-f]{16}")

// String is the whole filter, empty when nothing was chosen.
func (f *filterFlags) String() string {
	chosen := f.filter
	chosen.States = nil
	for _, s := range f.filter.States {
		chosen.States = append(chosen.States, strings.ToUpper(s))
	}
	return strings.TrimSpace(chosen.String() + " " + strings.TrimSpace(f.terms))
}

// momentValue is a time, or a duration before now.
type momentValue struct{ p *time.Time }

func (v momentValue) Set(texts []string) error {
	if d, err := time.ParseDuration(texts[0]); err == nil && d >= 0 {
		*v.p = time.Now().Add(-d)
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, texts[0])
	if err != nil {
		return &settings.Invalid{Problem: "not a time", Want: "RFC 3339 like 2026-01-31T09:00:00Z, or a duration like 90m for so long ago"}
	}
	*v.p = t
	return nil
}

func (v momentValue) String() string {
	if v.p.IsZero() {
		return ""
	}
	return v.p.Format(time.RFC3339Nano)
}
