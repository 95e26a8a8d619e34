package cluster

import (
	"strings"
	"testing"

	"github.com/taskraft/taskraft/cluster/events"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// TestEveryKindIsRecorded fails when the table tells of something new and the trail
// does not: give it a type in package events and a case in ofTask or ofOther.
func TestEveryKindIsRecorded(t *testing.T) {
	const unknown = "unknown"
	about := map[fsm.EventKind]bool{fsm.TaskTrimmed: true, fsm.ReportRefused: true}
	for k := fsm.TaskSubmitted; k <= fsm.AttemptVoid; k++ {
		about[k] = true
	}
	for k := fsm.TaskSubmitted; k.String() != unknown; k++ {
		ev := &fsm.Event{Kind: k, Name: "x"}
		v := new(events.Event)
		if about[k] {
			ev.Task = &fsm.Task{ID: 1, State: fsm.Dead, Options: &fsm.Options{}, Attempt: &fsm.Attempt{}}
			ofTask(v, ev, &fsmpb.Command{})
		} else {
			ofOther(v, ev, &fsmpb.Command{}, &fsm.Result{IDs: []uint64{1}})
		}
		if (v.Type == 0) != (k == fsm.QueueOpened) || v.Type.String() == unknown {
			t.Errorf("%s is recorded as %q", k, v.Type)
		}
	}
}

func TestCapped(t *testing.T) {
	for _, s := range []string{"", strings.Repeat("x", events.MaxError)} {
		if capped(s) != s {
			t.Errorf("%d bytes are cut", len(s))
		}
	}
	for _, s := range []string{strings.Repeat("x", events.MaxError+1), strings.Repeat("é", events.MaxError)} {
		if got := capped(s); len(got) > events.MaxError || len(got) < events.MaxError-5 || !strings.HasSuffix(got, "…") || strings.ContainsRune(got, '\ufffd') {
			t.Errorf("%d bytes are cut to %q", len(s), got)
		}
	}
}

func TestQueueDetail(t *testing.T) {
	set := func(c *fsmpb.SetQueue) string {
		typ, detail := ofQueue(c)
		return strings.TrimSpace(typ.String() + " " + detail)
	}
	for want, c := range map[string]*fsmpb.SetQueue{
		"queue_paused":                {Paused: new(true)},
		"queue_resumed":               {Paused: new(false)},
		"queue_set":                   {},
		"queue_set max_running=3":     {Settings: &fsmpb.QueueSettings{MaxRunning: new(uint32(3))}, Paused: new(true)},
		"queue_set rate, retain=5":    {Settings: &fsmpb.QueueSettings{Retain: new(int64(5)), Rate: &fsmpb.RateLimit{Tokens: 1}}},
		"queue_set max_running unset": {Unset: []uint32{9, 9999}},
	} {
		if got := set(c); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
