package dashboard

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// menuItem is a link of the menu.
type menuItem struct {
	To, Text string
	Here     bool
}

// link is a menu item; a page below another shows that one as the present.
func link(page, name, to, text string) menuItem {
	here := page == name || page == "task" && name == "tasks" || page == "queue" && name == "queues"
	return menuItem{to, text, here}
}

// taskRows are tasks for a table, with boxes to choose some or without.
type taskRows struct {
	Tasks  []*taskraftv1.Task
	Choose bool
}

func rows(tasks []*taskraftv1.Task, choose bool) taskRows { return taskRows{tasks, choose} }

var functions = template.FuncMap{
	"link": link, "rows": rows,
	"age": age, "clock": clock, "content": content, "duration": duration, "lower": strings.ToLower, "minute": minute, "number": number,
	"short": short, "span": span, "state": state, "visible": visible, "percent": percent,
	"iso": iso, "json": asJSON,
}

func asJSON(v any) string {
	b, _ := json.Marshal(v) // our own types encode
	return string(b)
}

// visible shows what a text holds that is not printed: control characters, among
// them those of terminals, and those that turn the direction of writing.
func visible(s string) string {
	hidden := func(r rune) bool {
		return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == utf8.RuneError)
	}
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case !hidden(r):
			b.WriteRune(r)
		case r < 0x20:
			b.WriteRune('\u2400' + r)
		default:
			fmt.Fprintf(&b, "‹U+%04X›", r)
		}
	}
	return b.String()
}

// short is visible, cut for a table.
func short(s string) string {
	const most = 120
	if n := utf8.RuneCountInString(s); n > most {
		s = string([]rune(s)[:most-1]) + "…"
	}
	return visible(strings.Join(strings.Fields(s), " "))
}

// content shows a payload or a result: JSON indented, other text as it is, and bytes
// in hexadecimal; the first 16 KiB.
func content(b []byte) string {
	const most = 16 << 10
	var out bytes.Buffer
	if len(b) <= most && json.Valid(b) && json.Indent(&out, b, "", "  ") == nil {
		return visible(out.String())
	}
	rest := ""
	if len(b) > most {
		rest = fmt.Sprintf("\n… and %d bytes more", len(b)-most)
		b = b[:most]
	}
	if utf8.Valid(b) && bytes.IndexByte(b, 0) < 0 {
		return visible(string(b)) + rest
	}
	return hex.Dump(b[:min(len(b), 4096)]) + rest
}

// number is a whole number with its thousands apart.
func number(n any) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// span is a length of time as people say it.
func span(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

func duration(d *durationpb.Duration) string { return span(d.AsDuration()) }

// age is how long ago, or in how long.
func age(t *timestamppb.Timestamp) string {
	if t == nil {
		return "–"
	}
	d := time.Since(t.AsTime())
	if d < 0 {
		return "in " + coarse(-d)
	}
	return coarse(d) + " ago"
}

// coarse is a span that changes at most once a second.
func coarse(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%d s", d/time.Second)
	}
	return span(d)
}

func clock(t *timestamppb.Timestamp) string {
	if t == nil {
		return "–"
	}
	return t.AsTime().UTC().Format("2006-01-02 15:04:05.000 MST")
}

// minute is a time of a schedule.
func minute(t *timestamppb.Timestamp) string {
	return t.AsTime().UTC().Format("Mon 2 Jan 2006 15:04 MST")
}

func iso(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().UTC().Format(time.RFC3339Nano)
}

func state(s taskraftv1.TaskState) string { return strings.ToLower(s.String()) }

func percent(p *taskraftv1.Progress) int {
	return int(min(max(p.GetFraction(), 0), 1) * 100)
}
