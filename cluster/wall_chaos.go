//go:build chaos

package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// wallClock is the machine's clock, wrong by what the file clock-<pid> in the
// directory that CHAOS_TAP names says, a duration.
func wallClock() time.Time {
	now := time.Now()
	text, err := os.ReadFile(filepath.Join(os.Getenv("CHAOS_TAP"), fmt.Sprintf("clock-%d", os.Getpid())))
	if err != nil {
		return now // there is none: it is right
	}
	wrong, err := time.ParseDuration(strings.TrimSpace(string(text)))
	if err != nil {
		return now // it is being written
	}
	return now.Add(wrong)
}
