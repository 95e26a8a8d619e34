package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/internal/proc"
)

// happened is a line of taskraft events -o jsonl.
type happened struct {
	Cursor string `json:"cursor"`
	Task   string `json:"task"`
}

func readEvents(t *testing.T, text string) (all []happened) {
	t.Helper()
	for line := range strings.Lines(text) {
		if !strings.HasSuffix(line, "\n") {
			break // it is being written
		}
		var e happened
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		all = append(all, e)
	}
	return all
}

// TestEventsOverLeaderKills (B8) follows events while each master in turn is killed and
// restarted: every task's creation is told, once, in order. Afterwards every master, a
// restarted one too, tells the same from the first entry on, byte for byte.
func TestEventsOverLeaderKills(t *testing.T) {
	const tasks = 300
	c := newCluster(t)
	ctx := within(t, 3*time.Minute)
	follower := runTaskraft(ctx, t, c, "events", "-f", "--since", "oldest", "--type", "created", "-o", "jsonl")
	cl := newClient(t, c.Addrs())
	var want []string
	for i := range tasks {
		r, err := cl.Submit(ctx, client.Task{Queue: "q", RequestID: fmt.Sprint("r", i)})
		must(t, err)
		want = append(want, fmt.Sprint(r.ID))
		if i%75 != 50 {
			continue
		}
		leader, err := c.Leader(ctx)
		must(t, err)
		killAndRestart(t, c, leader)
	}
	must(t, proc.Poll(ctx, 10*time.Millisecond, "all is told", func() bool {
		return len(readEvents(t, follower.out.String())) >= tasks
	}))
	told := readEvents(t, follower.out.String())
	var got []string
	for _, e := range told {
		got = append(got, e.Task)
	}
	if !slices.Equal(got, want) {
		t.Errorf("told of %d tasks, want %d, each once and in order: %v", len(got), len(want), got)
	}
	must(t, follower.cmd.Process.Kill())
	_ = follower.cmd.Wait()

	m := c.Masters()[0]
	must(t, m.Kill())
	must(t, m.Start())
	must(t, c.Rejoined(ctx, m))
	first := ""
	for _, m := range c.Masters() {
		all := runTaskraft(ctx, t, c, "events", "--masters", m.GRPC, "--since", "1", "-o", "jsonl")
		if code := all.exit(t); code != 0 {
			t.Fatalf("%s: exit code %d: %s", m.Name, code, all.err.String())
		}
		if first == "" {
			first = all.out.String()
		}
		if n := len(readEvents(t, all.out.String())); n < tasks || all.out.String() != first {
			t.Errorf("%s tells of %d events, or other ones than the first master", m.Name, n)
		}
	}
	last := told[len(told)-1].Cursor
	rest := runTaskraft(ctx, t, c, "events", "--masters", m.GRPC, "--since", told[len(told)-2].Cursor, "--type", "created", "-o", "name")
	if code := rest.exit(t); code != 0 || rest.out.String() != last+"\n" {
		t.Errorf("behind the last but one: exit code %d, %q, want %s: %s", code, rest.out.String(), last, rest.err.String())
	}
}

// TestCompactedEvents: what no master keeps any more is said to be compacted, by the
// command, too, and where one can go on.
func TestCompactedEvents(t *testing.T) {
	c := newCluster(t, "--event-bytes", "0B")
	ctx := within(t, 3*time.Minute)
	many := runTaskraft(ctx, t, c, "submit", "--batch", "many", "--count", "100000", "--kind", "nobody", "-o", "name")
	if code := many.exit(t); code != 0 {
		t.Fatalf("exit code %d: %s", code, many.err.String())
	}
	must(t, proc.Poll(ctx, 50*time.Millisecond, "the batch is unpacked", func() bool {
		one := runTaskraft(ctx, t, c, "events", "--since", "oldest", "--task", "100000", "-o", "name")
		return one.exit(t) == 0 && one.out.String() != ""
	}))
	gone := runTaskraft(ctx, t, c, "events", "--since", "1")
	if code := gone.exit(t); code != 6 || !strings.Contains(gone.err.String(), "not kept any more") || !strings.Contains(gone.err.String(), "taskraft events --since ") {
		t.Errorf("exit code %d: %s", code, gone.err.String())
	}
	_, from, _ := strings.Cut(gone.err.String(), "taskraft events --since ")
	from, _, _ = strings.Cut(from, ";")
	some := runTaskraft(ctx, t, c, "events", "--since", from, "--limit", "10", "-o", "name")
	if code := some.exit(t); code != 0 || strings.Count(some.out.String(), "\n") != 10 {
		t.Errorf("from %s on: exit code %d, %q: %s", from, code, some.out.String(), some.err.String())
	}
}
