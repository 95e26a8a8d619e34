package top

import (
	"fmt"
	"strings"
	"time"
)

const (
	headerLines = 5
	footerLines = 1
	// roomy is from how many lines of body on the overview has a chart.
	roomy = 26
)

// draw is the whole screen.
func (m *Model) draw() string {
	if m.width < 40 || m.height < 10 {
		return fit(fmt.Sprintf("taskraft top: %d × %d is too small; 80 × 24 is right", m.width, m.height), max(m.width, 1))
	}
	body := m.height - headerLines - footerLines
	lines := m.header()
	switch {
	case m.help:
		lines = append(lines, helpText...)
	case m.look == nil:
		lines = append(lines, "", " "+m.waiting())
	default:
		lines = append(lines, m.body(body)...)
	}
	for len(lines) < headerLines+body {
		lines = append(lines, "")
	}
	lines = append(lines[:headerLines+body], m.footer())
	for i := range lines {
		lines[i] = clip(lines[i], m.width)
	}
	return strings.Join(lines, "\n")
}

// waiting is what there is before the first answer.
func (m *Model) waiting() string {
	if m.fault != nil {
		return bad.Render(fit("no answer yet: "+m.fault.Error(), m.width-2))
	}
	return faint.Render("asking the masters …")
}

// header is the state of the cluster in five lines, the last of them the tabs.
func (m *Model) header() []string {
	l := m.look
	if l == nil {
		l = &Look{At: m.now()}
	}
	s := l.sums()
	title := " " + bold.Render("taskraft top")
	if l.Cluster != "" {
		title += faint.Render("  cluster " + l.Cluster)
	}
	lines := []string{
		between(title, m.leadership(l)+"  "+faint.Render(m.now().Format("15:04:05"))+" ", m.width),
		m.counters(s),
		m.rates(),
	}
	if n := m.history.banner(m.now()); n != nil {
		style := good
		if n.bad {
			style = bad
		}
		lines = append(lines, style.Reverse(true).Render(pad(fit(" ◆ "+n.text, m.width), m.width, false)))
	} else {
		lines = append(lines, "")
	}
	return append(lines, m.tabs())
}

// leadership says who leads.
func (m *Model) leadership(l *Look) string {
	if leader := l.leader(); leader != nil {
		return good.Render("● "+leader.Name+" leads") + faint.Render(fmt.Sprintf("  term %d", leader.Term))
	}
	if len(l.Masters) == 0 {
		return ""
	}
	return bad.Render("✗ nobody leads")
}

func (m *Model) counters(s sums) string {
	var parts []string
	add := func(label, value string, style interface{ Render(...string) string }) {
		parts = append(parts, faint.Render(label)+" "+style.Render(value))
	}
	add("ready", count(s.ready), bold)
	running := count(s.running)
	if s.slots > 0 {
		running = fmt.Sprintf("%s of %s slots", running, count(s.slots))
	}
	add("running", running, bold)
	add("scheduled", count(s.scheduled), bold)
	add("dead", count(s.dead), when(s.dead > 0, bad).Bold(true))
	add("oldest", span(s.oldest), ageStyle(s.oldest).Bold(true))
	return " " + strings.Join(parts, "   ")
}

// rates are the two sparklines and how long a commit takes.
func (m *Model) rates() string {
	now := m.history.newest()
	labels := []string{"in " + pad(each(now.in), 9, true), "done " + pad(each(now.done), 9, true)}
	end := faint.Render("commit ") + bold.Render(pad(span(m.history.commit), 6, true))
	width := (m.width - len(labels[0]) - len(labels[1]) - len("commit ") - 6 - 8) / 2
	spark := func(pick func(sample) float64) string { return chart(m.history.series(pick), max(width, 4), 1)[0] }
	return " " + labels[0] + " " + accent.Render(spark(func(s sample) float64 { return s.in })) +
		"  " + labels[1] + " " + good.Render(spark(func(s sample) float64 { return s.done })) + "  " + end
}

func (m *Model) tabs() string {
	var b strings.Builder
	b.WriteByte(' ')
	for p, name := range pageNames {
		text := fmt.Sprintf(" %d %s ", p+1, name)
		if page(p) == m.page {
			b.WriteString(picked.Render(text))
		} else {
			b.WriteString(faint.Render(text))
		}
	}
	state := ""
	switch {
	case m.paused:
		state = warn.Bold(true).Render("PAUSED ")
	case m.fault != nil:
		state = bad.Render(fit("! "+m.fault.Error(), max(m.width-60, 12)) + " ")
	}
	return between(b.String(), state, m.width)
}

