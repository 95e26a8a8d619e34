//go:build chaos

package cluster

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/fsm"
)

// tap writes what this master applies to a file of its own in the directory that
// CHAOS_TAP names, one line of JSON for each entry. internal/checker reads it.
type tap struct {
	w   *bufio.Writer
	log *slog.Logger
}

type tapLine struct {
	Index     uint64      `json:"index"`
	Term      uint64      `json:"term"`
	At        int64       `json:"at"`              // by this machine's clock
	Entry     []byte      `json:"entry,omitempty"` // none: not for the table
	NotLeader bool        `json:"not_leader,omitempty"`
	Results   []tapResult `json:"results,omitempty"`
	Events    []tapEvent  `json:"events,omitempty"`
}

type tapResult struct {
	Outcome  string     `json:"outcome"`
	Outcomes []string   `json:"outcomes,omitempty"`
	IDs      []uint64   `json:"ids,omitempty"`
	Got      []tapGrant `json:"got,omitempty"`
	Aborts   []uint64   `json:"aborts,omitempty"`
	Session  uint64     `json:"session,omitempty"`
	Batch    uint64     `json:"batch,omitempty"`
	Count    uint64     `json:"count,omitempty"`
}

type tapGrant struct {
	Task  uint64 `json:"task"`
	Fence uint64 `json:"fence"`
}

type tapEvent struct {
	Kind       string `json:"kind"`
	Cause      string `json:"cause,omitempty"`
	Task       uint64 `json:"task,omitempty"`
	Fence      uint64 `json:"fence,omitempty"`
	Session    uint64 `json:"session,omitempty"`
	State      string `json:"state,omitempty"`
	Generation uint32 `json:"generation,omitempty"`
	Failures   uint32 `json:"failures,omitempty"`
	Crashes    uint32 `json:"crashes,omitempty"`
	RequestID  string `json:"request_id,omitempty"`
	Schedule   string `json:"schedule,omitempty"`
}

func newTap(name string, log *slog.Logger) tap {
	dir := os.Getenv("CHAOS_TAP")
	if dir == "" {
		return tap{}
	}
	path := filepath.Join(dir, fmt.Sprintf("tap-%s-%d.jsonl", name, os.Getpid()))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		log.Error("tap cannot be opened", slog.Any("err", err))
		return tap{}
	}
	return tap{w: bufio.NewWriter(f), log: log}
}

// entry notes an applied entry; done is nil for one that is not for the table.
func (t tap) entry(l *raft.Log, done *fsm.Applied) {
	if t.w == nil {
		return
	}
	line := tapLine{Index: l.Index, Term: l.Term, At: time.Now().UnixNano()}
	if done != nil {
		line.Entry, line.NotLeader = l.Data, done.NotLeader
		for _, r := range done.Results {
			line.Results = append(line.Results, tapResultOf(&r))
		}
		for _, e := range done.Events {
			line.Events = append(line.Events, tapEventOf(e))
		}
	}
	text, err := json.Marshal(line)
	if err != nil {
		t.log.Error("tap failed", slog.Any("err", err))
		return
	}
	_, _ = t.w.Write(append(text, '\n'))
}

// flush hands what was noted to the kernel, which keeps it when the master is killed.
func (t tap) flush() {
	if t.w != nil {
		_ = t.w.Flush()
	}
}

func tapResultOf(r *fsm.Result) tapResult {
	out := tapResult{Outcome: r.Outcome.String(), IDs: r.IDs, Aborts: r.Aborts, Batch: r.Batch, Count: r.Count}
	for _, o := range r.Outcomes {
		out.Outcomes = append(out.Outcomes, o.String())
	}
	for _, t := range r.Tasks {
		out.Got = append(out.Got, tapGrant{t.ID, t.Fence})
	}
	if r.Session != nil {
		out.Session = r.Session.ID
	}
	return out
}

func tapEventOf(e fsm.Event) tapEvent {
	out := tapEvent{Kind: e.Kind.String(), Cause: e.Cause.String(), Fence: e.Fence, Session: e.Session}
	if t := e.Task; t != nil {
		out.Task, out.State, out.Generation = t.ID, t.State.String(), t.Generation
		out.Failures, out.Crashes, out.RequestID = t.Failures, t.Crashes, t.RequestID
		if t.Extra != nil {
			out.Schedule = t.Extra.Schedule
		}
	}
	return out
}
