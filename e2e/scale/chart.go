package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// The chart's geometry in pixels.
const (
	chartWidth, chartHeight = 760, 400
	left, right             = 76, 28
	top, bottom             = 96, 56
)

const chartStyle = `<style>
text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #24292f }
.title { font-size: 19px; font-weight: 600 } .note { font-size: 12px; fill: #57606a } .ours { font-weight: 600 }
.page { fill: #ffffff } .grid { stroke: #d0d7de } .band { fill: #1f6feb; opacity: .09 }
.line { stroke: #1f6feb; stroke-width: 2.5; fill: none } .dot { fill: #1f6feb }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .note { fill: #8d96a0 } .page { fill: #0d1117 } .grid { stroke: #30363d }
.line { stroke: #4493f8 } .dot, .band { fill: #4493f8 }
}
</style>`

// point is what a lifecycle costs with so many tasks queued.
type point struct {
	queued string
	cost   float64 // µs
}

// points are the figures that the chart shows.
func (f *file) points() (points []point) {
	const before, after = "masters' CPU per lifecycle with ", " queued"
	for _, x := range f.Figures {
		if rest, found := strings.CutPrefix(x.What, before); found && x.Step == "backlog" {
			points = append(points, point{strings.TrimSuffix(rest, after), x.Value})
		}
	}
	return points
}

// chart draws the cost of a lifecycle against the backlog; there is a point at least.
func (f *file) chart(points []point) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img">`+"\n%s\n", chartWidth, chartHeight, chartWidth, chartHeight, chartStyle)
	b.WriteString("<title>Cost of a lifecycle against the backlog</title>\n")
	fmt.Fprintf(&b, `<rect class="page" width="%d" height="%d" rx="8"/>`+"\n", chartWidth, chartHeight)
	text(&b, "title", 28, 36, "start", "Cost of a lifecycle against the backlog")
	text(&b, "note", 28, 58, "start", "CPU of all three masters for a task submitted, assigned and completed, µs; shaded: 20 % around the empty cluster's")
	text(&b, "note", 28, 76, "start", fmt.Sprintf("%s, %d CPUs · tasks of 256 B in batches of 500 · %s", f.Machine.CPU, f.Machine.CPUs, f.Machine.Storage))
	plot(&b, points)
	b.WriteString("</svg>\n")
	return b.String()
}

func plot(b *strings.Builder, points []point) {
	highest := points[0].cost * (1 + flatWithin/100.0)
	for _, p := range points {
		highest = max(highest, p.cost)
	}
	unit := niceUnit(highest / 5)
	highest = math.Ceil(highest*1.05/unit) * unit
	x := func(i int) float64 {
		return left + float64(chartWidth-left-right)*(float64(i)+0.5)/float64(len(points))
	}
	y := func(v float64) float64 { return chartHeight - bottom - v/highest*(chartHeight-top-bottom) }
	for v := 0.0; v <= highest+unit/2; v += unit {
		fmt.Fprintf(b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`+"\n", left, chartWidth-right, y(v), y(v))
		text(b, "note", left-10, y(v)+4, "end", number(v))
	}
	empty := points[0].cost
	low, high := y(empty*(1-flatWithin/100.0)), y(empty*(1+flatWithin/100.0))
	fmt.Fprintf(b, `<rect class="band" x="%d" y="%.1f" width="%d" height="%.1f"/>`+"\n", left, high, chartWidth-left-right, low-high)
	var line strings.Builder
	for i, p := range points {
		fmt.Fprintf(&line, "%.1f,%.1f ", x(i), y(p.cost))
	}
	fmt.Fprintf(b, `<polyline class="line" points="%s"/>`+"\n", strings.TrimSpace(line.String()))
	for i, p := range points {
		fmt.Fprintf(b, `<circle class="dot" cx="%.1f" cy="%.1f" r="4.5"/>`+"\n", x(i), y(p.cost))
		text(b, "ours", x(i), y(p.cost)-12, "middle", number(p.cost))
		text(b, "", x(i), chartHeight-bottom+22, "middle", p.queued+" queued")
	}
}

// niceUnit is 1, 2 or 5 times a power of ten, not below v.
func niceUnit(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []float64{1, 2, 5} {
		if n*power >= v {
			return n * power
		}
	}
	return 10 * power
}

func text(b *strings.Builder, class string, x, y float64, anchor, s string) {
	fmt.Fprintf(b, `<text class="%s" x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", class, x, y, anchor, html.EscapeString(s))
}
