package checker

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/taskraft/taskraft/internal/model"
)

// Entry is one line of a master's tap.
type Entry struct {
	Index     uint64         `json:"index"`
	Term      uint64         `json:"term"`
	At        int64          `json:"at,omitempty"` // when it was applied, nanoseconds of the machine's clock
	Entry     []byte         `json:"entry,omitempty"`
	NotLeader bool           `json:"not_leader,omitempty"`
	Results   []model.Result `json:"results,omitempty"`
	Events    []Event        `json:"events,omitempty"`
}

// Event is what an entry did to a task, in the words of the API.
type Event struct {
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
	Intent     string `json:"intent,omitempty"`   // of its submitter: one task is meant by one intent
	Schedule   string `json:"schedule,omitempty"` // that submitted it
}

// What a client was told about an operation.
const (
	OK    = "ok"    // the answer is in Seen
	Fail  = "fail"  // it certainly did not happen
	Maybe = "maybe" // it may have happened, then or later
)

// Op is one call of a client. Times are nanoseconds of one clock of the machine.
type Op struct {
	Client  string `json:"client"`
	Kind    string `json:"kind"` // submit, get, cancel
	Task    uint64 `json:"task,omitempty"`
	Request string `json:"request,omitempty"` // submit: its idempotency key
	Intent  string `json:"intent,omitempty"`  // submit: what was meant, also where there is no key
	Call    int64  `json:"call"`
	Return  int64  `json:"return"`
	Outcome string `json:"outcome"`
	State   string `json:"state,omitempty"`  // get, cancel: the task's state
	Result  string `json:"result,omitempty"` // get: what it says when it has succeeded
	Fence   uint64 `json:"fence,omitempty"`  // get: the attempt that ended it
	Index   uint64 `json:"index,omitempty"`  // of the log, as the answer says
}

// Run is one execution of a task, from the machine's clock. End is 0 when the
// execution was cut off.
type Run struct {
	Worker    string `json:"worker"`
	Task      uint64 `json:"task"`
	Fence     uint64 `json:"fence"`
	Start     int64  `json:"start"`
	End       int64  `json:"end"`
	Confirmed bool   `json:"confirmed,omitempty"` // a master said that its completion counts
}

// Fault is one thing that the nemesis did.
type Fault struct {
	Kind    string `json:"kind"`
	Target  string `json:"target"`
	Start   int64  `json:"start"`
	End     int64  `json:"end"`
	Effect  string `json:"effect,omitempty"` // how it was seen to work; "": it was not
	Skipped string `json:"skipped,omitempty"`
}

// Final is a task as the leader showed it at the end.
type Final struct {
	Task   uint64 `json:"task"`
	State  string `json:"state"`
	Result string `json:"result,omitempty"`
	Gone   bool   `json:"gone,omitempty"` // the leader does not know it
}

// History is all that was recorded of a run.
type History struct {
	Taps   map[string][]Entry // by file
	Ops    []Op
	Runs   []Run
	Faults []Fault
	Finals []Final
}

// Load reads a run's directory.
func Load(dir string) (*History, error) {
	h := &History{Taps: make(map[string][]Entry)}
	taps, err := filepath.Glob(filepath.Join(dir, "tap-*.jsonl"))
	if err != nil {
		return nil, fmt.Errorf("list taps: %w", err)
	}
	for _, path := range taps {
		var lines []Entry
		if err := read(path, &lines); err != nil {
			return nil, err
		}
		h.Taps[strings.TrimSuffix(filepath.Base(path), ".jsonl")] = lines
	}
	ops, err := filepath.Glob(filepath.Join(dir, "ops-*.jsonl"))
	if err != nil {
		return nil, fmt.Errorf("list operations: %w", err)
	}
	for _, path := range ops {
		if err := read(path, &h.Ops); err != nil {
			return nil, err
		}
	}
	return h, errors.Join(read(filepath.Join(dir, "runs.jsonl"), &h.Runs),
		read(filepath.Join(dir, "nemesis.jsonl"), &h.Faults), read(filepath.Join(dir, "final.jsonl"), &h.Finals))
}

// read appends the lines of a file. One that a killed process left without its
// end is not a line; a file that is not there has none.
func read[T any](path string, into *[]T) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read history: %w", err)
	}
	defer f.Close()
	lines := bufio.NewReaderSize(f, 1<<20)
	for {
		text, err := lines.ReadBytes('\n')
		if err != nil {
			return nil // the end, perhaps in the middle of a line
		}
		var v T
		if err := json.Unmarshal(text, &v); err != nil {
			return fmt.Errorf("read %s: %w", filepath.Base(path), err)
		}
		*into = append(*into, v)
	}
}
