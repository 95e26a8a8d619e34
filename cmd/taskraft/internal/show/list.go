package show

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// flushRows is after how many rows a table is printed, so that a long list costs
// bounded memory and its first rows appear at once.
const flushRows = 1000

// List prints things one after the other; Close ends it.
type List[T any] struct {
	p       *Printer
	key     string
	name    func(T) string
	columns []Column[T]
	heads   []string
	right   []bool
	rows    [][]cell
	count   int
	printed bool
}

// NewList starts a list. key is its name in the API's answer ("tasks").
func NewList[T any](p *Printer, key string, name func(T) string, columns []Column[T]) *List[T] {
	l := &List[T]{p: p, key: key, name: name}
	for _, c := range columns {
		if c.Wide && p.Format != Wide {
			continue
		}
		l.columns = append(l.columns, c)
		l.heads = append(l.heads, c.Head)
		l.right = append(l.right, c.Right)
	}
	return l
}

// Add prints v, at the latest at Close.
func (l *List[T]) Add(v T) error {
	l.count++
	switch l.p.Format {
	case Tabular, Wide:
		l.rows = append(l.rows, l.row(v))
		if len(l.rows) < flushRows {
			return nil
		}
		return l.flush()
	case Name:
		_, err := fmt.Fprintln(l.p.Out, l.name(v))
		return err
	}
	data, err := Marshal(v)
	if err != nil {
		return err
	}
	return l.item(data)
}

// item prints one element of the JSON or YAML list.
func (l *List[T]) item(data []byte) error {
	var b bytes.Buffer
	switch l.p.Format {
	case JSONL:
		b.Write(data)
		b.WriteByte('\n')
	case YAML:
		if l.count == 1 {
			b.WriteString(l.key + ":\n")
		}
		text, err := toYAML(append(append([]byte("["), data...), ']'))
		if err != nil {
			return err
		}
		b.Write(text)
	default:
		b.WriteString(l.opening())
		b.WriteString("\n    ")
		if err := json.Indent(&b, data, "    ", "  "); err != nil {
			return fmt.Errorf("indent json: %w", err)
		}
	}
	_, err := l.p.Out.Write(b.Bytes())
	return err
}

func (l *List[T]) opening() string {
	if l.count > 1 {
		return ","
	}
	return "{\n  \"" + l.key + "\": ["
}

func (l *List[T]) row(v T) []cell {
	row := make([]cell, len(l.columns))
	for i, c := range l.columns {
		text := Clean(c.Cell(v))
		if l.p.Format != Wide && !c.Full {
			text = cut(text, cellWidth)
		}
		row[i].text = text
		if c.Tint != nil {
			row[i].tint = c.Tint(v)
		}
	}
	return row
}

func (l *List[T]) flush() error {
	err := writeTable(l.p.Out, l.heads, l.right, l.rows, !l.printed, l.p.Color)
	l.rows, l.printed = l.rows[:0], true
	return err
}

// Count returns how many things were added.
func (l *List[T]) Count() int { return l.count }

// Close prints what is left.
func (l *List[T]) Close() error {
	switch {
	case l.p.People() && len(l.rows) > 0:
		return l.flush()
	case l.p.Format == JSON && l.count == 0:
		_, err := fmt.Fprintf(l.p.Out, "{\n  %q: []\n}\n", l.key)
		return err
	case l.p.Format == JSON:
		_, err := io.WriteString(l.p.Out, "\n  ]\n}\n")
		return err
	case l.p.Format == YAML && l.count == 0:
		_, err := fmt.Fprintf(l.p.Out, "%s: []\n", l.key)
		return err
	}
	return nil
}
