package command

import (
	"errors"
	"fmt"
	"time"
)

// Limits bound what one program may use, and each of its children; 0: no limit of
// its own. They are the kernel's resource limits, which only Linux sets on a
// program before its first instruction.
type Limits struct {
	Memory   int64         // bytes of address space: what is beyond is not given to it
	CPU      time.Duration // of processor time, in whole seconds; then SIGXCPU, and SIGKILL a second later
	FileSize int64         // bytes of any file that it writes; then SIGXFSZ
	Files    int           // open files
}

const (
	minMemory = 1 << 20
	minFiles  = 8
	maxLimit  = 1 << 50
)

// check returns all that is wrong.
func (l Limits) check() error {
	var errs []error
	between := func(what string, n, low, high int64, unit string) {
		if n != 0 && (n < low || n > high) {
			errs = append(errs, fmt.Errorf("limit of %s: got %d%s, want %d to %d", what, n, unit, low, high))
		}
	}
	between("memory", l.Memory, minMemory, maxLimit, " bytes")
	between("file size", l.FileSize, 1, maxLimit, " bytes")
	between("open files", int64(l.Files), minFiles, 1<<20, "")
	if l.CPU != 0 && (l.CPU < time.Second || l.CPU%time.Second != 0) {
		errs = append(errs, fmt.Errorf("limit of processor time: got %s, want whole seconds, at least one", l.CPU))
	}
	if l != (Limits{}) && !canLimit {
		errs = append(errs, errors.New("limits are kept on Linux only"))
	}
	return errors.Join(errs...)
}
