package checker

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/fsm/fsmpb"
	"github.com/taskraft/taskraft/internal/model"
)

// recorded makes a small history in which everything holds: two masters, three
// tasks of which one is cancelled and one runs twice.
func recorded(t *testing.T) *History {
	t.Helper()
	m := model.New()
	var log []Entry
	apply := func(events []Event, commands ...*fsmpb.Command) {
		t.Helper()
		e := Entry{Index: uint64(len(log) + 1), Term: 1, Entry: encoded(len(log)+1, commands...), Events: events}
		done, err := m.Apply(e.Index, e.Term, e.Entry)
		if err != nil {
			t.Fatal(err)
		}
		e.Results = done.Results
		log = append(log, e)
	}
	spec := func(request string) *fsmpb.TaskSpec { return &fsmpb.TaskSpec{Queue: "a", RequestId: request} }
	apply([]Event{submitted(1, "r1"), submitted(2, "r2"), submitted(3, "r3")},
		&fsmpb.Command{Kind: &fsmpb.Command_Submit{Submit: &fsmpb.Submit{Tasks: []*fsmpb.TaskSpec{spec("r1"), spec("r2"), spec("r3")}}}})
	apply([]Event{{Kind: "finished", Task: 3, State: model.Cancelled, Generation: 1, Cause: "cancelled"}},
		&fsmpb.Command{Kind: &fsmpb.Command_Cancel{Cancel: &fsmpb.Cancel{Tasks: []uint64{3}}}})
	open := &fsmpb.OpenSession{Worker: "w1", Boot: "b", Slots: 2, Queues: []*fsmpb.QueueWeight{{Queue: "a", Weight: 1}}}
	apply([]Event{assigned(1, 1), assigned(2, 2)},
		&fsmpb.Command{Kind: &fsmpb.Command_OpenSession{OpenSession: open}},
		&fsmpb.Command{Kind: &fsmpb.Command_Assign{Assign: &fsmpb.Assign{Session: 1, N: 2}}})
	apply([]Event{{Kind: "ready", Task: 2, State: model.Ready, Generation: 1, Fence: 2, Cause: "released"}, assigned(2, 3)},
		&fsmpb.Command{Kind: &fsmpb.Command_Release{Release: &fsmpb.Release{Worker: "w1", Boot: "b", Items: []*fsmpb.Handback{{Task: 2, Fence: 2}}}}},
		&fsmpb.Command{Kind: &fsmpb.Command_Assign{Assign: &fsmpb.Assign{Session: 1, N: 1}}})
	apply([]Event{finished(1, 1), finished(2, 3)}, &fsmpb.Command{Kind: &fsmpb.Command_Complete{Complete: &fsmpb.Complete{
		Worker: "w1", Boot: "b", Items: []*fsmpb.Completion{{Task: 1, Fence: 1, Digest: 1}, {Task: 2, Fence: 3, Digest: 1}},
	}}})
	apply(nil, &fsmpb.Command{Kind: &fsmpb.Command_SetSchedule{SetSchedule: &fsmpb.SetSchedule{Schedule: "s", Cron: "@every 1s"}}})
	apply(nil, planned(7))
	return &History{
		Taps: map[string][]Entry{"tap-n1-1": log, "tap-n2-1": slices.Clone(log)},
		Ops: []Op{
			{Client: "c1", Kind: "submit", Task: 1, Request: "r1", Call: 1, Return: 2, Outcome: OK, Index: 1},
			{Client: "c2", Kind: "submit", Task: 2, Request: "r2", Call: 1, Return: 3, Outcome: OK, Index: 1},
			{Client: "c3", Kind: "submit", Request: "r3", Call: 1, Return: 3, Outcome: Maybe},
			{Client: "c1", Kind: "get", Task: 1, Call: 3, Return: 4, Outcome: OK, State: model.Running},
			{Client: "c2", Kind: "get", Task: 1, Call: 5, Return: 6, Outcome: OK, State: model.Succeeded, Result: "x"},
			{Client: "c1", Kind: "get", Task: 1, Call: 7, Return: 8, Outcome: OK, State: model.Succeeded, Result: "x"},
		},
		Runs: []Run{
			{Worker: "w1", Task: 1, Fence: 1, Start: 3, End: 5},
			{Worker: "w1", Task: 2, Fence: 2, Start: 3, End: 4},
			{Worker: "w2", Task: 2, Fence: 3, Start: 5, End: 6},
		},
		Faults: []Fault{{Kind: "kill worker", Target: "w9", Start: 1, End: 2, Effect: "signal: killed"}},
		Finals: []Final{{Task: 1, State: model.Succeeded, Result: "x"}, {Task: 2, State: model.Succeeded}},
	}
}

