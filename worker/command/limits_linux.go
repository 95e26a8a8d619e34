package command

import (
	"errors"
	"fmt"
	"syscall"
	"time"
	"unsafe"
)

const canLimit = true

// limitAttributes stop the child right after its exec, for confine. The thread that
// starts it must be the one that lets it go on.
func limitAttributes(attr *syscall.SysProcAttr) { attr.Ptrace = true }

// confine sets the limits of a child that limitAttributes has stopped before its
// first instruction, and lets it go on. A child that could not be confined is
// killed: it must not run without them.
func confine(pid int, l Limits) error {
	if !awaitStop(pid) {
		return nil // it was killed before
	}
	err := l.set(pid)
	if err != nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if detach := syscall.PtraceDetach(pid); detach != nil && !errors.Is(detach, syscall.ESRCH) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		err = errors.Join(err, fmt.Errorf("let it go on: %w", detach))
	}
	if err != nil {
		return fmt.Errorf("set its limits: %w", err)
	}
	return nil
}

// awaitStop waits until the child has stopped and reports whether it has; one that
// ended is left to be reaped.
func awaitStop(pid int) bool {
	const (
		pPID, wStopped, wExited, wNoWait = 1, 2, 4, 0x1000000
		cldTrapped                       = 4
	)
	var info struct {
		signo, errno, code int32
		_                  [116]byte // the kernel's siginfo has 128 bytes
	}
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, pPID, uintptr(pid), uintptr(unsafe.Pointer(&info)), wStopped|wExited|wNoWait, 0, 0)
		if !errors.Is(errno, syscall.EINTR) {
			return errno == 0 && info.code == cldTrapped
		}
	}
}

// set gives a process its limits.
func (l Limits) set(pid int) error {
	cpu := uint64(l.CPU / time.Second)
	for _, limit := range []struct {
		which     uintptr
		soft, add uint64 // add is how far the hard limit is above the soft one
	}{
		{syscall.RLIMIT_AS, uint64(l.Memory), 0},
		{syscall.RLIMIT_CPU, cpu, 1},
		{syscall.RLIMIT_FSIZE, uint64(l.FileSize), 0},
		{syscall.RLIMIT_NOFILE, uint64(l.Files), 0},
	} {
		if limit.soft == 0 {
			continue
		}
		var now syscall.Rlimit
		if err := prlimit(pid, limit.which, nil, &now); err != nil {
			return err
		}
		// Never above what the worker itself has.
		to := syscall.Rlimit{Cur: min(limit.soft, now.Max), Max: min(limit.soft+limit.add, now.Max)}
		if err := prlimit(pid, limit.which, &to, nil); err != nil {
			return err
		}
	}
	return nil
}

func prlimit(pid int, which uintptr, to, old *syscall.Rlimit) error {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), which, uintptr(unsafe.Pointer(to)), uintptr(unsafe.Pointer(old)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
