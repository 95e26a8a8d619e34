package top

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
)

// orders are the columns that a page can be sorted by; the first is where it begins.
var orders = [pages][]string{
	overviewPage: {"READY", "RUNNING", "DONE/S", "IN/S", "OLDEST", "QUEUE"},
	queuesPage:   {"READY", "RUNNING", "DONE/S", "IN/S", "OLDEST", "DEAD", "QUEUE"},
	workersPage:  {"WORKER", "HELD", "DONE/S", "DONE", "FAILED", "SILENT"},
	tasksPage:    {"FOR", "TASK", "QUEUE", "WORKER", "ATTEMPT"},
	mastersPage:  nil,
}

// order is the page's present one.
func (m *Model) order() string {
	if all := orders[m.page]; len(all) > 0 {
		return all[m.sort[m.page]]
	}
	return ""
}

// sorted returns rows in the page's order: numbers fall, names rise, and equal rows
// stand by name.
func sorted[T any](m *Model, rows []T, by map[string]func(a, b T) int, name func(a, b T) int) []T {
	out := slices.Clone(rows)
	order := by[m.order()]
	slices.SortStableFunc(out, func(a, b T) int {
		n := 0
		if order != nil {
			n = -order(a, b)
		} else {
			n = name(a, b)
		}
		if m.reverse[m.page] {
			n = -n
		}
		return cmp.Or(n, name(a, b))
	})
	return out
}

var queueOrders = map[string]func(a, b Queue) int{
	"READY":   func(a, b Queue) int { return cmp.Compare(a.Ready, b.Ready) },
	"RUNNING": func(a, b Queue) int { return cmp.Compare(a.Running, b.Running) },
	"DONE/S":  func(a, b Queue) int { return cmp.Compare(a.Done, b.Done) },
	"IN/S":    func(a, b Queue) int { return cmp.Compare(a.In, b.In) },
	"DEAD":    func(a, b Queue) int { return cmp.Compare(a.Dead, b.Dead) },
	"OLDEST":  older,
}

// older compares by the task that has waited longest; none is younger than any.
func older(a, b Queue) int {
	switch {
	case a.Oldest.Equal(b.Oldest):
		return 0
	case a.Oldest.IsZero():
		return -1
	case b.Oldest.IsZero():
		return 1
	}
	return b.Oldest.Compare(a.Oldest)
}

func (m *Model) sortedQueues() []Queue {
	return sorted(m, m.look.Queues, queueOrders, func(a, b Queue) int { return cmp.Compare(a.Name, b.Name) })
}

func queueColumns(now time.Time) []column[Queue] {
	return []column[Queue]{
		{head: "QUEUE", flex: true, cell: func(q Queue) string { return q.Name }},
		{head: "READY", right: true, cell: func(q Queue) string { return nonzero(q.Ready) }},
		{head: "RUNNING", right: true, cell: func(q Queue) string { return nonzero(q.Running) }, style: func(q Queue) lipgloss.Style { return when(q.Running > 0, good) }},
		{head: "SCHEDULED", right: true, drop: 2, cell: func(q Queue) string { return nonzero(q.Scheduled) }},
		{head: "DEAD", right: true, cell: func(q Queue) string { return nonzero(q.Dead) }, style: func(q Queue) lipgloss.Style { return when(q.Dead > 0, bad) }},
		{head: "IN/S", right: true, cell: func(q Queue) string { return perSecond(q.In) }},
		{head: "DONE/S", right: true, cell: func(q Queue) string { return perSecond(q.Done) }},
		{head: "OLDEST", right: true, cell: func(q Queue) string { return span(q.age(now)) }, style: func(q Queue) lipgloss.Style { return ageStyle(q.age(now)) }},
		{head: "RECORDS", right: true, drop: 3, cell: func(q Queue) string { return nonzero(q.Records) }},
		{head: "HELD BY", drop: 1, cell: func(q Queue) string { return q.Held }, style: func(Queue) lipgloss.Style { return warn }},
	}
}

// when is a style for what is remarkable.
func when(on bool, s lipgloss.Style) lipgloss.Style {
	if on {
		return s
	}
	return plain
}

// ageStyle is how bad it is that a task has waited so long.
func ageStyle(d time.Duration) lipgloss.Style {
	switch {
	case d >= 5*time.Minute:
		return bad
	case d >= 30*time.Second:
		return warn
	}
	return plain
}

var workerOrders = map[string]func(a, b Worker) int{
	"HELD":   func(a, b Worker) int { return cmp.Compare(a.Held, b.Held) },
	"DONE/S": func(a, b Worker) int { return cmp.Compare(a.Rate, b.Rate) },
	"DONE":   func(a, b Worker) int { return cmp.Compare(a.Completed, b.Completed) },
	"FAILED": func(a, b Worker) int { return cmp.Compare(a.Failed, b.Failed) },
	"SILENT": func(a, b Worker) int { return cmp.Compare(a.Silent, b.Silent) },
}

func (m *Model) sortedWorkers() []Worker {
	return sorted(m, m.look.Workers, workerOrders, func(a, b Worker) int { return cmp.Compare(a.ID, b.ID) })
}