// encoded is an entry of a leader of term 1 at a time.
func encoded(seconds int, commands ...*fsmpb.Command) []byte {
	b := binary.BigEndian.AppendUint64([]byte{1, 0, 1}, 1)
	b = binary.BigEndian.AppendUint64(b, uint64(1_000_000_000*seconds))
	body, err := proto.Marshal(&fsmpb.Commands{Commands: commands})
	if err != nil {
		panic(err)
	}
	return append(b, body...)
}

// planned says when the schedule fires first; its rule says 7 s.
func planned(seconds int64) *fsmpb.Command {
	item := &fsmpb.FireItem{Schedule: "s", SpecVersion: 1, NextFire: seconds * int64(time.Second)}
	return &fsmpb.Command{Kind: &fsmpb.Command_Fire{Fire: &fsmpb.Fire{Items: []*fsmpb.FireItem{item}}}}
}

func submitted(id uint64, request string) Event {
	return Event{Kind: "submitted", Task: id, State: model.Ready, Generation: 1, RequestID: request}
}

func assigned(id, fence uint64) Event {
	return Event{Kind: "assigned", Task: id, State: model.Running, Generation: 1, Fence: fence, Session: 1}
}

func finished(id, fence uint64) Event {
	return Event{Kind: "finished", Task: id, State: model.Succeeded, Generation: 1, Fence: fence, Cause: "completed"}
}

// both changes an entry in the taps of both masters.
func both(h *History, index uint64, change func(*Entry)) {
	for name, log := range h.Taps {
		log = slices.Clone(log)
		e := log[index-1]
		e.Events, e.Results = slices.Clone(e.Events), slices.Clone(e.Results)
		change(&e)
		log[index-1] = e
		h.Taps[name] = log
	}
}

func TestGoodHistory(t *testing.T) {
	r := Check(recorded(t), Floor{"acknowledged": 2, "fault": 1})
	for _, f := range r.Findings {
		t.Errorf("%s: %s", f.ID, f.Text)
	}
	if r.Counts["entry replayed"] != 7 {
		t.Errorf("%d entries replayed, want 7", r.Counts["entry replayed"])
	}
}

