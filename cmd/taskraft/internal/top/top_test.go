package top

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden screens from what the code draws")

var began = time.Date(2026, 11, 26, 14, 3, 0, 0, time.UTC)

// at is a Look of a busy cluster so many seconds after the beginning.
func at(s int) *Look {
	now := began.Add(time.Duration(s) * time.Second)
	n := uint64(s)
	master := func(name, role string, lag uint64) Master {
		return Master{
			Address: "127.0.0.1:74" + name[1:] + "0", Name: name, Role: role, Leads: role == "leader", Term: 2, Applied: 1_204_000 + n - lag, Lag: lag,
			FsyncP50: 412 * time.Microsecond, FsyncP99: 2100 * time.Microsecond, Commits: 100 * n, CommitNanos: 130_000_000 * n,
			Records: 120_331, Started: began.Add(-3 * time.Hour), Version: "v1.0.0",
		}
	}
	return &Look{
		At: now, Cluster: "06a978840a047d59",
		Masters: []Master{master("n1", "leader", 0), master("n2", "follower", 3), master("n3", "follower", 0)},
		Queues: []Queue{
			{Name: "default", Scheduled: 12, Ready: 1204, Running: 30, Dead: 3, Records: 90_000, Submitted: 5000 + 1300*n, Ended: 4000 + (1200+n%7*100)*n, Oldest: now.Add(-4200 * time.Millisecond)},
			{Name: "mail", Running: 2, Records: 30_000, Submitted: 700, Ended: 698, Held: "rate"},
			{Name: "a-queue-with-quite-a-long-name.of.the.kind.that.generators.make-0001", Ready: 7, Oldest: now.Add(-7 * time.Minute)},
		},
		Workers: []Worker{
			{ID: "w1", State: "online", Mode: "stream", Queues: "default,mail=3", Host: "host-a", Version: "v1.0.0", Slots: 64, Held: 31, Completed: 40_000 + 1000*n, Silent: 300 * time.Millisecond},
			{ID: "w2", State: "away", Mode: "stream", Queues: "default", Host: "host-b", Slots: 8, Held: 1, Completed: 12, Failed: 2, Silent: 8 * time.Second},
			{ID: "漢字-worker", State: "drained", Mode: "pull", Queues: "mail", Slots: 4},
		},
		Tasks: []Task{
			{ID: 120_331, State: "running", Queue: "default", Kind: "command", Worker: "w1", Attempt: 1, Started: now.Add(-300 * time.Millisecond), Deadline: now.Add(5 * time.Minute)},
			{ID: 119_002, State: "stopping", Queue: "mail", Kind: "send", Worker: "w2", Attempt: 3, Started: now.Add(-2 * time.Minute), Deadline: now.Add(7 * time.Second), Progress: "40/100 converting"},
		},
		More: true,
	}
}

// watched is a model that has looked for so many seconds.
func watched(width, height, seconds int) *Model {
	m := New(context.Background(), nil)
	m.Update(tea.WindowSizeMsg{Width: width, Height: height})
	for s := range seconds {
		m.look1(at(s))
	}
	return m
}

func (m *Model) look1(l *Look) {
	m.now = func() time.Time { return l.At }
	m.Update(looked{look: l, took: time.Millisecond})
}

func press(m *Model, keys ...string) {
	for _, k := range keys {
		m.key(k)
	}
}

var styles = regexp.MustCompile("\x1b\\[[0-9;]*m")