func workerColumns() []column[Worker] {
	return []column[Worker]{
		{head: "WORKER", flex: true, cell: func(w Worker) string { return w.ID }},
		{head: "STATE", cell: func(w Worker) string { return w.State }, style: func(w Worker) lipgloss.Style { return stateStyle(w.State) }},
		{head: "HELD", right: true, cell: func(w Worker) string { return nonzero(w.Held) + "/" + count(w.Slots) }, style: func(w Worker) lipgloss.Style { return when(w.Held > 0, good) }},
		{head: "DONE/S", right: true, cell: func(w Worker) string { return perSecond(w.Rate) }},
		{head: "DONE", right: true, drop: 1, cell: func(w Worker) string { return nonzero(w.Completed) }},
		{head: "FAILED", right: true, drop: 2, cell: func(w Worker) string { return nonzero(w.Failed) }, style: func(w Worker) lipgloss.Style { return when(w.Failed > 0, warn) }},
		{head: "SILENT", right: true, drop: 3, cell: func(w Worker) string { return span(w.Silent) }},
		{head: "MODE", drop: 6, cell: func(w Worker) string { return w.Mode }},
		{head: "QUEUES", flex: true, cell: func(w Worker) string { return w.Queues }},
		{head: "HOST", drop: 4, cell: func(w Worker) string { return w.Host }},
		{head: "VERSION", drop: 5, cell: func(w Worker) string { return w.Version }},
	}
}

func stateStyle(state string) lipgloss.Style {
	switch state {
	case "online", "running":
		return good
	case "away", "stopping":
		return bad
	}
	return warn
}

var taskOrders = map[string]func(a, b Task) int{
	"FOR":     func(a, b Task) int { return b.Started.Compare(a.Started) },
	"TASK":    func(a, b Task) int { return cmp.Compare(a.ID, b.ID) },
	"QUEUE":   func(a, b Task) int { return -strings.Compare(a.Queue, b.Queue) },
	"WORKER":  func(a, b Task) int { return -strings.Compare(a.Worker, b.Worker) },
	"ATTEMPT": func(a, b Task) int { return cmp.Compare(a.Attempt, b.Attempt) },
}

func (m *Model) sortedTasks() []Task {
	return sorted(m, m.look.Tasks, taskOrders, func(a, b Task) int { return cmp.Compare(a.ID, b.ID) })
}

func taskColumns(now time.Time) []column[Task] {
	left := func(t Task) time.Duration { return t.Deadline.Sub(now) }
	return []column[Task]{
		{head: "TASK", right: true, cell: func(t Task) string { return strconv.FormatUint(t.ID, 10) }},
		{head: "STATE", drop: 3, cell: func(t Task) string { return t.State }, style: func(t Task) lipgloss.Style { return stateStyle(t.State) }},
		{head: "QUEUE", flex: true, cell: func(t Task) string { return t.Queue }},
		{head: "KIND", flex: true, cell: func(t Task) string { return t.Kind }},
		{head: "ATTEMPT", right: true, drop: 4, cell: func(t Task) string { return strconv.Itoa(int(t.Attempt)) }, style: func(t Task) lipgloss.Style { return when(t.Attempt > 1, warn) }},
		{head: "FOR", right: true, cell: func(t Task) string { return span(now.Sub(t.Started)) }},
		{head: "LEFT", right: true, drop: 2, cell: func(t Task) string { return span(left(t)) }, style: func(t Task) lipgloss.Style { return when(left(t) < 10*time.Second, warn) }},
		{head: "WORKER", flex: true, cell: func(t Task) string { return t.Worker }},
		{head: "PROGRESS", flex: true, drop: 1, cell: func(t Task) string { return t.Progress }, style: func(Task) lipgloss.Style { return accent }},
	}
}

func (h *history) masterColumns(now time.Time, whole bool) []column[Master] {
	up := func(m Master, text string) string {
		if m.Fault != "" {
			return ""
		}
		return text
	}
	all := []column[Master]{
		{head: "MASTER", cell: func(m Master) string { return mark(m) + " " + h.nameOf(&m) }, style: masterStyle},
		{head: "ROLE", cell: roleText, style: masterStyle, flex: true},
		{head: "TERM", right: true, cell: func(m Master) string { return up(m, count(m.Term)) }},
		{head: "APPLIED", right: true, drop: 3, cell: func(m Master) string { return up(m, count(m.Applied)) }},
		{head: "LAG", right: true, cell: func(m Master) string { return up(m, nonzero(m.Lag)) }, style: func(m Master) lipgloss.Style { return when(m.Lag > 1000, warn) }},
		{head: "FSYNC P50", right: true, cell: func(m Master) string { return up(m, span(m.FsyncP50)) }},
		{head: "P99", right: true, cell: func(m Master) string { return up(m, span(m.FsyncP99)) }},
		{head: "UP", right: true, drop: 4, cell: func(m Master) string { return up(m, span(now.Sub(m.Started).Truncate(time.Second))) }},
	}
	if whole {
		all = append(all,
			column[Master]{head: "RECORDS", right: true, drop: 5, cell: func(m Master) string { return up(m, count(m.Records)) }},
			column[Master]{head: "ADDRESS", drop: 1, cell: func(m Master) string { return m.Address }},
			column[Master]{head: "VERSION", drop: 6, flex: true, cell: func(m Master) string { return m.Version }},
		)
	}
	return append(all, column[Master]{head: "ALARMS", cell: func(m Master) string { return strings.Join(m.Alarms, " ") }, style: func(Master) lipgloss.Style { return bad }})
}

func mark(m Master) string {
	switch {
	case m.Fault != "":
		return "✗"
	case m.Leads:
		return "●"
	}
	return "○"
}

func roleText(m Master) string {
	switch {
	case m.Fault != "":
		return m.Fault
	case m.Role == "leader" && !m.Leads:
		return "leader (starting)"
	}
	return m.Role
}

func masterStyle(m Master) lipgloss.Style {
	switch {
	case m.Fault != "":
		return bad
	case m.Leads:
		return good
	}
	return plain
}