// TestCorruptedHistories: each invariant that the checker claims to hold is broken
// in turn, and must be named.
func TestCorruptedHistories(t *testing.T) {
	for name, c := range map[string]struct {
		id      string
		corrupt func(*History)
	}{
		"acknowledged and not in the log": {"S1", func(h *History) {
			h.Ops = append(h.Ops, Op{Client: "c4", Kind: "submit", Task: 9, Request: "r9", Call: 1, Return: 2, Outcome: OK})
		}},
		"acknowledged before it entered": {"S1", func(h *History) {
			both(h, 2, func(e *Entry) { e.Events = append(e.Events, submitted(4, "r4")) })
			h.Ops = append(h.Ops, Op{Client: "c4", Kind: "submit", Task: 4, Request: "r4", Call: 1, Return: 2, Outcome: OK, Index: 1})
		}},
		"gone at the end":      {"S1", func(h *History) { h.Finals[1] = Final{Task: 2, Gone: true} }},
		"submitted by nobody":  {"S2", func(h *History) { h.Ops = h.Ops[1:] }},
		"one request, two ids": {"S3", func(h *History) { both(h, 1, func(e *Entry) { e.Events[1].RequestID = "r1" }) }},
		"one intent, two ids": {"S3", func(h *History) {
			both(h, 1, func(e *Entry) { e.Events[0].Intent, e.Events[1].Intent = "i", "i" })
		}},
		"told another's intent": {"S3", func(h *History) { h.Ops[0].Intent = "i" }},
		"told that it is not":   {"S2", func(h *History) { h.Ops[2].Outcome = Fail }},
		"told another's id":     {"S3", func(h *History) { h.Ops[0].Task = 2 }},
		"ended twice": {"S4", func(h *History) {
			both(h, 5, func(e *Entry) { e.Events = append(e.Events, finished(1, 1)) })
		}},
		"two executions count":         {"S4", func(h *History) { h.Runs[1].Confirmed, h.Runs[2].Confirmed = true, true }},
		"completed, and not succeeded": {"S5", func(h *History) { h.Runs[2].Confirmed = true; h.Finals[1].State = model.Dead }},
		"assigned after its end": {"S4", func(h *History) {
			both(h, 5, func(e *Entry) { e.Events = append(e.Events, assigned(1, 9)) })
		}},
		"another result later":       {"S5", func(h *History) { h.Ops[5].Result = "y" }},
		"another result at the end":  {"S5", func(h *History) { h.Finals[0].Result = "y" }},
		"a fence twice":              {"S6", func(h *History) { both(h, 4, func(e *Entry) { e.Events[1].Fence = 2 }) }},
		"an older fence ran later":   {"S6", func(h *History) { h.Runs[1].Fence, h.Runs[2].Fence = 3, 2 }},
		"two executions at once":     {"S7", func(h *History) { h.Runs[1].End = 9 }},
		"one never ended":            {"S7", func(h *History) { h.Runs[1].End = 0 }},
		"expired after an election":  {"S7", func(h *History) { expire(h, 1, 100, 109) }},
		"expired without a fault":    {"S7", func(h *History) { expire(h, 1, 100, 120); h.Faults = nil }},
		"expired soon after a fault": {"S7", func(h *History) { expire(h, 115, 100, 120) }},
		"a fire time passed over":    {"S11", func(h *History) { both(h, 7, func(e *Entry) { e.Entry = encoded(7, planned(8)) }) }},
		"a stale read":               {"S12", func(h *History) { h.Ops[5].State = model.Running }},
		"an older table":             {"S12", func(h *History) { h.Ops[3].Index, h.Ops[4].Index = 3, 2 }},
		"a read before any submit":   {"S12", func(h *History) { h.Ops[3].Task, h.Ops[3].Call, h.Ops[3].Return = 2, -2, -1 }},
		"cancelled and assigned":     {"S14", func(h *History) { both(h, 2, func(e *Entry) { e.Events[0].Kind = "stopping"; e.Events[0].Task = 2 }) }},
		"masters answer differently": {"C1", func(h *History) { h.Taps["tap-n1-1"][4].Results = []model.Result{{Outcome: "ACCEPTED"}} }},
		"masters have other entries": {"C2", func(h *History) { h.Taps["tap-n2-1"][4].Entry = []byte{1} }},
		"terms go back":              {"C2", func(h *History) { both(h, 1, func(e *Entry) { e.Term = 2 }) }},
		"a hole in the log": {"C2", func(h *History) {
			for name, log := range h.Taps {
				h.Taps[name] = slices.Delete(slices.Clone(log), 2, 3)
			}
		}},
		"applied out of order": {"C2", func(h *History) { log := h.Taps["tap-n2-1"]; log[0], log[1] = log[1], log[0] }},
		"not ended":            {"L1", func(h *History) { h.Finals[1].State = model.Ready }},
		"a wrong answer": {"model", func(h *History) {
			both(h, 5, func(e *Entry) { e.Results[0].Outcomes = []string{"ACCEPTED", "DUPLICATE"} })
		}},
		"a wrong choice": {"model", func(h *History) {
			both(h, 3, func(e *Entry) { e.Results[1].Got = []model.Grant{{Task: 2, Fence: 1}, {Task: 1, Fence: 2}} })
		}},
		"a failure not counted":  {"model", func(h *History) { both(h, 5, func(e *Entry) { e.Events[0].Failures = 1 }) }},
		"a fault without effect": {"vacuity", func(h *History) { h.Faults[0].Effect = "" }},
		"too little happened":    {"vacuity", func(h *History) { h.Ops = h.Ops[1:2]; h.Taps = nil }},
		"not read at the end":    {"vacuity", func(h *History) { h.Finals = h.Finals[:1] }},
		"nobody recorded the start": {"vacuity", func(h *History) {
			for n, l := range h.Taps {
				h.Taps[n] = l[1:]
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := recorded(t)
			c.corrupt(h)
			r := Check(h, Floor{"acknowledged": 2, "entry": 1})
			if !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.ID == c.id }) {
				t.Errorf("found %v, want %s", r.Findings, c.id)
			}
		})
	}
}

// TestWithoutTaps: a history of what clients and workers were told is judged by that.
func TestWithoutTaps(t *testing.T) {
	floor := Floor{"acknowledged": 2, "confirmed": 1}
	for name, c := range map[string]struct {
		id      string
		corrupt func(*History)
	}{
		"everything holds":      {"", func(*History) {}},
		"two submits, one id":   {"S3", func(h *History) { h.Ops[1].Task = 1 }},
		"two executions count":  {"S4", func(h *History) { h.Runs[1].Confirmed = true }},
		"an older table":        {"S12", func(h *History) { h.Ops[3].Index, h.Ops[4].Index = 3, 2 }},
		"gone at the end":       {"S1", func(h *History) { h.Finals[1] = Final{Task: 2, Gone: true} }},
		"nothing was confirmed": {"vacuity", func(h *History) { h.Runs[2].Confirmed = false }},
	} {
		t.Run(name, func(t *testing.T) {
			h := recorded(t)
			h.Taps, h.Runs[2].Confirmed = nil, true
			c.corrupt(h)
			r := Check(h, floor)
			if named := slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.ID == c.id }); named != (c.id != "") || !named && len(r.Findings) > 0 {
				t.Errorf("found %v, want %q", r.Findings, c.id)
			}
		})
	}
}