// screen is what is drawn, without styles, and that it fits.
func screen(t *testing.T, m *Model) string {
	t.Helper()
	lines := strings.Split(m.draw(), "\n")
	if len(lines) != m.height {
		t.Errorf("%d lines on a screen of %d", len(lines), m.height)
	}
	for i, line := range lines {
		if w := lipgloss.Width(line); w > m.width {
			t.Errorf("line %d is %d wide on a screen of %d: %q", i, w, m.width, line)
		}
		lines[i] = strings.TrimRight(styles.ReplaceAllString(line, ""), " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

func TestScreens(t *testing.T) {
	killed := func(m *Model) {
		l := at(30)
		l.Masters[0] = Master{Address: l.Masters[0].Address, Fault: "connection refused"}
		m.look1(l)
		l = at(31)
		l.Masters[0] = Master{Address: l.Masters[0].Address, Fault: "connection refused"}
		l.Masters[1].Leads, l.Masters[1].Role, l.Masters[1].Lag = true, "leader", 0
		l.Masters[1].Term, l.Masters[2].Term = 3, 3
		m.look1(l)
	}
	for _, tt := range []struct {
		name          string
		width, height int
		then          func(*Model)
	}{
		{"overview", 80, 24, func(*Model) {}},
		{"overview-large", 132, 43, func(*Model) {}},
		{"leader-killed", 80, 24, killed},
		{"queues", 80, 24, func(m *Model) { press(m, "2") }},
		{"queues-wide", 160, 24, func(m *Model) { press(m, "2", "s", "s", "s", "s", "s", "s", "r") }},
		{"workers", 80, 24, func(m *Model) { press(m, "3", "s") }},
		{"tasks", 80, 24, func(m *Model) { press(m, "4") }},
		{"masters", 120, 24, func(m *Model) { press(m, "5", "p") }},
		{"help", 80, 24, func(m *Model) { press(m, "?") }},
		{"scrolled", 80, 12, func(m *Model) { press(m, "2", "down", "down") }},
		{"small", 40, 10, func(*Model) {}},
		{"too-small", 39, 9, func(*Model) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := watched(tt.width, tt.height, 30)
			tt.then(m)
			var got string
			if tt.name == "too-small" {
				got = m.draw() + "\n"
			} else {
				got = screen(t, m)
			}
			golden(t, tt.name, got)
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the screen differs (-want +got), see -update:\n%s", diff)
	}
}

// Every page fits every size, with nothing, with little and with much in it.
func TestEverySizeFits(t *testing.T) {
	for width := 40; width <= 200; width += 7 {
		for _, height := range []int{10, 11, 24, 25, 60} {
			for p := range pages {
				for _, seconds := range []int{0, 1, 30} {
					m := watched(width, height, seconds)
					m.page = p
					screen(t, m)
				}
			}
		}
	}
}

func TestNewsOfTheLeader(t *testing.T) {
	m := watched(80, 24, 3)
	silent := at(3)
	silent.Masters[0] = Master{Address: silent.Masters[0].Address, Fault: "no answer"}
	m.look1(silent)
	back := at(4)
	back.Masters[0].Term, back.Masters[1].Term, back.Masters[2].Term = 3, 3, 3
	m.look1(back)
	moved := at(5)
	moved.Masters[0].Leads, moved.Masters[0].Role = false, "follower"
	moved.Masters[2].Leads, moved.Masters[2].Role, moved.Masters[2].Term = true, "leader", 4
	m.look1(moved)
	var got []string
	for _, n := range m.history.news {
		got = append(got, n.text)
	}
	want := []string{"n1 does not answer: no answer", "nobody leads", "n1 is back", "n1 leads again, in term 3", "n3 leads now, in term 4, after n1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("news (-want +got):\n%s", diff)
	}
	if m.history.banner(moved.At) == nil || m.history.banner(moved.At.Add(bannerFor)) != nil {
		t.Error("the banner does not come and go")
	}
}

// A refresh that fails keeps what was seen; a slow one makes the next one wait.
func TestRefreshes(t *testing.T) {
	reads := 0
	m := New(context.Background(), func(_ context.Context, tasks bool) (*Look, error) {
		reads++
		return at(reads), nil
	})
	cmd := m.Init()
	if cmd2 := m.turn(tasksPage); cmd2 != nil {
		t.Error("two refreshes at a time")
	}
	m.Update(cmd())
	if reads != 1 || m.look == nil || m.reading {
		t.Fatalf("%d reads, look %v", reads, m.look)
	}
	m.Update(looked{look: &Look{At: began.Add(time.Minute)}, err: errors.New("no leader")})
	if len(m.look.Queues) != 3 || !strings.Contains(screen(t, m), "! no leader") {
		t.Errorf("the last answer is gone, or nobody is told:\n%s", screen(t, m))
	}
	press(m, "p")
	shown := m.look
	m.look1(at(90))
	if m.look != shown || !strings.Contains(screen(t, m), "PAUSED") {
		t.Error("a paused screen moves")
	}
	if press(m, "p"); m.look == shown {
		t.Error("it does not go on after the pause")
	}
	for _, k := range []string{"q", "ctrl+c", "esc"} {
		if m.key(k) == nil {
			t.Errorf("%s does not quit", k)
		}
	}
}

func TestCharts(t *testing.T) {
	for _, tt := range []struct {
		values        []float64
		width, height int
		want          []string
	}{
		{nil, 3, 1, []string{"   "}},
		{[]float64{0, 1, 2, 4, 8}, 4, 1, []string{"▁▂▄█"}},
		{[]float64{0, 0.001, 8}, 4, 1, []string{"  ▁█"}},
		{[]float64{4, 8, 6}, 3, 2, []string{" █▄", "███"}},
		{[]float64{0, 0}, 2, 1, []string{"  "}},
	} {
		if diff := cmp.Diff(tt.want, chart(tt.values, tt.width, tt.height)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.values, diff)
		}
	}
}

// TestTicksDoNotMultiply: a page that is read at once has a tick of its own; the one
// that was under way leads to nothing any more.
func TestTicksDoNotMultiply(t *testing.T) {
	m := New(t.Context(), func(context.Context, bool) (*Look, error) { return at(2), nil })
	m.Update(looked{look: at(0)})
	if m.key("4") == nil {
		t.Fatal("running tasks are not read at once")
	}
	m.Update(looked{look: at(1)})
	if _, cmd := m.Update(refresh{1}); cmd != nil {
		t.Error("the tick from before refreshes, too")
	}
	if _, cmd := m.Update(refresh{2}); cmd == nil {
		t.Error("no tick refreshes")
	}
}
