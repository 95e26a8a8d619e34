package proc

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// NewNetwork makes an empty network namespace, which lives as long as the file is
// open or a process runs in it. It needs the right to.
func NewNetwork() (*os.File, error) {
	type made struct {
		ns  *os.File
		err error
	}
	done := make(chan made)
	go func() {
		runtime.LockOSThread() // and it ends locked: nobody else gets this thread
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- made{nil, fmt.Errorf("make a network namespace: %w", err)}
			return
		}
		ns, err := network()
		done <- made{ns, err}
	}()
	m := <-done
	return m.ns, m.err
}

// network opens the calling thread's network namespace.
func network() (*os.File, error) { return os.Open("/proc/thread-self/ns/net") }

// Within calls do with the calling goroutine in a network namespace: sockets that it
// makes and processes that it starts belong there. Nil is where this process is.
func Within(ns *os.File, do func() error) error {
	if ns == nil {
		return do()
	}
	runtime.LockOSThread()
	home, err := network()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter a network namespace: %w", err)
	}
	defer home.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter a network namespace: %w", err)
	}
	failed := do()
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		panic(fmt.Sprintf("leave a network namespace: %v", err)) // the thread would answer for others
	}
	runtime.UnlockOSThread()
	return failed
}
