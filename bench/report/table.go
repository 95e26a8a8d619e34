package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/taskraft/taskraft/bench/cells"
)

// Table writes a table for each cell. The factor is above 1 where Taskraft is
// better.
func Table(w io.Writer, lines []Line) error {
	for _, c := range cells.All() {
		var rows []Line
		for _, l := range lines {
			if l.Cell == c.Name {
				rows = append(rows, l)
			}
		}
		if len(rows) == 0 {
			continue
		}
		if err := table(w, c, rows); err != nil {
			return err
		}
	}
	return nil
}

func table(w io.Writer, c cells.Cell, rows []Line) error {
	if _, err := fmt.Fprintf(w, "\n%s: %s\n", c.Name, c.Title); err != nil {
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, strings.Join(header(c), "\t"))
	for _, l := range rows {
		fmt.Fprintln(tw, strings.Join(row(c, l), "\t"))
	}
	return tw.Flush()
}

const accounts = "CPU s/1k servers\tclients\tKiB/1k written"

func header(c cells.Cell) []string {
	head := []string{"  system", "way", "Taskraft is better by"}
	switch c.Kind {
	case cells.Failover:
		return append(head, "gap p50 ms", "max ms", "kills", "unfinished", "repeated")
	case cells.Latency:
		return append(head, "submit p50 ms", "p99 ms", "start p50 ms", "lifecycles/s", accounts)
	case cells.Backlog:
		return append(head, "lifecycles/s", "fill/s", "RSS MiB", accounts)
	default:
		return append(head, "lifecycles/s", "lowest", "highest", "submit p50 ms", "p99 ms", accounts)
	}
}

func row(c cells.Cell, l Line) []string {
	mark := "  "
	if l.Best {
		mark = "* "
	}
	factor := ""
	if l.Factor > 0 {
		factor = number(l.Factor, 2) + " ×"
	}
	cols := []string{mark + l.Title, l.Way, factor}
	if l.Runs == 0 {
		first, _, _ := strings.Cut(l.Note, "\n")
		return append(cols, first)
	}
	use := number(l.ServerCPU, 3) + "\t" + number(l.ClientCPU, 3) + "\t" + number(l.Written, 0)
	switch c.Kind {
	case cells.Failover:
		cols = append(cols, number(l.GapP50, 1), number(l.GapMax, 1), strconv.Itoa(l.Kills), fmt.Sprint(l.Unfinished), fmt.Sprint(l.Repeated))
	case cells.Latency:
		cols = append(cols, number(l.SubmitP50, 2), number(l.SubmitP99, 2), number(l.StartP50, 2), number(l.Lifecycles, 0), use)
	case cells.Backlog:
		cols = append(cols, number(l.Lifecycles, 0), number(l.FillRate, 0), number(l.RSS, 0), use)
	default:
		cols = append(cols, number(l.Lifecycles, 0), number(l.Range[0], 0), number(l.Range[1], 0), number(l.SubmitP50, 2), number(l.SubmitP99, 2), use)
	}
	if first, _, _ := strings.Cut(l.Note, "\n"); first != "" {
		cols = append(cols, first)
	}
	return cols
}

// number writes v with commas between thousands.
func number(v float64, digits int) string {
	text := strconv.FormatFloat(v, 'f', digits, 64)
	whole, fraction, _ := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction != "" {
		return whole + "." + fraction
	}
	return whole
}