// body is the page.
func (m *Model) body(height int) []string {
	l, offset, order := m.look, m.offset[m.page], m.order()
	switch m.page {
	case queuesPage:
		return m.list(table(queueColumns(l.At), m.sortedQueues(), offset, m.width, height, order), "no queue has been used yet: taskraft submit -- echo hello")
	case workersPage:
		return m.list(table(workerColumns(), m.sortedWorkers(), offset, m.width, height, order), "no worker is connected: taskraft worker run --allow-command '*'")
	case tasksPage:
		return m.list(table(taskColumns(l.At), m.sortedTasks(), offset, m.width, height, order), "nothing runs")
	case mastersPage:
		return m.list(table(m.history.masterColumns(l.At, true), l.Masters, offset, m.width, height, order), "")
	}
	return m.overview(height)
}

// list has an empty table say what that means.
func (m *Model) list(lines []string, empty string) []string {
	if len(lines) > 1 {
		return lines
	}
	return append(lines, "", " "+faint.Render(empty))
}

// overview is masters, queues, what happened and, where there is room, a chart.
func (m *Model) overview(height int) []string {
	l := m.look
	lines := table(m.history.masterColumns(l.At, false), l.Masters, 0, m.width, height, "")
	lines = append(lines, "")
	left := height - len(lines)
	told := m.told(min(max(left/4, 1), 6))
	if height >= roomy {
		drawn := m.throughput(6)
		lines = append(lines, drawn...)
		left -= len(drawn)
	}
	if len(told) > 0 {
		left -= len(told) + 1
	}
	queues := m.list(table(queueColumns(l.At), m.sortedQueues(), m.offset[m.page], m.width, left, m.order()), "no queue has been used yet: taskraft submit -- echo hello")
	lines = append(lines, queues...)
	if len(told) > 0 {
		for range left - len(queues) {
			lines = append(lines, "")
		}
		lines = append(append(lines, ""), told...)
	}
	return lines
}

// told is the newest news, the last one lowest.
func (m *Model) told(most int) []string {
	all := m.history.news
	var lines []string
	for _, n := range all[max(len(all)-most, 0):] {
		style := plain
		if n.bad {
			style = bad
		}
		lines = append(lines, " "+faint.Render(n.at.Format("15:04:05"))+"  "+style.Render(fit(n.text, m.width-12)))
	}
	return lines
}

// throughput is the chart of what was done, with its scale.
func (m *Model) throughput(height int) []string {
	values := m.history.series(func(s sample) float64 { return s.done })
	width := m.width - 14
	shown := values[max(len(values)-width, 0):]
	top := 0.0
	for _, v := range shown {
		top = max(top, v)
	}
	lines := []string{" " + faint.Render(fmt.Sprintf("DONE/S, the last %s", span(time.Duration(min(width, kept))*every)))}
	for i, row := range chart(values, width, height) {
		scale := ""
		switch i {
		case 0:
			scale = perSecond(top)
		case height - 1:
			scale = "0"
		}
		lines = append(lines, " "+good.Render(row)+"  "+faint.Render(scale))
	}
	return append(lines, "")
}

func (m *Model) footer() string {
	keys := [][2]string{{"q", "quit"}, {"?", "help"}, {"tab", "next view"}}
	if len(orders[m.page]) > 0 {
		keys = append(keys, [2]string{"s", "sort: " + strings.ToLower(m.order())}, [2]string{"r", "reverse"})
	}
	if m.paused {
		keys = append(keys, [2]string{"p", "go on"})
	} else {
		keys = append(keys, [2]string{"p", "pause"})
	}
	var parts []string
	for _, k := range keys {
		parts = append(parts, bold.Render(k[0])+" "+faint.Render(k[1]))
	}
	return between(" "+strings.Join(parts, "  "), faint.Render(m.place())+" ", m.width)
}

// place says which rows are shown when not all are.
func (m *Model) place() string {
	n := m.rows()
	if m.look == nil || m.page == overviewPage || n == 0 {
		return ""
	}
	more := ""
	if m.page == tasksPage && m.look.More {
		more = "+"
	}
	return fmt.Sprintf("%d of %d%s", m.offset[m.page]+1, n, more)
}

var helpText = []string{
	"",
	" 1 … 5, tab, ← →   overview, queues, workers, running tasks, masters",
	" s, r              sort by the next column, in the other direction",
	" ↑ ↓, pgup pgdn    scroll; g and G go to the ends",
	" p, space          hold the screen still, and go on; the charts go on meanwhile",
	" ?                 this help",
	" q, ctrl-c         quit",
	"",
	" in and done are tasks submitted and ended each second; commit is the mean time",
	" from a proposal to its being applied, of the leader's entries since the last",
	" look; oldest is the age of the task that has been ready for longest.",
	"",
	" Lists are read from any master and may be a moment old. A master that does not",
	" answer, and each change of the leader, is told in the line above the tabs.",
}
