package show

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Column is one column of a table of T.
type Column[T any] struct {
	Head  string
	Right bool // for numbers
	Wide  bool // only with -o wide
	Full  bool // never cut
	Cell  func(T) string
	// Tint chooses an ANSI colour for a cell, 0 for none.
	Tint func(T) int
}

// Colours for Tint.
const (
	Red    = 31
	Green  = 32
	Yellow = 33
	Faint  = 90
)

// cellWidth is where cells are cut unless -o wide is given.
const cellWidth = 60

type cell struct {
	text string
	tint int
}

// writeTable prints rows under heads with columns as wide as their widest cell.
func writeTable(w io.Writer, heads []string, right []bool, rows [][]cell, withHead, color bool) error {
	widths := make([]int, len(heads))
	for i, h := range heads {
		widths[i] = utf8.RuneCountInString(h)
	}
	for _, row := range rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	out := bufio.NewWriter(w)
	if withHead {
		row := make([]cell, len(heads))
		for i, h := range heads {
			row[i] = cell{text: h}
		}
		writeRow(out, row, widths, right, false)
	}
	for _, row := range rows {
		writeRow(out, row, widths, right, color)
	}
	return out.Flush()
}

func writeRow(out *bufio.Writer, row []cell, widths []int, right []bool, color bool) {
	var line strings.Builder
	for i, c := range row {
		if i > 0 {
			line.WriteString("  ")
		}
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text))
		text := c.text
		if color && c.tint != 0 {
			text = fmt.Sprintf("\x1b[%dm%s\x1b[0m", c.tint, text)
		}
		if right[i] {
			line.WriteString(pad + text)
		} else {
			line.WriteString(text + pad)
		}
	}
	out.WriteString(strings.TrimRight(line.String(), " "))
	out.WriteByte('\n')
}

// Clean makes text safe for a terminal: one line, no control characters.
func Clean(s string) string {
	if strings.IndexFunc(s, unsafeRune) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\ufffd") {
		switch {
		case r == '\n' || r == '\t':
			b.WriteByte(' ')
		case unsafeRune(r):
			fmt.Fprintf(&b, "\\x%02x", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// unsafeRune is a control character or one that changes the writing direction.
func unsafeRune(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
}

func cut(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}

// Duration prints d with two significant units at most, "-" for zero.
func Duration(d time.Duration) string {
	switch {
	case d == 0:
		return "-"
	case d < 0:
		return "-" + Duration(-d)
	case d < time.Millisecond:
		return fmt.Sprintf("%.0fµs", float64(d)/1e3)
	case d < time.Second:
		return fmt.Sprintf("%.3gms", float64(d)/1e6)
	case d < time.Minute:
		return fmt.Sprintf("%.3gs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

// Fields prints label and value pairs below each other, leaving out empty values.
func Fields(w io.Writer, pairs ...string) error {
	width := 0
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			width = max(width, len(pairs[i]))
		}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "%-*s  %s\n", width, pairs[i], pairs[i+1]); err != nil {
			return err
		}
	}
	return nil
}