// expire has the session of task 2's first attempt expire: seconds at which its
// worker was frozen, at which the term began, and at which it expired.
func expire(h *History, frozen, began, expired int64) {
	second := int64(time.Second)
	both(h, 1, func(e *Entry) { e.At = began * second })
	both(h, 4, func(e *Entry) { e.At, e.Events[0].Cause = expired*second, "expired" })
	h.Faults = append(h.Faults, Fault{Kind: "freeze worker", Target: "w1", Start: frozen * second, End: 200 * second, Effect: "silent"})
}

// TestExpiryAfterItsTime: a frozen worker's session expires when its TTL is over, and
// a killed one's whatever its next process suffers before it has a session of its own.
func TestExpiryAfterItsTime(t *testing.T) {
	second := int64(time.Second)
	for name, frozen := range map[string]int64{"frozen": 108, "killed, then frozen": 119} {
		t.Run(name, func(t *testing.T) {
			h := recorded(t)
			expire(h, frozen, 100, 120)
			if frozen > 110 {
				h.Faults = append([]Fault{{Kind: "kill worker", Target: "w1", Start: 107 * second, End: 108 * second, Effect: "signal: killed"}}, h.Faults...)
			}
			r := Check(h, nil)
			if len(r.Findings) > 0 || r.Counts["expiry with a time"] != 1 {
				t.Errorf("found %v with %d expiries, want nothing with one", r.Findings, r.Counts["expiry with a time"])
			}
		})
	}
}

// TestGaps: around a fault the longest time without an acknowledged change counts,
// also when it began before or ended after the fault.
func TestGaps(t *testing.T) {
	h := &History{Faults: []Fault{{Kind: "a", Start: 2e9, End: 3e9}, {Kind: "a", Start: 12e9, End: 13e9}, {Kind: "b", Skipped: "not here"}}}
	for _, at := range []int64{1e9, 11e9, 12.5e9, 12.75e9, 13.5e9, 40e9} {
		h.Ops = append(h.Ops, Op{Kind: "cancel", Outcome: OK, Return: at})
	}
	h.Ops = append(h.Ops, Op{Kind: "get", Outcome: OK, Return: 5e9}, Op{Kind: "submit", Outcome: Maybe, Return: 6e9})
	r := &Report{Counts: map[string]int{}}
	r.gaps(h)
	if want := (Gaps{"a": {1500, 10_000}}); !maps.EqualFunc(r.Gaps, want, slices.Equal) {
		t.Errorf("gaps %v, want %v", r.Gaps, want)
	}
}

// TestFrozenWorkerMayOverlap: a worker that was hit by a fault may still be at work
// when its task is given to another.
func TestFrozenWorkerMayOverlap(t *testing.T) {
	h := recorded(t)
	h.Runs[1].End = 9
	h.Faults = append(h.Faults, Fault{Kind: "freeze worker", Target: "w1", Start: 4, End: 8, Effect: "silent"})
	if r := Check(h, nil); len(r.Findings) > 0 {
		t.Errorf("found %v, want nothing", r.Findings)
	}
}

// TestLoad: what was written is what is read; a line without its end is none.
func TestLoad(t *testing.T) {
	dir, h := t.TempDir(), recorded(t)
	write := func(name string, tail string, lines ...any) {
		t.Helper()
		var b []byte
		for _, l := range lines {
			text, err := json.Marshal(l)
			if err != nil {
				t.Fatal(err)
			}
			b = append(append(b, text...), '\n')
		}
		if err := os.WriteFile(filepath.Join(dir, name), append(b, tail...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, log := range h.Taps {
		lines := make([]any, 0, len(log))
		for _, e := range log {
			lines = append(lines, e)
		}
		write(name+".jsonl", `{"index":7,"te`, lines...)
	}
	write("ops-c1.jsonl", "", h.Ops[0], h.Ops[1], h.Ops[2])
	write("final.jsonl", "", h.Finals[0], h.Finals[1])
	got, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if r := Check(got, nil); len(r.Findings) > 0 || r.Counts["entry replayed"] != 7 || r.Counts["acknowledged"] != 2 {
		t.Errorf("found %v after %v, want nothing", r.Findings, r.Counts)
	}
}
