package fsm

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// TestStories plays the transcripts in testdata/*.txt. A line "> …" is an input,
// the lines after it are what the table answered; everything else is prose.
//
//	> +3s submit kind=a ; assign w01 2
//
// moves the clock by 3 s and applies one entry of two commands. "wait 10s" moves
// the clock with a tick at all that falls due, "show …" prints a part of the
// table. Beside what is compared, every entry is applied to a second machine
// that was restored from the first one's snapshot just before, and must do the
// same there; and all indexes are recounted.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := playStory(t, string(b))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := gocmp.Diff(string(b), got); diff != "" {
				t.Errorf("%s tells another story (-file +now; -update rewrites it):\n%s", file, diff)
			}
		})
	}
}

// playStory returns the transcript as the code would write it.
func playStory(t *testing.T, in string) string { return tellStory(t, in).out.String() }

// tellStory carries out all inputs.
func tellStory(t *testing.T, in string) *story {
	s := &story{table: newTable(t)}
	answering := false
	for line := range strings.Lines(in) {
		line = strings.TrimSuffix(line, "\n")
		if input, ok := strings.CutPrefix(line, "> "); ok {
			s.out.WriteString(line + "\n")
			s.input(input)
			answering = true
			continue
		}
		if answering = answering && line != ""; answering {
			continue // the old answer
		}
		s.out.WriteString(line + "\n")
	}
	return s
}

// story is a table with a transcript.
type story struct {
	*table
	out     strings.Builder
	opening map[string]uint64 // sessions that the entry being read opens, by worker
}

func (s *story) printf(format string, args ...any) {
	fmt.Fprintf(&s.out, "  "+format+"\n", args...)
}

// input carries out one input line.
func (s *story) input(line string) {
	words := strings.Fields(line)
	s.opening = nil
	if d, ok := strings.CutPrefix(words[0], "+"); ok {
		s.now += s.duration(d)
		words = words[1:]
	}
	switch {
	case len(words) == 0:
	case words[0] == "show":
		s.show(words[1:])
	case words[0] == "wait":
		s.wait(s.duration(words[1]))
	default:
		var commands []*fsmpb.Command
		s.opening = make(map[string]uint64)
		for part := range strings.SplitSeq(strings.Join(words, " "), " ; ") {
			commands = append(commands, s.command(strings.Fields(part)))
		}
		s.entry(commands...)
	}
}

// entry applies one entry here and on a restored copy, and prints what it did.
func (s *story) entry(commands ...*fsmpb.Command) {
	s.Helper()
	other := restored(s, snapshotBytes(s, s.m))
	a := s.apply(commands...)
	sameApplied(s, a, applyBytes(s, other, s.index, s.log[len(s.log)-1]))
	check(s, s.m)
	for _, r := range a.Results {
		s.printf("%s", resultText(&r))
	}
	for _, e := range a.Events {
		s.printf("  %s", eventText(&e))
	}
}

// wait is table.advance with a transcript.
func (s *story) wait(d int64) {
	until := s.now + d
	for {
		due := s.m.NextDue()
		if due == 0 || due > until {
			break
		}
		s.now = due
		s.printf("at %s", s.clock(due))
		s.entry(tickCmd())
	}
	s.now = until
}

// clock prints a time as the time since the story began.
func (s *story) clock(at int64) string {
	if at == 0 {
		return "-"
	}
	return time.Duration(at - epochStart).String()
}

func (s *story) duration(text string) int64 {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.Fatal(err)
	}
	return int64(d)
}

func (s *story) number(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		s.Fatal(err)
	}
	return n
}

func resultText(r *Result) string {
	var b strings.Builder
	b.WriteString(r.Outcome.String())
	if len(r.Outcomes) > 0 {
		fmt.Fprintf(&b, " %v", r.Outcomes)
	}
	if len(r.IDs) > 0 {
		fmt.Fprintf(&b, " ids=%v", r.IDs)
	}
	if r.Batch != 0 {
		fmt.Fprintf(&b, " batch=%d", r.Batch)
	}
	if r.Count != 0 {
		fmt.Fprintf(&b, " count=%d", r.Count)
	}
	if r.Session != nil {
		fmt.Fprintf(&b, " session=%d", r.Session.ID)
	}
	for _, t := range r.Tasks {
		fmt.Fprintf(&b, " got=%d#%d", t.ID, t.Fence)
	}
	if len(r.Aborts) > 0 {
		fmt.Fprintf(&b, " aborts=%v", r.Aborts)
	}
	return b.String()
}

func eventText(e *Event) string {
	var b strings.Builder
	b.WriteString(e.Kind.String())
	if e.Task != nil {
		fmt.Fprintf(&b, " %d %s", e.Task.ID, e.Task.State)
	}
	if e.Fence != 0 {
		fmt.Fprintf(&b, " fence=%d", e.Fence)
	}
	if e.Session != 0 {
		fmt.Fprintf(&b, " session=%d", e.Session)
	}
	if e.Cause != CauseNone {
		fmt.Fprintf(&b, " cause=%s", e.Cause)
	}
	if e.Outcome != OutcomeNone {
		fmt.Fprintf(&b, " outcome=%s", e.Outcome)
	}
	if e.Name != "" {
		fmt.Fprintf(&b, " name=%s", e.Name)
	}
	if e.Batch != 0 {
		fmt.Fprintf(&b, " batch=%d", e.Batch)
	}
	return b.String()
}
