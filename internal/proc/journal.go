package proc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"time"
)

// Settled is one line of a worker's journal: an outcome that a master confirmed.
type Settled struct {
	Worker  string    `json:"-"`
	Time    time.Time `json:"time"`
	Task    Number    `json:"task"`
	Fence   Number    `json:"fence"`
	Attempt int       `json:"attempt"`
	Verb    string    `json:"verb"`    // complete, fail, release
	Outcome string    `json:"outcome"` // ACCEPTED, DUPLICATE, STALE_REASSIGNED …
}

// Counts reports whether this line says that the task's completion is recorded:
// DUPLICATE is the answer to a repeat whose first answer was lost.
func (s Settled) Counts() bool {
	return s.Verb == "complete" && (s.Outcome == "ACCEPTED" || s.Outcome == "DUPLICATE")
}

// Number is an unsigned integer that may stand in JSON as a number or a string.
type Number uint64

// UnmarshalJSON accepts 42 and "42".
func (n *Number) UnmarshalJSON(text []byte) error {
	v, err := strconv.ParseUint(string(bytes.Trim(text, `"`)), 10, 64)
	*n = Number(v)
	return err
}

// Journal reads a worker's journal as it grows. It is not safe for concurrent use.
type Journal struct {
	worker, path string
	offset       int64
	rest         []byte // a line without its end yet
}

// NewJournal returns a reader of the journal of worker at path, which need not
// exist yet.
func NewJournal(worker, path string) *Journal { return &Journal{worker: worker, path: path} }

// Read returns the lines added since the last call. A last line without its end,
// as a killed worker may leave one, waits for the rest.
func (j *Journal) Read() ([]Settled, error) {
	f, err := os.Open(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.NewSectionReader(f, j.offset, 1<<40))
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	j.offset += int64(len(data))
	data = append(j.rest, data...)
	var settled []Settled
	for {
		line, after, found := bytes.Cut(data, []byte("\n"))
		if !found {
			j.rest = bytes.Clone(data)
			return settled, nil
		}
		data = after
		s := Settled{Worker: j.worker}
		if err := json.Unmarshal(line, &s); err != nil {
			return nil, fmt.Errorf("read journal %s: line %q: %w", j.path, line, err)
		}
		settled = append(settled, s)
	}
}
