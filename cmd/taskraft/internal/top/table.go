package top

import (
	"strings"

	"charm.land/lipgloss/v2"
)

// column is one column of a table of T.
type column[T any] struct {
	head  string
	right bool
	flex  bool // gives way first, and takes no more than it needs
	drop  int  // left out when the screen is too narrow, the highest first; 0: never
	cell  func(T) string
	style func(T) lipgloss.Style // nil: plain
}

const gap = 2

// table draws a head and the rows from offset on, in at most height lines.
func table[T any](columns []column[T], rows []T, offset, width, height int, marked string) []string {
	if height < 1 {
		return nil
	}
	shown := rows[min(offset, len(rows)):]
	shown = shown[:min(len(shown), height-1)]
	columns, widths := layout(columns, shown, width)
	lines := make([]string, 0, len(shown)+1)
	var head strings.Builder
	for i, c := range columns {
		style := faint
		if c.head == marked {
			style = accent.Bold(true)
		}
		put(&head, i, style.Render(fit(c.head, widths[i])), widths[i], c.right)
	}
	lines = append(lines, head.String())
	for _, row := range shown {
		var line strings.Builder
		for i, c := range columns {
			style := plain
			if c.style != nil {
				style = c.style(row)
			}
			put(&line, i, style.Render(fit(c.cell(row), widths[i])), widths[i], c.right)
		}
		lines = append(lines, strings.TrimRight(line.String(), " "))
	}
	return lines
}

func put(b *strings.Builder, i int, text string, width int, right bool) {
	if i > 0 {
		b.WriteString(strings.Repeat(" ", gap))
	} else {
		b.WriteByte(' ')
	}
	b.WriteString(pad(text, width, right))
}

// layout decides which columns have room, and how wide they are.
func layout[T any](columns []column[T], rows []T, width int) ([]column[T], []int) {
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = lipgloss.Width(c.head)
		for _, row := range rows {
			widths[i] = max(widths[i], lipgloss.Width(c.cell(row)))
		}
	}
	for {
		need, flexible := 2, 0 // a blank on either side
		for i, c := range columns {
			need += widths[i]
			if i > 0 {
				need += gap
			}
			if c.flex {
				flexible += max(widths[i]-minFlex, 0)
			}
		}
		if need <= width {
			return columns, widths
		}
		last := droppable(columns)
		if need-flexible <= width || last < 0 {
			return columns, shrink(columns, widths, need-width)
		}
		columns = append(columns[:last:last], columns[last+1:]...)
		widths = append(widths[:last:last], widths[last+1:]...)
	}
}

// minFlex is what is left of a flexible column at least.
const minFlex = 14

// droppable is the column that is missed least, -1 if all are needed.
func droppable[T any](columns []column[T]) int {
	last := -1
	for i, c := range columns {
		if c.drop > 0 && (last < 0 || c.drop > columns[last].drop) {
			last = i
		}
	}
	return last
}

// shrink takes what is too much from the flexible columns, the widest first.
func shrink[T any](columns []column[T], widths []int, by int) []int {
	for ; by > 0; by-- {
		widest := -1
		for i, c := range columns {
			if c.flex && widths[i] > minFlex && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	return widths
}
