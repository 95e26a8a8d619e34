package proc

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestJournalGrows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w1.journal")
	j := NewJournal("w1", path)
	read := func() []Settled {
		t.Helper()
		lines, err := j.Read()
		if err != nil {
			t.Fatal(err)
		}
		return lines
	}
	if got := read(); len(got) != 0 {
		t.Fatalf("a journal that does not exist yet has lines: %v", got)
	}
	add := func(text string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	add(`{"time":"2026-01-02T03:04:05Z","task":7,"fence":"9","attempt":1,"verb":"complete","outcome":"ACCEPTED"}` + "\n" + `{"time":"2026-01-02T03`)
	want := Settled{
		Worker: "w1", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Task: 7, Fence: 9, Attempt: 1, Verb: "complete", Outcome: "ACCEPTED",
	}
	if diff := cmp.Diff([]Settled{want}, read()); diff != "" {
		t.Errorf("first line (-want +got):\n%s", diff)
	}
	add(`:04:06Z","task":8,"fence":10,"attempt":2,"verb":"fail","outcome":"ACCEPTED"}` + "\n")
	want.Time, want.Task, want.Fence, want.Attempt, want.Verb = want.Time.Add(time.Second), 8, 10, 2, "fail"
	if diff := cmp.Diff([]Settled{want}, read()); diff != "" {
		t.Errorf("line written in two parts (-want +got):\n%s", diff)
	}
	add("nonsense\n")
	if _, err := j.Read(); err == nil {
		t.Error("a line that is no JSON was accepted")
	}
}

func TestTally(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(1_000_000 + ms)) }
	line := func(ms int, task, fence Number, verb, outcome string) Settled {
		return Settled{Time: at(ms), Task: task, Fence: fence, Verb: verb, Outcome: outcome}
	}
	tests := []struct {
		name       string
		lines      []Settled
		completed  int
		duplicates []uint64
		gap        time.Duration
	}{
		{name: "nothing"},
		{
			name:      "each once, in any order",
			lines:     []Settled{line(30, 2, 2, "complete", "ACCEPTED"), line(0, 1, 1, "complete", "ACCEPTED")},
			completed: 2, gap: 30 * time.Millisecond,
		},
		{
			name:      "the first answer was lost, the repeat was answered",
			lines:     []Settled{line(0, 1, 1, "complete", "DUPLICATE")},
			completed: 1,
		},
		{
			name:      "both answers arrived",
			lines:     []Settled{line(0, 1, 1, "complete", "ACCEPTED"), line(5, 1, 1, "complete", "DUPLICATE")},
			completed: 1,
		},
		{
			name:      "refusals and failures do not count",
			lines:     []Settled{line(0, 1, 1, "complete", "STALE_REASSIGNED"), line(5, 1, 2, "fail", "ACCEPTED")},
			completed: 0,
		},
		{
			name:      "two fences of one task",
			lines:     []Settled{line(0, 1, 1, "complete", "ACCEPTED"), line(5, 1, 2, "complete", "ACCEPTED")},
			completed: 1, duplicates: []uint64{1}, gap: 5 * time.Millisecond,
		},
		{
			name:      "one fence accepted twice",
			lines:     []Settled{line(0, 4, 1, "complete", "ACCEPTED"), line(5, 4, 1, "complete", "ACCEPTED")},
			completed: 1, duplicates: []uint64{4},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tally := NewTally()
			tally.Add(tt.lines...)
			if got := tally.Completed(); got != tt.completed {
				t.Errorf("completed %d, want %d", got, tt.completed)
			}
			if diff := cmp.Diff(tt.duplicates, tally.Duplicates()); diff != "" {
				t.Errorf("duplicates (-want +got):\n%s", diff)
			}
			if got := tally.Gap(time.Time{}, time.Time{}); got != tt.gap {
				t.Errorf("gap %v, want %v", got, tt.gap)
			}
		})
	}
}

func TestGapWindow(t *testing.T) {
	tally := NewTally()
	for i, ms := range []int64{0, 10, 500, 510, 800} {
		tally.Add(Settled{Time: time.UnixMilli(ms), Task: Number(i + 1), Fence: Number(i + 1), Verb: "complete", Outcome: "ACCEPTED"})
	}
	at := time.UnixMilli
	tests := []struct {
		from, to time.Time
		want     time.Duration
	}{
		{at(5), at(20), 490 * time.Millisecond},    // the gap begins inside
		{at(490), at(505), 490 * time.Millisecond}, // it ends inside
		{at(501), at(509), 10 * time.Millisecond},
		{at(505), time.Time{}, 290 * time.Millisecond},
		{at(900), time.Time{}, 0},
	}
	for _, tt := range tests {
		if got := tally.Gap(tt.from, tt.to); got != tt.want {
			t.Errorf("gap of %d…%d ms is %v, want %v", tt.from.UnixMilli(), tt.to.UnixMilli(), got, tt.want)
		}
	}
}
