package top

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
)

// The styles, in the terminal's own colours: they suit dark and light ones.
var (
	bold   = lipgloss.NewStyle().Bold(true)
	faint  = lipgloss.NewStyle().Faint(true)
	good   = lipgloss.NewStyle().Foreground(lipgloss.Green)
	warn   = lipgloss.NewStyle().Foreground(lipgloss.Yellow)
	bad    = lipgloss.NewStyle().Foreground(lipgloss.Red)
	accent = lipgloss.NewStyle().Foreground(lipgloss.Cyan)
	picked = lipgloss.NewStyle().Reverse(true)
	plain  = lipgloss.NewStyle()
)

// count is a number with its thousands apart.
func count(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// nonzero is count, and a dot for nothing: eyes find what there is.
func nonzero(n uint64) string {
	if n == 0 {
		return "·"
	}
	return count(n)
}

// perSecond is a rate, with a decimal while it is small.
func perSecond(r float64) string {
	switch {
	case r <= 0:
		return "·"
	case r < 9.95:
		return fmt.Sprintf("%.1f", r)
	}
	return count(uint64(math.Round(r)))
}

// each is perSecond for running text.
func each(r float64) string {
	if r <= 0 {
		return "0/s"
	}
	return perSecond(r) + "/s"
}

// span is a duration for people, empty for none.
func span(d time.Duration) string {
	switch {
	case d <= 0:
		return "·"
	case d < time.Millisecond:
		return show.Duration(d.Round(time.Microsecond))
	case d < time.Second:
		return show.Duration(d.Round(100 * time.Microsecond))
	case d < time.Minute:
		return show.Duration(d.Round(100 * time.Millisecond))
	}
	return show.Duration(d)
}

// fit cuts a text to a width, with an ellipsis.
func fit(s string, width int) string {
	if lipgloss.Width(s) <= width {
		return s
	}
	if width < 1 {
		return ""
	}
	var b strings.Builder
	used := 0
	for _, r := range s {
		w := lipgloss.Width(string(r))
		if used+w > width-1 {
			break
		}
		used += w
		b.WriteRune(r)
	}
	return b.String() + "…"
}

// pad brings a text, which may have styles, to a width.
func pad(s string, width int, right bool) string {
	blanks := strings.Repeat(" ", max(width-lipgloss.Width(s), 0))
	if right {
		return blanks + s
	}
	return s + blanks
}

// between puts two texts at the ends of a line; the left one gives way.
func between(left, right string, width int) string {
	left = clip(left, max(width-lipgloss.Width(right)-1, 0))
	return left + strings.Repeat(" ", max(width-lipgloss.Width(left)-lipgloss.Width(right), 0)) + right
}

// clip cuts a text that may have styles.
func clip(s string, width int) string {
	if lipgloss.Width(s) <= width {
		return s
	}
	return lipgloss.NewStyle().MaxWidth(width).Render(s)
}
