package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/taskraft/taskraft/worker"
)

// journal is a worker's own log of what the masters confirmed: one JSON line per
// outcome, each written at once, so that a killed worker leaves whole lines.
type journal struct{ f *os.File }

type journalLine struct {
	Time    time.Time   `json:"time"`
	Task    uint64      `json:"task"`
	Fence   uint64      `json:"fence,string"`
	Attempt int         `json:"attempt"`
	Verb    worker.Verb `json:"verb"`
	Outcome string      `json:"outcome"`
}

func openJournal(name string) (*journal, error) {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fail(exitUsage, "a writable file in an existing directory", "--journal: %w", err)
	}
	return &journal{f}, nil
}

// add writes a line. The worker calls it for one outcome at a time.
func (j *journal) add(s worker.Settled) {
	line, err := json.Marshal(journalLine{time.Now(), s.Task, s.Fence, s.Attempt, s.Verb, s.Outcome.String()})
	if err == nil {
		_, err = j.f.Write(append(line, '\n'))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "taskraft: journal:", err)
	}
}

func (j *journal) close() {
	if err := j.f.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "taskraft: journal:", err)
	}
}
