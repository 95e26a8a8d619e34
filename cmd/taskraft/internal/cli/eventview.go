package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/taskraft/taskraft/cluster/events"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// eventPrinter prints events one by one: for people in columns that only grow, and for
// programs as a list.
type eventPrinter struct {
	p      *show.Printer
	list   *show.List[*taskraftv1.Event]
	widths []int
	count  int
}

// eventColumns are the heads and the widths to begin with; the last one is open.
var eventColumns = []struct {
	head string
	wide int
}{{"TIME", 19}, {"CURSOR", 8}, {"EVENT", 10}, {"WHAT", 10}, {"QUEUE", 7}, {"BY", 15}, {"HOW", 0}}

// newEventPrinter returns a printer; what is followed is printed as JSON lines, since
// nobody can tell where its list would end.
func (a *app) newEventPrinter(follow bool) *eventPrinter {
	p := a.printer()
	if follow && p.Format == show.JSON {
		p.Format = show.JSONL
	}
	o := &eventPrinter{p: p, list: show.NewList(p, "events", (*taskraftv1.Event).GetCursor, []show.Column[*taskraftv1.Event]{})}
	for _, c := range eventColumns {
		o.widths = append(o.widths, c.wide)
	}
	return o
}

func (o *eventPrinter) add(e *taskraftv1.Event) error {
	o.count++
	if !o.p.People() {
		return o.list.Add(e)
	}
	if o.count == 1 {
		heads := make([]string, len(eventColumns))
		for i, c := range eventColumns {
			heads[i] = c.head
		}
		if err := o.line(heads, 0); err != nil {
			return err
		}
	}
	return o.line([]string{
		e.GetTime().AsTime().Local().Format("Jan _2 15:04:05.000"), e.GetCursor(), e.GetType(), subject(e),
		e.GetQueue(), e.GetPrincipal(), how(e, o.p.Format == show.Wide),
	}, eventTint(e))
}

// line prints cells below those before.
func (o *eventPrinter) line(cells []string, tint int) error {
	var b strings.Builder
	for i, text := range cells {
		text = show.Clean(text)
		n := utf8.RuneCountInString(text)
		o.widths[i] = max(o.widths[i], n)
		if tint != 0 && o.p.Color && eventColumns[i].head == "EVENT" {
			text = fmt.Sprintf("\x1b[%dm%s\x1b[0m", tint, text)
		}
		b.WriteString(text)
		b.WriteString(strings.Repeat(" ", o.widths[i]-n+2))
	}
	_, err := io.WriteString(o.p.Out, strings.TrimRight(b.String(), " ")+"\n")
	return err
}

func (o *eventPrinter) close() error {
	if o.p.People() {
		return nil
	}
	return o.list.Close()
}

func eventTint(e *taskraftv1.Event) int {
	switch events.TypeOf(e.GetType()) {
	case events.Completed, events.BatchFinished:
		return show.Green
	case events.Dead, events.SessionExpired:
		return show.Red
	case events.Failed, events.TimedOut, events.Requeued, events.Expired, events.Refused, events.Void, events.Stopping:
		return show.Yellow
	case events.Trimmed, events.Deleted, events.Cancelled, events.SessionClosed:
		return show.Faint
	}
	return 0
}

// subject is what an event is about.
func subject(e *taskraftv1.Event) string {
	id := func(what string, n uint64) string { return what + " " + strconv.FormatUint(n, 10) }
	switch t := events.TypeOf(e.GetType()); {
	case e.GetTask() != 0:
		return id("task", e.GetTask())
	case e.GetMember() != "":
		return "master " + e.GetMember()
	case e.GetSchedule() != "":
		return "schedule " + e.GetSchedule()
	case e.GetBatch() != 0:
		return id("batch", e.GetBatch())
	case e.GetWorkerId() != "":
		return "worker " + e.GetWorkerId()
	case t == events.SweepStarted:
		return id("sweep", e.GetNumber())
	case t == events.DeadRetried:
		return "dead tasks"
	case t == events.LevelRaised:
		return id("level", e.GetNumber())
	case t == events.PushAdded, t == events.PushRemoved:
		return "push list"
	}
	return "queue"
}

// how tells the rest of an event, in the order in which one asks.
func how(e *taskraftv1.Event, wide bool) string {
	var words []string
	say := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	if e.GetOutcome() != "" {
		say("%s", e.GetOutcome())
	}
	if t := events.TypeOf(e.GetType()); e.GetKind() != "" && (t == events.Created || wide) {
		say("kind %s", e.GetKind())
	}
	if e.GetTask() != 0 && e.GetWorkerId() != "" {
		say("worker %s", e.GetWorkerId())
	}
	if e.GetAttempt() > 0 && e.GetFence() != 0 {
		say("attempt %d", e.GetAttempt())
	}
	if e.GetGeneration() > 1 {
		say("generation %d", e.GetGeneration())
	}
	if c := e.GetCause(); c != "" && c != e.GetType() {
		say("%s", strings.ReplaceAll(c, "_", " "))
	}
	if e.GetReason() != "" && e.GetReason() != e.GetType() {
		say("reason %s", e.GetReason())
	}
	if e.GetTask() != 0 && e.GetSchedule() != "" {
		say("schedule %s", e.GetSchedule())
	}
	if e.GetTask() != 0 && e.GetBatch() != 0 {
		say("batch %d", e.GetBatch())
	}
	if e.GetBroadcast() != 0 {
		say("of broadcast %d", e.GetBroadcast())
	}
	if e.GetCount() > 0 {
		say("%s", plural(int(e.GetCount()), "task"))
	}
	if e.GetDetail() != "" {
		say("%s", e.GetDetail())
	}
	if e.GetError() != "" {
		say("%s", e.GetError())
	}
	if wide {
		say("fence %d, session %d, term %d", e.GetFence(), e.GetSession(), e.GetTerm())
	}
	return strings.Join(words, ", ")
}
