package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/taskraft/taskraft/bench/cells"
)

// File is what peers.json holds.
type File struct {
	Time     time.Time           `json:"time"`
	Command  string              `json:"command"`
	Machine  Machine             `json:"machine"`
	Rounds   int                 `json:"rounds"`
	Seconds  float64             `json:"seconds_per_run"`
	Backlog  int                 `json:"backlog"` // queued tasks in the cell of that name
	Versions map[string]string   `json:"versions"`
	Settings map[string][]string `json:"settings"` // by system
	Summary  []Line              `json:"summary"`
	Runs     []cells.Result      `json:"runs"` // in the order in which they ran
}

// Machine is where the figures come from.
type Machine struct {
	CPU        string  `json:"cpu"`
	CPUs       int     `json:"cpus"`
	MemoryMiB  uint64  `json:"memory_mib"`
	Kernel     string  `json:"kernel"`
	FileSystem string  `json:"file_system"`
	FsyncP50   float64 `json:"fsync_p50_ms"`
}

// Write writes peers.json and peers.svg into dir.
func (f *File) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("write the figures: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "peers.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "peers.svg"), []byte(f.chart()), 0o644)
}
