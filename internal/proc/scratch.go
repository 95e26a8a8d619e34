package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/taskraft/taskraft/cluster/datadir"
)

// Scratch makes a new directory under parent, which it creates, for the data of
// one run. It refuses a file system in memory, on which no figure about
// durability or speed means anything. The text names the file system and its
// fsync time.
func Scratch(parent string) (dir, storage string, err error) {
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", "", fmt.Errorf("make a data directory: %w", err)
	}
	fs, fsync, err := datadir.Probe(parent)
	if err != nil {
		return "", "", fmt.Errorf("look at the data directory: %w", err)
	}
	if datadir.Volatile(fs) {
		return "", "", fmt.Errorf("%s is on %s: kill -9 and fsync prove nothing there; use a directory on a disk", parent, fs)
	}
	dir, err = os.MkdirTemp(parent, "run-")
	if err != nil {
		return "", "", fmt.Errorf("make a data directory: %w", err)
	}
	dir, err = filepath.Abs(dir)
	return dir, fmt.Sprintf("%s, fsync p50 %s", fs, fsync.Round(10*time.Microsecond)), err
}
