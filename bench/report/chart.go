package report

import (
	"fmt"
	"html"
	"strings"

	"github.com/taskraft/taskraft/bench/cells"
	"github.com/taskraft/taskraft/bench/peer"
)

// The chart's geometry in pixels.
const (
	chartWidth = 860
	margin     = 28
	barLeft    = 312 // names are written to the left of it
	barWidth   = 380 // of the longest bar
	rowHeight  = 24
	barHeight  = 14
	headHeight = 94
	cellHead   = 46
	cellGap    = 20
)

const chartStyle = `<style>
text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #24292f }
.title { font-size: 19px; font-weight: 600 } .cell { font-size: 14px; font-weight: 600 }
.note { font-size: 12px; fill: #57606a } .ours { font-weight: 600 }
.page { fill: #ffffff } .bar { fill: #b6bfc9 } .bar.ours { fill: #1f6feb }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .note { fill: #8d96a0 } .page { fill: #0d1117 } .bar { fill: #484f58 } .bar.ours { fill: #4493f8 }
}
</style>`

// chart draws a panel of bars for each cell, each system in its best way.
func (f *File) chart() string {
	var body strings.Builder
	y := headHeight
	for _, c := range cells.All() {
		var bars []Line
		for _, l := range f.Summary {
			if l.Cell == c.Name && l.Best {
				bars = append(bars, l)
			}
		}
		if len(bars) > 0 {
			y = panel(&body, y, c, bars) + cellGap
		}
	}
	height := y - cellGap + margin
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img">`+"\n%s\n", chartWidth, height, chartWidth, height, chartStyle)
	fmt.Fprintf(&b, "<title>Taskraft and its peers on one machine</title>\n")
	fmt.Fprintf(&b, `<rect class="page" width="%d" height="%d" rx="8"/>`+"\n", chartWidth, height)
	text(&b, "title", margin, 36, "Taskraft and its peers on one machine")
	text(&b, "note", margin, 58, f.caption())
	text(&b, "note", margin, 76, "each system in its fastest way; in brackets: how many times better Taskraft is")
	b.WriteString(body.String())
	b.WriteString("</svg>\n")
	return b.String()
}

func (f *File) caption() string {
	return fmt.Sprintf("%s · %s, %d CPUs, %s, fsync %.2f ms · medians of %d × %.0f s, 256 B per task",
		f.Time.Format("2006-01-02"), f.Machine.CPU, f.Machine.CPUs, f.Machine.FileSystem, f.Machine.FsyncP50, f.Rounds, f.Seconds)
}

// panel draws one cell from y on and returns where it ends.
func panel(b *strings.Builder, y int, c cells.Cell, bars []Line) int {
	unit, digits := "tasks accepted, executed and confirmed per second; longer is better", 0
	switch c.Kind {
	case cells.Latency:
		unit, digits = "submit acknowledged, median in ms; shorter is better", 2
	case cells.Failover:
		unit, digits = "no completions for, median in ms; shorter is better", 0
	}
	text(b, "cell", margin, y+14, c.Title)
	text(b, "note", margin, y+31, unit)
	y += cellHead
	var longest float64
	for _, l := range bars {
		v, _ := measure(c, l)
		longest = max(longest, v)
	}
	for _, l := range bars {
		v, _ := measure(c, l)
		class := ""
		if l.System == peer.Taskraft {
			class = " ours"
		}
		base := y + rowHeight/2 + 4
		text(b, strings.TrimSpace(class), margin, base, l.Title)
		width := max(2, v/longest*barWidth)
		fmt.Fprintf(b, `<rect class="bar%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"><title>%s</title></rect>`+"\n",
			class, barLeft, y+(rowHeight-barHeight)/2, width, barHeight, html.EscapeString(l.Title+", "+l.Way))
		label := number(v, digits)
		if l.Factor > 0 {
			label += fmt.Sprintf("  (%s ×)", number(l.Factor, 2))
		}
		text(b, strings.TrimSpace(class), barLeft+int(width)+8, base, label)
		y += rowHeight
	}
	return y
}

func text(b *strings.Builder, class string, x, y int, s string) {
	if class != "" {
		class = fmt.Sprintf(` class="%s"`, class)
	}
	fmt.Fprintf(b, `<text%s x="%d" y="%d">%s</text>`+"\n", class, x, y, html.EscapeString(s))
}
